"""A call that never returns holds up neither a cancel, nor a limit on time, nor the end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_up import until

from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.tap import tapped
from skillfleet_nb.store import request

if TYPE_CHECKING:
    from fault_kit import Runner
    from made_up import Clock

LATER = 1e4  # seconds: beyond any limit on time, and nothing a test waits for


def hung(runner: Runner, **changed: Any) -> Any:
    """Start a job whose model hangs from its eighth call on."""
    runner.server.after(7, "hang")
    job = runner.start(**changed)
    runner.server.hung.wait()
    return job


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("asked", ["here", "elsewhere"])
def test_a_cancel_leaves_a_hung_call_behind(runner: Runner, asked: str, threads: int) -> None:
    job = hung(runner, num_threads=threads)
    if asked == "here":
        job.cancel()
    else:
        request(runner.fleet.home, job.id, "cancel")
    result = job.result()
    assert result.state is job.state is JobState.CANCELLED
    assert result.best_score == result.baseline_score
    assert 1 <= runner.calls("error like '%left behind by a stop%'") <= threads


@pytest.mark.parametrize("threads", [1, 2])
def test_a_limit_on_time_ends_a_run_whose_calls_hang(runner: Runner, clock: Clock, threads: int) -> None:
    job = hung(runner, num_threads=threads, max_minutes=LATER / 60)
    clock.forward(LATER)
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert result.stop_reason == f"budget: {LATER / 60:g} minutes"
    assert result.best_score == result.baseline_score
    assert result.verdict is None, "the model hung in the test too"


def test_a_hung_call_is_tried_again(runner: Runner, clock: Clock) -> None:
    """The provider's own time limit may be long or none: the setting holds for every model."""
    with runner.fleet.home.config.open("a", encoding="utf-8") as config:
        config.write(f"lm_timeout_s = {LATER}\n")
    runner.server.fault = lambda n: "hang" if n == 8 else None
    runner.server.on_fault = lambda: clock.forward(LATER)
    lm = runner.lm()
    del lm.kwargs["timeout"]
    job = runner.start(lm=lm, num_threads=1)  # the hung call alone is in flight as the time passes
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert "1 attempt at calls failed and was repeated" in job.progress.warnings
    assert runner.server.seen[7] in runner.server.seen[8:]


def test_a_model_that_hangs_from_the_start_fails_the_job(runner: Runner) -> None:
    with runner.fleet.home.config.open("a", encoding="utf-8") as config:
        config.write("lm_timeout_s = 0.3\n")
    runner.server.always("hang")
    lm = runner.lm(num_retries=0)
    del lm.kwargs["timeout"]
    with pytest.raises(JobError, match=r"no answer in .* s \(setting lm_timeout_s\).*raise the timeout"):
        runner.start(lm=lm).result()


_LEAVES = """
import os, sys
sys.path[:0] = {path!r}
import dspy
from made_up import program, rows, told
from skillfleet_nb import Fleet
fleet = Fleet({home!r})
lm = dspy.LM("openai/left", api_base={base!r}, api_key="k", timeout=1e6)
examples = rows(4)
job = fleet.optimize(program(), train=examples[:6], val=examples[6:11], test=examples[11:], metric=told,
                     optimizer="bootstrap_random_search", lm=lm, num_threads=2)
while not job.progress.totals.failed and job.progress.calls < 7:
    job.wait(0.05)
job.cancel()
print(job.result().state)
"""


def test_a_hung_call_does_not_hold_the_process(runner: Runner, tmp_path: Path) -> None:
    runner.server.after(7, "hang")
    path = [str(Path(__file__).parents[2] / "runs"), str(Path(__file__).parents[3])]
    code = _LEAVES.format(path=path, home=str(runner.fleet.home.root), base=runner.server.base)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split()[-1] == "cancelled"


def test_the_same_request_in_flight_twice_is_told_of(runner: Runner) -> None:
    from skillfleet_nb.lm.meter import Ledger

    gate = Gate(Ledger())
    metered = tapped(gate, runner.lm(cache=False), "task")
    held, both = threading.Event(), threading.Barrier(3)
    complete = runner.server.engine.complete

    def waits(asked: Any) -> Any:
        held.wait()
        return complete(asked)

    runner.server.engine.complete = waits  # type: ignore[method-assign]

    def ask() -> None:
        both.wait()
        metered("hello")

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    both.wait()
    until(lambda: len(runner.server.seen) == 2)
    held.set()
    for asker in askers:
        asker.join()
    assert gate.ledger.duplicates == 1
    metered("hello")
    assert gate.ledger.duplicates == 1, "one after the other is another matter"
