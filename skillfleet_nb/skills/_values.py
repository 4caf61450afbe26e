"""How any value is kept in a v2 front matter, whose ``metadata`` maps strings to strings.

A string stands as it is, everything else as compact JSON; `loads` turns a list or an object back.
Numbers and ``null`` stay strings: a version ``1.0`` must not become a float.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100
"""Deepest nesting that is taken as data; anything deeper would exhaust the stack of who walks it."""


def is_shallow(value: object) -> bool:
    """Tell whether lists and mappings nest at most `MAX_DEPTH` deep."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def dumps(value: object) -> str:
    """Return the string that stands for `value`.

    Examples
    --------
    >>> dumps("1.0.0"), dumps(["a", 1]), dumps(None)
    ('1.0.0', '["a",1]', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def loads(text: object) -> Any:
    """Return the list or object a string stands for, and anything else unchanged."""
    if not isinstance(text, str) or not text.startswith(("[", "{")):
        return text
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return data if is_shallow(data) else text


def same(a: object, b: object) -> bool:
    """Tell whether two values are equal but for the way they are written down."""
    a, b = loads(a), loads(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return dumps(a) == dumps(b)
