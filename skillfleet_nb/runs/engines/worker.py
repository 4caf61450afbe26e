"""A run in a process of its own, which outlives the kernel that asked for it.

``python -m skillfleet_nb.runs.engines.worker HOME JOB LOCK`` opens the job's parcel and runs it.  LOCK is the
descriptor of the job's held ``alive.lock``, inherited, so that the job is never without an owner on
the way: whoever looks sees it alive until this process ends, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState, Phase, StateChanged, StopKind
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.run_log import clean_output
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.leavable import leave, run_within
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import Home, Journal, is_alive, locks, read_requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb.runs.execution import Execution

_MODULE = "skillfleet_nb.runs.engines.worker"  # not __name__: as the worker that is __main__
_PID = "pid"
_LOOK_S = 0.5  # how often a waiting job looks for a free slot


def spawn(home: Home, journal: Journal, max_parallel: int | None = None) -> None:
    """Start a worker on the job of `journal`, which is handed over: the caller must not write to it again.

    Parameters
    ----------
    home, journal
        The home and the job's journal, open.
    max_parallel
        In place of the setting: the worker waits until fewer than so many of the home run.
    """
    alive = journal.hand_over()
    env = dict(os.environ)
    if max_parallel is not None:
        env["SKILLFLEET_MAX_PARALLEL"] = str(max_parallel)
    try:
        with (home.journal_dir(journal.stream) / "output.log").open("ab") as log:
            # -u: what is printed is in the log at once, and stays there if the process is killed.
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-u", "-m", _MODULE, str(home.root), journal.stream, str(alive)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,  # no terminal, server or kernel takes it along when it ends
                pass_fds=[alive],
            )
        _pid_file(home, journal.stream).write_text(f"{process.pid}\n", "utf-8")
    finally:
        os.close(alive)


def refuse_too_many(home: Home) -> None:
    """Refuse a further worker where as many as may be run or wait: each is a process, also while it waits.

    Raises
    ------
    JobError
        Saying what can be done.
    """
    most = Settings.load(home.config).max_detached
    there = sum(is_alive(home, file.parent.name) for file in home.journal.glob(f"*/{_PID}"))
    if there >= most:
        raise JobError(
            f"{there} detached jobs run or wait here, and no more than {most} may: each is a process of some 40 MB; "
            f"wait for some, cancel some ({as_typed('jobs --state pending')}), or raise max_detached in {home.config}"
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


def main(root: str, job_id: str, alive: int) -> int:
    """Run the job to its end; the exit status tells whether it came to anything."""
    os.set_inheritable(alive, False)  # what the program starts in its turn does not keep the job alive
    home = Home.find(root)
    with Journal(home, job_id, alive=alive) as journal:
        clean_output(journal.redactor)  # the program's modules and their threads print too
        heard = EarlierAttempts.of(home, job_id).heard
        is_cancelled = partial(_is_cancelled, home, job_id, heard)
        try:
            slot = _slot(home, journal, is_cancelled)
            execution = _prepare(home, journal, is_cancelled)
        except RunStopped as stop:
            state = JobState.CANCELLED if stop.kind is StopKind.CANCELLED else JobState.FAILED
            journal.append(StateChanged(state=state, stop_kind=stop.kind, stop_reason=stop.reason), sync=True)
            return 0 if state is JobState.CANCELLED else 1
        except BaseException as exc:  # noqa: BLE001  this is where the process ends
            _log_error()  # first: who hears that it failed finds the reason there
            error = f"{type(exc).__name__}: {exc}"[:1000]
            failed = StateChanged(state=JobState.FAILED, stop_kind=StopKind.ERROR, stop_reason="error", error=error)
            journal.append(failed, sync=True)
            return 1
        try:
            execution.run()  # which tells how it ended itself
        finally:
            os.close(slot)
    return 0


def _logged(root: str, job_id: str, alive: int) -> int:
    try:
        return main(root, job_id, alive)
    except BaseException:  # noqa: BLE001  this is where the process ends
        _log_error()
        return 1


def _log_error() -> None:
    sys.stderr.write(Redactor().text(traceback.format_exc()))


def _is_cancelled(home: Home, job_id: str, heard: int) -> bool:
    return any(r.command == "cancel" for r in read_requests(home, job_id)[heard:])


def _slot(home: Home, journal: Journal, is_cancelled: Callable[[], bool]) -> int:
    """Wait until fewer than ``max_parallel`` workers of this home run; raises `RunStopped` if cancelled meanwhile."""
    # Locks, so that the slot of a killed worker is free at once.
    folder = home.root / "slots"
    folder.mkdir(exist_ok=True)
    announced = 0
    while not is_cancelled():
        slots = Settings.load(home.config).max_parallel or os.cpu_count() or 1
        for number in range(slots):
            try:
                return locks.acquire(folder / f"{number}.lock")
            except locks.Busy:
                continue
        if announced != slots:
            journal.append(Phase(text=f"waiting: {slots} jobs run at a time (setting max_parallel)"))
            announced = slots
        time.sleep(_LOOK_S)
    raise RunStopped(StopKind.CANCELLED, "cancelled")


def _prepare(home: Home, journal: Journal, is_cancelled: Callable[[], bool]) -> Execution:
    from skillfleet_nb.lm.prices import stay_offline

    stay_offline()
    import dspy

    from skillfleet_nb.runs.engines.parcel import read
    from skillfleet_nb.runs.kinds import prepare_kind

    parcel = read(home, journal.stream, move=True)
    if parcel.adapter is not None:
        dspy.configure(adapter=parcel.adapter)
    if parcel.cache_dir is None:
        dspy.configure_cache(enable_disk_cache=False)
    elif parcel.cache_dir != dspy.cache.disk_cache_dir:
        dspy.configure_cache(disk_cache_dir=parcel.cache_dir)
    # on a thread of its own: the metric is tried, and may hang
    settle = partial(prepare_kind, parcel.request, Settings.load(home.config))
    prepared = run_within(settle, parcel.request.max_minutes, is_cancelled)
    return prepared.execution(home, journal, EarlierAttempts.of(home, journal.stream))


if __name__ == "__main__":
    leave(_logged(sys.argv[1], sys.argv[2], int(sys.argv[3])))
