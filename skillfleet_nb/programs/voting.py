"""Programs that ask several times and answer with what most say, or with the best: an ensemble as a program.

Each is a ``dspy.Module`` that can be optimised, saved and loaded as any other.  Its prediction is that of the member
that won, and says in ``prediction.vote`` how it came about; a tie or a disagreement is told, never hidden.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import dspy
from dspy.evaluate import normalize_text

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.example import is_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.typing import Example, Metric

Weighing = Literal["majority", "weighted"]
WEIGHINGS: tuple[Weighing, ...] = ("majority", "weighted")
_SURE = 1e-9


@dataclass(frozen=True)
class Vote:
    """How an answer came about.

    Attributes
    ----------
    agreement
        Share of the weight that stands behind it, in [0, 1].
    confidence
        How likely it is right, as :meth:`Ensemble.fit` has seen answers of this agreement to be; None before.
    agreed
        Whether the agreement reaches what was asked for.
    tied
        Whether another answer has the same weight: the one that was given first is taken.
    answers
        Each answer, as text, and its share of the weight; largest first.
    failed
        Members that gave no answer.
    """

    agreement: float
    confidence: float | None
    agreed: bool
    tied: bool
    answers: Mapping[str, float]
    failed: int = 0


class Voted(dspy.Prediction):  # type: ignore[misc]  # dspy is untyped
    """The prediction of the member that won; its fields are those of the program."""

    vote: Vote | None = None


@dataclass
class Statistics:
    """What votes came to since a program was made; a copy of the program counts anew.

    Attributes
    ----------
    votes, asked
        Answers given, and runs of members for them.
    ties, disagreements, failed
        Votes that were tied, that did not reach the agreement asked for, and members without an answer.
    mean_agreement
        Over all votes.
    """

    votes: int = 0
    asked: int = 0
    ties: int = 0
    disagreements: int = 0
    failed: int = 0
    mean_agreement: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, vote: Vote, asked: int) -> None:
        """Take in a vote, on any thread."""
        with self._lock:
            self.votes += 1
            self.asked += asked
            self.ties += vote.tied
            self.disagreements += not vote.agreed
            self.failed += vote.failed
            self.mean_agreement += (vote.agreement - self.mean_agreement) / self.votes

    def __reduce__(self) -> tuple[type[Statistics], tuple[()]]:
        return Statistics, ()


class _Voting(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """What the programs here share: how answers are counted."""

    def __init__(self, vote: Weighing, min_agreement: float, fields: Sequence[str] | None) -> None:
        super().__init__()
        if vote not in WEIGHINGS:
            raise unknown("vote", vote, WEIGHINGS)
        if not 0 <= min_agreement <= 1:
            raise InputError(f"min_agreement = {min_agreement:g}: give a share in [0, 1], for example 0.6")
        self.weighing, self.min_agreement = vote, float(min_agreement)
        self.fields = None if fields is None else list(fields)
        self.weights: list[float] = []
        self.calibration: list[tuple[float, float]] = []
        self.statistics = Statistics()

    def settings(self) -> dict[str, Any]:
        """Return what a state has to say beside its predictors, as JSON."""
        return {
            "vote": self.weighing,
            "min_agreement": self.min_agreement,
            "fields": self.fields,
            "weights": self.weights,
            "calibration": [list(knot) for knot in self.calibration],
        }

    def restore(self, settings: Mapping[str, Any]) -> None:
        """Take what :meth:`settings` told."""
        self.weighing, self.min_agreement = settings["vote"], settings["min_agreement"]
        self.fields, self.weights = settings["fields"], list(settings["weights"])
        self.calibration = [(a, c) for a, c in settings["calibration"]]

    def counted(self, predictions: Sequence[dspy.Prediction | None]) -> Voted:
        """Count the votes; None stands for a member that failed."""
        weights = self.weights if self.weighing == "weighted" and self.weights else [1.0] * len(predictions)
        answered = [
            (p, w, key) for p, w in zip(predictions, weights, strict=True) if p is not None and (key := self._key(p))
        ]
        if not answered:
            raise RuntimeError(f"none of {len(predictions)} members gave an answer")
        behind: dict[tuple[str, ...], float] = defaultdict(float)
        for _, weight, key in answered:
            behind[key] += weight
        total = math.fsum(behind.values())
        if total <= 0:  # members that are no better than chance, all of them
            behind = {key: float(sum(key == k for *_, k in answered)) for key in behind}
            total = float(len(answered))
        ranked = sorted(behind.items(), key=lambda item: -item[1])  # of equals the one that was given first
        (key, most), others = ranked[0], ranked[1:]
        agreement = most / total
        vote = Vote(
            agreement=agreement,
            confidence=self._confidence(agreement),
            agreed=agreement >= self.min_agreement - _SURE,
            tied=bool(others) and others[0][1] >= most - _SURE,
            answers={self._text(next(p for p, _, own in answered if own == k)): w / total for k, w in ranked},
            failed=len(predictions) - len(answered),
        )
        winner = max((item for item in answered if item[2] == key), key=lambda item: item[1])[0]
        made = Voted(**dict(winner.items()))
        made.vote = vote
        self.statistics.add(vote, len(predictions))
        return made

    def _values(self, prediction: dspy.Prediction) -> list[Any]:
        names = self.fields or [name for name, _ in prediction.items() if name != "reasoning"]
        return [prediction.get(name) for name in names]

    def _text(self, prediction: dspy.Prediction) -> str:
        return " | ".join(map(str, self._values(prediction)))

    def _key(self, prediction: dspy.Prediction) -> tuple[str, ...] | None:
        """Return what is counted as one answer; None where there is none."""
        values = self._values(prediction)
        if all(value is None for value in values):
            return None
        return tuple(normalize_text(v) or v if isinstance(v, str) else repr(v) for v in values)

    def _confidence(self, agreement: float) -> float | None:
        if not self.calibration:
            return None
        index = bisect_right([knot for knot, _ in self.calibration], agreement + _SURE)
        return self.calibration[max(0, index - 1)][1]


class Ensemble(_Voting):
    """Ask several programs and answer with what most of them say.

    Parameters
    ----------
    programs
        Two or more, of the same outputs, in order of preference: of tied answers the first one's is taken.
    vote
        ``"majority"``, or ``"weighted"`` by the accuracy that :meth:`fit` has seen.
    min_agreement
        Share of the weight in [0, 1] from which a vote counts as agreed; it answers in any case, and says so.
    fields
        Outputs that are compared; by default all but ``reasoning``.

    Examples
    --------
    >>> class Says(dspy.Module):
    ...     def __init__(self, label):
    ...         super().__init__()
    ...         self.label = label
    ...     def forward(self, text):
    ...         return dspy.Prediction(label=self.label)
    >>> both = Ensemble([Says("a"), Says("b"), Says("a")], min_agreement=0.8)
    >>> answer = both(text="which?")
    >>> answer.label, round(answer.vote.agreement, 2), answer.vote.agreed, answer.vote.tied
    ('a', 0.67, False, False)
    """

    def __init__(
        self,
        programs: Sequence[dspy.Module],
        *,
        vote: Weighing = "majority",
        min_agreement: float = 0.0,
        fields: Sequence[str] | None = None,
    ) -> None:
        super().__init__(vote, min_agreement, fields)
        if len(programs) < 2:  # noqa: PLR2004  one alone is no vote
            raise InputError(f"programs holds {len(programs)}: a vote needs two or more")
        self.programs = list(programs)

    def forward(self, **inputs: Any) -> Voted:
        """Ask every member, one after the other; one that raises gives no answer."""
        return self.counted([_answer(program, inputs) for program in self.programs])

    def fit(self, examples: Sequence[Example], metric: Metric, *, num_threads: int | None = None) -> Ensemble:
        """Learn weights and confidence from examples that no member was trained on; return itself.

        Each member is run on each example.  A weight is the log odds of the member's accuracy, shrunk to a half by
        two examples, against those of chance among the answers there are: the best one where members err
        independently (Nitzan and Paroush, 1982).  Confidence is the share of right answers
        at an agreement, never falling with it (isotonic regression), each agreement shrunk to all by two examples.
        """
        rows = list(examples)
        if not rows:
            raise InputError("examples is empty: weights and confidence are learned from some")

        def run(program: dspy.Module) -> list[tuple[dspy.Prediction | None, float]]:
            evaluate = dspy.Evaluate(devset=rows, metric=metric, num_threads=num_threads, max_errors=len(rows) + 1)
            results = evaluate(program).results
            return [(p if is_answer(p) else None, float(getattr(s, "score", s))) for _, p, s in results]

        return self.learned(rows, [run(program) for program in self.programs], metric)

    def learned(
        self,
        examples: Sequence[Example],
        answers: Sequence[Sequence[tuple[dspy.Prediction | None, float]]],
        metric: Metric,
    ) -> Ensemble:
        """Learn as :meth:`fit` does, from answers and scores of each member that are known; return itself."""
        given_answers = {self._key(p) for own in answers for p, _ in own if p is not None}
        self.weights = [accuracy_weight([score for _, score in own], len(given_answers)) for own in answers]
        seen = []
        for example, predictions in zip(examples, zip(*answers, strict=True), strict=True):
            if any(prediction is not None for prediction, _ in predictions):
                voted = self.counted([prediction for prediction, _ in predictions])
                score: Any = metric(example, voted)
                seen.append((voted.vote.agreement if voted.vote else 0.0, float(getattr(score, "score", score))))
        self.statistics = Statistics()
        self.calibration = calibrated(seen)
        return self


class MajorityVote(_Voting):
    """Ask one program several times, with a temperature, and answer with what it says most often.

    Parameters
    ----------
    program
        The program.
    n
        How often, from 2.
    temperature
        Of the model, above 0, so that answers differ.
    min_agreement, fields
        As of :class:`Ensemble`.
    """

    def __init__(
        self,
        program: dspy.Module,
        n: int = 5,
        *,
        temperature: float = 1.0,
        min_agreement: float = 0.0,
        fields: Sequence[str] | None = None,
    ) -> None:
        super().__init__("majority", min_agreement, fields)
        self.program, self.n, self.temperature = program, _times(n, 2), float(temperature)

    def settings(self) -> dict[str, Any]:
        """Return what a state has to say beside its predictors, as JSON."""
        return super().settings() | {"n": self.n, "temperature": self.temperature}

    def restore(self, settings: Mapping[str, Any]) -> None:
        """Take what :meth:`settings` told."""
        super().restore(settings)
        self.n, self.temperature = settings["n"], settings["temperature"]

    def forward(self, **inputs: Any) -> Voted:
        """Ask `n` times, one after the other; an attempt that fails gives no answer."""
        return self.counted([_answer(self._rollout(number), inputs) for number in range(self.n)])

    def _rollout(self, number: int) -> dspy.Module:
        """Copy the program as one whose answers are its own: DSPy's cache goes by the number."""
        copied = self.program.deepcopy()
        for mine, theirs in zip(copied.predictors(), self.program.predictors(), strict=True):
            lm = theirs.lm if getattr(theirs, "lm", None) is not None else dspy.settings.lm
            mine.lm = lm.copy(rollout_id=number, temperature=self.temperature)
        return copied


