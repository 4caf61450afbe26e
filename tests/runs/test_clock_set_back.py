"""A wall clock that is set back while jobs run neither hides a request nor repeats one, and no time runs backwards."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Counting, Data, counted_lm, program, told, until

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobState
from skillfleet_nb.store import request

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


class _Wall(datetime):
    behind = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) - _Wall.behind


@pytest.fixture
def set_back(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the clock back by two hours, for all that is written and read from then on."""
    for module in ("store.journal", "store.requests", "runs.jobs.progress", "runs.engines.launch"):
        monkeypatch.setattr(f"skillfleet_nb.{module}.datetime", _Wall)
    monkeypatch.setattr(_Wall, "behind", timedelta())
    return lambda: monkeypatch.setattr(_Wall, "behind", timedelta(hours=2))


def started(fleet: Fleet, lm: Any) -> Job:
    given = {"metric": told, "optimizer": "bootstrap_random_search", "lm": lm, "seed": 3, "num_threads": 2}
    return fleet.optimize(program(), params={"num_candidate_programs": 2}, **given, **Data().splits())


def test_requests_are_heard_in_their_order_whatever_the_clock_says(
    tmp_path: Path, set_back: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillfleet_nb.runs.execution._LOOK_S", 0.0)  # each call looks for requests
    fleet, gate = Fleet(tmp_path / "home"), threading.Event()
    lm, engine = counted_lm(Counting(gate=gate, free=30))
    job = started(fleet, lm)
    until(lambda: engine.calls > 30)
    set_back()
    request(fleet.home, job.id, "pause")
    gate.set()
    until(lambda: job.progress.paused)
    gate.clear()  # or it could be through before it is cancelled
    request(fleet.home, job.id, "unpause")
    until(lambda: not job.progress.paused)
    request(fleet.home, job.id, "cancel")
    gate.set()
    result = job.result()
    assert result.state is JobState.CANCELLED
    assert 0 < result.wall_s < 3600
    ran = fleet.sql("select wall_s, finished_at >= started_at as forward from jobs").iloc[0]
    assert ran.wall_s == pytest.approx(result.wall_s)
    assert ran.forward

    again = fleet.resume(job.id, lm=lm)  # the cancel before it is over, though it is dated two hours hence
    assert again.result().state is JobState.COMPLETED
    assert 0 < again.result().wall_s < 3600
