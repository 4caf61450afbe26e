"""More jobs than may run at a time: they wait, hold little memory, and all finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest
from job_kit import ends, kill, setup, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

TINY = {"optimizer": "labeled_fewshot", "params": {"k": 2}}


def test_more_than_may_run_or_wait_are_refused_before_anything_is_kept(
    fleet: Fleet, logged: Callable[..., LoggedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLFLEET_MAX_DETACHED", "1")
    model = logged()
    model.hold()
    first = fleet.optimize(**setup(model.lm, **TINY))
    with pytest.raises(JobError, match=r"1 detached jobs run or wait here, and no more than 1 may.*max_detached"):
        fleet.optimize(**setup(model.lm, **TINY))
    assert len(fleet.jobs()) == 1
    model.release()
    assert first.wait()
    until(lambda: first.pid is None)
    assert fleet.optimize(**setup(model.lm, **TINY)).wait()


@pytest.mark.usefixtures("preloaded")
def test_six_jobs_two_at_a_time(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold()
    jobs = [fleet.optimize(**setup(model.lm, **TINY, seed=n), max_parallel=2) for n in range(6)]
    other = Fleet(fleet.home.root)
    until(lambda: other.jobs().state.tolist().count("running") == 2)
    model.release()

    def over() -> bool:
        states = other.jobs().state.tolist()
        assert "interrupted" not in states
        return all(s == "completed" for s in states)

    until(over)
    assert all(ends(fleet, job.id) == ["completed"] for job in jobs)
    ran = fleet.jobs()
    for start in ran.started_at:
        assert ((ran.started_at <= start) & (start < ran.finished_at)).sum() <= 2


def test_a_waiting_worker_is_small_and_takes_the_slot_of_a_killed_one(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    model = logged()
    model.hold()
    first = fleet.optimize(**setup(model.lm), max_parallel=1)
    until(lambda: model.calls)
    second = fleet.optimize(**setup(model.lm, **TINY), max_parallel=1)
    until(lambda: "waiting: 1 jobs" in second.progress.phase)
    assert second.state == "pending"
    process = psutil.Process(second.pid)
    assert process.memory_info().rss < 64 << 20
    assert not [m for m in process.memory_maps() if "/dspy/" in m.path or "duckdb" in m.path or "numpy" in m.path]
    kill(first)
    model.release()
    assert second.result().state == "completed"


@pytest.mark.usefixtures("preloaded")
def test_the_setting_can_be_raised_while_jobs_wait(
    fleet: Fleet, logged: Callable[..., LoggedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.home.ensure().config.write_text("max_parallel = 1\n")
    model = logged()
    model.hold()
    jobs = [fleet.optimize(**setup(model.lm, seed=n)) for n in range(2)]
    until(lambda: sorted(str(j.state) for j in jobs) == ["pending", "running"])
    fleet.home.config.write_text("max_parallel = 2\n")
    until(lambda: all(j.state == "running" for j in jobs))
    assert all(job.pid for job in jobs)
    for job in jobs:
        kill(job)
    assert [str(job.state) for job in jobs] == ["interrupted", "interrupted"]


@pytest.mark.parametrize("given", [0, -1, 1.5, True])
def test_max_parallel_is_checked(given: object, fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    with pytest.raises(InputError, match="whole number from 1"):
        fleet.optimize(**setup(logged().lm), max_parallel=given)
    with pytest.raises(InputError, match="processes of their own"):
        fleet.optimize(**setup(logged().lm, engine="thread"), max_parallel=2)
    assert fleet.jobs().empty
