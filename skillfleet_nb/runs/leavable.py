"""Work of a run that a stop can leave behind: a metric or a program that never returns must not hold it for good.

Python cannot end a thread.  What is left behind buys nothing more, for its gate is closed, and ends with its
process; a process that has nothing else to do is ended with it (see :func:`leave`).
"""

from __future__ import annotations

import atexit
import contextvars
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.limits import RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.lm.gate import Gate

_T = TypeVar("_T")
_NAME = "skillfleet-work"
_LEFT = f"{_NAME}-left"
_WAITED_FOR = (_NAME, "ThreadPoolExecutor")  # as the standard library calls the threads of its pools
_LOOK_S = 0.25  # how often it is seen whether a stop was asked for
_PATIENCE_S = 3.0  # how long after a stop the work may take to end
_FREED_S = 5.0  # how long what a thread held may take to be freed


def run_leavable(gate: Gate, work: Callable[[], _T], on_left: Callable[[str], None]) -> _T:
    """Return what `work` does, on a thread of its own.

    Parameters
    ----------
    gate
        The gate it makes its calls through: its limit on time holds too while it makes none.
    on_left
        Told in words when the work is left behind.

    Raises
    ------
    RunStopped
        If the gate closed and the work did not end: 3 s after a person said so where no call of a model is in
        flight, else as much longer as calls have to end.  What `work` raises is raised as it is.
    """
    begun = _Work(work)
    since: float | None = None
    while not begun.ended.wait(_LOOK_S):
        gate.look()
        if gate.closed is None:
            continue
        now = time.monotonic()
        since = now if since is None else since
        if now - since >= _patience_s(gate):
            begun.leave()
            on_left(
                "the metric or the program did not return when the run was stopped: it is left behind, "
                "buys nothing more, and ends with its process"
            )
            raise RunStopped(*gate.closed)
    return begun.result()


def run_within(work: Callable[[], _T], minutes: float | None, is_cancelled: Callable[[], bool] = lambda: False) -> _T:
    """Return what `work` does on a thread of its own: what comes before a run, which has no gate yet.

    Parameters
    ----------
    work
        What a person gave may hang in it.
    minutes
        How long it may take.
    is_cancelled
        Tells whether somebody has had enough.

    Raises
    ------
    RunStopped
        If it did not return in time, or somebody had enough.  What `work` raises is raised as it is.
    """
    begun, until = _Work(work), None if minutes is None else time.monotonic() + 60 * minutes
    while not begun.ended.wait(_LOOK_S):
        if is_cancelled():
            begun.leave()
            raise RunStopped(StopKind.CANCELLED, "cancelled")
        if until is not None and time.monotonic() > until:
            begun.leave()
            raise RunStopped(
                StopKind.BUDGET,
                f"budget: {minutes:g} minutes, which went before the run began: the metric or the program hangs",
            )
    return begun.result()


class _Work(Generic[_T]):
    """What is done on a thread of its own, in a copy of the caller's context."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self.ended = threading.Event()
        self._returned: list[_T] = []
        self._raised: list[BaseException] = []
        inside = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, args=(inside, work), name=_NAME, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Give its thread the name by which :func:`has_left` knows it."""
        self._thread.name = _LEFT

    def _run(self, inside: contextvars.Context, work: Callable[[], _T]) -> None:
        try:
            self._returned.append(inside.run(work))
        except BaseException as exc:  # noqa: BLE001  raised by the caller
            self._raised.append(exc)
        finally:
            self.ended.set()

    def result(self) -> _T:
        """Return or raise what came of it, once it has ended."""
        join_done(self._thread)
        if self._raised:
            raise self._raised[0]
        return self._returned[0]


def join_done(thread: threading.Thread) -> None:
    """Wait until a thread whose work is done has freed what it held.

    A script may end with its last result: what native code frees while Python is taken down aborts the process.
    """
    thread.join(_FREED_S)


def _patience_s(gate: Gate) -> float:
    by_a_person = gate.closed is not None and gate.closed[0] is StopKind.CANCELLED
    if by_a_person and gate.ledger.drain(0):
        return _PATIENCE_S
    return _PATIENCE_S + gate.ledger.retry_policy.grace_s


def has_left() -> bool:
    """Whether work that was left behind goes on in this process."""
    return any(thread.name == _LEFT for thread in threading.enumerate())


def leave(status: int) -> NoReturn:
    """End this process with `status`, its work being done.

    Threads of its own that a program started are waited for, and exit handlers run, as at any end of Python; but
    for threads of pools, daemons or not, which an evaluation that was stopped does not wait for: where some are
    left, maybe for good, it ends at once.  The interpreter is not taken down, which nothing needs any more, and
    which takes some tenths of a second.
    """
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not any(thread.name.startswith(_WAITED_FOR) for thread in threads):
        for thread in threads:
            if not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()  # noqa: SLF001  the standard library runs them by no public name
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
