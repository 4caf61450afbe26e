"""What a model writes of a field, told while it is written; its answer is what it would be anyway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.lm.streams import streaming

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_S: Final = 0.25
_GROWTH: Final = 1.1  # of a text before it is told again: all that is told of it is some times its length


def streamed(predict: Any, field: str, hear: Callable[[str], None] | None, **inputs: Any) -> Any:
    """Ask a predictor, and tell what it has written of a field while it writes; return its answer.

    Parameters
    ----------
    predict
        The predictor.
    field
        Its output that is told of.
    hear
        Takes the whole lines so far, now and then; None asks without streaming.
    inputs
        What it is asked.
    """
    if hear is None:
        return predict(**inputs)
    with streaming(_Field(field, hear).take):
        return predict(**inputs)


class _Field:
    """Finds a field in an answer that is being written."""

    def __init__(self, field: str, hear: Callable[[str], None]) -> None:
        self._marks = ((f"[[ ## {field} ## ]]", "\n[[ ##"), (f"<{field}>", f"\n</{field}>"))
        self._hear, self._told, self._told_s = hear, "", 0.0

    def take(self, answer: str) -> None:
        """Take an answer so far; tell the field where enough is new."""
        text = self._whole_lines(answer)
        enough = len(text) > _GROWTH * len(self._told) or not text.startswith(self._told)
        if text and enough and time.monotonic() - self._told_s >= _EVERY_S:
            self._told, self._told_s = text, time.monotonic()
            self._hear(text)

    def _whole_lines(self, answer: str) -> str:
        """Return the lines that are whole: of half a line, what has to be taken out is not known."""
        for begin, end in self._marks:
            _, there, text = answer.partition(begin)
            if there:
                return text.partition(end)[0].rpartition("\n")[0].strip()
        return ""
