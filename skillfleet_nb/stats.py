"""Is the gain real?  Paired comparison of two programs scored on the same examples.

Two programs are scored on the same sealed test split, so what varies between examples cancels in
the difference of each pair.  A verdict needs two witnesses that fail in different ways: a bootstrap
interval of the mean difference that leaves out 0, and a sign-flip permutation p-value below
``1 - confidence``.  ``docs/statistics.md`` gives the reasons and the measured error rates.

Distributions and quantiles are those of Python, NumPy and, for Student's t alone, SciPy, whose import takes 20 MiB and
half a second at the end of a run; the ``bootstrap`` and ``permutation_test`` of ``scipy.stats`` have neither the ties
counted half nor the exact test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, points, points_change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "MeanInterval",
    "PairedComparison",
    "UnpairedComparison",
    "mean_interval",
    "p_in_words",
    "paired_comparison",
    "smallest_conclusive_n",
    "unpaired_comparison",
]

Verdict = Literal["improved", "no evidence", "worse"]
Method = Literal["bca", "student-t", "bound", "wilson"]

BOOTSTRAP_MIN_N = 50  # below it BCa covers 90 to 93 % where 95 % is asked; Student's t does better
EXACT_MAX_DIFFERING = 18  # 2**17 sign patterns, some milliseconds
_CHUNK = 1 << 16  # resampled values held in memory at a time: what a processor's cache holds


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A program's mean score with its confidence interval; all scores in [0, 1].

    `method` tells how the interval was made: ``"wilson"`` for 0/1 scores, ``"bca"``,
    ``"student-t"`` for fewer than 50 scores, ``"bound"`` where all scores are equal.
    """

    n: int
    mean: float
    low: float
    high: float
    method: Method


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """What the comparison of two programs on the same `n` examples came to.

    `delta` is the candidate's mean minus the baseline's, in [-1, 1]; `low` and `high` bound it with
    the given `confidence`; `p_value` is two-sided.  `method` tells how the interval was made.
    """

    n: int
    baseline_mean: float
    candidate_mean: float
    delta: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    confidence: float
    method: Method

    def sentence(self) -> str:
        """Say the result in one sentence, scores in percent and differences in points.

        Examples
        --------
        >>> print(paired_comparison([0.0] * 12, [1.0] * 9 + [0.0] * 3).sentence())
        improved: 0.0 → 75.0 on 12 examples, +75.0 points (95% interval +46.3 to +100.0, p = 0.004)
        """
        text = (
            f"{self.verdict}: {points(self.baseline_mean)} → {points(self.candidate_mean)} "
            f"on {counted(self.n, 'example')}, {points_change(self.delta)} points "
            f"({100 * self.confidence:g}% interval {points_change(self.low)} to {points_change(self.high)}, "
            f"{p_in_words(self.p_value)})"
        )
        needed = smallest_conclusive_n(self.confidence)
        return text + (f"; fewer than {needed} examples cannot show anything" if self.n < needed else "")


@dataclass(frozen=True, slots=True)
class UnpairedComparison:
    """What the comparison of two programs on different examples came to.

    `delta` is the candidate's mean minus the baseline's, in [-1, 1]; `low` and `high` bound it with
    the given `confidence`, and the verdict goes by them alone.
    """

    n_baseline: int
    n_candidate: int
    baseline_mean: float
    candidate_mean: float
    delta: float
    low: float
    high: float
    verdict: Verdict
    confidence: float

    def sentence(self) -> str:
        """Say the result in one sentence, scores in percent and differences in points.

        Examples
        --------
        >>> print(unpaired_comparison([0.0] * 12, [1.0] * 30 + [0.0] * 10).sentence())
        improved: 0.0 on 12 examples, 75.0 on 40 others, +75.0 points (95% interval +46.4 to +85.8, unpaired)
        """
        return (
            f"{self.verdict}: {points(self.baseline_mean)} on {counted(self.n_baseline, 'example')}, "
            f"{points(self.candidate_mean)} on {counted(self.n_candidate, 'other')}, "
            f"{points_change(self.delta)} points ({100 * self.confidence:g}% interval "
            f"{points_change(self.low)} to {points_change(self.high)}, unpaired)"
        )


def p_in_words(p_value: float) -> str:
    """Write a p-value with three decimals.

    Examples
    --------
    >>> p_in_words(0.0412), p_in_words(4e-7)
    ('p = 0.041', 'p < 0.001')
    """
    return f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"  # noqa: PLR2004  three decimals


def smallest_conclusive_n(confidence: float = 0.95) -> int:
    """Return the least number of pairs with which any verdict other than "no evidence" is possible.

    With `n` pairs the smallest two-sided sign-flip p-value is ``2 ** (1 - n)``.

    Examples
    --------
    >>> smallest_conclusive_n(0.95)
    6
    """
    alpha = 1 - confidence
    return next(n for n in range(1, 1100) if 2.0 ** (1 - n) < alpha)


