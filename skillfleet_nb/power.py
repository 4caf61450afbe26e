"""How small a difference so many examples can show, and how many a difference needs: before anything is bought.

A gain of δ changes at least that share of right/wrong answers, all from wrong to right; identical runs that differ
by themselves, with variance v of an example's difference, add to it.  So a difference has variance v + δ - δ² at
least, and what is told here is the best case: a change that mends some answers and breaks none.  Connor (1987),
Sample size for testing differences in proportions for the paired-sample design, Biometrics 43, 207-211.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from skillfleet_nb.errors import InputError
from skillfleet_nb.stats import smallest_conclusive_n

_MOST_ROWS = 10_000_000
_HALVINGS = 40


def smallest_difference(
    n: int, null_variance: float = 0.0, *, power: float = 0.8, confidence: float = 0.95
) -> float | None:
    """Return the smallest gain that a paired comparison of `n` examples shows as often as `power` asks.

    Parameters
    ----------
    n
        Examples that both programs are scored on, from 1.
    null_variance
        Of the difference of one example's score between two runs of the same program, in [0, 1].
    power
        Chance of the verdict ``improved`` at that gain, between 0 and 1.
    confidence
        Of the comparison, between 0 and 1.

    Returns
    -------
    float or None
        A difference of mean scores, in (0, 1]; None where not even a gain of 1 would be shown, as on fewer rows than
        any verdict takes.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(smallest_difference(100), 3), round(smallest_difference(100, 0.05), 3)
    (0.077, 0.111)
    """
    alpha, beta = _quantiles(n, null_variance, power, confidence)
    if n < smallest_conclusive_n(confidence) or not _shows(1.0, n, null_variance, alpha, beta):
        return None
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _shows(middle, n, null_variance, alpha, beta) else (middle, high)
    return high


def rows_needed(difference: float, null_variance: float = 0.0, *, power: float = 0.8, confidence: float = 0.95) -> int:
    """Return how many examples show a gain of `difference` as often as `power` asks; see :func:`smallest_difference`.

    Raises
    ------
    InputError
        If an argument is out of its range, or more than ten million would be needed.

    Examples
    --------
    >>> rows_needed(0.05), rows_needed(0.05, 0.05)
    (155, 312)
    """
    alpha, beta = _quantiles(1, null_variance, power, confidence)
    if not 0 < difference <= 1:
        raise InputError(f"difference = {difference!r}: give a gain of mean scores above 0, up to 1")
    rows = max(smallest_conclusive_n(confidence), math.ceil(_spread(difference, null_variance, alpha, beta) ** 2))
    if rows > _MOST_ROWS:
        raise InputError(f"difference = {difference!r}: more than {_MOST_ROWS:,} rows would be needed to see it")
    return rows


def _spread(difference: float, null_variance: float, alpha: float, beta: float) -> float:
    """Return how wide both errors together spread a difference on one row, in units of it."""
    changed = min(1.0, null_variance + difference)
    return (alpha * math.sqrt(changed) + beta * math.sqrt(max(0.0, changed - difference**2))) / difference


def _shows(difference: float, n: int, null_variance: float, alpha: float, beta: float) -> bool:
    return math.sqrt(n) >= _spread(difference, null_variance, alpha, beta)


def _quantiles(n: int, null_variance: float, power: float, confidence: float) -> tuple[float, float]:
    if isinstance(n, bool) or n < 1:
        raise InputError(f"n = {n!r}: give the number of examples, from 1")
    if not 0 <= null_variance <= 1:
        raise InputError(f"null_variance = {null_variance!r}: give the variance of a difference of scores, in [0, 1]")
    for name, value in (("power", power), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} = {value!r}: give a share between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(power)
