"""What several runs say together: pooled means, effects shrunken to one another, and tests held to many looks.

SciPy's distributions alone are used: ``scipy.stats`` takes a second to import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONE = 1e-9


@dataclass(frozen=True)
class Pooled:
    """A mean over `n` estimates with its interval; `between` is the variance of what they estimate."""

    n: int
    mean: float
    low: float
    high: float
    se: float
    between: float


def pooled(estimates: Sequence[float], variances: Sequence[float], *, confidence: float = 0.95) -> Pooled:
    """Pool gains that differ by more than their sampling error: runs on several tasks.

    Parameters
    ----------
    estimates, variances
        One a run, in [-1, 1], with its sampling variance, at least one.
    confidence
        Of the interval.

    Notes
    -----
    A random-effects mean, the variance between runs after DerSimonian and Laird (1986,
    doi:10.1016/0197-2456(86)90046-2); its interval after Hartung and Knapp (2001, doi:10.1002/sim.1009), which holds
    its level with few runs, but no narrower than that of a fixed effect (Röver, Knapp and Friede, 2015,
    doi:10.1186/s12874-015-0091-1).  One run alone keeps its own interval.  None reaches beyond
    [-1, 1], as no gain does.

    Examples
    --------
    >>> p = pooled([0.02, 0.06, 0.04], [0.0004] * 3)
    >>> round(p.mean, 3), p.low < 0.04 < p.high
    (0.04, True)
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    y, v = np.asarray(estimates, dtype=float), np.maximum(np.asarray(variances, dtype=float), _ONE)
    k, tail = y.size, (1 - confidence) / 2
    w = 1 / v
    fixed = float((w * y).sum() / w.sum())
    if k == 1:
        se = math.sqrt(float(v[0]))
        half = -float(ndtri(tail)) * se
        return Pooled(1, fixed, max(-1.0, fixed - half), min(1.0, fixed + half), se, 0.0)
    excess = float((w * (y - fixed) ** 2).sum()) - (k - 1)
    between = max(0.0, excess / float(w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (v + between)
    mean = float((w * y).sum() / w.sum())
    spread = max(1.0, float((w * (y - mean) ** 2).sum()) / (k - 1))
    se = math.sqrt(spread / float(w.sum()))
    half = -float(stdtrit(k - 1, tail)) * se
    return Pooled(k, mean, max(-1.0, mean - half), min(1.0, mean + half), se, between)


def shrunken(effects: Sequence[float], ses: Sequence[float]) -> list[tuple[float, float]]:
    """Shrink effects to none as far as noise explains them; return each with its posterior standard deviation.

    Notes
    -----
    Effects are taken as drawn from a normal distribution around 0, whose variance is estimated from all of them
    (empirical Bayes: Efron and Morris, 1975, doi:10.1080/01621459.1975.10479864), counting two effects of one standard
    error beside those looked at, so that few of them do not pass for certainty.
    """
    if not effects:
        return []
    typical = sorted(ses)[len(ses) // 2] ** 2
    moment = sum(e * e - s * s for e, s in zip(effects, ses, strict=True)) / (len(effects) + 2)
    spread = max(moment, 0.0) + 2 * typical / (len(effects) + 2)
    made = []
    for e, s in zip(effects, ses, strict=True):
        keep = spread / (spread + s * s)
        made.append((keep * e, math.sqrt(keep) * s))
    return made


def wrong_sign(effect: float, sd: float) -> float:
    """Return the chance that an effect has the other sign (the local false sign rate of Stephens, 2017)."""
    return 0.5 * math.erfc(abs(effect) / (max(sd, _ONE) * math.sqrt(2)))


def held(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many were looked at (Holm, 1979): the chance of any false claim stays at the level.

    Examples
    --------
    >>> held([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = worst
    return corrected


def t_p_value(estimate: float, se: float, df: float) -> float:
    """Return the two-sided p-value of an estimate by Student's t."""
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(max(df, 1.0), -abs(estimate) / max(se, _ONE))))
