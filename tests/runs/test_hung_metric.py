"""A metric or a program that never returns is ended by a limit on time and by a cancel, and its best is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Data, counted_lm, exact, program, until

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState, StopKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skillfleet_nb import Job

GRACE = "lm_grace_s = 0.1\n"
LEFT = "did not return when the run was stopped: it is left behind"


class Hanging:
    """A metric that hangs from a call on, until the test is over."""

    def __init__(self, free: int) -> None:
        self.calls, self.free = 0, free
        self.reached, self.over = threading.Event(), threading.Event()
        self.__name__ = "hanging"

    def __call__(self, example: Any, pred: Any, trace: Any = None) -> bool:
        self.calls += 1
        if self.calls > self.free:
            self.reached.set()
            self.over.wait()
        return exact(example, pred)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging(free=30)
    yield made
    made.over.set()


def started(tmp_path: Path, metric: Any, **changed: Any) -> Job:
    fleet = Fleet(tmp_path / "home")
    fleet.home.ensure()
    fleet.home.config.write_text(GRACE, encoding="utf-8")
    # One thread: of two, the one that does not hang ends DSPy's evaluation at a stop, which then waits for neither.
    given = {"optimizer": "bootstrap_random_search", "lm": counted_lm()[0], "seed": 3, "num_threads": 1}
    return fleet.optimize(program(), metric=metric, **{**given, **Data().splits(), **changed})


def test_a_cancel_ends_a_metric_that_hangs_and_keeps_the_best(tmp_path: Path, hanging: Hanging) -> None:
    job = started(tmp_path, hanging)
    assert hanging.reached.wait()
    asked = time.monotonic()
    job.cancel()
    result = job.result()
    assert time.monotonic() - asked < 60, "it waits 3 s, on any machine"
    assert result.state is job.state is JobState.CANCELLED
    assert result.best_score is not None
    assert any(LEFT in note for note in job.progress.warnings)


@pytest.mark.parametrize("free", [0, 30])
def test_a_limit_on_time_ends_a_metric_that_hangs(
    tmp_path: Path, hanging: Hanging, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillfleet_nb.runs.leavable._PATIENCE_S", 0.1)
    hanging.free = free + 1  # one is tried before anything is spent
    job = started(tmp_path, hanging, max_minutes=0.05)
    result = job.result()
    assert result.stop_kind is StopKind.BUDGET
    assert "minutes" in result.stop_reason
    assert (result.best_score is None) == (free == 0)
    assert any(LEFT in note for note in job.progress.warnings)


def test_a_program_that_hangs_in_a_process_of_its_own_is_cancelled_and_its_process_ends(tmp_path: Path) -> None:
    hung, here = str(tmp_path / "hung"), os.getpid()
    calls: list[int] = []

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        import os
        import pathlib
        import threading

        calls.append(1)
        if os.getpid() != here and len(calls) > 20:
            pathlib.Path(hung).touch()
            threading.Event().wait()
        return bool(example.intent == pred.intent)

    job = started(tmp_path, metric, engine="process", lm=offline_lm())
    until((tmp_path / "hung").exists)
    pid = job.pid
    job.cancel()
    assert job.wait()
    assert job.state is JobState.CANCELLED
    until(lambda: job.pid is None)
    assert pid is not None


def test_what_hangs_before_a_run_begins_is_ended_by_its_limit_on_time(tmp_path: Path, hanging: Hanging) -> None:
    hanging.free = 0
    with pytest.raises(JobError, match=r"0.01 minutes, which went before the run began: .*no call was made"):
        started(tmp_path, hanging, max_minutes=0.01)
    assert Fleet(tmp_path / "home").jobs().empty


def test_what_hangs_before_an_evaluation_begins_is_ended_too(tmp_path: Path, hanging: Hanging) -> None:
    hanging.free = 0
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path / "home")
    with pytest.raises(JobError, match=r"0.01 minutes, which went before the run began: .*no call was made"):
        fleet.evaluate(program(), Data().splits()["test"], hanging, lm=lm, max_minutes=0.01)
    assert (engine.calls, fleet.jobs().empty) == (0, True)


@pytest.mark.parametrize(("limit", "ends"), [(None, JobState.CANCELLED), (0.05, JobState.FAILED)])
def test_what_hangs_before_a_run_begins_in_its_own_process_is_ended(
    tmp_path: Path, limit: float | None, ends: JobState
) -> None:
    hung, here = str(tmp_path / "hung"), os.getpid()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        import os
        import pathlib
        import threading

        if os.getpid() != here:
            pathlib.Path(hung).touch()
            threading.Event().wait()
        return bool(example.intent == pred.intent)

    job = started(tmp_path, metric, engine="process", lm=offline_lm(), max_minutes=limit)
    until((tmp_path / "hung").exists)
    if limit is None:
        job.cancel()
    assert job.wait()
    assert job.state is ends
    assert limit is None or job.progress.stop_kind is StopKind.BUDGET
    assert job.progress.calls == 0
    until(lambda: job.pid is None)


SCRIPT = """
import sys, threading
sys.path[:0] = {paths!r}
from made_up import Data, counted_lm, program
from skillfleet_nb import Fleet
from skillfleet_nb.runs.leavable import leave
calls = []
def metric(example, pred, trace=None):
    calls.append(1)
    if len(calls) > 20:
        print("hangs", flush=True)
        threading.Event().wait()
    return example.intent == pred.intent
job = Fleet({home!r}).optimize(program(), metric=metric, optimizer="labeled_fewshot", lm=counted_lm()[0],
                               **Data().splits())
while len(calls) <= 20:
    pass
job.cancel()
print(job.result().state, flush=True)
leave(7)
"""


def test_a_process_with_nothing_else_to_do_ends_though_a_metric_hangs_in_it(tmp_path: Path) -> None:
    code = SCRIPT.format(paths=sys.path, home=str(tmp_path / "home"))
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split()[-1]) == (7, "cancelled"), ended.stderr[-2000:]


LEAVES = """
import atexit, threading, time
from skillfleet_nb.runs.leavable import leave
atexit.register(print, "handler")
done = threading.Event()
def last():
    done.wait()
    print("thread")
threading.Thread(target=last).start()
threading.Thread(target=threading.Event().wait, daemon=True).start()
threading.Timer(0.1, done.set).start()
leave(3)
"""


def test_a_process_ends_as_python_does_after_the_threads_of_its_own_and_exit_handlers() -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVES], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (3, ["thread", "handler"], "")
