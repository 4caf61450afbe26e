"""A portfolio against each of its members alone, at the same limit of calls, from an empty cache.

Messages of bank customers (12 of 77 intents, another choice of intents for each draw) and plans of agent skills, on
the offline model.  Each member alone is set up to use the calls it may make.  The draws of the table are held out:
what is fixed in the portfolio was chosen on draws from 100 on.

Run: ``python tests/benchmarks/bench_portfolio.py [--draws 10] [--first 0]``; runs are kept in
``$SKILLFLEET_BENCH_CACHE`` where it is set, and an interrupted benchmark goes on where it stopped.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import _unseen
from bench_offline_lm import DATA, banking, label_metric, plan_metric, skill_plans
from kept_runs import kept
from scipy import stats

from skillfleet_nb import Fleet, offline_lm

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS: dict[str, dict[str, Any]] = {
    "bootstrap_random_search": {"num_candidate_programs": 24},
    "infer_rules": {"num_candidates": 10},
    "miprov2": {"auto": "medium"},
    "gepa": {"max_metric_calls": 2000},
}
DRAWS = 10


class Case(NamedTuple):
    """A task by draw, its metric, and how many calls a search may make."""

    build: Callable[[int], Any]
    metric: Callable[..., Any]
    calls: int


CASES = {"intents": Case(banking, label_metric, 1200), "plans": Case(skill_plans, plan_metric, 400)}


def scored(name: str, draw: int, optimizer: str, params: dict[str, Any]) -> float:
    """Run a job on a task to its end, from an empty cache, and return its test score in points."""
    return kept(f"{name}-{optimizer}-{draw}", lambda: _scored(CASES[name], draw, optimizer, params))


def _scored(case: Case, draw: int, optimizer: str, params: dict[str, Any]) -> float:
    program, (train, val, test) = case.build(draw)
    train, val = _unseen(train, val, test), _unseen(val, test)
    limit = case.calls + len(val) + 2 * len(test)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cache:
        dspy.configure_cache(disk_cache_dir=cache)
        job = Fleet(home).optimize(
            program, train=train, val=val, test=test, metric=case.metric, optimizer=optimizer, params=params,
            lm=offline_lm(), seed=draw, num_threads=2, max_calls=limit,
        )  # fmt: skip
        found = job.result().test_score
    assert found is not None
    return 100 * found


def run(
    draws: int = DRAWS, first: int = 0, cases: tuple[str, ...] = tuple(CASES), processes: int = 2
) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    if not DATA.exists():
        return [{"what": "portfolio: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    together = {"members": list(MEMBERS), "settings": MEMBERS}
    alone: dict[str, dict[str, list[float]]] = {}
    whole: dict[str, list[float]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for name in cases:
            runs = {
                optimizer: [pool.submit(scored, name, draw, optimizer, params) for draw in range(first, first + draws)]
                for optimizer, params in {**MEMBERS, "portfolio": together}.items()
            }
            alone[name] = {optimizer: [one.result() for one in own] for optimizer, own in runs.items()}
            print(name, {key: [round(score, 1) for score in own] for key, own in alone[name].items()}, flush=True)
            whole[name] = alone[name].pop("portfolio")
    means = {m: statistics.mean(s for name in cases for s in alone[name][m]) for m in MEMBERS}
    fixed = max(means, key=means.__getitem__)
    best = {name: max(alone[name], key=lambda m: statistics.mean(alone[name][m])) for name in cases}
    behind = [w - s for name in cases for w, s in zip(whole[name], alone[name][best[name]], strict=True)]
    above = [w - s for name in cases for w, s in zip(whole[name], alone[name][fixed], strict=True)]
    ceiling = [
        max(drawn) - its
        for name in cases
        for drawn, its in zip(zip(*alone[name].values(), strict=True), alone[name][fixed], strict=True)
    ]
    told = f"portfolio, {draws} draws of each of {len(cases)} tasks"
    return [
        _row(f"{told}: against the best single optimizer in hindsight by task ({', '.join(best.values())})", behind,
             "≥ -1"),
        _row(f"{told}: against the best fixed single optimizer ({fixed})", above, "≥ 3"),
        _row(f"{told}: whoever knew the best member of every draw, against {fixed}", ceiling, None),
        *(_row(f"{told}, {name}: test score", whole[name], None) for name in cases),
        *(_row(f"{told}, {name}: test score of {m} alone", alone[name][m], None) for name in cases for m in MEMBERS),
    ]  # fmt: skip


def interval_of(values: list[float]) -> tuple[float, float]:
    """Return the 95% interval of a mean, by Student's t."""
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


def _row(what: str, values: list[float], target: str | None) -> dict[str, Any]:
    low, high = interval_of(values)
    what = f"{what} [{low:.1f}, {high:.1f}]"
    return {"what": what, "value": round(statistics.mean(values), 2), "unit": "points", "target": target}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", default=",".join(CASES))
    asked = parser.parse_args()
    for row in run(asked.draws, asked.first, tuple(asked.cases.split(","))):
        print(row)
