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
class Look:
    """One look at the outcomes: an effect on gains, in [-1, 1], with what is needed to judge it.

    Attributes
    ----------
    about, subject
        What was looked at, such as ``"optimizer"`` and ``"gepa"``.
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

    about: str
    subject: str
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
    taken = [_overall(outcomes)]
    for about, subject, ids in _questions(outcomes):
        look = _compared(about, subject, outcomes, ids)
        if look is not None:
            taken.append(look)
    return taken


def _overall(outcomes: Sequence[RunOutcome]) -> Look:
    """Look at whether runs gain at all; several runs on a task count once."""
    by_task = _by_task(outcomes)
    means = [fmean(o.gain for o in runs) for runs in by_task]
    variances = [fmean(o.variance for o in runs) for runs in by_task]
    mean = pooled(means, variances)
    return Look(
        "runs", "all", mean.mean, mean.se, max(len(by_task) - 1, 1), mean.mean, len(outcomes), len(by_task),
        tuple(o.job_id for o in outcomes), within=False,
    )  # fmt: skip


def _questions(outcomes: Sequence[RunOutcome]) -> Iterator[tuple[str, str, set[str]]]:
    """Yield what may be asked of runs: a word for it, its subject, and the runs it is about."""
    named: dict[str, Callable[[RunOutcome], Iterable[str]]] = {
        "optimizer": lambda o: (o.optimizer,),
        "model": lambda o: (o.model,) if o.model else (),
        "tag": lambda o: o.tags,
    }
    for about, names in named.items():
        subjects: dict[str, set[str]] = defaultdict(set)
        for one in outcomes:
            for name in names(one):
                subjects[name].add(one.job_id)
        for subject, ids in sorted(subjects.items()):
            yield about, subject, ids
    yield "stop", "budget", {o.job_id for o in outcomes if o.stop_kind == StopKind.BUDGET}
    sizes: dict[str, Callable[[RunOutcome], float | None]] = {
        "rows": lambda o: o.rows,
        "labels": lambda o: o.labels,
        "baseline": lambda o: o.baseline,
    }
    for about, size in sizes.items():
        values = {o.job_id: v for o in outcomes if (v := size(o)) is not None}
        if len(set(values.values())) >= _LEAST_LEVELS:
            middle = median(values.values())
            subject = f"{100 * middle:.0f}" if about == "baseline" else f"{middle:g}"
            yield about, subject, {job for job, v in values.items() if v > middle}
    yield "predictors", "1", {o.job_id for o in outcomes if (o.predictors or 1) > 1}


def _compared(about: str, subject: str, outcomes: Sequence[RunOutcome], ids: set[str]) -> Look | None:
    """Compare runs with those that are otherwise; None where there are too few."""
    with_it = [o for o in outcomes if o.job_id in ids]
    if min(len(with_it), len(outcomes) - len(with_it)) < LEAST_SIDE:
        return None
    pairs = [
        fmean(o.gain for o in mine) - fmean(o.gain for o in others)
        for runs in _by_task(outcomes)
        if (mine := [o for o in runs if o.job_id in ids]) and (others := [o for o in runs if o.job_id not in ids])
    ]
    if len(pairs) >= _LEAST_PAIRS:
        effect, se, df, tasks = fmean(pairs), _se(pairs), len(pairs) - 1.0, len(pairs)
    else:
        sides = [
            [fmean(o.gain for o in runs) for runs in _by_task([o for o in outcomes if (o.job_id in ids) is side])]
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
        about,
        subject,
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