def paired_comparison(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> PairedComparison:
    """Compare two programs by their scores on the same examples.

    Parameters
    ----------
    baseline, candidate
        Scores in [0, 1], higher is better, shape (n,), the same example at the same position.
    confidence
        Level of the interval, in (0, 1); the verdict's p-value threshold is ``1 - confidence``.
    n_resamples
        Bootstrap resamples, and sign patterns where they are too many to enumerate.
    seed
        Seed of both; the same input and seed give the same result on every platform.

    Returns
    -------
    PairedComparison
        "improved" or "worse" only where the p-value is below ``1 - confidence`` and the interval
        leaves out 0; else "no evidence".  Swapping the arguments negates `delta`, the interval and
        the verdict.

    Raises
    ------
    InputError
        If the lengths differ, are 0, or a score is not a number in [0, 1].

    Notes
    -----
    Interval: bias-corrected and accelerated bootstrap (Efron, 1987, doi:10.1080/01621459.1987.10478410)
    of the mean difference.  Two cases fall back: fewer than 50 pairs take Student's t, clipped to
    [-1, 1]; differences that are all equal, which any resampling would call certain, take the bound
    of :func:`mean_interval`, for differences lie in [-1, 1].

    p-value: sign-flip permutation of the differences, exact where they share one magnitude (0/1
    scores: McNemar's exact test) or at most 18 differ from 0, else Monte Carlo with
    ``(b + 1) / (m + 1)`` (Phipson and Smyth, 2010, doi:10.2202/1544-6115.1585).

    Examples
    --------
    >>> result = paired_comparison([0, 0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0, 0, 1])
    >>> result.delta, result.p_value, result.verdict
    (0.125, 1.0, 'no evidence')
    """
    import numpy as np

    before, after = _scores("baseline", baseline), _scores("candidate", candidate)
    if before.size != after.size:
        raise InputError(
            f"baseline has {before.size} scores and candidate {after.size}: "
            "a paired comparison needs the same examples in both; score both programs on one split."
        )
    _check_settings(confidence, n_resamples)
    # Rounding takes out the noise of subtraction (0.3 - 0.1 against 0.2), so that equal is equal.
    differences = np.round(after - before, 12)
    boot_rng, flip_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    low, high, method = _interval(differences, -1.0, confidence, n_resamples, boot_rng)
    p_value = _sign_flip_p(differences, n_resamples, flip_rng)
    verdict: Verdict = "no evidence"
    if p_value < 1 - confidence:
        verdict = "improved" if low > 0 else "worse" if high < 0 else "no evidence"
    return PairedComparison(
        n=before.size,
        baseline_mean=float(before.mean()),
        candidate_mean=float(after.mean()),
        delta=float(differences.mean()),
        low=low,
        high=high,
        p_value=p_value,
        verdict=verdict,
        confidence=confidence,
        method=method,
    )


def unpaired_comparison(
    baseline: Sequence[float], candidate: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> UnpairedComparison:
    """Compare two programs by their scores on different examples of one kind.

    Where both were scored on the same examples, :func:`paired_comparison` sees much smaller differences.

    Parameters
    ----------
    baseline, candidate
        Scores in [0, 1], higher is better, shapes (m,) and (n,).
    confidence, seed
        As in :func:`paired_comparison`.

    Raises
    ------
    InputError
        If one has no scores, or a score is not a number in [0, 1].

    Notes
    -----
    The interval combines those of the two means by :func:`mean_interval` as the method of variance
    estimates recovery does (Zou and Donner, 2008, doi:10.1002/sim.3095); of 0/1 scores it is that of
    Newcombe (1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I).

    Examples
    --------
    >>> unpaired_comparison([0, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1]).verdict
    'no evidence'
    """
    before = mean_interval(baseline, confidence=confidence, seed=seed)
    after = mean_interval(candidate, confidence=confidence, seed=seed)
    delta = after.mean - before.mean
    low = delta - math.hypot(after.mean - after.low, before.high - before.mean)
    high = delta + math.hypot(after.high - after.mean, before.mean - before.low)
    verdict: Verdict = "improved" if low > 0 else "worse" if high < 0 else "no evidence"
    return UnpairedComparison(before.n, after.n, before.mean, after.mean, delta, low, high, verdict, confidence)


def mean_interval(
    scores: Sequence[float], *, confidence: float = 0.95, n_resamples: int = 9999, seed: int = 0
) -> MeanInterval:
    """Give a program's mean score and its confidence interval.

    Parameters
    ----------
    scores
        Scores in [0, 1], shape (n,).
    confidence, n_resamples, seed
        As in :func:`paired_comparison`.

    Returns
    -------
    MeanInterval
        Within [0, 1].

    Raises
    ------
    InputError
        If there are no scores, or one is not a number in [0, 1].

    Notes
    -----
    Scores that are all 0 or 1 take Wilson's interval (1927, doi:10.1080/01621459.1927.10502953);
    others as in :func:`paired_comparison`.  Where all scores are equal to c, an unseen score differs
    from c with probability u at most, ``u = 1 - ((1 - confidence) / 2) ** (1 / n)`` (the exact
    binomial bound for 0 of n), so the mean lies within ``c - u (c - 0)`` and ``c + u (1 - c)``.

    Examples
    --------
    >>> mean_interval([1, 1, 0, 1, 1, 0, 1, 1, 1, 1])
    MeanInterval(n=10, mean=0.8, low=0.490..., high=0.943..., method='wilson')
    """
    import numpy as np

    values = np.round(_scores("scores", scores), 12)  # as of differences: 0.1 + 0.2 is 0.3
    _check_settings(confidence, n_resamples)
    n, mean = values.size, float(values.mean())
    if np.isin(values, (0.0, 1.0)).all():
        z2 = NormalDist().inv_cdf((1 - confidence) / 2) ** 2
        centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
        half = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
        return MeanInterval(n, mean, max(0.0, centre - half), min(1.0, centre + half), "wilson")
    low, high, method = _interval(values, 0.0, confidence, n_resamples, np.random.default_rng(seed))
    return MeanInterval(n, mean, low, high, method)


def _scores(name: str, values: Sequence[float]) -> Floats:
    import numpy as np

    try:
        scores = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} holds something that is not a number: give one score in [0, 1] an example.") from None
    if scores.ndim != 1 or scores.size == 0:
        raise InputError(f"{name} has shape {scores.shape}: give one score in [0, 1] an example, at least one.")
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if wrong.size:
        first = int(wrong[0])
        raise InputError(f"{name}[{first}] is {scores[first]:g}: scores lie in [0, 1]; scale the metric.")
    return scores


def _check_settings(confidence: float, n_resamples: int) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence:g}: give a share between 0 and 1, such as 0.95.")
    if n_resamples < 1:
        raise InputError(f"n_resamples is {n_resamples}: give a positive number, such as 9999.")


