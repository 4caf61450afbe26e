"""Many small runs in one process: each is a job of its own, and none takes another's turn."""

from __future__ import annotations

import importlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from job_kit import bought, ends, kill, setup, until

from skillfleet_nb.runs.engines.queue import Queue, Ticket
from skillfleet_nb.runs.engines.shared import edited_since
from skillfleet_nb.store import locks, tickets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from job_kit import LoggedLM

    from skillfleet_nb import Fleet

SHARED = {"optimizer": "labeled_fewshot", "params": {"k": 2}, "max_parallel": 1, "runs_per_worker": 3}


@pytest.mark.usefixtures("preloaded")
def test_runs_share_a_process_are_cancelled_one_by_one_and_resumed_when_it_is_killed(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    models = [logged(0.05 if n == 1 else 0) for n in range(4)]  # long enough to hear that it is cancelled
    for model in models:
        model.hold(first=5)
    first, second, third, last = (fleet.optimize(**setup(model.lm, **SHARED)) for model in models)
    until(lambda: all(model.calls >= 6 for model in models[:3]))
    [pid] = {job.pid for job in (first, second, third)}
    assert pid != os.getpid()
    assert last.progress.phase == "waiting: place 1 of 1, 3 jobs at a time"
    second.cancel()
    models[1].release()
    until(lambda: second.state == "cancelled")
    until(lambda: models[3].calls >= 6)
    assert [str(job.state) for job in (first, second, third, last)] == ["running", "cancelled", "running", "running"]
    assert last.pid == pid
    kill(first)
    assert [str(job.state) for job in (first, third, last)] == ["interrupted"] * 3
    for model in models:
        model.release()
    again = [fleet.resume(job.id, runs_per_worker=3) for job in (first, third, last)]
    assert [str(job.result().state) for job in again] == ["completed"] * 3
    until(lambda: not list((fleet.home.root / "slots").glob("*-*.lock")))
    for job, model in zip((first, third, last), (models[0], *models[2:]), strict=True):
        assert ends(fleet, job.id) == ["completed"]
        assert "Average Metric" in job.log()
        assert model.calls <= bought(fleet, job.id) + 2, "those that were under way, on two threads"


def test_no_job_is_taken_past_one_that_needs_a_process_of_its_own(fleet: Fleet) -> None:
    home = fleet.home.ensure()
    own, one, two = (replace(Ticket.of_now(f"job-{n}", None, runs), asked_by="me") for n, runs in enumerate([1, 3, 3]))
    for ticket in (own, one, two):
        home.journal_dir(ticket.job_id).mkdir(parents=True)
        ticket.write(home)
    (home.root / "slots").mkdir()
    queue = Queue(home)
    assert queue.join(own.setting, [3]) == []
    assert queue.join(own.setting, [2, 2]) == []
    replace(own, keys="of somebody who is not there").write(home)
    joined = queue.join(own.setting, [3])
    assert [(claim.job_id, runs) for claim, runs in joined] == [("job-1", 3), ("job-2", 3)]
    assert [job for job, _, _ in tickets.waiting(home)] == ["job-0"]
    assert {file.read_text("utf-8") for file in (home.root / "slots").iterdir()} == {"me"}
    for claim, _ in joined:
        with pytest.raises(locks.Busy):
            locks.acquire(home.journal_dir(claim.job_id) / "alive.lock")
        os.close(claim.alive)
        queue.left(claim)
    assert not list((home.root / "slots").iterdir())


def test_a_module_that_was_edited_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    file = tmp_path / "metric_of_a_shared_worker.py"
    file.write_text("x = 1\n", "utf-8")
    os.utime(file, (now + 50, now + 50))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(file.stem)
    assert not edited_since(now + 100)
    os.utime(file, (now + 200, now + 200))
    assert edited_since(now + 100)
