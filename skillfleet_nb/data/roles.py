"""What the columns of one kind of set mean, told by the room that knows the kind: this one knows none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Roles:
    """Roles of the columns of one kind of set.

    Attributes
    ----------
    recognised_by
        A set that has all of these columns is of the kind.
    inputs
        Columns that are inputs where nothing else says so.
    category_field, category
        The column that categories are taken from, and how: rows are balanced by them unless a label is named.
    title
        The column that names a row.
    expected
        By column, the values there should be.
    clarity, practice
        The components of quality of these names, in [0, 1], from a row.
    """

    recognised_by: frozenset[str]
    inputs: tuple[str, ...]
    category_field: str
    category: Callable[[Mapping[str, Any]], str | None]
    title: str
    expected: Mapping[str, tuple[str, ...]]
    clarity: Callable[[Mapping[str, Any]], float]
    practice: Callable[[Mapping[str, Any]], float]
