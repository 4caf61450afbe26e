"""A process that many small runs share, each on a thread of its own.

What a run takes beside its calls is an interpreter with DSPy: a second of a processor, and over 150 MB.  Where many
small ones wait, a worker that was started for one takes others out of the queue as long as there is room, and ends
with the last.  Each has its own journal, lock and control file, so that it is watched, paused and cancelled as any
other; what they have in common is that a crash of the process ends them all, to be resumed one by one.

They share imported modules as well.  So a worker takes no further job once a module that it holds was edited, or once
it has left work behind that never returns, or has run a hundred: what libraries keep of each adds up.  A fresh one is
started for those that wait.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.runs.engines import processes
from skillfleet_nb.runs.engines.queue import Queue
from skillfleet_nb.runs.leavable import has_left
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.engines.processes import Claim
    from skillfleet_nb.store import Home

_MOST = 100  # runs of a process in all
_LOOK_S = 1.0  # how often it is looked, beside the end of each run, whether a job waits that there is room for


class SharedWorker:
    """The runs of this process.

    Parameters
    ----------
    home
        Whose jobs they are.
    setting
        What tells this process from others, see :attr:`~skillfleet_nb.runs.engines.queue.Ticket.setting`.
    run
        Runs a job to its end on the thread that calls it, its journal being open.
    """

    def __init__(self, home: Home, setting: str, run: Callable[[Journal], object]) -> None:
        self._queue, self._setting, self._run = Queue(home), setting, run
        self._running: dict[str, int] = {}  # with how many others at most each of them is here, itself counted
        self._changed, self._begun = threading.Event(), 0
        self._since = time.time()

    def run(self, job_id: str, alive: int, runs: int) -> None:
        """Run a job, and others beside it and after it; return once none runs.

        Parameters
        ----------
        alive
            Descriptor of the job's held ``alive.lock``.
        runs
            With how many it may share this process, itself counted.
        """
        self._start(job_id, alive, runs, lambda: None)
        while self._running:
            self._take()
            self._changed.wait(_LOOK_S)
            self._changed.clear()

    def _take(self) -> None:
        """Take out of the queue what there is room for."""
        running = list(self._running.values())
        if (
            not running
            or self._begun >= _MOST
            or len(running) >= min(running)
            or has_left()
            or edited_since(self._since)
        ):
            return
        with suppress(SkillfleetError, OSError):  # whoever looks next is told
            for claim, runs in self._queue.join(self._setting, running):
                processes.note(self._queue.home, claim.job_id, os.getpid())
                self._start(claim.job_id, claim.alive, runs, self._leaving(claim))

    def _leaving(self, claim: Claim) -> Callable[[], None]:
        return lambda: self._queue.left(claim)

    def _start(self, job_id: str, alive: int, runs: int, leaving: Callable[[], None]) -> None:
        self._running[job_id] = runs
        self._begun += 1
        args = job_id, alive, leaving
        threading.Thread(target=self._to_the_end, args=args, name=f"skillfleet-run-{job_id}", daemon=True).start()

    def _to_the_end(self, job_id: str, alive: int, leaving: Callable[[], None]) -> None:
        try:
            with Journal(self._queue.home, job_id, alive=alive) as journal:
                self._run(journal)
        finally:
            leaving()
            del self._running[job_id]
            self._changed.set()


def edited_since(since: float) -> bool:
    """Whether a module that was imported, other than installed ones, has changed since; `since` is in Unix seconds."""
    paths = sysconfig.get_paths()
    installed = tuple(str(Path(paths[name])) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and not file.startswith(installed):
            with suppress(OSError):
                if os.stat(file).st_mtime > since:  # noqa: PTH116  some hundred of them, every second
                    return True
    return False
