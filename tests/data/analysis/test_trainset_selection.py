"""Which examples are chosen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_sets import WordVectors, flipped, made_up

from skillfleet_nb.data import analyze
from skillfleet_nb.data.example_history import gather
from skillfleet_nb.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from skillfleet_nb.data import TrainsetReport

STRATEGIES = ["top", "balanced", "coverage", "balanced+coverage", "top:3+coverage:1"]


@pytest.fixture(scope="module")
def report() -> TrainsetReport:
    rows, _ = flipped(made_up(160), 0.1)
    return analyze([*rows, dict(rows[0])], embed=WordVectors(), label="topic")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_keeps_the_rules(strategy: str, report: TrainsetReport) -> None:
    frame = report.examples.set_index("row")
    sealed = set(frame["example_id"].iloc[:20])
    chosen = report.rows(40, strategy, sealed=sealed, exclude=[3, 4], seed=5)
    assert len(set(chosen)) == 40
    assert (frame.loc[chosen, "quality"] >= 0.7).all()
    assert not frame.loc[chosen, "suspect"].any()
    assert not set(frame.loc[chosen, "example_id"]) & sealed
    assert not {3, 4} & set(chosen)
    assert frame.loc[chosen, "example_id"].is_unique
    assert report.rows(40, strategy, sealed=sealed, exclude=[3, 4], seed=5) == chosen


def test_balanced_takes_as_many_of_each(report: TrainsetReport) -> None:
    assert set(Counter(row["topic"] for row in report.select(40, "balanced")).values()) == {10}


def test_top_takes_the_best(report: TrainsetReport) -> None:
    frame = report.examples.set_index("row")
    chosen = report.rows(20, "top")
    rest = frame[~frame["suspect"] & (frame["quality"] >= 0.7)].drop(index=[*chosen, 160], errors="ignore")
    assert frame.loc[chosen, "rank"].min() >= rest["rank"].max() - 1e-12


def test_coverage_covers_more_than_chance(report: TrainsetReport) -> None:
    embed = WordVectors()
    space = embed([row["text"] for row in report._given])

    def covered(rows: list[int]) -> float:
        return float((space @ space[rows].T).max(axis=1).mean())

    chosen = covered(report.rows(12, "coverage"))
    fit = report.rows(120, "top")
    drawn = [covered([fit[i] for i in np.random.default_rng(s).permutation(120)[:12]]) for s in range(30)]
    assert chosen > max(drawn)


def test_hard_takes_what_some_candidates_solve() -> None:
    rows, embed = made_up(40), WordVectors()
    ids = analyze(rows, embed=embed, label="topic").examples.set_index("row")["example_id"]
    seen = [(ids[0], 0.0, 0.0, 4, 0), (ids[1], 1.0, 1.0, 4, 4), (ids[2], 0.5, 1.0, 4, 2), (ids[3], 0.25, 1.0, 4, 1)]
    report = analyze(rows, embed=embed, label="topic", past=gather(seen))
    assert report.rows(2, "hard") == [2, 3]
    assert report.rows(8, "hard+top")[:1] == [2]
    with pytest.raises(InputError, match="only 2 of 3"):
        report.rows(3, "hard")


def test_hard_needs_runs(report: TrainsetReport) -> None:
    with pytest.raises(InputError, match="no run has scored"):
        report.rows(5, "hard")


@settings(max_examples=25)
@given(k=st.integers(1, 60), seed=st.integers(0, 5), strategy=st.sampled_from(STRATEGIES))
def test_any_number_can_be_chosen(k: int, seed: int, strategy: str, report: TrainsetReport) -> None:
    assert len(set(report.rows(k, strategy, seed=seed))) == k


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"k": 0}, "k = 0"),
        ({"k": True}, "k = True"),
        ({"k": 1000}, "ask for fewer, or lower min_quality"),
        ({"k": 5, "min_quality": 2}, "min_quality = 2"),
        ({"k": 5, "strategy": "top:0"}, "above 0"),
    ],
)
def test_what_cannot_be_chosen(wrong: dict[str, Any], told: str, report: TrainsetReport) -> None:
    with pytest.raises(InputError, match=told):
        report.rows(**wrong)


def test_a_strategy_that_does_not_exist(report: TrainsetReport) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'balanced'"):
        report.rows(5, "balance")


def test_rows_are_ticked_out(report: TrainsetReport) -> None:
    assert len(report.without([0, 1])) == 159
    with pytest.raises(InputError, match="row 999"):
        report.without([999])
