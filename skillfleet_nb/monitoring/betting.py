"""Bets against a mean: evidence that holds at every look, however often and whenever one looks.

Whoever bets a share of a capital on bounded observations that are fair under a hypothesis does not, but for chance,
grow rich: the capital is a martingale, and by Ville's inequality exceeds 1/risk at *any* time with a probability of
risk at most. So a mean is excluded as soon as a bet against it has grown to 1/risk, and the means that are left are a
confidence sequence. Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, Journal
of the Royal Statistical Society B 86, 1-27. Bets are placed before an observation is seen, on what was seen before,
and their capitals are averaged over a few sizes, which is a capital again. Where a test has a planned end, most of the
capital aims at it (:mod:`skillfleet_nb.monitoring.horizon`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skillfleet_nb.monitoring.horizon import SHARE, Horizon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SIZES = ((1.0, 0.6), (0.35, 0.2), (3.0, 0.2))
"""Sizes of bets on a mean, in units of the best one at an effect, and the share of the capital on each."""
_MOST = 0.75  # of the capital is lost at most by one observation
_PRIOR_MEAN, _PRIOR_VARIANCE = 0.5, 0.25  # of a score in [0, 1], counted as one observation
_HALVINGS = 30
_GRID = 401


class Bets(NamedTuple):
    """Observations in order, whose mean is bet on, and the sizes of the bets on each.

    Attributes
    ----------
    x
        Observations, the last axis in time.
    sizes, against
        Of each kind of bet on each observation, that the mean is above, and that it is below: what the first axis
        counts.
    weights
        Share of the capital on each kind.
    """

    x: Floats
    sizes: Floats
    against: Floats
    weights: tuple[float, ...]

    @property
    def mirrored(self) -> Bets:
        """The same observations with their signs turned."""
        return Bets(-self.x, self.against, self.sizes, self.weights)


def difference_bets(
    scores: Any, treated: Any, share: Any, effect: float, *, alpha: float, power: float, floor: float = 0.0
) -> Bets:
    """Turn scores of randomly assigned units into observations whose mean is the difference of the two arms.

    Each score is weighted by one over the chance of its assignment, after what is expected of both arms is taken off
    it (augmented inverse propensity weighting, with means of the units before), so the assignment may change over
    time, and by what was seen.

    Parameters
    ----------
    scores
        In [0, 1]; the last axis is time.
    treated
        Whether each unit was given to the second arm.
    share
        Chance that it was, in (0, 1).
    effect
        The difference from the floor that is planned for; bets are best at it, and valid at any.
    alpha, power
        Risk of both bounds together, and how often the effect is to be told by the planned end; bets are best at them.
    floor
        The difference that is bet against; what is bet is valid against any.
    """
    y, z = np.asarray(scores, float), np.asarray(treated, bool)
    pi = np.broadcast_to(np.asarray(share, float), y.shape)
    means, variances = zip(*(_before(y, z == arm) for arm in (False, True)), strict=True)
    expected = (1 - pi) * means[1] + pi * means[0]
    x = (y - expected) * np.where(z, 1 / pi, -1 / (1 - pi))
    most = _MOST / (np.maximum(expected, 1 - expected) / np.minimum(pi, 1 - pi) + 1)
    best = effect / (variances[1] / pi + variances[0] / (1 - pi))
    clock, horizon = _earlier(effect * best), Horizon.of(alpha / 2, power)
    sizes, against = (
        np.minimum(best * horizon.sizes(_earlier(sign * best * (x - floor)), clock), most) for sign in (1, -1)
    )
    return Bets(x, sizes, against, (SHARE, 1 - SHARE))


def mean_bets(scores: Any, effect: float) -> Bets:
    """Bet on the mean of scores in [0, 1], best where it is `effect` off what is bet against."""
    y = np.asarray(scores, float)
    _, variance = _before(y, np.ones(y.shape, bool))
    sizes = np.stack([np.minimum(size * effect / variance, _MOST) for size, _ in _SIZES])
    return Bets(y, sizes, sizes, tuple(weight for _, weight in _SIZES))


def log_capital(bets: Bets, mean: float) -> Floats:
    """Return, over time, the logarithm of what bets that the mean is above `mean` have grown to, from 0."""
    shape = (len(bets.weights), *([1] * bets.x.ndim))
    grown = np.cumsum(np.log1p(bets.sizes * (bets.x - mean)), axis=-1)
    weights = np.log(bets.weights).reshape(shape)
    total: Floats = np.logaddexp.reduce(grown + weights, axis=0)
    return total


def lower_bound(bets: Bets, alpha: float, low: float = -1.0, high: float = 1.0) -> float:
    """Return what the mean is above, with the risk `alpha` over all looks together; `low` where nothing is known."""
    level = -math.log(alpha)
    if not bets.x.size or log_capital(bets, low).max() < level:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_capital(bets, middle).max() >= level else (low, middle)
    return low


def interval(bets: Bets, alpha: float) -> tuple[float, float]:
    """Return the bounds of a mean in [-1, 1] after the last observation: a look at a confidence sequence."""
    return lower_bound(bets, alpha / 2), -lower_bound(bets.mirrored, alpha / 2)


def path(bets: Bets, alpha: float) -> tuple[Floats, Floats]:
    """Return the bounds after each observation, on a grid of half points; they only ever narrow."""
    return _lower_path(bets, alpha / 2), -_lower_path(bets.mirrored, alpha / 2)


def _lower_path(bets: Bets, alpha: float) -> Floats:
    n, level = bets.x.shape[-1], -math.log(alpha)
    bounds = np.full(n, -1.0)
    for mean in np.linspace(-1, 1, _GRID):
        above = log_capital(bets, float(mean)) >= level
        if not above.any():
            break
        bounds[int(above.argmax()) :] = mean
    return bounds


class Plan(NamedTuple):
    """How long a test takes.

    Attributes
    ----------
    rows
        Observations by which it tells an effect as often as `power` asks.
    expected
        Observations it takes on average, where it ends at `rows` at the latest.
    fixed
        Observations of a test that may be looked at once alone, at the same power.
    """

    rows: int
    expected: int
    fixed: int


def plan(effect: float, alpha: float, power: float, *, share: float = 0.5, variance: float = 0.25) -> Plan:
    """Tell before a test how many scored units, of both arms together, it takes.

    Parameters
    ----------
    effect
        Difference of mean scores that is to be told.
    alpha, power
        Risk of a wrong winner, and the chance to find a true one.
    share
        Of units that the second arm gets.
    variance
        Of a score within an arm; 0.25 is the most there can be.
    """
    from scipy import stats

    horizon, unit = Horizon.of(alpha / 2, power), _spread(share, variance) / effect**2
    quantiles = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return Plan(
        math.ceil(horizon.end * unit), math.ceil(horizon.expected * unit), math.ceil(float(quantiles) ** 2 * unit)
    )


def smallest_effect(
    rows: int, alpha: float, power: float, *, share: float = 0.5, variance: float = 0.25
) -> float | None:
    """Return the smallest difference that so many scored units tell as often as `power` asks; None where none.

    Parameters are those of :func:`plan`.

    Examples
    --------
    >>> round(smallest_effect(plan(0.1, 0.05, 0.9).rows, 0.05, 0.9), 3), smallest_effect(5, 0.05, 0.9)
    (0.1, None)
    """
    effect = math.sqrt(Horizon.of(alpha / 2, power).end * _spread(share, variance) / max(rows, 1))
    return effect if effect <= 1 else None


def _spread(share: float, variance: float) -> float:
    return variance / share + variance / (1 - share)


def _before(y: Floats, counted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return mean and variance of the scores that count, as they were known before each."""
    n = 1 + _earlier(counted.astype(float))
    mean = (_PRIOR_MEAN + _earlier(np.where(counted, y, 0.0))) / n
    variance = (_PRIOR_VARIANCE + _earlier(np.where(counted, (y - mean) ** 2, 0.0))) / n
    return mean, variance


def _earlier(values: Floats) -> Floats:
    """Add up what came before each value."""
    return np.cumsum(values, axis=-1) - values
