"""The processes of a home's detached jobs: started with what they hold, and known by a file beside the journal.

A descriptor of a held lock is inherited, so that a job is at no moment without an owner, nor its slot free.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.store import is_alive
from skillfleet_nb.store.logs import log_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.store import Home

WORKER = "skillfleet_nb.runs.engines.worker"
DISPATCHER = "skillfleet_nb.runs.engines.dispatcher"
_PID = "pid"


class Claim(NamedTuple):
    """A job that was taken out of the queue: its id, and the descriptors that hold its ``alive.lock`` and its slot."""

    job_id: str
    alive: int
    slot: int

    def close(self) -> None:
        """Let go of both."""
        os.close(self.alive)
        os.close(self.slot)


class Place(NamedTuple):
    """How a worker is started: interpreter, variables and folder; what tells it from others, and its most runs."""

    python: str
    environment: Mapping[str, str]
    folder: str
    setting: str = ""
    runs: int = 1


def start_worker(home: Home, claim: Claim, place: Place) -> None:
    """Start a process on a job, which inherits the descriptors of its claim."""
    shares = [str(place.runs), place.setting]
    with log_file(home, claim.job_id).open("ab") as log:
        # -u: what is printed is in the log at once, and stays there if the process is killed.
        process = subprocess.Popen(  # noqa: S603  an interpreter that a signed ticket names, and our own module
            [place.python, "-u", "-m", WORKER, str(home.root), claim.job_id, *shares, *map(str, claim[1:])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(place.environment),
            cwd=place.folder if Path(place.folder).is_dir() else None,
            start_new_session=True,  # no terminal, server or kernel takes it along when it ends
            pass_fds=[claim.alive, claim.slot],
        )
    note(home, claim.job_id, process.pid)


def note(home: Home, job_id: str, number: int) -> None:
    """Write down which process runs a job."""
    with suppress(FileNotFoundError):  # a home that has just gone
        _pid_file(home, job_id).write_text(f"{number}\n", "utf-8")


def start_dispatcher(home: Home, lock: int, log: Path) -> None:
    """Start the process that starts what waits; it inherits the lock that elects it."""
    with log.open("ab") as output:
        subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", DISPATCHER, str(home.root), str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock],
        )


def pid(home: Home, job_id: str) -> int | None:
    """Tell the process that runs a job, if it is one of its own and lives."""
    try:
        number = int(_pid_file(home, job_id).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return number if is_alive(home, job_id) else None


def forget(home: Home, job_id: str) -> None:
    """Forget the process that ran the job before."""
    _pid_file(home, job_id).unlink(missing_ok=True)


def _pid_file(home: Home, job_id: str) -> Path:
    return home.journal_dir(job_id) / _PID
