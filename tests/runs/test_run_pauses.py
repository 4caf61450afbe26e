"""A paused run makes no call, spends no time, and can be gone on with or stopped."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, program, told, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState
from skillfleet_nb.lm.faults import RetryPolicy
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.tap import tapped
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb import Job


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "home")


def started(fleet: Fleet, lm: Any, **changed: Any) -> Job:
    given = {"metric": told, "optimizer": "bootstrap_random_search", "lm": lm, "seed": 3, "num_threads": 2}
    given["params"] = {"num_candidate_programs": 4}  # a search that is still at work at its 40th call
    return fleet.optimize(program(), **{**given, **Data().splits(), **changed})


def asking_in_the_middle(ask: Callable[[Job], None], latency_s: float) -> tuple[dspy.LM, Counting, Future[Job]]:
    """Make a model that asks something of the job, given later, with its 40th call."""
    job: Future[Job] = Future()

    def at_forty(n: int) -> None:
        if n == 40:
            ask(job.result())

    return (*counted_lm(Counting(at_forty, latency_s=latency_s)), job)


def paused(fleet: Fleet, **changed: Any) -> tuple[Job, Counting]:
    """Start a job, pause it in the middle of its search, and let what is in flight end."""
    lm, engine, given = asking_in_the_middle(lambda job: job.pause(), 0.005)
    job = started(fleet, lm, **changed)
    given.set_result(job)
    until(lambda: job.progress.paused)
    assert job._execution is not None
    assert job._execution.ledger.drain(600)  # of calls admitted, too, that have not reached the engine
    return job, engine


def test_no_call_is_made_and_the_clock_stands_still_until_it_goes_on(fleet: Fleet) -> None:
    job, engine = paused(fleet)
    calls, elapsed = engine.calls, job.progress.elapsed_s
    assert not job.wait(0.3)
    assert engine.calls == calls
    assert job.progress.elapsed_s == elapsed
    assert (job.state, job.progress.state_in_words) == (JobState.RUNNING, "paused")
    assert job.progress.line().endswith("paused")
    job.pause()  # twice is once
    job.unpause()
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert not job.progress.paused
    assert engine.calls > calls
    kinds = fleet.sql("select payload->>'$.paused' as paused from events where kind = 'paused' order by seq").paused
    assert kinds.tolist() == ["true", "false"]
    wall_s = result.wall_s
    row = fleet.sql("select wall_s, epoch(finished_at) - epoch(started_at) as span from jobs").iloc[0]
    paused_s = fleet.sql("select epoch(max(e.at)) - epoch(min(e.at)) as s from events e where kind = 'paused'").s[0]
    assert paused_s >= 0.3
    assert wall_s == pytest.approx(row.span - paused_s, abs=1e-5)
    told = [
        row.wall_s,
        job.progress.elapsed_s,
        Fleet(fleet.home.root).job(job.id).result().wall_s,
        EarlierAttempts.of(fleet.home, job.id).seconds,
        fleet.sql("select actual_wall_s as s from recommendations").s[0],
    ]
    assert told == [pytest.approx(wall_s, abs=1e-5)] * len(told)
    assert job.picture()["elapsed_s"] == round(wall_s, 2)
    job.pause()  # of a finished job: nothing
    assert job.state is JobState.COMPLETED


def test_it_is_shown_as_paused_once_the_calls_under_way_have_ended(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold, free=40))
    job = started(fleet, lm)
    until(lambda: engine.calls == 42)  # the two that the gate holds
    job.pause()
    assert job._execution is not None
    assert job._execution.ledger.is_held
    assert not job.progress.paused
    assert job.progress.state_in_words == "running"
    hold.set()
    until(lambda: job.progress.paused)
    assert engine.flying == 0
    assert engine.calls == job.progress.calls == 42
    job.unpause()
    assert job.result().state is JobState.COMPLETED


def test_of_a_pause_that_is_taken_back_at_once_nothing_is_shown(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold, free=40))
    job = started(fleet, lm)
    until(lambda: engine.calls == 42)  # the two that the gate holds
    job.pause()
    job.unpause()
    hold.set()
    assert job.result().state is JobState.COMPLETED
    assert fleet.sql("select * from events where kind = 'paused'").empty


def test_a_paused_run_can_be_stopped_and_keeps_its_best(fleet: Fleet) -> None:
    job, _ = paused(fleet)
    job.cancel()
    result = job.result()
    assert (result.state, result.stop_reason) == (JobState.CANCELLED, "cancelled")
    assert result.best_score is not None
    assert job.progress.state_in_words == "cancelled"


def test_a_pause_is_heard_from_another_process(fleet: Fleet) -> None:
    def elsewhere(job: Job) -> Job:
        return Fleet(fleet.home.root).job(job.id)  # known from its record alone, as to another process

    lm, engine, given = asking_in_the_middle(lambda job: elsewhere(job).pause(), 0.02)
    job = started(fleet, lm)
    given.set_result(job)
    other = elsewhere(job)
    until(lambda: other.progress.paused)
    until(lambda: engine.flying == 0)
    other.unpause()
    until(lambda: not job.progress.paused)
    assert job.result().state is JobState.COMPLETED


def test_pausing_by_command(fleet: Fleet) -> None:
    from skillfleet_nb.cli import main

    job, _ = paused(fleet, name="held")
    assert main(["unpause", "held", "--home", str(fleet.home.root)]) == 0
    assert job.result().state is JobState.COMPLETED
    assert main(["pause", "held", "--home", str(fleet.home.root)]) == 0
    assert not job.progress.paused


def test_what_unpausing_a_finished_job_says_can_be_done(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    from skillfleet_nb.cli import main

    for name, limits in (("whole", {}), ("limited", {"max_calls": 30})):
        lm, _ = counted_lm()
        started(fleet, lm, name=name, **limits).result()
        assert main(["unpause", name, "--home", str(fleet.home.root)]) == 0
    said = capsys.readouterr().out
    assert "whole is completed already" in said
    assert "limited is completed, budget: 30 calls: skillfleet resume limited with a larger limit goes on" in said
    with pytest.raises(JobError, match="nothing left to resume"):
        fleet.resume("whole")
    assert fleet.resume("limited", max_calls=40, lm=lm).result().state is JobState.COMPLETED


def test_a_limit_on_time_does_not_run_while_paused() -> None:
    ledger = Ledger()
    assert ledger.pause()
    assert not ledger.pause()
    at = ledger.elapsed_s
    threading.Event().wait(0.02)
    assert ledger.elapsed_s == at
    assert ledger.held_s >= 0.02
    assert ledger.unpause()
    assert not ledger.unpause()
    assert at <= ledger.elapsed_s
    ledger.stop("cancelled", "enough")
    assert not ledger.pause()


def test_a_retry_waits_for_the_end_of_a_pause() -> None:
    waiting = threading.Event()
    ledger = Ledger(retry_policy=RetryPolicy(retry_delay_s=0.0), on_wait=waiting.set)

    def breaks_once(n: int) -> None:
        if n == 1:
            ledger.pause()
            raise dspy.lm15.TransportError("gone for a moment")

    lm, engine = counted_lm(Counting(breaks_once))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(tapped(Gate(ledger), lm, "task"), "hello")
        assert waiting.wait()
        assert engine.calls == 1
        assert ledger.is_paused
        ledger.unpause()
        assert answer.result()
    assert engine.calls == 2


def test_an_asynchronous_call_waits_and_is_stopped() -> None:
    waiting = threading.Event()
    ledger = Ledger(on_wait=waiting.set)
    lm, engine = counted_lm()
    metered = tapped(Gate(ledger), lm, "task")
    ledger.pause()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lambda: asyncio.run(metered.acall("hello")))
        assert waiting.wait()
        ledger.stop("cancelled", "enough")
        with pytest.raises(RunStopped, match="enough"):
            call.result()
    assert engine.calls == 0


def test_what_is_asked_twice_during_a_pause_is_bought_once() -> None:
    waiting, hold = set(), threading.Event()
    ledger = Ledger(on_wait=lambda: waiting.add(threading.get_ident()))
    lm, engine = counted_lm(Counting(gate=hold))
    metered = tapped(Gate(ledger), lm, "task")
    ledger.pause()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(metered, "hello") for _ in range(2)]
        until(lambda: len(waiting) == 2)
        ledger.unpause()
        assert engine.reached.wait()
        hold.set()
        assert calls[0].result() == calls[1].result()
    assert (engine.calls, ledger.totals.cached, ledger.duplicates) == (1, 1, 0)
