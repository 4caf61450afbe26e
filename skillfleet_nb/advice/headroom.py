"""What can optimising win here at most?  Looked at before money is spent on it.

Four things can be in the way, and each is looked for where it is cheapest to see: a metric that cannot
tell right from wrong, labels that follow nothing in the inputs, a program that is as good as it can be,
and examples that nothing solves.
"""

from __future__ import annotations

import random
import secrets
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.advice.answers import answers_of
from skillfleet_nb.advice.forms import MANY_UNREAD, better_form
from skillfleet_nb.data.identity import distinct
from skillfleet_nb.data.labels import labelled
from skillfleet_nb.data.landmarks import inputs_text
from skillfleet_nb.errors import LMError
from skillfleet_nb.events import HeadroomFound, StopKind
from skillfleet_nb.format import counted, money, one_line, percent
from skillfleet_nb.html import Readable, items, table
from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.lm.limits import Limits
from skillfleet_nb.lm.session import Session
from skillfleet_nb.messages import as_typed
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.advice.requests import HeadroomRequest
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Example, Program

Verdict = Literal[
    "worth trying", "little to gain", "fix the data first", "fix the metric first", "fix the format first"
]

_JUDGED = 40  # examples whose own and other answers the metric scores
_READ = 600  # rows among which neighbours are looked for
_NEIGHBOURS = 3
_NEAR = 0.92  # cosine of character n-grams from which inputs are nearly the same
_SHUFFLES = 200
_ENOUGH_ROWS = 20  # fewer rows show nothing of their labels
_BY_CHANCE = 0.05
_CONFLICTS = 0.15  # share of rows that contradict a nearly equal one
_SATURATED, _LITTLE = 0.95, 0.10
_RIGHT, _TELLS_APART = 0.75, 0.1
_DEMOS = 8
_HALF = 0.5  # of a score, from which an example counts as solved


