"""How far apart are two runs of the same program?  The noise that any gain has to be seen through.

The program is run twice on the same examples with nothing changed, each time asked anew: what then differs is the
model's sampling, the order in which threads reach it, and the judge of a metric that asks one.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.advice.answers import answers_of
from skillfleet_nb.data.identity import distinct
from skillfleet_nb.errors import LMError, SkillfleetError
from skillfleet_nb.events import NoiseFound
from skillfleet_nb.format import counted, money, percent, points
from skillfleet_nb.html import Readable, items, table
from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.lm.limits import Limits
from skillfleet_nb.lm.session import Session
from skillfleet_nb.power import rows_needed, smallest_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.advice.answers import Scored
    from skillfleet_nb.advice.requests import NoiseRequest
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Example

_RULE_OF_THREE = 3.0  # none of n examples differed: with 95% confidence fewer than 3 in n do


class NoiseFloor(Readable, BaseModel):
    """How far apart two runs of the same program are, and what can be seen through that.

    Attributes
    ----------
    n
        Examples on which both runs were answered.
    first, second
        Mean scores of the two runs, in [0, 1].
    differing
        Examples that scored differently.
    variance, variance_high
        Of the difference of an example's score between the runs, in [0, 1]; where none differed, the upper end says
        what it may still be, with 95% confidence.
    judge_variance
        The same where the metric scored the same answers twice; None where it asks no model.
    threads
        That asked at once.
    test_rows, smallest
        Rows of the task's test split, and the smallest gain that it shows in 8 of 10 runs, in [0, 1]; None where no
        gain would be shown.
    effect, rows
        A gain that is wanted, and the test rows that show it in 8 of 10 runs.
    calls, cost_usd
        What was bought.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    first: float
    second: float
    differing: int
    variance: float
    variance_high: float
    judge_variance: float | None
    threads: int
    test_rows: int
    smallest: float | None
    effect: float
    rows: int
    calls: int
    cost_usd: float | None

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters as pairs of a word and its value."""
        shown = "no gain" if self.smallest is None else f"gains from {points(self.smallest)} points"
        return [
            ("two runs", f"{points(self.first)} and {points(self.second)} on {counted(self.n, 'example')}"),
            ("scored differently", f"{self.differing} of {self.n} ({percent(self.differing / self.n)})"),
            (f"{counted(self.test_rows, 'test row')} can show", shown),
            (f"+{points(self.effect)} points need", counted(self.rows, "test row")),
            ("looked at with", f"{counted(self.calls, 'call')}, {money(self.cost_usd)}"),
        ]

    def sentences(self) -> list[str]:
        """Say what it means, a sentence each."""
        sentences = []
        if not self.differing:
            sentences.append(
                f"nothing differed; of other rows up to {percent(self.variance_high)} may still (95% confidence)"
            )
        else:
            at_once = f"with {counted(self.threads, 'thread')}"
            sentences.append(
                f"the same program, asked again {at_once}, moves {percent(self.differing / self.n)} of the rows"
            )
        if self.judge_variance is not None:
            sentences.append(
                f"the metric asks a model: scoring the same answers again has a standard deviation of "
                f"{points(self.judge_variance**0.5)} points a row"
            )
        if self.smallest is None or self.smallest > self.effect:
            sentences.append(
                f"a gain of {points(self.effect)} points will hardly be told from chance on "
                f"{counted(self.test_rows, 'test row')}: give {self.rows:,}, or expect a larger one"
            )
        sentences.append("all this is the best case: a change that mends some answers and breaks none")
        return sentences

    def text(self) -> str:
        """Return it as text."""
        rows = self.summary()
        width = max(len(word) for word, _ in rows)
        facts = "\n".join(f"{word:<{width}}  {value}" for word, value in rows)
        return facts + "\n\n" + "\n".join(f"- {said}" for said in self.sentences())

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return table([], [list(r) for r in self.summary()], title="Noise") + items(
            self.sentences(), title="What it means"
        )


def listen(home: Home, task: CheckedTask, asked: NoiseRequest) -> NoiseFloor:
    """Run a task's program twice on the same examples, the model's cache left aside, and record what differs."""
    rows = distinct([*task.splits.train, *task.splits.val])
    examples = random.Random(asked.seed).sample(rows, min(asked.n, len(rows)))
    anew = task.anew()
    limits = Limits(usd=asked.budget_usd)
    with Session.opened(home, task.settings, "noise", task.lms, limits=limits) as session:
        gate = session.gate()
        arms = [answers_of(session, gate, anew, anew.program, examples) for _ in range(2)]
        if gate.closed is not None:
            raise SkillfleetError(f"two runs on {counted(examples, 'example')} were not ended: {gate.closed[1]}")
        scores = [(a.score, b.score) for a, b in zip(*arms, strict=True) if a.score is not None and b.score is not None]
        if not scores:
            failure = session.ledger.last_failure
            why = in_short(failure) if failure else "no answer"
            raise LMError(f"the program could not be scored on {counted(examples, 'example')}: {why}")
        judged = _judged_again(session, gate, anew, examples, arms[0])
        totals = session.ledger.totals
        floor = _floor(task, asked, scores, judged, totals.calls, totals.cost_usd)
        event = NoiseFound(
            key=task.key, n=floor.n, differing=floor.differing, variance=floor.variance,
            judge_variance=floor.judge_variance, threads=floor.threads,
        )  # fmt: skip
        session.emit(event, sync=True)
    return floor


def _judged_again(
    session: Session, gate: Gate, task: CheckedTask, examples: Sequence[Example], arm: Sequence[Scored]
) -> float | None:
    """Have the metric score the same answers again; return the variance of the difference, None if it asks nobody."""
    metric = task.metric
    if metric is None or metric.own_score(examples[0]) is not None:
        return None
    with session.logged(), session.models(gate, task.lm):
        moved = [
            float(metric(example, answer.prediction)) - answer.score
            for example, answer in zip(examples, arm, strict=True)
            if answer.score is not None
        ]
    return sum(d * d for d in moved) / len(moved)


def _floor(
    task: CheckedTask,
    asked: NoiseRequest,
    scores: Sequence[tuple[float, float]],
    judged: float | None,
    calls: int,
    cost_usd: float | None,
) -> NoiseFloor:
    n, test_rows = len(scores), len(distinct(task.splits.test))
    variance = sum((a - b) ** 2 for a, b in scores) / n
    return NoiseFloor(
        n=n,
        first=sum(a for a, _ in scores) / n,
        second=sum(b for _, b in scores) / n,
        differing=sum(a != b for a, b in scores),
        variance=variance,
        variance_high=variance or min(1.0, _RULE_OF_THREE / n),
        judge_variance=judged,
        threads=task.num_threads,
        test_rows=test_rows,
        smallest=smallest_difference(test_rows, variance) if test_rows else None,
        effect=asked.effect,
        rows=rows_needed(asked.effect, variance),
        calls=calls,
        cost_usd=cost_usd,
    )
