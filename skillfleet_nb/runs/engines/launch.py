"""Starting a prepared run: what it needs is kept first, then it is told of, then it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.runs.engines import parcel, worker
from skillfleet_nb.runs.execution import Execution
from skillfleet_nb.runs.interrupts import keep_from_here
from skillfleet_nb.runs.jobs.attempts import History

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.events import Payload
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.store import Home, Journal

ENGINES = ("thread", "process")


def check_engine(engine: str, max_parallel: int | None) -> None:
    """Refuse an unknown engine, and a limit that it does not keep."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if max_parallel is None:
        return
    if isinstance(max_parallel, bool) or not isinstance(max_parallel, int) or max_parallel < 1:
        raise InputError(f"max_parallel = {max_parallel!r}: it must be a whole number from 1")
    if engine != "process":
        raise InputError("max_parallel is for jobs in processes of their own: give engine='process' (--detach) as well")


def packed(
    prepared: Prepared, program: Any, home: Home, settings: Settings, engine: str, cache_dir: str | None = None
) -> bytes | None:
    """Pack what a run needs; None for a run of this process that holds on to what cannot travel."""
    try:
        gathered = parcel.parcel_of(prepared, program, record_prompts=settings.record_prompts, cache_dir=cache_dir)
        return parcel.pack(gathered, home)
    except InputError:
        if engine == "process":
            raise
        return None


def launch(
    home: Home,
    job: Job,
    journal: Journal,
    told: Sequence[Payload],
    prepared: Prepared,
    pack: bytes | None,
    settings: Settings,
    engine: str,
    max_parallel: int | None = None,
) -> Job:
    """Start a run on its engine and return its handle at once.

    Parameters
    ----------
    job, journal
        The handle, and the open journal, which from here on is the run's own.
    told
        What is recorded before anything else.
    pack
        The run as :func:`packed` made it.
    """
    try:
        keep_from_here()
        if pack is not None:
            parcel.keep(pack, home, job.id)
        worker.forget(home, job.id)
        journal.append_many(told, sync=True)
        if engine == "process":
            worker.spawn(home, journal, max_parallel)
            return job
        return job.start(Execution(prepared, home, journal, settings, History.of(home, job.id)), journal)
    except BaseException:
        journal.close()  # or this process would keep alive a job that nobody runs
        raise
