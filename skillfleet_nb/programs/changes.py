"""Changes of one text and of one predictor: what stayed, went and came; ``diff`` and ``diff_page`` show them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Op = Literal["=", "+", "-"]
Piece = tuple[Op, str]
Demo = tuple[tuple[str, str], ...]  # field name and value as text, in order

_WORDS = 400  # beyond it word marks are slow to make and hard to read: lines are compared instead
_UNLIKE = 0.35  # share of common words below which two texts are shown one after the other
LONG = 700
"""Characters of a text that are shown before it is folded away."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """One text before and after; None where it did not exist."""

    what: str
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        """Whether the texts differ."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class PredictorDiff:
    """Changes of one predictor.

    `instructions` is always there, changed or not; `fields` holds only descriptions, prefixes, thresholds, cuts and
    weights that changed.  `added`, `removed` and `kept` are demos, as pairs of field name and text; a demo given
    twice counts twice.
    """

    name: str
    instructions: TextChange
    fields: tuple[TextChange, ...]
    added: tuple[Demo, ...]
    removed: tuple[Demo, ...]
    kept: tuple[Demo, ...]

    @property
    def identical(self) -> bool:
        """Whether nothing changed but perhaps the order of demos."""
        return not (self.instructions.changed or self.fields or self.added or self.removed)


def pieces(before: str, after: str) -> list[Piece]:
    """Tell what stayed, went and came: word by word in short texts that resemble, else line by line."""
    for cut, most in ((r"\S+\s*", _WORDS), (r"[^\n]*\n|[^\n]+", None)):
        one, other = re.findall(cut, before), re.findall(cut, after)
        if most is not None and max(len(one), len(other)) > most:
            continue
        matcher = difflib.SequenceMatcher(None, [w.strip() for w in one], [w.strip() for w in other], autojunk=False)
        if most is not None and matcher.ratio() < _UNLIKE:
            return [("-", before), ("+", after)]
        parts: list[Piece] = []
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                kept = other[j1:j2] if j2 < len(other) else one[i1:i2]  # the side that has a space at the end
                parts.append(("=", "".join(kept)))
                continue
            parts += [("-", "".join(one[i1:i2]))] if i2 > i1 else []
            parts += [("+", "".join(other[j1:j2]))] if j2 > j1 else []
        if any(op != "=" for op, _ in parts):
            return parts
    return [("-", before), ("+", after)]  # they differ in spaces alone


def outside_space(text: str, mark: Callable[[str], str]) -> str:
    """Mark the words and leave the space that follows them outside."""
    words = text.rstrip()
    return mark(words) + text[len(words) :] if words else text
