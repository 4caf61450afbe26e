"""A run in a process of its own, which outlives the kernel that asked for it.

``python -m skillfleet_nb.runs.engines.worker HOME JOB RUNS SETTING ALIVE SLOT`` opens the job's parcel and runs it.
ALIVE and SLOT are descriptors of the job's held ``alive.lock`` and of its slot, inherited, so that the job is never
without an owner on the way: whoever looks sees it alive until this process ends, however it ends.  Up to RUNS jobs of
the same SETTING share the process (see ``shared``).
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import JobState, StateChanged, StopKind
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.run_log import MARK, clean_output, run_log
from skillfleet_nb.runs.collector import collect_rarely
from skillfleet_nb.runs.engines.queue import Queue
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.leavable import leave, run_within
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import Home, Journal, read_requests, tickets
from skillfleet_nb.store.logs import log_file
from skillfleet_nb.store.redacting import redactor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.execution import Execution

_LOOK_S = 5.0  # how often it looks whether somebody starts what waits


def main(root: str, job_id: str, runs: int, setting: str, alive: int, slot: int) -> int:
    """Run the job to its end; the exit status tells whether it came to anything."""
    for descriptor in (alive, slot):  # what the program starts in its turn does not keep the job alive
        os.set_inheritable(descriptor, False)
    home = Home.find(root)
    tickets.remove(home, job_id)  # whoever started this process may have been killed before it did
    threading.Thread(target=_watch, args=(home,), name="skillfleet-queue", daemon=True).start()
    try:
        if runs > 1:
            return _shared(home, job_id, runs, setting, alive)
        with Journal(home, job_id, alive=alive) as journal:
            clean_output(journal.redactor)  # the program's modules and their threads print too
            return run_kept(home, journal, alone=True)
    finally:
        os.close(slot)
        _tend(home)


def _shared(home: Home, job_id: str, runs: int, setting: str, alive: int) -> int:
    """Run the job, and others beside it; the exit status says nothing of any."""
    from skillfleet_nb.runs.engines.shared import SharedWorker

    clean_output(redactor_of(home))
    SharedWorker(home, setting, partial(_run_shared, home)).run(job_id, alive, runs)
    return 0


def _run_shared(home: Home, journal: Journal) -> None:
    """Run a job beside others, what it prints going to its own log."""
    import dspy

    with run_log(log_file(home, journal.stream), journal.redactor) as own, dspy.context(**{MARK: own}):
        try:
            run_kept(home, journal, alone=False, logged=True)
        except BaseException:  # noqa: BLE001  this is where the run's thread ends; its journal tells how it ended
            _log_error()


def _watch(home: Home) -> None:
    """See to it, while this process runs, that somebody starts what waits: a dispatcher may be killed."""
    nap = threading.Event()
    while not nap.wait(_LOOK_S):
        _tend(home)


def _tend(home: Home) -> None:
    with suppress(SkillfleetError, OSError):  # whoever looks next is told
        Queue(home).tend()


def run_kept(home: Home, journal: Journal, *, alone: bool, logged: bool = False) -> int:
    """Run a job from its parcel; the exit status tells whether it came to anything.

    Parameters
    ----------
    journal
        The job's; it is closed by its owner.
    alone
        Whether this process runs this job and nothing else: its folder and settings are the job's.
    logged
        Whether what this thread prints goes to the job's log.
    """
    heard = EarlierAttempts.of(home, journal.stream).heard
    is_cancelled = partial(_is_cancelled, home, journal.stream, heard)
    with ExitStack() as inside:
        try:
            execution = _prepare(home, journal, is_cancelled, inside, alone=alone)
        except RunStopped as stop:
            state = JobState.CANCELLED if stop.kind is StopKind.CANCELLED else JobState.FAILED
            journal.append(StateChanged(state=state, stop_kind=stop.kind, stop_reason=stop.reason), sync=True)
            return 0 if state is JobState.CANCELLED else 1
        except BaseException as exc:  # noqa: BLE001  this is where the process ends, or the errand
            if alone or logged:
                _log_error()  # first: who hears that it failed finds the reason there
            error = f"{type(exc).__name__}: {exc}"[:1000]
            failed = StateChanged(state=JobState.FAILED, stop_kind=StopKind.ERROR, stop_reason="error", error=error)
            journal.append(failed, sync=True)
            return 1
        if alone or logged:
            return _run_logged(execution)
        execution.run()  # which tells how it ended itself
    return 0


def _run_logged(execution: Execution) -> int:
    """Run, and log what ends it before the job tells that it failed, as above; return the exit status."""
    is_logged = threading.Event()

    def log(exc: BaseException) -> None:
        _write_error("".join(traceback.format_exception(exc)))
        is_logged.set()

    try:
        execution.run(log)
    except BaseException:  # noqa: BLE001  as above
        if not is_logged.is_set():
            _log_error()
        return 1
    return 0


def _logged(root: str, job_id: str, runs: str, setting: str, *held: str) -> int:
    try:
        return main(root, job_id, int(runs), setting, *map(int, held))
    except BaseException:  # noqa: BLE001  this is where the process ends
        _log_error()
        return 1


def _log_error() -> None:
    _write_error(traceback.format_exc())


def _write_error(trace: str) -> None:
    sys.stderr.write(Redactor().text(trace))


def _is_cancelled(home: Home, job_id: str, heard: int) -> bool:
    return any(r.command == "cancel" for r in read_requests(home, job_id)[heard:])


def _prepare(
    home: Home, journal: Journal, is_cancelled: Callable[[], bool], inside: ExitStack, *, alone: bool
) -> Execution:
    from skillfleet_nb.lm.prices import stay_offline

    stay_offline()
    import dspy

    from skillfleet_nb.runs.engines.parcel import read
    from skillfleet_nb.runs.kinds import prepare_kind

    parcel = read(home, journal.stream, move=alone)
    if not alone:
        inside.enter_context(parcel.under())
    elif parcel.adapter is not None:
        dspy.configure(adapter=parcel.adapter)
    if parcel.cache_dir is None and dspy.cache.enable_disk_cache:
        dspy.configure_cache(enable_disk_cache=False)
    elif not home.is_encrypted and parcel.cache_dir not in {None, dspy.cache.disk_cache_dir}:
        dspy.configure_cache(disk_cache_dir=parcel.cache_dir)
    # on a thread of its own: the metric is tried, and may hang
    settle = partial(prepare_kind, parcel.request, Settings.load(home.config))
    prepared = run_within(settle, parcel.request.max_minutes, is_cancelled)
    return prepared.execution(home, journal, EarlierAttempts.of(home, journal.stream))


if __name__ == "__main__":
    collect_rarely()
    leave(_logged(*sys.argv[1:]))
