"""Rows that repeat or contradict each other: exactly, or nearly by the cosine of their embeddings."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.data.dataset import Dataset
    from skillfleet_nb.data.geometry import Geometry

NEAR = 0.95
"""Cosine from which two inputs are near-duplicates."""


@dataclass(frozen=True)
class Pair:
    """Positions of rows that belong together, and the least cosine to the first; `exact` inputs are equal."""

    rows: tuple[int, ...]
    similarity: float
    exact: bool


@dataclass(frozen=True)
class Twins:
    """Repeats and contradictions of a set.

    `duplicates` have the same label (or the same content), `conflicts` are equal or nearly equal
    inputs with different labels; exact ones first, then by similarity.  `uniqueness`, in [0, 1],
    has one entry a row.
    """

    duplicates: tuple[Pair, ...]
    conflicts: tuple[Pair, ...]
    uniqueness: tuple[float, ...]


def find_twins(rows: Dataset, geometry: Geometry, *, near: float = NEAR) -> Twins:
    """Find rows that repeat or contradict each other.

    Parameters
    ----------
    rows, geometry
        The set; near-duplicates are looked for among each row's nearest ten.
    near
        Cosine from which inputs are nearly equal.

    Returns
    -------
    Twins
        Groups of equal inputs, and pairs of nearly equal ones.
    """
    uniqueness = [1.0] * len(rows)
    answers = list(rows.labels) if rows.label is not None else list(rows.ids)
    first_of: dict[str, int] = {}
    by_input: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(rows.ids):
        if first_of.setdefault(key, row) != row:
            uniqueness[row] = 0.0
        by_input[rows.input_ids[row]].append(row)
    duplicates, conflicts = [], []
    for group in by_input.values():
        if len(group) == 1:
            continue
        if len({answers[row] for row in group}) > 1:
            conflicts.append(Pair(tuple(group), 1.0, exact=True))
        repeats = defaultdict(list)
        for row in group:
            repeats[answers[row]].append(row)
        duplicates += [Pair(tuple(same), 1.0, exact=True) for same in repeats.values() if len(same) > 1]
    for one, other, cosine in _near_pairs(rows, geometry, near):
        pair = Pair((one, other), cosine, exact=False)
        if answers[one] == answers[other] or rows.label is None:
            duplicates.append(pair)
            uniqueness[other] = min(uniqueness[other], (1 - cosine) / (1 - near) if near < 1 else 1.0)
        else:
            conflicts.append(pair)
    return Twins(_sorted(duplicates), _sorted(conflicts), tuple(uniqueness))


def _near_pairs(rows: Dataset, geometry: Geometry, near: float) -> list[tuple[int, int, float]]:
    cosines = {}
    for one, slot in zip(*(geometry.similarities >= near).nonzero(), strict=True):
        other = int(geometry.neighbours[one, slot])
        if rows.input_ids[one] != rows.input_ids[other]:
            pair = (min(int(one), other), max(int(one), other))
            cosines[pair] = min(1.0, float(geometry.similarities[one, slot]))
    return [(one, other, cosine) for (one, other), cosine in sorted(cosines.items())]


def _sorted(pairs: list[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted(pairs, key=lambda p: (not p.exact, -p.similarity, p.rows)))
