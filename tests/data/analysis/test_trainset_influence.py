"""What examples did to scores as demos: an estimate from the candidates of runs, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pytest
from message_sets import WordVectors, flipped, made_up

import skillfleet_nb as sf
from skillfleet_nb.data.dataset import lay_out
from skillfleet_nb.data.influence import DemoSet, estimate, matched
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.reports.accessor import Trainsets

if TYPE_CHECKING:
    from pathlib import Path


def drawn(n: int, effects: np.ndarray, *, seed: int = 0, noise: float = 0.03) -> list[DemoSet]:
    """Candidates of five runs with 8 to 16 demos drawn at random; every demo adds 0.01, and its own effect."""
    rng = np.random.default_rng(seed)
    shifts = rng.normal(0, 0.1, 5)
    found = []
    for i in range(n):
        demos = rng.choice(len(effects), int(rng.integers(8, 17)), replace=False)
        score = effects[demos].sum() + 0.01 * len(demos) + shifts[i % 5] + rng.normal(0, noise)
        found.append(DemoSet(i % 5, frozenset(map(str, demos)), len(demos), float(score), 50))
    return found


def test_effects_are_found_and_intervals_hold() -> None:
    right, sure, cover = [], [], []
    for seed in range(8):
        effects = np.random.default_rng(seed + 100).normal(0, 0.01, 60)
        found = estimate(drawn(300, effects, seed=seed))
        assert len(found) == 60
        right.append(np.corrcoef([found[str(i)].effect for i in range(60)], effects)[0, 1])
        cover += [found[str(i)].low <= effects[i] <= found[str(i)].high for i in range(60)]
        sure += [f.effect * effects[int(i)] > 0 for i, f in found.items() if f.low > 0 or f.high < 0]
    assert min(right) > 0.75
    assert np.mean(cover) >= 0.9
    assert np.mean(sure) >= 0.95


def test_where_nothing_has_an_effect_nothing_is_claimed() -> None:
    claimed = [f.low > 0 or f.high < 0 for s in range(10) for f in estimate(drawn(80, np.zeros(60), seed=s)).values()]
    assert np.mean(claimed) <= 0.02


def test_few_candidates_leave_it_open() -> None:
    effects = np.random.default_rng(1).normal(0, 0.05, 30)
    assert estimate(drawn(7, effects)) == {}
    few, many = estimate(drawn(20, effects)), estimate(drawn(400, effects))
    wide = {k: few[k].high - few[k].low for k in few}
    assert np.mean(list(wide.values())) > 1.5 * np.mean([f.high - f.low for f in many.values()])


def test_runs_and_instructions_are_not_compared_with_each_other() -> None:
    better = [DemoSet("good prompt", frozenset({"a", f"g{i}"}), 2, 0.9, 50) for i in range(6)]
    worse = [DemoSet("bad prompt", frozenset({"b", f"b{i}"}), 2, 0.1, 50) for i in range(6)]
    assert all(f.low <= 0 <= f.high for f in estimate([*better, *worse]).values())


def test_demos_are_known_by_their_content() -> None:
    rows = lay_out(
        [{"text": "hi", "label": "x"}, {"text": "yo", "label": "x"}, {"text": "yo", "label": "y"}], label="label"
    )
    demos = [
        {"text": "hi", "label": "x"},
        {"augmented": True, "text": "hi", "reasoning": "it greets", "label": "z"},
        {"text": "yo", "label": "y"},
        {"text": "yo", "label": "?"},
        {"text": "no such", "label": "x"},
        {"question": "hi"},
    ]
    assert matched(demos, rows) == [rows.ids[0], rows.ids[0], rows.ids[2], None, None, None]


def test_runs_of_the_home_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainsets, "embedder", lambda self, progress=None: WordVectors())
    fleet = Fleet(tmp_path / "home")
    rows, _ = flipped(made_up(60), 0.2)

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(example.topic == pred.topic)

    before = fleet.data.analyse(rows, label="topic")
    assert before.examples["influence"].isna().all()
    assert "influence" not in before.text()
    params = {"num_candidate_programs": 14, "max_labeled_demos": 6, "max_bootstrapped_demos": 2}
    fleet.optimize(
        dspy.ChainOfThought("text -> topic"),
        train=rows,
        metric=metric,
        optimizer="bootstrap_random_search",
        params=params,
        lm=sf.offline_lm(),
    ).result()
    report = fleet.data.analyse(rows, label="topic")
    known = report.examples[report.examples["influence"].notna()]
    assert len(known) > 20
    assert (known["influence_low"] <= known["influence"]).all()
    assert (known["influence"] <= known["influence_high"]).all()
    assert known["influence"].between(-1, 1).all()
    assert known["as_demo"].between(2, 14).all()
    for page in (report.text(), report._repr_html_()):
        assert "influence (estimated)" in page
        assert "95 % interval" in page
    asked = fleet.sql("select example_id, influence, influence_low, influence_high from examples")
    kept = asked.dropna().set_index("example_id").sort_index()
    expected = known.set_index("example_id").sort_index()
    assert kept["influence"].tolist() == pytest.approx(expected["influence"].tolist(), abs=1e-6)
