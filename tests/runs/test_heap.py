"""What was there before a run is set aside from the garbage collector, and a long search keeps what it needs."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.events import ExampleScore
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.runs.collector import set_aside
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_sets_aside_what_was_there_before_it_until_it_ends(tmp_path: Path) -> None:
    counts = []

    def metric(example: Any, pred: Any, trace: Any = None) -> float:
        if not any(counts):  # a look goes over all that is frozen
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


def test_of_thousands_of_candidates_only_the_best_and_the_given_program_are_held() -> None:
    examples = Data().val[:2]
    ids: dict[int, Any] = {id(e): (f"e{n}", "val") for n, e in enumerate(examples)}
    names = iter(range(1000))
    recorder = Recorder(
        emit=lambda _: None,
        keep=lambda _: f"p{next(names)}",
        ids=ids,
        sizes={"val": 2},
        ledger=Ledger(),
        history=EarlierAttempts(),
    )
    alive: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
    scores = [0.5, *(0.1 + 0.3 * (n % 3) for n in range(40)), 0.9, 0.9, 0.2]
    for n, score in enumerate(scores):
        alive[n] = made = program()
        candidate = recorder.record(made, [ExampleScore("e0", score), ExampleScore("e1", score)], "val")
        candidate.chosen = n == 0
        del made
    gc.collect()
    best = recorder.best("val")
    assert best is not None
    assert best.scores["val"] == 0.9
    assert sorted(alive) == [0, 41], "the given one, and the first of the best"
