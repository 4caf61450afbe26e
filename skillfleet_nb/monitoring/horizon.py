"""Bets that aim at an end: how much to stake where a winner is wanted by then, and as soon as may be.

The sum of what is seen is held against a line that a Brownian motion without a drift reaches before the end as rarely
as a winner may be wrong.  The chance that it still does, as it stands, is a capital under the hypothesis, whose growth
is how much to stake (the law of a first passage of a line is Bachelier's and Levy's).  Bets that need no end (a random
walk that may reach the line at any time) spend half of the risk after it, when nobody looks any more.  Whatever is
staked, the capital is one: that the sum is no Brownian motion costs time, never a wrong winner.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHARE: Final = 0.95
"""Of the capital that aims at the end; the rest goes on after it, and finds effects that are smaller than planned."""
# Size of the rest's bets, in units of the best ones at the planned effect; twice the slope at most.
_STEADY: Final = 0.8
_SLOPE: Final = 0.4  # of the line, of the planned effect: with it a true winner is told soonest on average
_HOPELESS: Final = 1e-9  # chance below which nothing is staked any more
_LONGEST: Final = 400.0
_HALVINGS: Final = 40


class Horizon(NamedTuple):
    """An end and a line, in units by which a planned effect of 1 is seen with a variance of 1 in a time of 1.

    Attributes
    ----------
    end
        Time by which the planned effect is told as often as its power says.
    height
        Of the line at its beginning.
    """

    end: float
    height: float

    @classmethod
    def of(cls, risk: float, power: float) -> Horizon:
        """Find the end by which a line is reached as often as `power` asks.

        Parameters
        ----------
        risk
            That it is reached where there is no effect, in (0, 1).
        power
            Chance that it is reached at the planned effect, in (0, 1).
        """
        low, high = 0.0, _LONGEST
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            reached = _reached(_height(middle, risk), middle, _SLOPE - 1)
            low, high = (middle, high) if reached < power else (low, middle)
        return cls(high, _height(high, risk))

    @property
    def expected(self) -> float:
        """Time it takes on average at the planned effect, where it stops at the end at the latest."""
        from scipy import integrate

        def waits(time: float) -> float:
            return 1 - float(_reached(self.height, time, _SLOPE - 1))

        return float(integrate.quad(waits, 0, self.end, limit=200)[0])

    def sizes(self, total: Floats, clock: Floats) -> Floats:
        """Return what to stake, as shares of the capital, on what comes next: of each kind of bet.

        Parameters
        ----------
        total
            Sum of what was seen so far, in units of the planned effect.
        clock
            Time so far.
        """
        left = self.end - clock
        steady = _STEADY * np.sqrt(self.end / np.maximum(clock, self.end))  # ever smaller, so that bounds narrow
        open_ = left > 0
        root = np.sqrt(np.where(open_, left, 1.0))
        gap = np.maximum(self.height + _SLOPE * clock - total, 0.0)
        chance, growth = _passage(gap, root)
        aimed = np.where(chance > _HOPELESS, growth / np.maximum(chance, _HOPELESS), 0.0)
        return np.stack([np.where(open_, aimed, steady), steady])


def _passage(gap: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Return the chance to close a gap to the line in a time, of which the root is given, and its growth with it."""
    from scipy.special import log_ndtr, ndtr

    far, near = gap / root + _SLOPE * root, _SLOPE * root - gap / root
    returning = np.exp(log_ndtr(near) - 2 * _SLOPE * gap)
    density = np.exp(-(far**2) / 2) / math.sqrt(2 * math.pi)
    chance: Floats = ndtr(-far) + returning
    return chance, 2 * density / root + 2 * _SLOPE * returning


def _reached(height: float, time: float, slope: float) -> Any:
    """Return the chance that a Brownian motion reaches a line of a height and slope within a time."""
    from scipy.special import log_ndtr, ndtr

    if time <= 0:
        return 0.0
    root = math.sqrt(time)
    far, near = (height + slope * time) / root, (slope * time - height) / root
    return ndtr(-far) + math.exp(log_ndtr(near) - 2 * slope * height)


def _height(end: float, risk: float) -> float:
    """Find the line at which both kinds of bets together have grown to 1 / risk."""
    low, high = 0.0, math.log(1 / risk) + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rest = (1 - SHARE) * math.exp(_STEADY * middle)
        begun = SHARE / max(1 / risk - rest, SHARE)
        low, high = (middle, high) if _reached(middle, end, _SLOPE) > begun else (low, middle)
    return high
