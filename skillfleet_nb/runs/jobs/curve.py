"""The learning curve of a job: the points that every picture of it shows, and the axis they stand on.

The chart, the live monitor and its still all draw this.  It takes trials in one by one, in bounded memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_STRETCHES = 75  # of a kind, with two points each: more than a page has room to tell apart
_MOST_RISES = 200
_TICKS = 4
_LEAST = 5.0  # points that an axis spans: noise does not look like a gain

Point = tuple[int, float]


@dataclass
class _Stretches:
    """Points in stretches of equally many, of each the lowest and the highest; and the first and the last of all."""

    size: int = 1
    in_last: int = 0
    extremes: list[tuple[Point, Point]] = field(default_factory=list)
    ends: list[Point] = field(default_factory=list)

    def add(self, point: Point) -> None:
        self.ends[1:] = [point]
        if self.in_last % self.size == 0:
            self.in_last = 0
            self.extremes.append((point, point))
        self.in_last += 1
        self.extremes[-1] = _extremes([*self.extremes[-1], point])
        if len(self.extremes) > _MOST_STRETCHES and self.in_last == self.size and len(self.extremes) % 2 == 0:
            pairs = zip(self.extremes[::2], self.extremes[1::2], strict=True)
            self.extremes = [_extremes([*one, *other]) for one, other in pairs]
            self.size *= 2
            self.in_last = self.size

    def points(self) -> set[Point]:
        return {*self.ends, *(point for pair in self.extremes for point in pair)}


def _extremes(points: list[Point]) -> tuple[Point, Point]:
    return min(points, key=lambda p: (p[1], p[0])), max(points, key=lambda p: (p[1], -p[0]))


@dataclass
class Curve:
    """The points of a learning curve, as (trial, score in [0, 1]); of a pruned one its bound.

    Of many trials of a kind only those that show the shape are kept: the first and the last, of each stretch the
    lowest and the highest, and those at which the best rises.

    Attributes
    ----------
    best
        The best full evaluation so far: a point where it rises.
    last
        The last trial.

    Examples
    --------
    >>> curve = Curve()
    >>> for trial in range(100_000):
    ...     curve.add(trial, trial % 7 / 7, full=trial % 10 == 0)
    >>> len(curve.part) <= 400, len(curve.full) <= 400, curve.best[-1], curve.last
    (True, True, (20, 0.8571428571428571), 99999)
    """

    best: list[Point] = field(default_factory=list)
    last: int = 0
    _full: _Stretches = field(default_factory=_Stretches)
    _part: _Stretches = field(default_factory=_Stretches)
    _pruned: _Stretches = field(default_factory=_Stretches)

    def add(self, trial: int, score: float, *, full: bool, bound: float | None = None) -> None:
        """Take in a trial; `full` is an evaluation on all of validation, one with a `bound` was pruned."""
        self.last = max(self.last, trial)
        if bound is not None:
            self._pruned.add((trial, bound))
            return
        (self._full if full else self._part).add((trial, score))
        if full and (not self.best or score > self.best[-1][1]):
            self.best.append((trial, score))
            if len(self.best) > _MOST_RISES:
                del self.best[1 : _MOST_RISES // 2 : 2]  # every second of the older half; the first one stays

    @property
    def full(self) -> list[Point]:
        """Evaluations on all of validation, in order."""
        return sorted(self._full.points().union(self.best))

    @property
    def part(self) -> list[Point]:
        """Any other: minibatches, and scorings on training examples."""
        return sorted(self._part.points())

    @property
    def pruned(self) -> list[Point]:
        """Evaluations that ended early: what each would have scored at most."""
        return sorted(self._pruned.points())

    def axis(self, lines: Iterable[float] = ()) -> tuple[float, float, float]:
        """Choose the ends of the axis of scores and its step, in points, so that the curve and `lines` fit."""
        return score_scale([100 * score for score in (*(s for _, s in self.full + self.part + self.pruned), *lines)])


def score_scale(scores: list[float]) -> tuple[float, float, float]:
    """Choose the ends of an axis and its step so that all scores fit, within [0, 100].

    Examples
    --------
    >>> score_scale([62.5, 87.5]), score_scale([50.0]), score_scale([])
    ((60.0, 90.0, 10.0), (46.0, 54.0, 2.0), (0.0, 100.0, 50.0))
    >>> score_scale([0.0]), score_scale([99.0, 100.0])
    ((0.0, 6.0, 2.0), (94.0, 100.0, 2.0))
    """
    if not scores:
        return 0.0, 100.0, 50.0
    low, high = min(scores), max(scores)
    if (room := _LEAST - (high - low)) > 0:
        low, high = low - room / 2, high + room / 2
        shift = max(0.0, -low) - max(0.0, high - 100)
        low, high = low + shift, high + shift
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step
