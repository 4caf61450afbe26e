"""A home or a job's folder that goes while it runs: nothing more is bought, and the best is there to be saved."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from typing import TYPE_CHECKING

import dspy
import pytest
from made_up import SMALL, Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.commands import Context, run
from skillfleet_nb.events import JobState, StopKind

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job

GONE_AT = 40


@pytest.mark.parametrize("what", ["home", "folder"])
def test_the_run_stops_buying_and_its_best_can_be_saved(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillfleet_nb.runs.execution._LOOK_S", 0.0)
    fleet = Fleet(tmp_path / "home")
    started: Future[Job] = Future()

    def goes(n: int) -> None:
        if n == GONE_AT:
            shutil.rmtree(fleet.home.root if what == "home" else fleet.home.journal_dir(started.result().id))

    lm, engine = counted_lm(Counting(goes))
    given = {"metric": told, "optimizer": "gepa", "params": SMALL["gepa"], "lm": lm, "seed": 3, "num_threads": 2}
    job = fleet.optimize(program(), name="intents", **given, **Data().splits())
    started.set_result(job)
    result = job.result()
    assert engine.calls <= GONE_AT + 10, "what was bought while it went, of 112 in all"
    assert (result.state, result.stop_kind) == (JobState.FAILED, StopKind.HOME)
    assert "is gone: the best so far is in memory" in result.stop_reason
    assert job.state is JobState.FAILED
    assert result.best_score is not None

    file = tmp_path / "best.json"
    context = Context(lambda _: fleet, {}, lambda *_, **__: None, lambda _: None, lambda _: lambda *_: None)
    run(["save", "intents", str(file)], context)  # what the reason says
    saved = program()
    saved.load(str(file))
    assert isinstance(saved, dspy.Module)
    assert saved.signature.instructions == result.program.signature.instructions
