"""What was there before a run is left aside by the garbage collector while it is on, and not after."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.runs.collector import set_aside

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_sets_aside_what_was_there_before_it_until_it_ends(tmp_path: Path) -> None:
    counts = []

    def metric(example: Any, pred: Any, trace: Any = None) -> float:
        counts.append(gc.get_freeze_count())
        return float(exact(example, pred, trace))

    lm, _ = counted_lm()
    job = Fleet(tmp_path / "home").optimize(
        program(), **Data().splits(), metric=metric, optimizer="labeled_fewshot", lm=lm
    )
    job.result(timeout=120)
    assert max(counts) > 1000
    assert gc.get_freeze_count() == 0


def test_of_runs_that_overlap_the_last_one_ends_it() -> None:
    with set_aside():
        with set_aside():
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_what_a_program_has_frozen_itself_stays_frozen() -> None:
    gc.freeze()
    try:
        with set_aside():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