class Headroom(Readable, BaseModel):
    """What optimising may win.

    Attributes
    ----------
    verdict
        ``"worth trying"``, ``"little to gain"``, ``"fix the data first"``, ``"fix the metric first"`` or
        ``"fix the format first"``.
    evidence
        What it rests on, a sentence each.
    baseline, baseline_interval
        Mean score of the program as it is, in [0, 1], with its 95% interval; None where no call was made.
    best_of_k, k
        Mean over examples of the best score of `k` tries: an upper bound that is cheap to have.
    unsolved
        Inputs, of those tried, on which no try scored 0.5.
    label_agreement, agreement_by_chance
        Share of nearest neighbours with the same label, and what shuffled labels would give.
    conflicts
        Pairs of inputs that are nearly equal and have different labels.
    n, calls, cost_usd
        Examples tried, and what that bought.
    """

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    evidence: tuple[str, ...]
    baseline: float | None = None
    baseline_interval: tuple[float, float] | None = None
    best_of_k: float | None = None
    k: int = 0
    unsolved: tuple[str, ...] = ()
    label_agreement: float | None = None
    agreement_by_chance: float | None = None
    conflicts: tuple[tuple[str, str], ...] = ()
    n: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters as pairs of a word and its value."""
        rows = [("verdict", str(self.verdict))]
        if self.baseline is not None and self.baseline_interval is not None:
            low, high = self.baseline_interval
            rows.append(("as it is", f"{100 * self.baseline:.0f} (95% interval {100 * low:.0f} to {100 * high:.0f})"))
        if self.best_of_k is not None:
            rows.append((f"best of {self.k} tries", f"{100 * self.best_of_k:.0f}"))
            rows.append(("solved by none", f"{len(self.unsolved)} of {self.n} examples"))
        if self.label_agreement is not None and self.agreement_by_chance is not None:
            chance = f"by chance {percent(self.agreement_by_chance)}"
            rows.append(("neighbours agree", f"{percent(self.label_agreement)} ({chance})"))
        rows.append(("looked at with", f"{counted(self.calls, 'call')}, {money(self.cost_usd)}"))
        return rows

    def text(self) -> str:
        """Return it as text."""
        rows = self.summary()
        width = max(len(word) for word, _ in rows)
        facts = "\n".join(f"{word:<{width}}  {value}" for word, value in rows)
        return facts + "\n\n" + "\n".join(f"- {said}" for said in self.evidence)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        good = "rgba(0,158,115,.2)"
        colours: dict[str, str] = {self.verdict: good if self.verdict == "worth trying" else "rgba(230,159,0,.25)"}
        rows = [list(r) for r in self.summary()]
        return table([], rows, title="Headroom", colours=colours) + items(self.evidence, title="Evidence")


def look(home: Home, task: CheckedTask, asked: HeadroomRequest) -> Headroom:
    """Look at a task as it is asked for."""
    examples = [*task.splits.train, *task.splits.val]
    wrong = metric_faults(task.metric, examples) if task.metric is not None else []
    if wrong:
        return _told(home, task, Headroom(verdict="fix the metric first", evidence=tuple(wrong)))
    labels = label_evidence(examples)
    if labels["faults"]:
        agreement = {key: value for key, value in labels.items() if key != "faults"}
        return _told(home, task, Headroom(verdict="fix the data first", evidence=tuple(labels["faults"]), **agreement))
    return _try(home, task, asked, labels)


def metric_faults(metric: RunMetric, examples: Sequence[Example]) -> list[str]:  # noqa: PLR0911  one for each fault
    """Score right and wrong answers, which costs no call; say what is wrong with the metric."""
    rng = random.Random(0)
    some = rng.sample(list(examples), min(_JUDGED, len(examples)))
    own = [metric.own_score(example) for example in some]
    if any(score is None for score in own):
        return []  # it asks a model, and is not asked for free
    right = [float(score or 0.0) for score in own]
    others = [_with_answers(example, _another(example, examples, rng)) for example in some]
    wrong = [float(metric.own_score(other) or 0.0) for other in others if other is not None]
    again = [float(metric.own_score(example) or 0.0) for example in (*some, *some)]
    if any(abs(a - b) > 1e-9 for a, b in zip([*right, *right], again, strict=True)):  # noqa: PLR2004  rounding
        moved = sum(abs(a - b) > 1e-9 for a, b in zip(right, again, strict=False))  # noqa: PLR2004
        return [
            f"the metric {metric.name!r} is noisy: the same answer scored differently on {moved} of {len(some)} rows"
        ]
    if not wrong:
        return [f"all {len(examples)} examples have the same answer: no metric can tell right from wrong here"]
    apart = statistics.mean(right) - statistics.mean(wrong)
    if statistics.pstdev([*right, *wrong]) == 0:
        return [f"the metric {metric.name!r} is constant: right and wrong answers alike score {right[0]:g}"]
    if statistics.mean(right) < _RIGHT:
        return [
            (
                f"the metric {metric.name!r} scores the examples' own answers {statistics.mean(right):.2f} on average: "
                "what is right should score near 1"
            )
        ]
    if apart < _TELLS_APART:
        return [
            (
                f"the metric {metric.name!r} is saturated: wrong answers score {statistics.mean(wrong):.2f}, "
                f"right ones {statistics.mean(right):.2f}"
            )
        ]
    return []


def _another(example: Example, examples: Sequence[Example], rng: random.Random) -> Example | None:
    """Pick an example with other answers."""
    mine = example.labels().toDict()
    for other in rng.sample(list(examples), min(30, len(examples))):
        if other.labels().toDict() != mine:
            return other
    return None


def _with_answers(example: Example, other: Example | None) -> _Swapped | None:
    """Ask about one example what is right for another: the metric then sees a wrong prediction."""
    if other is None:
        return None
    return _Swapped(example, other)


class _Swapped:
    """An example whose own answer, as a prediction, is another example's."""

    def __init__(self, example: Example, other: Example) -> None:
        self._example, self._other = example, other

    def labels(self) -> Any:
        return self._other.labels()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._example, name)

    def __getitem__(self, name: str) -> Any:
        return self._example[name]


