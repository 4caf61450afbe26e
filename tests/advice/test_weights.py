"""What each optimizer has been worth, by kind of task: shrunk when little is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.past_runs import PastRun
from skillfleet_nb.advice.weights import kind_of, weights
from skillfleet_nb.commands import Context, run

if TYPE_CHECKING:
    from pathlib import Path

KIND = {"labels": 6, "predictors": 1, "n": 200, "val": 80, "test": 100}
EVERY = {c.name: c for c in installed().configurations}


def past(optimizer: str, gain: float, task: int, **features: Any) -> PastRun:
    known = {**KIND, **features, "task": f"{optimizer}-{task}"}
    return PastRun(known, optimizer, EVERY[optimizer], baseline=0.5, gain=gain, score=0.5 + gain, usd=(1.0, 2.0))


def test_the_one_that_gains_most_weighs_most_and_few_runs_are_shrunk() -> None:
    off = []
    for n in (1, 12):
        runs = [past("copro", 0.35, k) for k in range(n)] + [past("infer_rules", 0.0, k) for k in range(n)]
        found = weights(runs).set_index("optimizer")
        copro, rules = found.loc["copro"], found.loc["infer_rules"]
        assert copro.weight > rules.weight
        assert found.weight.sum() == pytest.approx(1)
        assert (copro.runs, copro.mean_gain, copro.mean_cost_usd) == (n, pytest.approx(0.35), 2.0)
        assert copro.low < copro.gain < copro.high
        assert "bootstrap_finetune" not in found.index  # nobody has run what trains the model
        off.append(0.35 - copro.gain)
    assert off[0] > 2 * abs(off[1])


def test_intervals_narrow_with_runs_and_kinds_are_told_apart() -> None:
    few, many = (weights([past("copro", 0.3, k) for k in range(n)]) for n in (1, 20))
    width = [float((w.high - w.low)[w.optimizer == "copro"].iloc[0]) for w in (few, many)]
    assert width[1] < width[0] / 1.5
    both = weights([past("copro", 0.3, 0), past("copro", 0.1, 1, labels=None, predictors=3)])
    assert set(both.kind) == {"categories", "text, several predictors"}
    assert kind_of({}) == "text"


def test_a_command_shows_them(tmp_path: Path) -> None:
    context = Context(
        lambda _: Fleet(tmp_path / "home"), {}, lambda job, *, watch=False: None, print, lambda _: lambda *_: None
    )
    assert list(run(["ensemble", "weights"], context).columns)[:3] == ["kind", "optimizer", "weight"]
