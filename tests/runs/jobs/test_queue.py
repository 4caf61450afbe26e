"""More jobs than may run at a time: they wait without a process, and start whoever is killed."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest
from job_kit import ends, kill, setup, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.runs.engines.queue import Queue, Ticket, in_turn, place_in_words
from skillfleet_nb.store import locks, tickets

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

TINY = {"optimizer": "labeled_fewshot", "params": {"k": 2}}


def dispatchers(fleet: Fleet) -> list[psutil.Process]:
    """Find the processes that start what waits in a home."""
    wanted = ["skillfleet_nb.runs.engines.dispatcher", str(fleet.home.root)]
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[2:4] == wanted]


def taken_slot(fleet: Fleet) -> int:
    """Take the place of a job that runs."""
    (fleet.home.ensure().root / "slots").mkdir()
    return locks.acquire(fleet.home.root / "slots" / "0.lock")


@pytest.mark.usefixtures("preloaded")
def test_what_waits_has_a_place_and_no_process_and_can_be_held_and_cancelled(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    fleet.home.ensure().config.write_text("max_parallel = 1\n")
    model, slot = logged(), taken_slot(fleet)
    held, dropped, last = (fleet.optimize(**setup(model.lm, **TINY, seed=n)) for n in range(3))
    assert [str(job.state) for job in (held, dropped, last)] == ["pending"] * 3
    assert [job.pid for job in (held, dropped, last)] == [None] * 3
    assert last.progress.phase == "waiting: place 3 of 3, 1 job at a time"
    assert len(dispatchers(fleet)) == 1
    other = Fleet(fleet.home.root)
    assert "interrupted" not in set(other.jobs().state)
    other.job(held.id).pause()
    assert held.progress.paused
    dropped.cancel()
    assert ends(fleet, dropped.id) == ["cancelled"]
    assert last.progress.phase == "waiting: place 1 of 1, 1 job at a time"
    with pytest.raises(JobError, match="waits in the queue"):
        fleet.store.discard({last.id: last.name})
    os.close(slot)
    assert last.wait()
    assert (str(held.state), held.progress.phase) == ("pending", "waiting, held: unpause lets it start")
    until(lambda: not dispatchers(fleet))  # nobody waits for a held one
    held.unpause()
    assert held.result().state == "completed"
    assert ends(fleet, held.id) == ["completed"]


@pytest.mark.usefixtures("preloaded")
def test_who_looks_starts_what_waits_when_worker_and_dispatcher_were_killed(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    slot = taken_slot(fleet)
    job = fleet.optimize(**setup(logged().lm, **TINY), max_parallel=1)
    for process in dispatchers(fleet):
        process.kill()
    until(lambda: not dispatchers(fleet))
    os.close(slot)  # as the worker dies
    assert job.state == "pending"
    assert len(Fleet(fleet.home.root).jobs()) == 1
    assert job.result().state == "completed"


@pytest.mark.usefixtures("preloaded")
def test_a_running_worker_starts_a_dispatcher_in_place_of_a_killed_one(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    model = logged()
    model.hold()
    first = fleet.optimize(**setup(model.lm), max_parallel=1)
    until(lambda: model.calls)
    fleet.optimize(**setup(model.lm, **TINY), max_parallel=1)
    [killed] = dispatchers(fleet)
    killed.kill()
    killed.wait()
    until(lambda: [p.pid for p in dispatchers(fleet) if p.pid != killed.pid])
    fleet.job(fleet.jobs().job_id[0]).cancel()
    kill(first)


def test_those_who_ask_take_turns() -> None:
    def ticket(at: int, by: str) -> Ticket:
        return Ticket(f"{by}-{at}", at, by, None, "python", "/", {}, "")

    waiting = [ticket(n, "many") for n in range(4)] + [ticket(9, "one")]
    assert [t.job_id for t in in_turn(waiting, Counter())] == ["many-0", "one-9", "many-1", "many-2", "many-3"]
    assert in_turn(waiting, Counter(many=2))[0].job_id == "one-9"


def test_a_forged_ticket_starts_nothing(fleet: Fleet) -> None:
    tickets.write(fleet.home.ensure(), "job-1", b'{"job_id": "job-1", "python": "/bin/false"}')
    assert Queue(fleet.home).order() == []


def test_a_ticket_holds_no_secret_of_the_environment(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "0123-planted")
    monkeypatch.setenv("SOME_PROXY", "http://me:planted-too@host")
    fleet.home.ensure()
    Ticket.of_now("job-1", None).write(fleet.home)
    [(_, file, _)] = tickets.waiting(fleet.home)
    assert b"planted" not in file.read_bytes()
    assert len(Queue(fleet.home).startable()) == 1
    monkeypatch.setenv("SOME_API_KEY", "another")
    assert Queue(fleet.home).startable() == []  # it would run without its key
    assert "the keys it was asked for with" in place_in_words(fleet.home, "job-1")


def test_settings_that_cannot_be_read_keep_what_waits_waiting(fleet: Fleet) -> None:
    fleet.home.ensure().config.write_text("max_parallel = 'many'\n")
    Ticket.of_now("job-1", None).write(fleet.home)
    assert "setting 'max_parallel'" in place_in_words(fleet.home, "job-1")
    assert fleet.jobs().empty
    assert tickets.is_queued(fleet.home, "job-1")


@pytest.mark.usefixtures("preloaded")
def test_the_setting_can_be_raised_while_jobs_wait(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
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
@pytest.mark.parametrize("name", ["max_parallel", "runs_per_worker"])
def test_limits_of_the_queue_are_checked(
    name: str, given: object, fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    with pytest.raises(InputError, match="whole number from 1"):
        fleet.optimize(**setup(logged().lm), **{name: given})
    with pytest.raises(InputError, match="processes of their own"):
        fleet.optimize(**setup(logged().lm, engine="thread"), **{name: 2})
    assert fleet.jobs().empty