def label_evidence(examples: Sequence[Example]) -> dict[str, Any]:
    """Compare the labels of inputs that are alike; no call is made.

    Returns
    -------
    dict
        `label_agreement`, `agreement_by_chance`, `conflicts`, and `faults` in words.
    """
    import numpy as np

    evidence: dict[str, Any] = {"label_agreement": None, "agreement_by_chance": None, "conflicts": (), "faults": []}
    label, pairs = labelled(examples, _READ, random.Random(1))
    if len(pairs) < _ENOUGH_ROWS:
        return evidence
    rows, answers = [row for row, _ in pairs], np.array([label for _, label in pairs])
    similar = _similarities([inputs_text(row) for row in rows])
    np.fill_diagonal(similar, -1.0)
    close = np.argsort(-similar, axis=1, kind="stable")[:, :_NEIGHBOURS]
    near = [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(similar >= _NEAR)), strict=True)]
    against = [(i, j) for i, j in near if answers[i] != answers[j]]
    evidence["conflicts"] = tuple((inputs_text(rows[i]), inputs_text(rows[j])) for i, j in against)

    def agree(labels: NDArray[np.str_]) -> float:
        return float((labels[close] == labels[:, None]).mean())

    generator = np.random.default_rng(2)
    shuffled = np.array([agree(generator.permutation(answers)) for _ in range(_SHUFFLES)])
    evidence["label_agreement"], evidence["agreement_by_chance"] = agree(answers), float(shuffled.mean())
    p_value = (1 + int((shuffled >= evidence["label_agreement"]).sum())) / (1 + _SHUFFLES)
    rows_in_conflict = {i for pair in against for i in pair}
    if len(rows_in_conflict) > _CONFLICTS * len(rows):
        i, j = against[0]
        evidence["faults"].append(
            f"{len(rows_in_conflict)} of {len(rows)} rows nearly repeat another row's input with another label: "
            f"{one_line(inputs_text(rows[i]))!r} is {answers[i]!r} and {answers[j]!r}; "
            f"see {as_typed('trainset duplicates')}"
        )
    if p_value > _BY_CHANCE:
        evidence["faults"].append(
            f"inputs that are alike do not share labels: {percent(evidence['label_agreement'])} of nearest neighbours "
            f"have the same {label}, {percent(evidence['agreement_by_chance'])} would by chance (p = {p_value:.2f})"
        )
    return evidence


