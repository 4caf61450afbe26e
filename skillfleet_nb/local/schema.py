"""Schemas with an end: what a small model may write without limit, it often does."""

from __future__ import annotations

from typing import Any

_LEAST, _MOST = 24, 600  # characters of a text
_ITEMS = 8
_CHARS_PER_TOKEN = 2  # well below what text takes, so that an answer is closed before its tokens run out


def bounded(schema: dict[str, Any], max_tokens: int) -> dict[str, Any]:
    """Bound the texts and lists of a JSON schema, so that an answer in it ends within its tokens.

    Bounds that a schema states stay.

    Examples
    --------
    >>> bounded({"type": "array", "items": {"type": "string"}}, 96)
    {'type': 'array', 'items': {'type': 'string', 'maxLength': 24}, 'maxItems': 8}
    """
    texts = max(1, _texts(schema, schema.get("$defs", {}), ()))
    most = max(_LEAST, min(_MOST, _CHARS_PER_TOKEN * max_tokens // texts))
    made = _bounded(schema, most)
    assert isinstance(made, dict)  # noqa: S101  as given
    return made


def _texts(part: Any, names: dict[str, Any], above: tuple[str, ...]) -> int:
    """Count the texts that an answer may hold at most."""
    if isinstance(part, list):
        return sum(_texts(one, names, above) for one in part)
    if not isinstance(part, dict) or "enum" in part or "const" in part:
        return 0
    name = str(part.get("$ref", "")).rpartition("/")[2]
    if name and name not in above:
        return _texts(names.get(name), names, (*above, name))
    if part.get("type") == "string":
        return 1
    if part.get("type") == "array":
        return int(part.get("maxItems", _ITEMS)) * _texts(part.get("items"), names, above)
    options = [one for key in ("anyOf", "oneOf") for one in part.get(key, [])]
    widest = max((_texts(one, names, above) for one in options), default=0)
    return widest + sum(_texts(one, names, above) for one in part.get("properties", {}).values())


def _bounded(part: Any, most: int) -> Any:
    if isinstance(part, list):
        return [_bounded(one, most) for one in part]
    if not isinstance(part, dict):
        return part
    made = {key: value if key in {"enum", "const", "default"} else _bounded(value, most) for key, value in part.items()}
    if made.get("type") == "string" and "enum" not in made and "pattern" not in made and "format" not in made:
        made.setdefault("maxLength", most)
    elif made.get("type") == "array":
        made.setdefault("maxItems", _ITEMS)
    return made
