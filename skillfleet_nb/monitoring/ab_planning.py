"""How large an A/B test has to be, and what one of a given size can tell: known before anything is spent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, points
from skillfleet_nb.monitoring.betting import plan, smallest_effect
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.monitoring.golden_sets import GoldenSet

MOST_VARIANCE = 0.25
"""Of a score in [0, 1]."""
_DIGITS = 6  # to which units are counted: shares that sum to 1 do so but for rounding


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


def size_of(
    effect: float,
    alpha: float,
    power: float,
    shares: Sequence[float],
    strategy: str,
    spread: Spread,
    units: int | None = None,
) -> Size:
    """Plan a test by the comparison with the control that takes the most units: that of the smallest share.

    A comparison has its part of the risk `alpha`, and of the test's units those of its two variants alone.  Shares that
    change are planned as if they were equal.

    Raises
    ------
    InputError
        If `units` are so few that they tell no difference there can be.
    """
    n = len(shares)
    control, other = (shares[0], min(shares[1:])) if strategy == "fixed" else (1 / n, 1 / n)
    both, risk = control + other, alpha / (n - 1)
    how = {"share": other / both, "variance": spread.variance}

    def needed(effect: float) -> int:
        return math.ceil(round(plan(effect, risk, power, **how).rows / both, _DIGITS))

    rows = needed(effect)
    if units is None:
        return Size(rows, None)
    smallest = smallest_effect(math.floor(round(units * both, _DIGITS)), risk, power, **how)
    if smallest is None:
        raise InputError(
            f"{counted(units, 'unit')} tell no difference at all: {needed(1.0):,} tell one of 100 points, {rows:,} one "
            f"of {points(effect)} points. Give more, or start without a bound on them."
        )
    return Size(rows, smallest)