def _similarities(texts: Sequence[str]) -> Any:
    """Compare texts by their words and parts of words: cosines, shape (n, n)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", token_pattern=r"\b\w+\b")  # noqa: S106  no password
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    cosines = 0.0
    for vectorizer in (words, parts):
        try:
            vectors = vectorizer.fit_transform(texts)
        except ValueError:  # no words but the very common ones
            continue
        cosines = cosines + (vectors @ vectors.T).toarray() / 2
    return cosines


def _try(home: Home, task: CheckedTask, asked: HeadroomRequest, labels: dict[str, Any]) -> Headroom:
    """Run the program as it is, with demos, and at random, on some examples."""
    import dspy

    val = distinct(task.splits.val)
    examples = random.Random(asked.seed).sample(val, min(asked.n, len(val)))
    labels = {key: value for key, value in labels.items() if key != "faults"}
    limits = Limits(usd=asked.budget_usd)
    with Session.opened(home, task.settings, "headroom", task.lms, limits=limits) as session:
        gate = session.gate()
        plain = _scores(session, gate, task, task.program, examples)
        answered = [n for n, score in enumerate(plain) if score is not None]
        unread, form = _unread(session, plain, examples), None
        if len(unread) > MANY_UNREAD * len(examples) and not gate.closed:
            form = better_form(session, gate, task, unread)
        if form is not None:
            headroom = _of_form(session, plain, len(unread), form, labels)
            return _told(home, task, headroom)
        turned = gate.closed is not None and gate.closed[0] is StopKind.LM_FAILING
        if turned or not answered:
            failure = session.ledger.last_failure
            why = gate.closed[1] if gate.closed else in_short(failure) if failure else "no answer"
            raise LMError(f"the program could not be scored on {counted(examples, 'example')}: {why}")
        scored = [plain]
        with_demos = dspy.LabeledFewShot(k=_DEMOS).compile(task.program.deepcopy(), trainset=list(task.splits.train))
        for n_try in range(1, asked.k):
            if gate.closed:
                break
            # The first other try has demos, the rest are drawn at random: together they bound what prompts can do.
            if n_try == 1:
                scored.append(_scores(session, gate, task, with_demos, examples))
            else:
                drawn = replace(task, lm=task.lm.copy(temperature=1.0, rollout_id=n_try))
                scored.append(_scores(session, gate, drawn, task.program, examples))
        totals = session.ledger.totals
        stopped = gate.closed[1] if gate.closed else None
        # No zero stands for a missing answer: what the program as it is was not answered on is left out.
        examples, scored = [examples[n] for n in answered], [[s[n] for n in answered] for s in scored if s]
        headroom = _verdict(examples, scored, labels, stopped=stopped)
        headroom = headroom.model_copy(update={"calls": totals.calls, "cost_usd": totals.cost_usd})
    return _told(home, task, headroom)


def _unread(session: Session, scores: Sequence[float | None], examples: Sequence[Example]) -> list[Example]:
    """List the examples that failed, where it was because their answers could not be read."""
    if not session.readings.unread["task"]:
        return []
    return [example for example, score in zip(examples, scores, strict=False) if score is None]


def _of_form(
    session: Session, scores: Sequence[float | None], unread: int, form: str, labels: dict[str, Any]
) -> Headroom:
    """Say that another form of asking comes first, and what the answers that could be read scored."""
    scored = [float(score) for score in scores if score is not None]
    interval = mean_interval(scored) if scored else None
    totals = session.ledger.totals
    return Headroom(
        verdict="fix the format first",
        evidence=(f"{unread} of {len(scores)} answers could not be read", form),
        baseline=interval.mean if interval else None,
        baseline_interval=(interval.low, interval.high) if interval else None,
        n=len(scores),
        calls=totals.calls,
        cost_usd=totals.cost_usd,
        **labels,
    )


def _scores(
    session: Session, gate: Gate, task: CheckedTask, program: Program, examples: Sequence[Example]
) -> list[float | None]:
    """Score a program on examples; None where it failed, nothing where calls were refused."""
    return [answer.score for answer in answers_of(session, gate, task, program, examples)]


def _verdict(
    examples: Sequence[Any], scored: Sequence[Sequence[float | None]], labels: dict[str, Any],
    *, stopped: str | None,
) -> Headroom:  # fmt: skip
    plain = [float(s or 0.0) for s in scored[0]]
    best = [max(float(s or 0.0) for s in tries) for tries in zip(*scored, strict=True)]
    unsolved = tuple(inputs_text(e) for e, score in zip(examples, best, strict=True) if score < _HALF)
    interval = mean_interval(plain)
    baseline, bound = interval.mean, statistics.mean(best)
    share = len(unsolved) / len(best)
    sentences = []
    verdict: Verdict
    gained = mean_interval([b - p for b, p in zip(best, plain, strict=True)])
    tries = f"the best of {len(scored)} tries scores {100 * bound:.0f}, the program as it is {100 * baseline:.0f}"
    most = f"up to {100 * gained.high:.0f} points (95%)"
    if baseline >= _SATURATED:
        verdict = "little to gain"
        left = f"at most {100 * (1 - baseline):.0f} points are left"
        sentences.append(f"the program solves {percent(baseline)} as it is: {left}")
    elif gained.high < _LITTLE:
        verdict = "little to gain"
        sentences.append(f"{tries}: {most} are within reach of what it can answer")
    elif bound > baseline:
        verdict = "worth trying"
        sentences.append(
            f"{tries}: {100 * (bound - baseline):.0f} points, {most}, are within reach of what it can answer"
        )
    else:
        verdict = "worth trying"
        sentences.append(f"{tries}: none found better, but so few examples leave {most} possible: try a larger -n")
    if unsolved:
        shown = "; ".join(repr(one_line(text)) for text in unsolved[:2])
        sentences.append(f"{percent(share)} of the examples are solved by no try, such as {shown}")
    if labels["label_agreement"] is not None:
        sentences.append(
            f"labels follow the inputs: {percent(labels['label_agreement'])} of nearest neighbours share a label, "
            f"{percent(labels['agreement_by_chance'])} would by chance"
        )
    if stopped:
        sentences.append(f"the look ended early: {stopped}")
    return Headroom(
        verdict=verdict, evidence=tuple(sentences), baseline=baseline, baseline_interval=(interval.low, interval.high),
        best_of_k=bound, k=len(scored), unsolved=unsolved, n=len(examples), **labels,
    )  # fmt: skip


def _told(home: Home, task: CheckedTask, headroom: Headroom) -> Headroom:
    """Record what was found, so that advice on the same task knows it."""
    from skillfleet_nb.store import Journal

    event = HeadroomFound(
        key=task.key, verdict=headroom.verdict, baseline=headroom.baseline, n=headroom.n, best_of_k=headroom.best_of_k,
        evidence=headroom.evidence,
    )  # fmt: skip
    with Journal(home, f"headroom-{task.key}-{secrets.token_hex(4)}") as journal:
        journal.append(event, sync=True)
    return headroom
