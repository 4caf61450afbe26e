"""What embeddings tell about a set: neighbours, labels that do not fit, a map.

Texts come in as unit vectors; whoever makes them is above this layer.  Everything here depends on
the rows and the vectors alone, so it can be kept and need not be computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

NEIGHBOURS = 10
MAX_CLASSES = 300  # labels of more values are texts rather than classes, and are not checked
VERSION = 1
"""Changes whenever the same rows and vectors would give other figures."""

_BLOCK = 1024  # rows compared with all others at a time
_FOLDS = 5
_INVERSE_PENALTY = 10.0  # C of the logistic regression: unit vectors are short, so it must be weak
_STEPS = 50
_MIN_A_CLASS = 2


@dataclass(frozen=True)
class Geometry:
    """Figures of `n` rows.

    Attributes
    ----------
    neighbours, similarities : ndarray, shape (n, k)
        The nearest other rows, nearest first, and their cosine in [-1, 1]; k is 10, or n - 1.
    agreement : ndarray, shape (n,)
        How well the label fits, in [0, 1]: the probability of the given label over that of the
        likeliest one, by a model that has not seen the row; 1 where they are the same, NaN where
        the row has no label or is the only one of its label, or there are more than 300 labels.
    suspicion : ndarray, shape (n,)
        1 - that probability, in [0, 1], NaN likewise: the order to look at labels in.
    suspect : ndarray of bool, shape (n,)
        Rows that confident learning takes for label errors.
    suggested : ndarray, shape (n,)
        Number of the likeliest label among the sorted labels; -1 where unknown.
    place : ndarray, shape (n, 2)
        First two principal components, for a map.
    """

    neighbours: Ints
    similarities: Floats
    agreement: Floats
    suspicion: Floats
    suspect: NDArray[np.bool_]
    suggested: Ints
    place: Floats

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the figures by name, for keeping."""
        return dict(vars(self))

    @classmethod
    def of_arrays(cls, kept: Mapping[str, NDArray[np.generic]]) -> Geometry:
        """Make it of what :meth:`arrays` returned; raises `TypeError` where something is missing."""
        return cls(**cast("Mapping[str, NDArray[np.float32]]", kept))  # type: ignore[arg-type]  # kept with their types


def measure(vectors: Floats, labels: Sequence[str | None], *, seed: int = 0) -> Geometry:
    """Compute the geometry of a set.

    Label errors are found by confident learning (Northcutt, Jiang and Chuang 2021, as `cleanlab`
    has it) on out-of-fold probabilities of a logistic regression over the vectors, in 5 folds.

    Parameters
    ----------
    vectors : ndarray, shape (n, d)
        Unit vectors.
    labels
        One a row, None where there is none.
    seed
        Deals the folds.
    """
    import numpy as np

    n = len(vectors)
    nearest, near = _neighbours(vectors)
    agreement = np.full(n, np.nan, np.float32)
    suspicion = agreement.copy()
    suspect = np.zeros(n, bool)
    suggested = np.full(n, -1)
    number = {v: i for i, v in enumerate(sorted({v for v in labels if v is not None}))}
    codes = np.array([-1 if v is None else number[v] for v in labels])
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    labelled = np.flatnonzero((codes >= 0) & (sizes[codes] >= _MIN_A_CLASS))
    kept = np.unique(codes[labelled])
    if 1 < len(kept) <= MAX_CLASSES:
        y = np.searchsorted(kept, codes[labelled])
        shares = _out_of_fold(vectors[labelled], y, seed)
        own = shares[np.arange(len(y)), y]
        agreement[labelled] = own / shares.max(axis=1)
        suspicion[labelled] = 1 - own
        suspect[labelled] = _issues(y, shares)
        suggested[labelled] = kept[shares.argmax(axis=1)]
    return Geometry(nearest, near, agreement, suspicion, suspect, suggested, _map(vectors))


def nearest_to(vectors: Floats, others: Floats) -> tuple[Ints, Floats]:
    """Return for each of `others` the nearest of `vectors`, and its cosine."""
    import numpy as np

    blocks = [others[i : i + _BLOCK] @ vectors.T for i in range(0, len(others), _BLOCK)]
    nearest = np.concatenate([block.argmax(axis=1) for block in blocks])
    return nearest, np.concatenate([block.max(axis=1) for block in blocks])


def _neighbours(vectors: Floats) -> tuple[Ints, Floats]:
    import numpy as np

    n, k = len(vectors), min(NEIGHBOURS, len(vectors) - 1)
    nearest, near = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
    if k == 0:
        return nearest, near
    for start in range(0, n, _BLOCK):
        block = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(block))[:, None]
        block[rows[:, 0], start + rows[:, 0]] = -2.0  # a row is no neighbour of its own
        some = np.argpartition(-block, k - 1, axis=1)[:, :k]
        order = np.lexsort((some, -block[rows, some]), axis=1)  # of equals, the first
        nearest[start : start + _BLOCK] = some[rows, order]
        near[start : start + _BLOCK] = block[rows, some[rows, order]]
    return nearest, np.clip(near, -1.0, 1.0)


def _out_of_fold(vectors: Floats, y: Ints, seed: int) -> Floats:
    """Return each row's probabilities by a model that has not seen it, shape (n, classes)."""
    import warnings

    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classes = int(y.max()) + 1
    rng = np.random.default_rng(seed)
    # dealt class by class, so that every class with two rows is in every training part
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % min(_FOLDS, len(y))
    shares = np.zeros((len(y), classes), np.float32)
    # These products are small: threads that wait for each other made 1,000 rows take 50 s, not 1 s.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 50 steps decide the order of rows; the last digits need hundreds
        for part in np.unique(fold):
            out = fold == part
            seen = np.unique(y[~out])
            if len(seen) == 1:
                shares[np.ix_(out, seen)] = 1.0
                continue
            model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_STEPS, tol=1e-3)
            shares[np.ix_(out, seen)] = model.fit(vectors[~out], y[~out]).predict_proba(vectors[out])
    return shares


def _issues(y: Ints, shares: Floats) -> NDArray[np.bool_]:
    from cleanlab.filter import find_label_issues

    suspects: NDArray[np.bool_] = find_label_issues(y, shares, filter_by="both", n_jobs=1)
    return suspects


def _map(vectors: Floats) -> Floats:
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    top = axes[:, -2:][:, ::-1]
    top *= np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])  # or the map could flip between machines
    flat = centred @ top
    return flat if flat.shape[1] == 2 else np.pad(flat, ((0, 0), (0, 1)))  # noqa: PLR2004  a map has two axes