def _interval(
    values: Floats, floor: float, confidence: float, n_resamples: int, rng: np.random.Generator
) -> tuple[float, float, Method]:
    """Bound the mean of `values`, which lie in [floor, 1] by nature."""
    import numpy as np

    n, mean, tail = values.size, float(values.mean()), (1 - confidence) / 2
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if n == 1 or np.ptp(values) == 0:
        unseen = 1 - tail ** (1 / n)
        return mean - unseen * (mean - floor), mean + unseen * (1 - mean), "bound"
    if n < BOOTSTRAP_MIN_N:
        from scipy.special import stdtrit

        half = -float(stdtrit(n - 1, tail)) * spread / math.sqrt(n)
        return max(floor, mean - half), min(1.0, mean + half), "student-t"

    means = _chunked(n_resamples, n, lambda rows: values[rng.integers(0, n, size=(rows, n))].mean(axis=1))
    # Ties count half: with 0/1 scores many resamples give the mean itself.  The tolerance makes a
    # tie of what differs by rounding alone, and so keeps the result the same when the sign is swapped.
    eps = 1e-12
    below = (np.count_nonzero(means < mean - eps) + np.count_nonzero(means <= mean + eps)) / (2 * n_resamples)
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / n_resamples), 1 - 0.5 / n_resamples))
    deviations = values - mean  # proportional to the jackknife's, for a mean
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    width = normal.inv_cdf(tail)
    ends = [normal.cdf(bias + z / (1 - acceleration * z)) for z in (bias + width, bias - width)]
    low, high = np.quantile(means, ends)
    return float(low), float(high), "bca"


def _sign_flip_p(differences: Floats, n_resamples: int, rng: np.random.Generator) -> float:
    """Two-sided p-value of the sum under random signs; pairs without a difference say nothing."""
    import numpy as np

    moved = differences[differences != 0]
    if not moved.size:
        return 1.0
    sizes = np.abs(moved)
    k, total = moved.size, float(sizes.sum())
    extreme = abs(float(moved.sum())) - 1e-10 * total
    if np.ptp(sizes) == 0:
        more = max(int((moved > 0).sum()), int((moved < 0).sum()))
        patterns = chosen = 1  # exact in whole numbers, at any size
        for fewer in range(1, k - more + 1):
            chosen = chosen * (k - fewer + 1) // fewer
            patterns += chosen
        return float(min(1.0, patterns / (1 << (k - 1))))
    if k <= EXACT_MAX_DIFFERING:
        sums = sizes[:1]  # the first sign is fixed: the mirrored patterns give the same |sum|
        for size in sizes[1:]:
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums) >= extreme))

    def flipped(rows: int) -> Floats:
        bits = np.unpackbits(rng.integers(0, 256, size=(rows, -(-k // 8)), dtype=np.uint8), axis=1, count=k)
        sums: Floats = np.abs(2 * (bits @ sizes) - total)
        return sums

    hits = int(np.count_nonzero(_chunked(n_resamples, k, flipped) >= extreme))
    return (hits + 1) / (n_resamples + 1)


def _chunked(rows: int, width: int, draw: Callable[[int], Floats]) -> Floats:
    """Concatenate ``draw(m)`` over blocks of rows that fit in memory, `rows` in all."""
    import numpy as np

    step = max(1, _CHUNK // width)
    return np.concatenate([draw(min(step, rows - start)) for start in range(0, rows, step)])
