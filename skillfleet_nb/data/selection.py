"""Which examples to train on: by rank, in balance, over the whole space, or where there is most to learn."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from skillfleet_nb.data.splits import check_seed
from skillfleet_nb.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Vectors = Callable[[], Floats] | None

MIN_QUALITY = 0.7
STRATEGIES = ("balanced", "top", "coverage", "hard")
"""Strategies by name; ``balanced+coverage`` or ``top:3+hard:1`` mix them, in these proportions."""

_CLIENTS = 4_000  # rows that coverage is measured on; of more a sample


def select(
    frame: pd.DataFrame,
    k: int,
    strategy: str = "balanced",
    *,
    vectors: Callable[[], Floats] | None = None,
    min_quality: float = MIN_QUALITY,
    excluded: Collection[str] = (),
    seed: int = 0,
) -> list[int]:
    """Choose `k` examples.

    Parameters
    ----------
    frame
        Scored rows, as :func:`~skillfleet_nb.data.scoring.score` makes them.
    k
        How many, from 1.
    strategy
        ``"top"``: by rank.  ``"balanced"``: the best of each category in turn.  ``"coverage"``:
        greedy facility location, the rows that together lie nearest to all rows (Nemhauser, Wolsey
        and Fisher 1978: at least 63 % of the best possible).  ``"hard"``: rows that some candidates
        of past runs solved and others did not, p(1 - p) largest first.  A mixture such as
        ``"balanced:3+hard:1"`` takes each one's share of `k` in turn.
    vectors
        Returns the rows' unit vectors; asked only where a strategy needs them.
    min_quality
        In [0, 1].  For ``"hard"`` it holds for quality before runs: a row is not bad for being hard.
    excluded
        Ids of examples not to choose: the sealed test rows, those ticked out.
    seed
        Orders rows of equal rank.

    Returns
    -------
    list of int
        Positions in `frame`, best first.  Exact repeats of a row and suspected label errors are
        left out.

    Raises
    ------
    InputError
        If `k` or `min_quality` is out of range, too few rows are good enough, or no run has scored
        any for ``"hard"``.
    NotFoundError
        If there is no such strategy.
    """
    import numpy as np

    shares = _mixture(strategy)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"k = {k!r}: give a whole number from 1.")
    if not 0 <= min_quality <= 1:
        raise InputError(f"min_quality = {min_quality!r}: give a number in [0, 1].")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    order = _by(frame["rank"].to_numpy(float), rng)
    barred = set(excluded)
    sound = ~frame["example_id"].isin(barred) & ~frame["example_id"].duplicated() & ~frame["suspect"].astype(bool)
    fit = {
        name: (sound & (frame["intrinsic" if name == "hard" else "quality"] >= min_quality)).to_numpy(bool)
        for name in shares
    }
    able = int(np.logical_or.reduce(list(fit.values())).sum())
    if able < k:
        raise InputError(
            f"{k} examples were asked for, and {able} of {len(frame)} reach quality {min_quality:g} without being "
            "repeats, suspects or sealed: ask for fewer, or lower min_quality."
        )
    ways = {name: _ORDERS[name](frame, [i for i in order if fit[name][i]], k, vectors, rng) for name in shares}
    return _dealt(ways, shares, k)


def _mixture(strategy: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in strategy.split("+"):
        name, colon, weight = part.strip().partition(":")
        if name not in STRATEGIES:
            raise unknown("strategy", name, STRATEGIES, hint="Mix them as balanced+coverage or top:3+hard:1.")
        try:
            shares[name] = float(weight) if colon else 1.0
        except ValueError:
            shares[name] = math.nan
        if not (math.isfinite(shares[name]) and shares[name] > 0):
            raise InputError(f"strategy {part.strip()!r}: the share must be a number above 0, as in top:3+hard:1.")
    return shares


def _dealt(ways: dict[str, list[int]], shares: dict[str, float], k: int) -> list[int]:
    """Take from each way in proportion; a way that is used up leaves its share to the others."""
    chosen: dict[int, None] = {}
    debt = dict.fromkeys(ways, 0.0)
    left = {name: iter(order) for name, order in ways.items()}
    while len(chosen) < k and left:
        for name in left:
            debt[name] += shares[name]
        name = max(left, key=debt.__getitem__)
        debt[name] -= sum(shares[n] for n in left)
        row = next((i for i in left[name] if i not in chosen), None)
        if row is None:
            del left[name]
        else:
            chosen[row] = None
    if len(chosen) < k:
        raise InputError(
            f"only {len(chosen)} of {k} examples suit these strategies: add top or balanced to the mixture."
        )
    return list(chosen)


def _by(values: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """Return positions by value, largest first, equal ones shuffled."""
    import numpy as np

    return [int(i) for i in np.lexsort((rng.random(len(values)), -values))]


def _top(frame: pd.DataFrame, order: list[int], k: int, vectors: Vectors, rng: np.random.Generator) -> list[int]:
    del frame, k, vectors, rng
    return order


def _balanced(frame: pd.DataFrame, order: list[int], k: int, vectors: Vectors, rng: np.random.Generator) -> list[int]:
    del k, vectors
    categories = frame["category"].tolist()
    queues: dict[object, list[int]] = {}
    for i in order:
        queues.setdefault(categories[i], []).append(i)
    names = sorted(queues, key=str)
    rng.shuffle(names)  # where k is no multiple, which categories get one more
    chosen = []
    for turn in range(max(map(len, queues.values()), default=0)):
        chosen += [queues[name][turn] for name in names if turn < len(queues[name])]
    return chosen


def _coverage(frame: pd.DataFrame, order: list[int], k: int, vectors: Vectors, rng: np.random.Generator) -> list[int]:
    import numpy as np

    if vectors is None:
        raise InputError("coverage needs embeddings: analyse the set with an embedder first.")
    if not order:
        return []
    space = vectors()
    some = rng.permutation(len(frame))[:_CLIENTS]
    near = np.maximum(space[order] @ space[some].T, 0)  # (candidates, clients)
    worth = frame["quality"].to_numpy(float)[order].astype(np.float32)
    covered = np.zeros(len(some), np.float32)
    # lazy greedy (Minoux 1978): a gain only shrinks, so a stale bound that is still on top is right
    bounds = [(-float(gain), place) for place, gain in enumerate(near.sum(axis=1) * worth)]
    heapq.heapify(bounds)
    chosen: list[int] = []
    while bounds and len(chosen) < k:
        _, place = heapq.heappop(bounds)
        gain = float(np.maximum(near[place] - covered, 0).sum() * worth[place])
        if bounds and gain < -bounds[0][0]:
            heapq.heappush(bounds, (-gain, place))
            continue
        covered = np.maximum(covered, near[place])
        chosen.append(order[place])
    return chosen


def _hard(frame: pd.DataFrame, order: list[int], k: int, vectors: Vectors, rng: np.random.Generator) -> list[int]:
    del k, vectors, rng
    solved = frame["solved"].to_numpy(float)
    learnable = [i for i in order if 0 < solved[i] < 1]
    if not learnable:
        raise InputError(
            "no run has scored these examples so that some candidates solve one and others do not: optimise first, "
            "or choose another strategy."
        )
    return sorted(learnable, key=lambda i: -solved[i] * (1 - solved[i]))


_ORDERS = {"top": _top, "balanced": _balanced, "coverage": _coverage, "hard": _hard}
