"""The label of a data set: the one rule by which splits, reports and advice find it.

An output is *categorical* where its values repeat: texts, whole numbers or truth values, at least two
different ones, with at least five rows each on average.  Missing values do not count, and neither the order
of rows and fields nor the kind of file decides: 1 and 1.0 are one value, as in an example's identity.

The *label* is the categorical output with the most values; of several with as many, the first by name.  It is
looked for in the whole set, before any part is drawn.

Splits are stratified by the label where any of them is cut, and random where there is no label.  A field that a
person names is the label whatever its values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.data.identity import canonical_json, parts
from skillfleet_nb.format import is_missing

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

    from skillfleet_nb.typing import Example

MIN_ROWS_A_VALUE = 5
"""Rows that each value of a categorical output has, on average: with fewer, val and test would hold one or none."""


def categories(values: Iterable[object]) -> frozenset[str]:
    """Return the different values of a categorical output, as canonical JSON; none where it is not categorical.

    Examples
    --------
    >>> sorted(categories(["pay"] * 5 + ["ask"] * 5 + [None]))
    ['"ask"', '"pay"']
    >>> categories(["pay"] * 4 + ["ask"] * 4), categories([0.1, 0.2] * 5)
    (frozenset(), frozenset())
    """
    present = [value for value in values if not is_missing(value)]
    if not all(isinstance(v, str | int) or (isinstance(v, float) and v.is_integer()) for v in present):
        return frozenset()
    different = frozenset(map(canonical_json, present))
    return different if 1 < len(different) <= len(present) / MIN_ROWS_A_VALUE else frozenset()


def find_label(outputs: Sequence[Mapping[str, object]]) -> str | None:
    """Name the label of a set, given the outputs of its rows; None where no output is categorical.

    Examples
    --------
    >>> find_label([{"team": n % 3, "urgent": n % 2 == 0, "answer": f"text {n}"} for n in range(30)])
    'team'
    """
    names = sorted({name for row in outputs for name in row})
    sizes = {name: len(categories(row.get(name) for row in outputs)) for name in names}
    return max((name for name in names if sizes[name]), key=sizes.__getitem__, default=None)


def labelled(rows: Sequence[Example], most: int, rng: random.Random) -> tuple[str | None, list[tuple[Example, str]]]:
    """Name the label of a set, and pair its rows with theirs: those that have one, of more than `most` a sample."""
    outputs = [parts(row)[1] for row in rows]
    name = find_label(outputs)
    if name is None:
        return None, []
    pairs = [(row, label_text(o[name])) for row, o in zip(rows, outputs, strict=True) if not is_missing(o.get(name))]
    return name, pairs if len(pairs) <= most else rng.sample(pairs, most)


def label_text(value: object) -> str:
    """Write a label as text: a text as it is, anything else as canonical JSON."""
    return value if isinstance(value, str) else canonical_json(value)
