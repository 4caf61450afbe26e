"""Answers whose text is told while it is written.

DSPy hands the pieces of an answer to a stream on the event loop that its thread was started from.  An attempt runs on a
thread of its own, so it gets a loop of its own, for as long as it takes.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Pieces:
    """Takes the pieces of answers, and tells the text so far of each.

    Parameters
    ----------
    hear
        Takes the text of an answer as far as it goes; called often.
    """

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear, self._text, self._is_over = hear, "", False

    async def send(self, piece: Any) -> None:
        """Take a piece; the first one behind an end begins another answer."""
        choices = getattr(piece, "choices", None)
        if not choices:
            return
        self._text = ("" if self._is_over else self._text) + (choices[0].delta.content or "")
        self._is_over = choices[0].finish_reason is not None
        self._hear(self._text)


@contextmanager
def streaming(hear: Callable[[str], None]) -> Iterator[None]:
    """Have metered models stream what they are asked for in the body, and tell the text of each answer so far.

    Nothing is told of what the cache answers, or by an engine that does not stream.
    """
    import dspy

    with dspy.context(send_stream=Pieces(hear), stream_listeners=[], track_usage=True):
        yield


def on_a_loop(lm: Any, ask: Callable[[], T]) -> T:
    """Ask a model; where what it says is to be told, by an event loop of this thread."""
    import dspy

    if not isinstance(dspy.settings.send_stream, Pieces):
        return ask()
    engine = getattr(lm, "engine", None)
    if not (engine is None or isinstance(engine, str) or callable(getattr(engine, "stream", None))):
        with dspy.context(send_stream=None):
            return ask()
    answer: T = asyncio.run(dspy.asyncify(ask)())
    return answer
