"""A real kernel defines everything in its cells, starts a detached job and is killed; the job does not mind."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import dspy
import pytest
from job_kit import ends, until
from jupyter_client.manager import start_new_kernel

from skillfleet_nb import Fleet, offline_lm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_client import BlockingKernelClient, KernelManager

    from skillfleet_nb import Job

CELLS = """
%load_ext skillfleet_nb
import dspy, os, time, skillfleet_nb as sf
from typing import Literal
from skillfleet_nb.data.bundled import bundled

rows = bundled("intents")
labels = tuple(sorted({r["intent"] for r in rows}))

class Classify(dspy.Signature):
    '''Classify the message by intent.'''
    text: str = dspy.InputField()
    intent: Literal[labels] = dspy.OutputField()

class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.classify = dspy.Predict(Classify)
    def forward(self, text):
        return self.classify(text=tidy(text))

def tidy(text):
    return text.strip()

class Slow:
    def __call__(self, example, pred, trace=None):
        time.sleep(PAUSE)
        while os.path.exists("hold") and pred.completions is not None:  # not as it is tried before the run
            time.sleep(0.02)
        return same(example.intent, pred.intent)

def same(a, b):
    return a == b

PAUSE = 0.03
program, metric, train = Program(), Slow(), rows[:60]
dspy.configure(lm=sf.offline_lm())
"""
START = (
    "%skillfleet optimize program --train train --metric metric --optimizer bootstrap_random_search "
    "--set num_candidate_programs=3 --seed 3 --name nb --detach"
)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    env = {**os.environ, "SKILLFLEET_HOME": str(tmp_path / "home")}
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=600, env=env, cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> None:
    answer = client.execute_interactive(code, output_hook=lambda _: None)
    content = answer["content"]
    assert content["status"] == "ok", f"{content.get('ename')}: {content.get('evalue')}"


def kernel_pid(client: BlockingKernelClient) -> int:
    answer = client.execute_interactive(
        "", user_expressions={"pid": "__import__('os').getpid()"}, output_hook=lambda _: None
    )
    return int(answer["content"]["user_expressions"]["pid"]["data"]["text/plain"])


def done(job: Job) -> int:
    """How many calls it made, whoever paid for them."""
    progress = job.progress
    return progress.calls + progress.cached


def test_a_job_outlives_its_kernel(kernel: tuple[KernelManager, BlockingKernelClient], tmp_path: Path) -> None:
    _, client = kernel
    pid = kernel_pid(client)
    run(client, CELLS)
    hold = tmp_path / "hold"
    hold.touch()
    run(client, START)
    fleet = Fleet(tmp_path / "home")
    job = fleet.job("nb")
    until(lambda: done(job))
    os.kill(pid, signal.SIGKILL)
    assert job.state == "running"
    calls = done(job)
    hold.unlink()
    until(lambda: done(job) > calls)  # it goes on, and is seen from here
    assert job.wait()
    assert (str(job.state), ends(fleet, job.id)) == ("completed", ["completed"]), job.log()
    with dspy.context(lm=offline_lm()):
        assert job.result().program(text="We were charged twice this month").intent  # what the notebook defined


def test_a_job_of_a_dead_kernel_is_killed_resumed_and_cancelled_from_elsewhere(
    kernel: tuple[KernelManager, BlockingKernelClient], tmp_path: Path
) -> None:
    manager, client = kernel
    run(client, CELLS)
    hold = tmp_path / "hold"
    hold.touch()
    long = START.replace("=3 ", "=40 ")  # what is asked of a job is looked for every quarter of a second
    run(client, long)
    run(client, long.replace(" --detach", " --no-wait").replace("name nb", "name own"))
    fleet = Fleet(tmp_path / "home")
    job, own = fleet.job("nb"), fleet.job("own")
    until(lambda: done(job) and done(own))
    manager.shutdown_kernel(now=True)  # as a restart does
    until(lambda: own.state == "interrupted")  # the kernel's own thread went with it
    assert job.state == "running"
    os.kill(job.pid or 0, signal.SIGKILL)
    until(lambda: job.state == "interrupted")
    again = fleet.resume("nb")  # the metric of a kernel that is no more has not changed
    until(lambda: again.progress.phase)
    Fleet(tmp_path / "home").job(job.id).cancel()
    hold.unlink()
    assert again.wait()
    assert ends(fleet, job.id) == ["cancelled"]
    assert str(fleet.resume(own.id, engine="process", max_calls=1000).result().state) == "completed"
