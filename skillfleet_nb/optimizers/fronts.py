"""Fronts of candidates under several objectives: who dominates whom, how crowded each stands, and who survives.

As in NSGA-II (Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6 (2002)).  Populations are of a few dozen, so that every pair is compared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Values = tuple[float, ...]
"""What a candidate has of each objective; more is better."""


def dominates(one: Values, other: Values) -> bool:
    """Tell whether one is nowhere worse than the other, and better somewhere."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def ranks(values: Sequence[Values]) -> list[int]:
    """Return the front that each belongs to: 0 where none dominates it, 1 where only those of front 0 do, and so on.

    Examples
    --------
    >>> ranks([(3, 1), (1, 3), (2, 1), (1, 1)])
    [0, 0, 1, 2]
    """
    rank = [0] * len(values)
    left = set(range(len(values)))
    front = 0
    while left:
        best = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        for i in best:
            rank[i] = front
        left -= best
        front += 1
    return rank


def crowding(values: Sequence[Values]) -> list[float]:
    """Return how far each of one front stands from its neighbours, over all objectives; infinite at the ends.

    Examples
    --------
    >>> crowding([(0, 4), (1, 3), (4, 0)])
    [inf, 2.0, inf]
    """
    distance = [0.0] * len(values)
    for axis in zip(*values, strict=True):
        order = sorted(range(len(values)), key=axis.__getitem__)
        span = axis[order[-1]] - axis[order[0]]
        if not span:
            continue
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, i, after in zip(order, order[1:], order[2:], strict=False):
            distance[i] += (axis[after] - axis[before]) / span
    return distance


def order_of(values: Sequence[Values]) -> list[int]:
    """Order candidates from the best: by front, within one the least crowded first, then as they were given."""
    rank = ranks(values)
    key: dict[int, tuple[int, float, int]] = {}
    for front in set(rank):
        members = [i for i, own in enumerate(rank) if own == front]
        for i, distance in zip(members, crowding([values[i] for i in members]), strict=True):
            key[i] = (front, -distance, i)
    return sorted(range(len(values)), key=key.__getitem__)
