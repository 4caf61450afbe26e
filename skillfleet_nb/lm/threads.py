"""The threads that calls of models are made on, where whoever waits for a call can leave it behind.

They are kept for the next calls, of whichever run of the process: DSPy's cache opens sixteen databases for every thread
that it is asked on, which takes many times as long as handing a call over, and DSPy starts new threads for every
evaluation.
"""

from __future__ import annotations

import functools
import os
import threading
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Outcome = tuple[bool, Any]  # whether it was answered, and the answer or what was raised
_IDLE_S = 20.0


class CallThreads:
    """Makes calls on threads of its own, as many as there are calls at a time; safe to share between threads.

    Parameters
    ----------
    idle_s
        How long a thread waits for its next call before it ends.

    Examples
    --------
    >>> CallThreads().run(lambda: 6 * 7, look_s=1.0, look=lambda: None)
    42
    """

    def __init__(self, idle_s: float = _IDLE_S) -> None:
        self._idle_s, self._idle = idle_s, list[_CallThread]()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._idle.clear)  # threads do not pass a fork

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
            thread = _CallThread(self._idle, self._idle_s)
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
        answered, answer = outcome
        if not answered:
            raise answer
        return answer


@functools.cache  # for the life of the process
def call_threads() -> CallThreads:
    """Return the threads that all runs of this process share."""
    return CallThreads()


class _CallThread:
    def __init__(self, idle: list[_CallThread], idle_s: float) -> None:
        self.calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        thread = threading.Thread(target=self._serve, args=(idle, idle_s), name="skillfleet-call", daemon=True)
        Context().run(thread.start)  # it serves on, in the context of each call

    def _serve(self, idle: list[_CallThread], idle_s: float) -> None:
        while True:
            try:
                call = self.calls.get(timeout=idle_s)
            except Empty:
                try:
                    idle.remove(self)
                except ValueError:  # somebody has just taken it
                    continue
                return
            if call is None:
                return
            outcome: _Outcome
            try:
                outcome = True, call()
            except BaseException as exc:  # noqa: BLE001  raised by whoever waits
                outcome = False, exc
            self.outcomes.put(outcome)
            del call, outcome  # a thread that waits for its next call keeps nothing
