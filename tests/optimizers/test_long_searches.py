"""Searches of sizes that nobody plays to their end: what they ask is scaled up from what was played, and said to be."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from made_up import counted_lm, program
from made_up_tasks import make

from skillfleet_nb import Fleet
from skillfleet_nb.optimizers import Rehearsal, Shape, create
from skillfleet_nb.optimizers.rehearsal import run as rehearsal

if TYPE_CHECKING:
    from pathlib import Path

MANY = 1_000_000
HUGE: list[tuple[str, dict[str, Any]]] = [
    ("gepa", {"max_metric_calls": MANY, "stop_at_perfect": False}),
    ("gepa", {"max_metric_calls": MANY, "proposals": MANY, "stop_at_perfect": False}),
    ("copro", {"breadth": 1000, "depth": 1000}),
    ("copro", {"breadth": MANY, "depth": 1}),
    ("simba", {"num_candidates": MANY, "max_steps": MANY}),
    ("miprov2", {"num_candidates": 1000, "num_trials": MANY}),
    ("bootstrap_random_search", {"num_candidate_programs": MANY}),
    ("bootstrap_fewshot", {"max_bootstrapped_demos": MANY, "max_rounds": MANY}),
    ("infer_rules", {"num_candidates": MANY}),
    ("evolve", {"population": 200, "generations": 1000, "patience": 1000}),
]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Rehearsal]:
    """Play two rehearsals of each search, with little work, and collect them."""
    runs: list[Rehearsal] = []
    whole = Rehearsal.__post_init__

    def collected(run: Rehearsal) -> None:
        whole(run)
        runs.append(run)

    monkeypatch.setattr(Rehearsal, "__post_init__", collected)
    monkeypatch.setattr(rehearsal, "MOST_WORK", 300)
    return runs


@pytest.mark.parametrize(("optimizer", "params"), HUGE)
@pytest.mark.parametrize("predictors", [1, 2])
def test_the_work_of_a_rehearsal_is_bounded_however_long_the_search(
    played: list[Rehearsal], optimizer: str, params: dict[str, Any], predictors: int
) -> None:
    calls = create(optimizer, params).calls(Shape(train=40, val=20, predictors=predictors, solved=0.01))
    assert max(run.work for run in played) < 5 * rehearsal.MOST_WORK  # the round under way is played to its end
    if optimizer != "evolve":  # it ends by itself once validation is perfect
        assert 0 < min(use.played for use in calls.runs) < 1
    assert calls.low > 0


@pytest.mark.parametrize(
    ("optimizer", "params", "predictors", "work", "within"),
    [
        ("gepa", {"max_metric_calls": 3000, "stop_at_perfect": False}, 1, 200, 0.05),
        ("copro", {"breadth": 200, "depth": 3}, 1, 200, 0.05),
        ("copro", {"breadth": 8, "depth": 12}, 2, 200, 1.0),
        ("simba", {"max_steps": 100}, 1, 1500, 0.25),
        ("bootstrap_random_search", {"num_candidate_programs": 400}, 2, 200, 0.1),
        ("infer_rules", {"num_candidates": 600}, 1, 200, 0.2),
    ],
)
def test_what_is_scaled_up_is_about_what_the_whole_search_asks(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, params: dict[str, Any], predictors: int, work: int, within: float
) -> None:
    search, shape = create(optimizer, params), Shape(train=40, val=20, predictors=predictors)
    whole = search.calls(shape)
    assert {use.played for use in whole.runs} == {1.0}
    monkeypatch.setattr(rehearsal, "MOST_WORK", work)
    scaled = search.calls(shape)
    assert max(use.played for use in scaled.runs) < 1
    for role in ("bought", "issued", "prompt"):
        expected = fmean(getattr(use, role) for use in whole.runs)
        assert abs(fmean(getattr(use, role) for use in scaled.runs) - expected) <= within * expected, role


def test_the_presets_are_played_to_their_end() -> None:
    for name in ("gepa", "copro", "simba", "miprov2", "evolve", "bootstrap_random_search", "infer_rules"):
        kind = type(create(name, {}))
        for preset in kind.presets:
            calls = create(name, dict(preset.params)).calls(Shape(train=40, val=40, predictors=3))
            assert {use.played for use in calls.runs} == {1.0}, (name, preset)


def test_an_estimate_says_that_it_is_scaled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "MOST_WORK", 200)
    task = make("intents", n=24, labels=4, noise=0.2, usd_per_1k=0.0, seed=5, test=16)
    lm, _ = counted_lm()
    told = Fleet(tmp_path / "home").advice.estimate(
        program(), train=task.train, val=task.val, test=task.test, metric=task.metric, lm=lm, optimizer="copro",
        params={"breadth": 1000, "depth": 1000}, probe=0,
    )  # fmt: skip
    assert "is not played to its end: its calls are scaled up from less than 1%" in str(told)
    assert told.calls.expected > MANY
