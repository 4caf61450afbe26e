"""Cancelling from any process, at any moment: one end, the best program kept."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from job_kit import THREADS, ends, events, kill, setup, until

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

    from skillfleet_nb import Job

pytestmark = pytest.mark.usefixtures("preloaded")


def from_elsewhere(fleet: Fleet, *command: str) -> str:
    code = "import sys; from skillfleet_nb.cli import main; sys.exit(main(sys.argv[1:]))"
    args = [sys.executable, "-c", code, *command, "--home", str(fleet.home.root)]
    return subprocess.run(args, capture_output=True, text=True, check=True).stdout


def phase(job: Job) -> str:
    return job.progress.phase


def test_in_the_queue(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold()
    first = fleet.optimize(**setup(model.lm), max_parallel=1)
    until(lambda: model.calls)
    second = fleet.optimize(**setup(model.lm), max_parallel=1, name="waits")
    until(lambda: "waiting" in phase(second))
    calls = model.calls
    assert "stops at its next call" in from_elsewhere(fleet, "cancel", "waits")
    assert second.wait()
    assert (str(second.state), ends(fleet, second.id), model.calls) == ("cancelled", ["cancelled"], calls)
    kill(first)


@pytest.mark.parametrize(
    ("moment", "split"), [("scoring the program as it is", "val"), ("searching", "train"), ("sealed test", "test")]
)
def test_while_it_runs(
    moment: str, split: str, fleet: Fleet, logged: Callable[..., LoggedLM], capsys: pytest.CaptureFixture[str]
) -> None:
    model = logged(latency_s=0.05)
    model.hold_on(split)
    job = fleet.optimize(**setup(model.lm, name="stop me"))
    until(lambda: moment in phase(job) and model.calls)
    job.cancel()
    Fleet(fleet.home.root).job("stop me").cancel()  # and once more, as another
    before = model.calls
    model.release()
    assert job.wait()
    assert ends(fleet, job.id) == ["cancelled"]
    # A look at the control file every quarter of a second, five calls long, then those in flight.
    assert model.calls - before <= THREADS * 6
    if moment == "scoring the program as it is":
        return
    result = job.result()
    assert result.summary.startswith("cancelled, best of ")
    assert result.best_score is not None
    told = events(fleet, job.id, "result")
    assert len(told) == 1
    best = max(t["score"] for t in events(fleet, job.id, "trial") if t["split"] == "val" and t["full_eval"])
    assert told[0]["best_score"] == best
    job.cancel()  # of a finished job: nothing
    main(["cancel", "stop me", "--home", str(fleet.home.root)])
    assert "is cancelled already" in capsys.readouterr().out
    assert ends(fleet, job.id) == ["cancelled"]


def test_cancel_then_resume_runs_to_the_end(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(latency_s=0.02)
    model.hold_on("train")
    job = fleet.optimize(**setup(model.lm))
    until(lambda: "searching" in phase(job))
    from_elsewhere(fleet, "cancel", job.id)
    model.release()
    assert job.wait()
    assert ends(fleet, job.id) == ["cancelled"]
    again = fleet.resume(job.id)
    assert str(again.state) in {"pending", "running"}
    result = again.result()
    assert (str(result.state), result.verdict is not None) == ("completed", True)
    assert ends(fleet, job.id) == ["cancelled", "completed"]
    assert model.calls <= result.lm_calls + THREADS


def test_a_job_of_a_thread_is_cancelled_by_another_process(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(latency_s=0.02)
    model.hold_on("train")
    job = fleet.optimize(**setup(model.lm, engine="thread"))
    until(lambda: "searching" in phase(job))
    from_elsewhere(fleet, "cancel", job.id)
    model.release()
    assert job.result().stop_reason == "cancelled"


def test_watch_shows_another_process_live(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold_on("val")
    job = fleet.optimize(**setup(model.lm, name="seen"))
    code = "import sys; sys.stderr.isatty = lambda: True; from skillfleet_nb.cli import main; main(sys.argv[1:])"
    args = [sys.executable, "-u", "-c", code, "watch", "seen", "--home", str(fleet.home.root)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        seen = ""
        for split, phase_of_it in (("train", "as it is"), ("test", "searching"), ("", "sealed test")):
            while phase_of_it not in seen:  # it grows before the eyes
                told = watching.stderr.read(1)
                assert told, seen
                seen += told
            model.hold_on(split) if split else model.release()
        told, shown = watching.stderr.read(), watching.stdout.read()
    assert "trial" in seen
    assert "calls" in seen
    assert "completed" in told
    assert "completed" in shown
    assert watching.returncode == 0
    assert job.state == "completed"
