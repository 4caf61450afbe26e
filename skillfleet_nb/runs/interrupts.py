"""Interrupts of a command: before a run begins each ends the command, from then on they are counted.

Raised wherever it comes, a ``KeyboardInterrupt`` may meet a finalizer, which drops it, a metric that catches
all there is, or come between the start of a run and the hands that were to hold it.  Before a run begins
nothing can be lost, and what a person gave (a metric, a program) may hang: there it is raised, and raised
again where the run would begin if something dropped it.  While a module is imported the first one waits: one that
is half imported stays so as long as the process lives, and whatever needs it fails.  The second is raised there too.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None

_IMPORTER = "<frozen importlib._bootstrap>"
_AGAIN_S = 0.05  # how often one that waits for an import is looked at


class Interrupts:
    """Takes the place of the handler of SIGINT.

    Parameters
    ----------
    before
        The handler there was, which still gets what comes before :meth:`keep`.

    Attributes
    ----------
    count
        Interrupts so far; all since :meth:`keep`, which is passed only without one.
    """

    def __init__(self, before: Handler = None) -> None:
        self.count = 0
        self.before, self._keeps = before, False
        self._again = False
        self._later: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take an interrupt."""
        again, self._again = self._again, False
        self.count += not again
        if self._keeps:
            return
        if self.count == 1 and _is_importing(frame):
            self._later = threading.Timer(_AGAIN_S, self._send_again)
            self._later.start()
            return
        # A shell that starts a command in the background has it ignore interrupts, which Python keeps to.
        handler = self.before if callable(self.before) else signal.default_int_handler
        handler(number, frame)

    @property
    def is_raised(self) -> bool:
        """Whether one came, and ends the command."""
        return self.count > 0 and not self._keeps

    def keep(self) -> None:
        """Raise none from here on.

        Raises
        ------
        KeyboardInterrupt
            If one came before and was dropped on its way.
        """
        kept, self._keeps = self._keeps, True
        if self.count and not kept:
            raise KeyboardInterrupt

    def end(self) -> None:
        """Take no more; one that still waits for an import came too late."""
        self._keeps = True  # at once, or one could come instead of the next line
        if self._later is not None:
            self._later.cancel()
            self._later.join()

    def _send_again(self) -> None:
        self._again = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported, in a frame or above it."""
    while frame is not None and frame.f_code.co_filename != _IMPORTER:
        frame = frame.f_back
    return frame is not None


@contextmanager
def taken() -> Iterator[None]:
    """Take the interrupts that come during the body, a command, for :func:`keep_from_here`.

    They reach the main thread alone: on any other there are none to take.

    Examples
    --------
    >>> with taken():
    ...     interrupts = keep_from_here()
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupts.count
    1
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Interrupts):  # an interrupt came just as its command was to give it back
        before = before.before
    interrupts = Interrupts(before)
    try:
        signal.signal(signal.SIGINT, interrupts)
        yield
    except Exception as exc:
        if interrupts.is_raised:  # a query of DuckDB's that it ends is a RuntimeError
            raise KeyboardInterrupt from exc
        raise
    finally:
        interrupts.end()
        signal.signal(signal.SIGINT, before)


def keep_from_here() -> Interrupts:
    """Say that a run begins, or is waited for: interrupts of the command are counted, and raised no more.

    Raises
    ------
    KeyboardInterrupt
        If one came earlier in the command and was dropped on its way.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, Interrupts) or threading.current_thread() is not threading.main_thread():
        return Interrupts()
    handler.keep()
    return handler
