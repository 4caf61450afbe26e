"""Starting a prepared run: what it needs is kept first, then it is told of, then it runs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.events import JobCreated, JobState, Resumed, StateChanged
from skillfleet_nb.lm.answer_cache import answers_folder
from skillfleet_nb.runs.engines import processes
from skillfleet_nb.runs.engines.executors import lend, refuse_dead
from skillfleet_nb.runs.engines.parcel import Parcel, keep
from skillfleet_nb.runs.engines.queue import Queue, Ticket
from skillfleet_nb.runs.interrupts import keep_from_here
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.runs.request import engine_name
from skillfleet_nb.store import Journal, Trail, read_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.events import Payload
    from skillfleet_nb.runs.jobs.progress import Progress
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.store import Home


def start(home: Home, prepared: Prepared, explain: Callable[[Prepared], Sequence[Payload]]) -> Job:
    """Start a run as a new job, and return its handle at once.

    Parameters
    ----------
    home
        Where.
    prepared
        The run.
    explain
        Tells what is recorded with the job's making: how it was chosen, and what is forecast of it.
    """
    request, spec = prepared.request, prepared.spec
    job_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    packed = _packed(prepared, home)
    created = JobCreated(
        name=request.name or f"{spec.optimizer}-{job_id[-6:]}",
        optimizer=spec.optimizer,
        program=spec.program,
        metric=spec.metric,
        engine=engine_name(request.engine),
        seed=spec.seed,
        budget_usd=spec.budget.usd,
        tags=tuple(request.tags),
        domain=(request.domain or "").strip() or None,
        spec=spec.model_dump(mode="json"),
    )
    events = [created, *explain(prepared)]
    Trail(home).record("job.start", job_id, created.name)
    return _launch(Job(home, job_id, created.name), Journal(home, job_id), events, prepared, packed)


def start_again(home: Home, prepared: Prepared, before: Progress, cache_dir: str | None) -> Job:
    """Start a further attempt at a job, and return its handle at once.

    Parameters
    ----------
    home, prepared
        As for :func:`start`.
    before
        Where the job was when this was asked.
    cache_dir
        Folder of DSPy's cache that the job has used so far.

    Raises
    ------
    JobError
        If somebody else was faster.
    """
    packed = _packed(prepared, home, cache_dir)
    job = Job(home, before.job_id)
    journal = Journal(home, job.id)
    if job.progress.attempts != before.attempts:
        journal.close()
        raise JobError(f"job {before.name!r} was just resumed by another process: watch it")
    heard = len(read_requests(home, job.id))
    Trail(home).record("job.resume", job.id, before.name)
    resumed = Resumed(attempt=before.attempts + 1, budget=prepared.spec.budget.model_dump(), heard=heard)
    return _launch(job, journal, [resumed, StateChanged(state=JobState.PENDING)], prepared, packed, cache_dir)


def _packed(prepared: Prepared, home: Home, cache_dir: str | None = None) -> bytes | None:
    """Pack what a run needs; None for a run of this process that holds on to what cannot travel."""
    refuse_dead(prepared.request.engine)
    try:
        return Parcel.of(home, prepared.request, cache_dir).packed
    except InputError:
        if prepared.request.engine != "thread":
            raise
        return None


def _launch(
    job: Job,
    journal: Journal,
    events: Sequence[Payload],
    prepared: Prepared,
    packed: bytes | None,
    cache_dir: str | None = None,
) -> Job:
    """Start a run on its engine; the journal, which is open, is the run's own from here on."""
    home = job.home
    try:
        keep_from_here()
        if packed is not None:
            keep(packed, home, job.id)
        processes.forget(home, job.id)
        journal.append_many(events, sync=True)
        if prepared.request.engine == "process":
            asked = prepared.request
            Ticket.of_now(job.id, asked.max_parallel, asked.runs_per_worker, cache_dir or answers_folder(home)).write(
                home
            )
            journal.close()
            Queue(home).tend()
            return job
        if not isinstance(engine := prepared.request.engine, str):
            journal.close()
            lend(home, job.id, engine)
            return job
        return job.start(prepared.execution(home, journal, EarlierAttempts.of(home, job.id)), journal)
    except BaseException:
        journal.close()  # or this process would keep alive a job that nobody runs
        raise
