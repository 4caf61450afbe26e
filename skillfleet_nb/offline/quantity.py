"""Making numbers: read out of the text, counted in it, or the middle of what demos show."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline.text import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.offline.prompt import Schema

_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_READINGS: tuple[Callable[[str], float | None], ...] = (
    lambda text: next(iter(_numbers(text)), None),
    lambda text: next(reversed(_numbers(text)), None),
    lambda text: max(_numbers(text), default=None),
    lambda text: sum(_numbers(text)) if _numbers(text) else None,
    lambda text: float(len(words(text))),
    lambda text: float(len(text)),
)
_COUNT = 4


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


class NumberModel:
    """Makes numbers: one that stands in the text, a count of it, or the demos' middle value.

    Parameters
    ----------
    name
        Name of the field.
    schema
        Its type, ``integer`` or ``number``, with bounds if any.
    known
        Demos: text and value.

    Attributes
    ----------
    sure
        Whether one way to read the text gives at least half of the demos' values.
    """

    def __init__(self, name: str, schema: Schema, examples: list[tuple[str, Any]]) -> None:
        self._whole = schema.get("type") == "integer"
        step = 1 if self._whole else 1e-6
        self._low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf - step) + step)
        self._high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf + step) - step)
        pairs = [(text, float(value)) for text, value in examples if isinstance(value, int | float)]
        self._middle = sorted(value for _, value in pairs)[len(pairs) // 2] if pairs else 0.0
        hits = [sum(read(text) == value for text, value in pairs) for read in _READINGS]
        counted = bool({"count", "length", "words"} & set(words(name.replace("_", " "))))
        best = hits.index(max(hits)) if pairs else (_COUNT if counted else 0)
        self.sure = bool(pairs) and 2 * max(hits) >= len(pairs)
        self._read = _READINGS[best] if self.sure or not pairs else None

    def make(self, text: str) -> float:
        """Make the number for `text`, within the bounds."""
        value = self._read(text) if self._read else None
        value = min(max(self._middle if value is None else value, self._low), self._high)
        return int(value) if self._whole else value
