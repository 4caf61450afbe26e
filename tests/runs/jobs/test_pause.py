"""Pausing a job of another process, from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from job_kit import ends, kill, setup, until
from test_cancel import from_elsewhere

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

pytestmark = pytest.mark.usefixtures("preloaded")

MANY = {"num_candidate_programs": 12, "max_labeled_demos": 4}


def test_pause_go_on_and_cancel_from_a_shell(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(latency_s=0.02)
    model.hold_on("train")
    job = fleet.optimize(**setup(model.lm, name="held", params=MANY))
    until(lambda: "searching" in job.progress.phase)
    assert "makes no further call" in from_elsewhere(fleet, "pause", "held")
    model.release()
    until(lambda: job.progress.paused)
    calls = until(lambda: model.calls == job.progress.calls and model.calls)
    assert list(fleet.jobs("paused").name) == ["held"]
    assert "paused" in str(Fleet(fleet.home.root).job("held")), "known from its record alone"
    assert model.calls == calls
    model.hold()
    assert "goes on" in from_elsewhere(fleet, "unpause", "held")
    until(lambda: model.calls > calls)
    job.pause()
    model.release()
    until(lambda: job.progress.paused)
    job.cancel()
    assert job.wait()
    assert ends(fleet, job.id) == ["cancelled"]


def test_a_paused_job_that_is_killed_reads_interrupted_and_can_be_resumed(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    model = logged(latency_s=0.02)
    model.hold_on("train")
    job = fleet.optimize(**setup(model.lm, params=MANY))
    until(lambda: "searching" in job.progress.phase)
    job.pause()
    model.release()
    until(lambda: job.progress.paused)
    kill(job)
    assert (str(job.state), job.progress.paused) == ("interrupted", False)
    assert str(fleet.resume(job.id).result().state) == "completed"
