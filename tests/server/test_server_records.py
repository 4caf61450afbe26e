"""A run over HTTP leaves the records that a local one leaves, through cancelling and resuming."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import dspy

from skillfleet_nb import Fleet, RemoteFleet, offline_lm
from skillfleet_nb.events import JobState
from skillfleet_nb.store import Home, follow

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from conftest import Server

GATED = """
import time
from pathlib import Path
import dspy
from skillfleet_nb.lm.everywhere import here
program = dspy.Predict("number -> parity")
GATE = Path(__file__).with_name("gate")  # a pipe
def same(example, prediction, trace=None):
    if trace is not None and GATE.exists():  # in the search
        with GATE.open("rb") as gate:  # until the test opens the other end
            gate.read()
        while not here().closed:  # until the run has seen that it is cancelled
            time.sleep(0.02)
    return example.parity == prediction.parity
"""
ROWS = [{"number": str(n), "parity": "odd" if n % 2 else "even"} for n in range(24)]
TASK = {
    "train": ROWS, "optimizer": "bootstrap_random_search", "params": {"num_candidate_programs": 1}, "num_threads": 1,
    "name": "watched",
}  # fmt: skip
OF_EACH = {"call_id", "latency_s"} | {"engine", "heard"}  # the last are where it ran, and how it was told to stop


def records(home: Home, job: str) -> list[dict[str, Any]]:
    """Return what a job recorded, without times and ids."""
    return [event.payload.model_dump(mode="json", exclude=OF_EACH) for event in follow(home, job).poll()]


def to_its_end(fleet: Any, gate: Path, **task: Any) -> str:
    """Start a run, cancel it in the middle of its search, resume it, wait for its end; return its id."""
    os.mkfifo(gate)
    job = fleet.optimize(**TASK, **task)
    with gate.open("wb"):  # which waits until the run has come to it
        job.cancel()
        gate.unlink()
    assert job.wait(300)
    assert job.state is JobState.CANCELLED
    again = fleet.resume("watched")
    assert again.wait(300)
    assert again.state is JobState.COMPLETED
    return str(again.id)


def test_a_run_over_http_leaves_the_records_of_a_local_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.root / "gated.py").write_text(GATED)
    monkeypatch.syspath_prepend(str(server.root))
    gated, gate = importlib.import_module("gated"), server.root / "gate"
    there = RemoteFleet(server.address, server.owner.headers["Authorization"].partition(" ")[2], cache_s=None)
    theirs = to_its_end(there, gate, program="gated:program", metric="gated:same", lm="offline")
    there.close()
    monkeypatch.setattr(dspy, "cache", dspy.cache)  # restored afterwards
    dspy.configure_cache(disk_cache_dir=str(tmp_path / "cache"))  # which the first one found empty too
    here = Fleet(tmp_path / "home")
    mine = to_its_end(here, gate, program=gated.program, metric=gated.same, lm=offline_lm())
    kinds = [record["kind"] for record in records(here.home, mine)]
    assert kinds.count("resumed") == 1
    assert kinds.count("result") == 2
    assert records(Home.find(server.home), theirs) == records(here.home, mine)
