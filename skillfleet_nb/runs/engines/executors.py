"""A run on the workers of an executor: of a Dask cluster, or any other of ``concurrent.futures``.

What travels is an errand, a few words: where the home is and which job to run.  The worker opens the job's parcel there
and writes its journal there, as a process of its own does (see ``worker``); so the home lies on storage that all share.
Who is next, and what is done where a worker is lost, is the executor's: it runs the errand once more, on another
worker, which goes on from DSPy's cache.  Meanwhile the job is its lender's, the process that gave it away.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.errors import HomeError, InputError, JobError, SkillfleetError
from skillfleet_nb.events import JobState, Placed, Resumed, StateChanged, StopKind
from skillfleet_nb.projection import JobRecord
from skillfleet_nb.runs.engines.worker import run_kept
from skillfleet_nb.runs.fingerprint import environment
from skillfleet_nb.store import Home, Journal, follow, tickets

if TYPE_CHECKING:
    from skillfleet_nb.runs.request import Engine

_NAP_S = 0.5  # how often it is looked whether another worker has let go of the job
_MUST_MATCH = ("skillfleet-nb", "dspy")
_MAY_LOOK_AT_STACKS = sys.version_info >= (3, 11, 9)
"""Whether ``sys._current_frames`` is safe.

Before, it could collect garbage while it held the lock of all threads, and let go of the GIL as it did, which halts the
process for good: so it does with connections of SQLite, which each thread has sixteen of for DSPy's cache (cpython,
issue 106883).  Dask's profiler calls it a hundred times a second.
"""


class Errand(NamedTuple):
    """What a worker is asked to do.

    Attributes
    ----------
    root, job_id
        The home, and the job in it.
    lender
        The lock of whoever asks, see :func:`skillfleet_nb.store.tickets.lend`.
    packages
        Versions of what the job was checked with.
    at
        When it was asked for: Dask takes calls with the same arguments for the same.
    """

    root: str
    job_id: str
    lender: str
    packages: dict[str, str]
    at: int


def refuse_dead(engine: Engine) -> None:
    """Refuse a client without a scheduler.

    Raises
    ------
    InputError
        Saying what to do.
    """
    status = getattr(engine, "status", None)
    if isinstance(status, str) and status != "running":
        raise InputError(
            f"engine = {engine!r}: its connection is {status}, so that no worker is reached: start a scheduler, and "
            "give a client that is connected to it, engine=Client(address)"
        )


def lend(home: Home, job_id: str, engine: Engine) -> None:
    """Give a job, whose parcel and making are on record, to an executor.

    Raises
    ------
    JobError
        If it takes none; the job has failed then.
    """
    lender = tickets.lend(home, job_id)
    try:
        executor = engine if isinstance(engine, Executor) else engine.get_executor()  # type: ignore[union-attr]  # checked
        future = executor.submit(run, Errand(str(home.root), job_id, lender, environment(), time.time_ns()))
    except Exception as exc:
        why = f"{engine!r} takes no job: {type(exc).__name__}: {exc}"
        _fail(home, job_id, why)
        raise JobError(f"{why}; give an executor that runs, then resume the job") from exc
    future.add_done_callback(partial(_ended, home, job_id))


def _ended(home: Home, job_id: str, future: Future[str]) -> None:
    """Take a job back that the executor is through with; where it came to nothing, say why."""
    failure = None if future.cancelled() else future.exception()
    if failure is None:
        tickets.remove(home, job_id)
    else:
        _fail(home, job_id, f"{type(failure).__name__}: {failure}"[:1000])


def _fail(home: Home, job_id: str, error: str) -> None:
    # not where a worker has it, which the executor has lost sight of, or the home has gone
    with suppress(SkillfleetError), Journal(home, job_id) as journal:
        if not _record(home, job_id).state.is_finished():
            failed = StateChanged(state=JobState.FAILED, stop_kind=StopKind.ERROR, stop_reason="error", error=error)
            journal.append(failed, sync=True)
    tickets.remove(home, job_id)


def run(errand: Errand) -> str:
    """Run a job to its end, on a worker; return the state it ended in.

    Raises
    ------
    JobError, HomeError
        If this worker cannot run it.
    """
    here = f"worker {_place()}"
    _refuse_other_versions(errand, here)
    if not _MAY_LOOK_AT_STACKS:
        _stop_profiler()
    home = Home.find(errand.root)
    if not (home.journal_dir(errand.job_id)).is_dir():
        raise HomeError(
            f"{here} does not see the home '{errand.root}': workers share it, on storage that all of them reach under "
            "one path"
        )
    if not tickets.is_seen_to_live(home, errand.lender):
        raise HomeError(
            f"{here} does not see the locks that others hold in '{errand.root}', so that two could spoil each other's "
            "work: put the home on storage whose locks work between machines. Or whoever asked for the job is gone"
        )
    with _journal(home, errand.job_id) as journal:
        record = _record(home, errand.job_id)
        if record.state.is_finished():  # cancelled while it waited, or ended by a worker that was taken for lost
            return str(record.state)
        if record.state is not JobState.PENDING:  # its worker is lost
            budget = record.spec.get("budget") or {}
            again = Resumed(attempt=record.attempts + 1, budget=budget, heard=record.heard)
            journal.append_many([again, StateChanged(state=JobState.PENDING)], sync=True)
        journal.append(Placed(worker=_place()))
        try:
            run_kept(home, journal, alone=False)
        except Exception:
            if not _record(home, errand.job_id).state.is_finished():
                raise
    return str(_record(home, errand.job_id).state)  # what it came to is on record, and need not travel


def _journal(home: Home, job_id: str) -> Journal:
    """Open the journal of a job, once whoever writes it has ended."""
    nap = threading.Event()
    while True:
        with suppress(JobError):
            return Journal(home, job_id)
        nap.wait(_NAP_S)


def _record(home: Home, job_id: str) -> JobRecord:
    record = JobRecord()
    for event in follow(home, job_id).read():
        record.apply(event)
    return record


def _refuse_other_versions(errand: Errand, here: str) -> None:
    mine = environment()
    for package in _MUST_MATCH:
        theirs = errand.packages.get(package)
        if mine.get(package) != theirs:
            raise JobError(
                f"{here} has {package} {mine.get(package)}, and the job was checked with {theirs}: install the same "
                "there, then resume the job"
            )


def _stop_profiler() -> None:
    """Stop the profiler of the Dask worker that this is, where it is one."""
    worker = _dask_worker()
    if worker is not None and (profiler := worker.periodic_callbacks.get("profile")) is not None:
        worker.loop.add_callback(profiler.stop)


def _place() -> str:
    """Say where this is: the address of a Dask worker, machine and process."""
    process, worker = f"{socket.gethostname()}, process {os.getpid()}", _dask_worker()
    return process if worker is None else f"{worker.address} ({process})"


def _dask_worker() -> Any:
    """Return the Dask worker that runs this; None where none does."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with suppress(ValueError):
            return distributed.get_worker()
    return None
