"""Values in a person's query: ``:name`` and ``{{name}}`` are bound to it, never written into its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from skillfleet_nb.errors import QueryError

_PARTS = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*(?:[^*]|\*(?!/))*\*/|\$(\w*)\$[\s\S]*?\$\2\$)"""
    # After a word, a bracket or a quote a colon is a slice's, a cast's or a struct's.
    r"""|(?:(?<![\w\])'":\[]):(?P<name>[A-Za-z_]\w*)|\{\{\s*(?P<braced>[A-Za-z_]\w*)\s*\}\})"""
)
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair
_PLAIN = (str, bytes, bool, int, float, Decimal, date, datetime, timedelta, type(None))


def named(query: str) -> tuple[str, list[str]]:
    """Write a query with DuckDB's ``$name`` for each of its parameters, and list their names.

    Raises
    ------
    QueryError
        If the query is no text, or holds half a character.

    Examples
    --------
    >>> named("select ':a', x::int, list[1:n] from t where x > :least and y = {{ best }}")
    ("select ':a', x::int, list[1:n] from t where x > $least and y = $best", ['least', 'best'])
    """
    if not isinstance(query, str):
        raise QueryError(f"the query is {query!r}: give one statement as text, for example 'from jobs'.")
    if half := _HALF.search(query):
        raise QueryError(f"the query holds {half[0]!r}, half of a character: write it anew.")
    names: dict[str, None] = {}

    def bound(match: re.Match[str]) -> str:
        name = match["name"] or match["braced"]
        if name is None:
            return match[0]
        names[name] = None
        return f"${name}"

    return _PARTS.sub(bound, query), list(names)


def values(names: list[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what is bound to a query.

    Raises
    ------
    QueryError
        If a name has no value, or one that no column could hold, or values have no names.
    """
    if not isinstance(namespace, Mapping):
        raise QueryError(
            f"parameters is a {type(namespace).__name__}: give values by name, {{'job': …}}, and ask for :job."
        )
    picked = {}
    for name in names:
        if name not in namespace:
            raise QueryError(f":{name} has no value: define the variable {name} first, or give parameters={{...}}.")
        value = namespace[name]
        parts = list(map(_python, value)) if isinstance(value, list | tuple | set) else [_python(value)]
        if not all(isinstance(part, _PLAIN) for part in parts):
            kind = type(next(part for part in parts if not isinstance(part, _PLAIN))).__name__
            raise QueryError(f":{name} is a {kind}: give a text, a number, a date, or a list of these.")
        picked[name] = parts if isinstance(value, list | tuple | set) else parts[0]
    return picked


def _python(value: Any) -> Any:
    """Make of a NumPy scalar the Python value it holds; a moment in nanoseconds would become a bare integer."""
    if not (hasattr(value, "item") and getattr(value, "ndim", None) == 0):
        return value
    kind = getattr(value.dtype, "kind", None)
    return (value.astype(f"{kind}8[us]") if kind in {"m", "M"} else value).item()
