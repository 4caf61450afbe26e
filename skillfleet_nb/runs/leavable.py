"""Work of a run that a stop can leave behind: a metric or a program that never returns must not hold it for good.

Python cannot end a thread.  What is left behind buys nothing more, for its gate is closed, and ends with its
process; a process that has nothing else to do is ended with it (see :func:`leave`).
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TypeVar

from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.limits import RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.lm.gate import Gate

_T = TypeVar("_T")
_NAME = "skillfleet-work"
_WAITED_FOR = (_NAME, "ThreadPoolExecutor")  # as the standard library calls the threads of its pools
_LOOK_S = 0.25  # how often it is seen whether a stop was asked for
_PATIENCE_S = 3.0  # how long after a stop the work may take to end


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
    ended = threading.Event()
    returned: list[_T] = []
    raised: list[BaseException] = []
    inside = contextvars.copy_context()

    def run() -> None:
        try:
            returned.append(inside.run(work))
        except BaseException as exc:  # noqa: BLE001  raised by the caller
            raised.append(exc)
        finally:
            ended.set()

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    since: float | None = None
    while not ended.wait(_LOOK_S):
        gate.look()
        if gate.closed is None:
            continue
        now = time.monotonic()
        since = now if since is None else since
        if now - since >= _patience_s(gate):
            on_left(
                "the metric or the program did not return when the run was stopped: it is left behind, "
                "buys nothing more, and ends with its process"
            )
            raise RunStopped(*gate.closed)
    if raised:
        raise raised[0]
    return returned[0]


def _patience_s(gate: Gate) -> float:
    by_a_person = gate.closed is not None and gate.closed[0] is StopKind.CANCELLED
    if by_a_person and gate.ledger.drain(0):
        return _PATIENCE_S
    return _PATIENCE_S + gate.ledger.retry_policy.grace_s


def leave(status: int) -> NoReturn:
    """End this process, at once where threads are left in it that Python would wait for, maybe for good.

    These are threads of pools, daemons or not: an evaluation that was stopped does not wait for its own.
    """
    if any(thread.name.startswith(_WAITED_FOR) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)
