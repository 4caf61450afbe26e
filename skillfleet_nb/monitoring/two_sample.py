"""Do two samples of vectors come from the same source?  A kernel two-sample test with an exact p-value.

The statistic is the maximum mean discrepancy (Gretton et al. 2012, A kernel two-sample test, JMLR 13, 723-773) with
Gaussian kernels of several widths, on random Fourier features (Rahimi and Recht 2007, Random features for large-scale
kernel machines, NeurIPS 20), so that time and memory grow with the number of vectors and not with its square.  Beside
it stands how far vectors lie from their nearest ones: a few new ones between the known are seen by that first, and by
that alone; new ones that lie close together, and more of what was known, by the former alone.  The p-value comes from
permutations of the pooled sample: exact whatever the features, with ties and duplicates as well.  Of the two statistics
the smaller p-value counts, and permutations tell how small it is by chance (Westfall and Young 1993, Resampling-based
multiple testing): each sees nearly as much as by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from skillfleet_nb.lm.devices import CPU, Product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Sums = NDArray[np.float64]

_WIDTHS = (0.35, 0.6, 1.0)  # of the kernels, in medians of the distances
_FREQUENCIES = 128  # of each kernel: each gives a cosine and a sine
_FOR_MEDIAN = 400
_ANCHORS, _NEAREST, _FURTHEST = 2000, 3, 8
_BLOCKS = 500  # of vectors that change places together, at least: more would tell hardly more
_BLOCKS_OF_EACH = 50  # at least: with fewer, permutations repeat each other
_FOR_ONE = 10  # vectors of the larger sample that change places for one of the smaller
_TINY, _SAME, _DIGITS = 1e-9, 1e-6, 6  # up to which a spread is rounding, and two numbers are one
_CELLS = 4_000_000  # of a block of permutations, 16 MB
_MOST_PERMUTATIONS = 100_000
_LEAST_PERMUTATIONS = 999
_CLEAR = 0.1  # p-value above which more permutations change nothing
_NEARLY, _MORE = 10, 10  # p-value, in alphas, above which ten times as many change nothing either
_TO_BE_SURE = 10  # permutations for each expected one that is beyond a p-value of alpha


class TwoSamples(NamedTuple):
    """What a test says.

    Attributes
    ----------
    p_value
        Chance of a difference as large, were both samples from one source.
    divergence
        How far apart they are, in [0, 1]: the squared distance of their means in the kernels' space, by the sum of
        their squared lengths.  Small samples of one source are not at 0.
    moved
        Of each vector of the second sample, how much denser that sample is around it than the first, on any scale.
    left
        Of each vector of the first sample, the same the other way round.
    """

    p_value: float
    divergence: float
    moved: NDArray[np.float64]
    left: NDArray[np.float64]


class Permuted(NamedTuple):
    """What permutations say of several statistics: the p-value of all together, and of each as one of all."""

    p_value: float
    each: Sums


def compare(first: Vectors, second: Vectors, *, alpha: float = 0.01, seed: int = 0, device: str = CPU) -> TwoSamples:
    """Test whether two samples come from the same source; the p-value is fine enough for a test at `alpha`.

    The permutations are the same on each `device`, a GPU only adds them up: p-values differ where rounding makes or
    ends a tie, by no more than a few permutations.
    """
    rng = np.random.default_rng(seed)
    pooled, n = np.concatenate([first, second]).astype(np.float32), len(second)
    features = np.concatenate([_features(pooled, rng), _isolation(pooled, rng)[:, None]], axis=1)
    permuted = permutation_test(features, n, _distances, alpha=alpha, rng=rng, device=device)
    other, one = features[-n:, :-1].mean(axis=0, dtype=np.float64), features[:-n, :-1].mean(axis=0, dtype=np.float64)
    apart = float(((one - other) ** 2).sum() / ((one**2).sum() + (other**2).sum()))
    witness = features[:, :-1] @ (other - one)
    return TwoSamples(permuted.p_value, min(1.0, apart), witness[-n:], -witness[:-n])


def permutation_test(
    features: Vectors,
    n: int,
    statistics: Callable[[Sums], Sums],
    *,
    alpha: float,
    rng: np.random.Generator,
    device: str = CPU,
) -> Permuted:
    """Test whether the last `n` rows of features come from where the others came from.

    Parameters
    ----------
    statistics
        Makes, of the differences of both means under each permutation, the statistics of each, a column each: the
        larger, the further apart.
    alpha
        Risk that the p-value is to be fine enough for.
    device
        Device of PyTorch that adds up permutations.
    """
    most = int(np.clip(np.ceil(_TO_BE_SURE / alpha), _LEAST_PERMUTATIONS, _MOST_PERMUTATIONS))
    # Few permutations tell that nothing is near an alarm (as in Besag and Clifford 1991, Sequential Monte Carlo
    # p-values, Biometrika 78, 301-304).  Exact as well, for limits that fall: a p-value above its test's limit is up
    # to a number only where that test's is; one that is told at last, only where the last test's is.
    limits = {_LEAST_PERMUTATIONS: _CLEAR, most // _MORE: min(_CLEAR, _NEARLY * alpha), most: 0.0}
    for wanted in sorted(number for number in limits if number >= _LEAST_PERMUTATIONS):
        result = _tested(features, n, statistics, wanted, rng, device)
        if result.p_value > limits[wanted]:
            break
    return result


def _tested(
    features: Vectors,
    n: int,
    statistics: Callable[[Sums], Sums],
    wanted: int,
    rng: np.random.Generator,
    device: str,
) -> Permuted:
    sums = features.sum(axis=0, dtype=np.float64)
    observed = features[-n:].sum(axis=0, dtype=np.float64)[None]
    labelled = (observed, *_permuted(features, n, wanted, rng, device))  # one row each, the first as it is
    # block by block: the sums of many features under many permutations are large, their statistics small
    distances = np.concatenate([statistics(part / n - (sums - part) / (len(features) - n)) for part in labelled])
    spread = distances.std(axis=0)
    standard = (distances / np.where(spread > _TINY, spread, np.inf)).round(_DIGITS)
    # of each statistic its own p-value under every permutation: ties count against an alarm; rounding makes none
    own = np.stack([1 - np.searchsorted(np.sort(one), one, "left") / len(one) for one in standard.T], axis=1)
    least = own.min(axis=1)
    p_values = [float((least <= value + _SAME).mean()) for value in (least[0], *own[0])]
    return Permuted(p_values[0], np.array(p_values[1:]))


def _features(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    some = vectors[rng.permutation(len(vectors))[:_FOR_MEDIAN]].astype(np.float64)
    squares = (some**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * some @ some.T, 0))[np.triu_indices(len(some), 1)]
    median = float(np.median(distances[distances > _SAME])) if (distances > _SAME).any() else 1.0
    parts = []
    for width in _WIDTHS:
        frequencies = rng.standard_normal((vectors.shape[1], _FREQUENCIES)) / (width * median)
        angles = vectors @ frequencies.astype(np.float32)
        parts += [np.cos(angles), np.sin(angles)]
    made: Vectors = np.concatenate(parts, axis=1, dtype=np.float32)
    made /= math.sqrt(_FREQUENCIES)
    return made


def _isolation(pooled: Vectors, rng: np.random.Generator) -> Vectors:
    """Rank vectors by the mean distance to their nearest others of the pooled sample, or of a part of it; in [0, 1].

    A copy is no other: of live inputs that hold the reference, which is no drift, those without a copy would lie
    further out.  Ranks are taken to a power, so that those that lie furthest out count: where a few are new, it is
    them.
    """
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(row.tobytes(), len(first)) for row in pooled])
    vectors = pooled[np.unique(which, return_index=True)[1]]
    if len(vectors) == 1:
        return np.zeros(len(pooled), np.float32)
    anchors = rng.permutation(len(vectors))[:_ANCHORS]
    squares, far, near = (vectors**2).sum(axis=1), np.empty(len(vectors)), min(_NEAREST, len(vectors) - 1)
    for start in range(0, len(vectors), _ANCHORS):
        part = vectors[start : start + _ANCHORS]
        apart = part @ (-2 * vectors[anchors]).T
        apart += squares[anchors]
        within = (anchors >= start) & (anchors < start + len(part))
        apart[anchors[within] - start, within] = np.inf  # a vector is no neighbour of itself
        nearest, rows = np.empty((len(part), near), np.float32), np.arange(len(part))
        for column in nearest.T:  # a pass for each is much faster than a partition of all
            place = apart.argmin(axis=1)
            column[:], apart[rows, place] = apart[rows, place], np.inf
        nearest = np.maximum(nearest + squares[start : start + _ANCHORS, None], 0)
        far[start : start + _ANCHORS] = np.sqrt(nearest).mean(axis=1).round(5)
    far = far[which]
    order = np.sort(far)
    ranks = (np.searchsorted(order, far, "left") + np.searchsorted(order, far, "right")) / (2 * len(far))
    made: Vectors = (ranks**_FURTHEST).astype(np.float32)
    return made


def _permuted(features: Vectors, n: int, wanted: int, rng: np.random.Generator, device: str) -> Iterator[Sums]:
    """Sum the features of the second sample under `wanted` permutations.

    Of many vectors, blocks of a size change places, and a rest stays; of a sample that is many times as large as the
    other, a part alone.  These permutations are a group too, so the p-value is as exact.  What is in a block is drawn
    at random: where new vectors come one after the other, blocks of neighbours would hide them.
    """
    both = features[:-n], features[-n:]
    most = max(2 * _BLOCKS, _FOR_ONE * min(map(len, both)))
    some = [part[rng.permutation(len(part))[:most]] for part in both]
    size = max(1, min(sum(map(len, some)) // _BLOCKS, min(map(len, some)) // _BLOCKS_OF_EACH))
    blocks = [_blocks(part, size) for part in some]
    rest = features[-n:].sum(axis=0, dtype=np.float64) - blocks[1].sum(axis=0, dtype=np.float64)
    cells, taken = np.concatenate(blocks), len(blocks[1])
    rows = max(1, min(wanted, _CELLS // len(cells)))
    chosen = np.zeros((rows, len(cells)), np.float32)
    chosen[:, :taken] = 1
    product = Product(cells, device)
    for start in range(0, wanted, rows):
        rng.permuted(chosen, axis=1, out=chosen)
        yield product(chosen[: wanted - start]).astype(np.float64) + rest


def _blocks(features: Vectors, size: int) -> Vectors:
    whole = len(features) // size
    made: Vectors = features[: whole * size].reshape(whole, size, -1).sum(axis=1)
    return made


def _distances(apart: Sums) -> Sums:
    """Return, of each labelling: how far both means lie apart in the kernels' space, and how isolated the second is."""
    made: Sums = np.stack([(apart[:, :-1] ** 2).sum(axis=1), apart[:, -1]], axis=1)
    return made
