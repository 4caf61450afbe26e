"""How large an A/B test has to be, and what one of a given size can tell: known before anything is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, points
from skillfleet_nb.monitoring.betting import plan, smallest_effect
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from skillfleet_nb.monitoring.golden_sets import GoldenSet

MOST_VARIANCE = 0.25
"""Of a score in [0, 1]."""


class Spread(NamedTuple):
    """How far the scores of a variant lie apart: their variance at most, and where that is known from."""

    variance: float
    basis: str


class Size(NamedTuple):
    """Scored units by which a test tells what it is to tell, and the smallest difference that those there are tell."""

    rows: int
    smallest: float | None


def spread_of(golden: GoldenSet | None) -> Spread:
    """Bound the variance of a score by those of a golden set, which has what two askings differ by within it.

    Scores in [0, 1] of mean m have a variance of m (1 - m) at most (Bhatia and Davis 2000), and the mean lies within
    its 95% interval.
    """
    if golden is None or not golden.is_scored:
        return Spread(MOST_VARIANCE, "")
    mean = mean_interval(golden.scores)
    nearest = min(max(0.5, mean.low), mean.high)  # to a half, where the bound is largest
    asked = f"asked twice, {golden.differing} of {counted(golden.rows, 'example')} differed"
    return Spread(nearest * (1 - nearest), f"scores as on golden set {golden.ref} ({points(mean.mean)}; {asked})")


def size_of(effect: float, alpha: float, power: float, share: float, spread: Spread, units: int | None = None) -> Size:
    """Plan a test of two arms.

    Raises
    ------
    InputError
        If `units` are so few that they tell no difference there can be.
    """
    rows = plan(effect, alpha, power, share=share, variance=spread.variance).rows
    if units is None:
        return Size(rows, None)
    smallest = smallest_effect(units, alpha, power, share=share, variance=spread.variance)
    if smallest is None:
        least = plan(1.0, alpha, power, share=share, variance=spread.variance).rows
        raise InputError(
            f"{counted(units, 'unit')} tell no difference at all: {least:,} tell one of 100 points, {rows:,} one of "
            f"{points(effect)} points. Give more, or start without a bound on them."
        )
    return Size(rows, smallest)
