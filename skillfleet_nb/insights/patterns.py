"""What goes with gains: the looks taken at the outcomes of runs, each with its effect and how sure that is.

Runs on the same task share much, so a task counts once: where a task has runs on both sides of a question, the
difference is taken within the task; else between the means of tasks.  Nothing is said of fewer than eight runs, four
on either side.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from skillfleet_nb.events import StopKind
from skillfleet_nb.insights.pooling import pooled, t_p_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from skillfleet_nb.insights.outcomes import RunOutcome

LEAST_RUNS = 8
"""Runs from which on anything is said."""
LEAST_SIDE = 4
"""Runs, or tasks, on either side of a comparison."""
_LEAST_PAIRS = 6  # tasks with runs on both sides: fewer show nothing, see `stats.smallest_conclusive_n`
_LEAST_LEVELS = 2


@dataclass(frozen=True)
class Question:
    """What is asked of runs: those with a name, or above a number, against the others; of all, whether they gain."""

    about: str
    name: str = ""
    above: float | None = None

    @property
    def subject(self) -> str:
        """What it is about, in a word."""
        if self.above is None:
            return self.name
        return f"{100 * self.above:.0f}" if self.about == "baseline" else f"{self.above:g}"

    def holds(self, outcome: RunOutcome) -> bool:
        """Tell whether a run is one of those it is about."""
        if self.above is not None:
            return (_SIZES[self.about](outcome) or 0.0) > self.above
        return self.name in _NAMES[self.about](outcome)


@dataclass(frozen=True)
class Look:
    """One look at the outcomes: an effect on gains, in [-1, 1], with what is needed to judge it.

    Attributes
    ----------
    question
        What was asked.
    effect, se, df
        The difference of gains, its standard error and that one's degrees of freedom.
    mean
        Mean gain of the runs it is about.
    runs, tasks
        How many it rests on.
    job_ids
        The runs it is about.
    within
        Whether it was taken within tasks.
    """

    question: Question
    effect: float
    se: float
    df: float
    mean: float
    runs: int
    tasks: int
    job_ids: tuple[str, ...]
    within: bool

    @property
    def p_value(self) -> float:
        """Two-sided, of no effect, before it is held to how many looks were taken."""
        return t_p_value(self.effect, self.se, self.df)


def looks(outcomes: Sequence[RunOutcome]) -> list[Look]:
    """Take every look that there are enough runs for."""
    if len(outcomes) < LEAST_RUNS:
        return []
    every = frozenset(o.job_id for o in outcomes)
    taken: dict[frozenset[str], Look] = {}
    for question in _questions(outcomes):
        look = look_at(question, outcomes)
        if look is None:
            continue
        ids = frozenset(look.job_ids)
        mirrored = every - ids  # of two optimizers, one gains more by as much as the other gains less
        if mirrored in taken and look.effect > 0:
            del taken[mirrored]
        if mirrored not in taken:
            taken.setdefault(ids, look)
    return list(taken.values())


_ALL = "runs"
_NAMES: dict[str, Callable[[RunOutcome], Iterable[str]]] = {
    "optimizer": lambda o: (o.optimizer,),
    "model": lambda o: (o.model,) if o.model else (),
    "tag": lambda o: o.tags,
    "stop": lambda o: ("budget",) if o.stop_kind == StopKind.BUDGET else (),
}
_SIZES: dict[str, Callable[[RunOutcome], float | None]] = {
    "rows": lambda o: o.rows,
    "labels": lambda o: o.labels,
    "baseline": lambda o: o.baseline,
    "predictors": lambda o: o.predictors or 1,
}


def look_at(question: Question, outcomes: Sequence[RunOutcome]) -> Look | None:
    """Ask a question of runs; None where there are too few to say anything."""
    if len(outcomes) < LEAST_RUNS:
        return None
    return _overall(question, outcomes) if question.about == _ALL else _compared(question, outcomes)


def _questions(outcomes: Sequence[RunOutcome]) -> Iterator[Question]:
    """Yield what may be asked of runs."""
    yield Question(_ALL, "all")
    for about, names in _NAMES.items():
        for name in sorted({name for o in outcomes for name in names(o)}):
            yield Question(about, name)
    for about, size in _SIZES.items():
        values = [value for o in outcomes if (value := size(o)) is not None]
        if len(set(values)) >= _LEAST_LEVELS:
            yield Question(about, above=1.0 if about == "predictors" else median(values))


def _overall(question: Question, outcomes: Sequence[RunOutcome]) -> Look:
    """Look at whether runs gain at all; several runs on a task count once."""
    by_task = _by_task(outcomes)
    means = [fmean(o.gain for o in runs) for runs in by_task]
    variances = [fmean(o.variance for o in runs) for runs in by_task]
    mean = pooled(means, variances)
    return Look(
        question, mean.mean, mean.se, max(len(by_task) - 1, 1), mean.mean, len(outcomes), len(by_task),
        tuple(o.job_id for o in outcomes), within=False,
    )  # fmt: skip


def _compared(question: Question, outcomes: Sequence[RunOutcome]) -> Look | None:
    """Compare runs with those that are otherwise; None where there are too few."""
    has = question.holds
    with_it = [o for o in outcomes if has(o)]
    if min(len(with_it), len(outcomes) - len(with_it)) < LEAST_SIDE:
        return None
    pairs = [
        fmean(o.gain for o in mine) - fmean(o.gain for o in others)
        for runs in _by_task(outcomes)
        if (mine := [o for o in runs if has(o)]) and (others := [o for o in runs if not has(o)])
    ]
    if len(pairs) >= _LEAST_PAIRS:
        effect, se, df, tasks = fmean(pairs), _se(pairs), len(pairs) - 1.0, len(pairs)
    else:
        sides = [
            [fmean(o.gain for o in runs) for runs in _by_task([o for o in outcomes if has(o) is side])]
            for side in (True, False)
        ]
        if pairs or min(map(len, sides)) < LEAST_SIDE:
            return None  # a few tasks have both: neither way is sound
        effect, (se, df) = fmean(sides[0]) - fmean(sides[1]), _welch(*sides)
        tasks = sum(map(len, sides))
    if se == 0:
        return None
    mean = fmean(o.gain for o in with_it)
    return Look(
        question,
        effect,
        se,
        df,
        mean,
        len(with_it),
        tasks,
        tuple(o.job_id for o in with_it),
        within=len(pairs) >= _LEAST_PAIRS,
    )


def _by_task(outcomes: Iterable[RunOutcome]) -> list[list[RunOutcome]]:
    tasks: dict[str, list[RunOutcome]] = defaultdict(list)
    for one in outcomes:
        tasks[one.task_key].append(one)
    return list(tasks.values())


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def _se(values: Sequence[float]) -> float:
    return math.sqrt(_variance(values) / len(values))


def _welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of a difference of means, and its degrees of freedom (Welch, 1947)."""
    parts = [_variance(side) / len(side) for side in (one, other)]
    total = sum(parts)
    spread = sum(p * p / (len(side) - 1) for p, side in zip(parts, (one, other), strict=True))
    return math.sqrt(total), total * total / spread if spread else 1.0
