"""How much further a learning curve will rise: what another so many calls are likely to add, with an interval.

The best score so far rises in steps.  In the logarithm of calls these come about evenly, as records of a search do (of
draws alike, the n-th is the best with chance 1/n: Rényi, 1962; Arnold, Balakrishnan and Nagaraja, Records, 1998), once
the search has begun in earnest.  So
their number in a further stretch is taken as Poisson at a rate of the run's own, with a gamma prior of the home's other
runs; each lifts the score by a share of what is left to 1, drawn from the steps that runs of the home made that late.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEVEL = 0.8
_DRAWS = 4000
_HEAD = 8.0  # a search begins late: it first collects examples and writes proposals, in calls of the first evaluation
_PRIOR_EXPOSURE = 0.8  # in e-folds of calls: what the home's rate counts for beside the run's own
_PRIOR_RATE = 1.5  # steps in an e-fold of calls, before a home knows better
_PRIOR_STEPS: tuple[tuple[float, ...], ...] = (
    (0.02, 0.05, 0.10, 0.18, 0.30, 0.50),
    (0.02, 0.04, 0.08, 0.14, 0.24, 0.45),
    (0.02, 0.03, 0.06, 0.10, 0.17, 0.35),
)
"""Shares of what is left to 1 that the first step, the next two, and later ones lift a score by, likewise."""
_PRIOR_EXPOSURES = 1.6  # e-folds of the home's runs for which that prior rate counts


@dataclass(frozen=True)
class BestSoFar:
    """The best score on all of validation by calls made: where it rises, from the program as given on."""

    calls: tuple[int, ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, points: Iterable[tuple[int, float]]) -> BestSoFar:
        """Keep of evaluations, in order, as (calls, score), the first one and those that are better than all before."""
        calls: list[int] = []
        scores: list[float] = []
        for at, score in points:
            if not scores or score > scores[-1]:
                calls.append(at)
                scores.append(score)
        return cls(tuple(calls), tuple(scores))

    def at(self, calls: int) -> float:
        """Return the best score by then."""
        return self.scores[max(bisect_right(self.calls, calls) - 1, 0)]

    def until(self, calls: int) -> BestSoFar:
        """Cut the curve off."""
        n = max(bisect_right(self.calls, calls), 1)
        return BestSoFar(self.calls[:n], self.scores[:n])

    def steps(self) -> list[float]:
        """Return what each rise gained, as a share of what was left to 1."""
        pairs = zip(self.scores, self.scores[1:], strict=False)
        return [(after - before) / (1 - before) for before, after in pairs if before < 1]

    def exposure(self, calls: int) -> float:
        """Return how many e-folds of calls the search has had by then."""
        start = max(self.calls[0], 1)
        return math.log((calls + _HEAD * start) / ((1 + _HEAD) * start)) if calls > start else 0.0


@dataclass(frozen=True)
class PastCurves:
    """What the curves of other runs tell of one: how often the best rises, and by how much."""

    rate: float = _PRIOR_RATE
    steps: tuple[tuple[float, ...], ...] = field(default=_PRIOR_STEPS)
    runs: int = 0

    @classmethod
    def of(cls, curves: Sequence[tuple[BestSoFar, int]], own: Sequence[tuple[BestSoFar, int]] = ()) -> PastCurves:
        """Learn from curves and the calls at which their searches ended; `own` are those of the same optimizer."""
        rate = _rate(own, _rate(curves, _PRIOR_RATE))
        steps = [list(prior) for prior in _PRIOR_STEPS]
        for curve, _ in curves:
            for rank, step in enumerate(curve.steps()):
                steps[_late(rank)].append(step)
        return cls(rate, tuple(map(tuple, steps)), len(curves))


@dataclass(frozen=True)
class Extrapolation:
    """What `more` calls will add to the best score, a difference in [0, 1], with an interval of 80%.

    `gain` is the middle of what may come, as `low` and `high` are quantiles of it: the mean, which a few high rises
    draw up, may lie beyond them.  `chance` is that of any rise at all.
    """

    calls: int
    more: int
    best: float
    gain: float
    low: float
    high: float
    chance: float


def extrapolate(curve: BestSoFar, calls: int, more: int, past: PastCurves, *, seed: int = 0) -> Extrapolation:
    """Say what a search that goes on as it did will find in `more` calls.

    Parameters
    ----------
    curve
        Of the run, up to now.
    calls
        Those it has made.
    more
        Those it is to make.
    past
        What other runs tell.
    seed
        Of the draws.

    Examples
    --------
    >>> curve = BestSoFar.of([(20, 0.5), (60, 0.6), (100, 0.55), (200, 0.7)])
    >>> ahead = extrapolate(curve, 400, 400, PastCurves())
    >>> 0 <= ahead.low <= ahead.gain <= ahead.high < 0.3
    True
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    calls = max(calls, curve.calls[-1], 1)
    rises, best = len(curve.scores) - 1, curve.scores[-1]
    ahead = curve.exposure(calls + more) - curve.exposure(calls)
    shape = _PRIOR_EXPOSURE * past.rate + rises
    rate = rng.gamma(shape, 1 / (_PRIOR_EXPOSURE + curve.exposure(calls)), _DRAWS)
    rises_ahead = rng.poisson(rate * ahead)
    left = np.ones(_DRAWS)
    for nth in range(int(rises_ahead.max())):
        pool = np.asarray(past.steps[_late(rises + nth)])
        share = pool[rng.integers(0, pool.size, _DRAWS)]
        left = np.where(rises_ahead > nth, left * (1 - share), left)
    gains = np.sort((1 - best) * (1 - left))
    low, gain, high = (float(gains[round(q * (_DRAWS - 1))]) for q in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    return Extrapolation(calls, more, best, gain, low, high, float((rises_ahead > 0).mean()))


def _rate(curves: Sequence[tuple[BestSoFar, int]], prior: float) -> float:
    exposure = sum(curve.exposure(end) for curve, end in curves)
    rises = sum(len(curve.scores) - 1 for curve, _ in curves)
    return (rises + prior * _PRIOR_EXPOSURES) / (exposure + _PRIOR_EXPOSURES)


def _late(rank: int) -> int:
    """Say to which of the pools of steps a rise belongs, counted from 0."""
    return 0 if rank == 0 else 1 if rank < 3 else 2  # noqa: PLR2004  first, second and third, later
