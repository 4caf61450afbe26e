"""The threads that calls of models are made on, where whoever waits for a call can leave it behind.

They are kept for the next calls: DSPy's cache opens a database for every thread that it is asked on, which takes
several times as long as handing a call over.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Outcome = tuple[bool, Any]  # whether it was answered, and the answer or what was raised


class CallThreads:
    """Makes calls on threads of its own, as many as there are calls at a time; safe to share between threads.

    Examples
    --------
    >>> CallThreads().run(lambda: 6 * 7, look_s=1.0, look=lambda: None)
    42
    """

    def __init__(self) -> None:
        self._idle: list[_CallThread] = []
        self._end = weakref.finalize(self, _end, self._idle)

    def run(self, call: Callable[[], Any], look_s: float, look: Callable[[], None]) -> Any:
        """Return what `call` does, in the caller's context.

        Parameters
        ----------
        look
            Called every `look_s` seconds meanwhile; what it raises leaves the call behind.
        """
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = _CallThread()
        thread.calls.put(partial(copy_context().run, call))
        outcome = None
        try:
            while outcome is None:
                try:
                    outcome = thread.outcomes.get(timeout=look_s)
                except Empty:
                    look()
        finally:
            if outcome is None:
                thread.calls.put(None)  # it ends with the call it is left with
            else:
                self._idle.append(thread)
                if not self._end.alive:
                    _end(self._idle)
        answered, answer = outcome
        if not answered:
            raise answer
        return answer

    def close(self) -> None:
        """Let the threads end, each with the call it makes."""
        self._end()


class _CallThread:
    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        thread = threading.Thread(target=_serve, args=(self.calls, self.outcomes), name="skillfleet-call", daemon=True)
        Context().run(thread.start)  # it serves on, in the context of each call


def _serve(calls: SimpleQueue[Callable[[], Any] | None], outcomes: SimpleQueue[_Outcome]) -> None:
    while (call := calls.get()) is not None:
        outcome: _Outcome
        try:
            outcome = True, call()
        except BaseException as exc:  # noqa: BLE001  raised by whoever waits
            outcome = False, exc
        outcomes.put(outcome)
        del call, outcome  # a thread that waits for its next call keeps nothing


def _end(idle: list[_CallThread]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().calls.put(None)