class BestOfN(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Ask one program several times and answer with the attempt of the highest reward: ``dspy.BestOfN``, counted.

    Parameters
    ----------
    program
        The program.
    n
        How often at most, from 1.
    reward
        ``reward(inputs, prediction)`` returning a number, higher is better.
    threshold
        The first attempt with at least this reward is taken, and no further one made.

    Attributes
    ----------
    statistics
        Attempts made and answers given; an answer that reached the threshold counts as agreed.
    """

    def __init__(
        self,
        program: dspy.Module,
        n: int,
        reward: Callable[[dict[str, Any], dspy.Prediction], float],
        threshold: float = 1.0,
    ) -> None:
        super().__init__()
        self.program, self.n, self.threshold = program, _times(n, 1), float(threshold)
        self.reward = reward
        self.statistics = Statistics()

    def forward(self, **inputs: Any) -> Voted:
        """Ask until an attempt is good enough, `n` times at most."""
        rewards: list[float] = []

        def reward(inputs: dict[str, Any], prediction: dspy.Prediction) -> float:
            rewards.append(float(self.reward(inputs, prediction)))
            return rewards[-1]

        # One for each call: it counts failures down on itself.
        best = dspy.BestOfN(module=self.program, N=self.n, reward_fn=reward, threshold=self.threshold)(**inputs)
        if best is None:
            raise RuntimeError(f"none of {self.n} attempts gave an answer")
        reached = max(rewards) >= self.threshold
        vote = Vote(1 / len(rewards), None, reached, rewards.count(max(rewards)) > 1,
                    {f"attempt {k + 1}": r for k, r in enumerate(rewards)})  # fmt: skip
        self.statistics.add(vote, len(rewards))
        made = Voted(**dict(best.items()))
        made.vote = vote
        return made


def accuracy_weight(scores: Sequence[float], answers: int = 2) -> float:
    """Return the log odds of a member's accuracy against chance among so many answers; none below 0.

    Examples
    --------
    >>> round(accuracy_weight([1.0, 0.0, 0.0, 0.0]), 2), round(accuracy_weight([1.0, 0.0, 0.0, 0.0], answers=10), 2)
    (0.0, 1.5)
    """
    share = (math.fsum(scores) + 1) / (len(scores) + 2)
    return max(0.0, math.log(share / (1 - share)) + math.log(max(1, answers - 1)))


def calibrated(seen: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return how likely an answer is right from each agreement on, as (agreement, share): isotonic regression.

    Examples
    --------
    >>> [(a, round(c, 2)) for a, c in calibrated([(0.5, 0.0), (0.5, 1.0), (1.0, 1.0), (1.0, 1.0)])]
    [(0.5, 0.62), (1.0, 0.88)]
    """
    if not seen:
        return []
    every = math.fsum(score for _, score in seen) / len(seen)
    scores_by_agreement: dict[float, list[float]] = defaultdict(list)
    for agreement, score in seen:
        scores_by_agreement[round(agreement, 6)].append(score)
    blocks: list[tuple[list[float], float, float]] = []  # agreements, sum of scores, their weight
    for agreement in sorted(scores_by_agreement):
        block = (
            [agreement],
            math.fsum(scores_by_agreement[agreement]) + 2 * every,
            len(scores_by_agreement[agreement]) + 2.0,
        )
        while blocks and blocks[-1][1] / blocks[-1][2] >= block[1] / block[2]:
            before = blocks.pop()
            block = before[0] + block[0], before[1] + block[1], before[2] + block[2]
        blocks.append(block)
    return [(agreement, total / weight) for agreements, total, weight in blocks for agreement in agreements]


def composed(program: dspy.Module, made_of: Mapping[str, Any]) -> dspy.Module:
    """Make the vote that a state tells of: of copies of `program`, or, where it is a vote itself, of its own parts."""
    if isinstance(program, _Voting):
        made: _Voting = program.deepcopy()
    elif made_of["kind"] == "Ensemble":
        made = Ensemble([program.deepcopy() for _ in range(made_of["members"])])
    else:
        made = MajorityVote(program.deepcopy())
    made.restore(made_of["settings"])
    return made


def composition(program: dspy.Module) -> dict[str, Any] | None:
    """Tell what a program is composed of, as JSON; None where it is one that code has to make."""
    if not isinstance(program, _Voting):
        return None
    members = len(program.programs) if isinstance(program, Ensemble) else 1
    return {"kind": type(program).__name__, "members": members, "settings": program.settings()}


def _answer(program: dspy.Module, inputs: Mapping[str, Any]) -> dspy.Prediction | None:
    try:
        return program(**inputs)
    except Exception:  # noqa: BLE001  a member that fails is counted as one without an answer
        return None


def _times(n: object, least: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < least:
        raise InputError(f"n = {n!r}: give a whole number from {least}")
    return n
