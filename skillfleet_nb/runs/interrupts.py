"""Interrupts of a command that starts a run: left as they are until the run begins, counted from then on.

Raised wherever it comes, a ``KeyboardInterrupt`` may meet a finalizer, which drops it, or come between the
start of a run and the hands that were to hold it.  Before a run begins nothing can be lost, and what a
person gave (a metric, a program) may hang: there it does what it always does.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupts:
    """Takes the place of the handler of SIGINT.

    Parameters
    ----------
    before
        The handler there was, which still gets what comes before :meth:`keep`.

    Attributes
    ----------
    count
        Interrupts since :meth:`keep`.
    """

    def __init__(self, before: Any = None) -> None:
        self.count = 0
        self._before, self._keeps = before, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take an interrupt."""
        if self._keeps:
            self.count += 1
        elif callable(self._before):
            self._before(number, frame)

    def keep(self) -> None:
        """Count from here on."""
        self._keeps = True


@contextmanager
def taken() -> Iterator[Interrupts]:
    """Take the interrupts that come during the body; inside another such body, as that one does.

    They reach the main thread alone: on any other there are none to take.

    Examples
    --------
    >>> with taken() as interrupts:
    ...     interrupts.keep()
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupts.count
    1
    """
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Interrupts) or threading.current_thread() is not threading.main_thread():
        yield before if isinstance(before, Interrupts) else Interrupts()
        return
    interrupts = Interrupts(before)
    try:
        signal.signal(signal.SIGINT, interrupts)
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def keep_from_here() -> None:
    """Say that a run begins: whoever takes the interrupts counts them from here on."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, Interrupts) and threading.current_thread() is threading.main_thread():
        handler.keep()
