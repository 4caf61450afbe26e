"""What racing saves: calls of whole runs, baseline and test included, against the same run without it.

Messages of bank customers (12 of 77 intents, another choice of intents for each seed) with the offline LM.  *exact*
runs on 80 validation examples, *on* on 240, where it may end an evaluation by its test.  Optimizers that only take a
maximum have to choose the same program on every seed; those whose search reads the scores (MIPROv2, GEPA) may come to
another one, and are judged by the difference on the sealed test of 200 messages, paired by seed, with its 95%
interval: that racing costs no more than half a point is shown where the interval begins above -0.5.

Run: ``python tests/benchmarks/bench_racing.py [--seeds 20] [--optimizer gepa] [--race on]``; runs are kept in
``$SKILLFLEET_BENCH_CACHE`` where it is set, and an interrupted benchmark goes on where it stopped.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import PARAMS, _unseen
from bench_offline_lm import DATA, banking, label_metric
from bench_portfolio import interval_of
from kept_runs import kept

from skillfleet_nb import Fleet, offline_lm

SIZES = {"exact": 80, "on": 240}  # validation examples
MAXIMUM = "bootstrap_random_search"
MARGIN = 0.5  # points
# What is on the page: an optimizer, how it is raced, on how many seeds, and at which share of the calls.
MEASURED = (
    (MAXIMUM, "exact", 10, 0.65),
    (MAXIMUM, "on", 10, 0.5),
    ("miprov2", "exact", 20, 0.85),
    ("gepa", "exact", 20, 0.85),
    ("miprov2", "on", 10, 0.5),
    ("gepa", "on", 10, 0.5),
)
Run = tuple[int, str | None, float]
"""Calls of a run, the program it chose, and that one's score on the test, in points."""


def raced(optimizer: str, race: str, size: int, seed: int) -> Run:
    """Run one search from an empty cache."""
    return kept(f"racing-{optimizer}-{race}-{size}-{seed}", lambda: _raced(optimizer, race, size, seed))


def _raced(optimizer: str, race: str, size: int, seed: int) -> Run:
    program, (train, val, test) = banking(seed, size=size)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cache:
        dspy.configure_cache(disk_cache_dir=cache)
        job = Fleet(home).optimize(
            program, train=_unseen(train, val, test), val=_unseen(val, test), test=test, metric=label_metric,
            optimizer=optimizer, params=PARAMS[optimizer], lm=offline_lm(), seed=seed, num_threads=2, race=race,
        )  # fmt: skip
        result = job.result()
        assert result.test_score is not None, result.stop_reason
        return result.lm_calls, job.progress.best_program, 100 * result.test_score


def compared(pool: ProcessPoolExecutor, optimizer: str, race: str, seeds: int, share: float) -> list[dict[str, Any]]:
    """Compare runs with and without racing, seed by seed, and return rows of the table."""
    size = SIZES[race]
    runs = [[pool.submit(raced, optimizer, mode, size, seed) for mode in ("off", race)] for seed in range(seeds)]
    pairs = [(before.result(), after.result()) for before, after in runs]
    shares = [fewer / calls for (calls, _, _), (fewer, _, _) in pairs]
    same = sum(chosen == also for (_, chosen, _), (_, also, _) in pairs)
    gained = [points - before for (_, _, before), (_, _, points) in pairs]
    low, high = interval_of(gained)
    what = f"{optimizer}, {race} against off, {size} validation examples, {seeds} seeds"
    rows = [
        {"what": f"{what}: calls", "value": round(statistics.mean(shares), 3), "unit": "ratio", "target": share},
        {"what": f"{what}: same program", "value": same, "unit": "seeds", "target": None},
    ]
    if optimizer == MAXIMUM and race == "exact":
        rows[-1]["target"] = seeds
    else:
        told = f"{what}: test score [{low:.1f}, {high:.1f}]"
        target = f"≥ -{MARGIN}"
        rows.append({"what": told, "value": round(statistics.mean(gained), 2), "unit": "points", "target": target})
        rows.append(
            {"what": f"{what}: test score, lower end", "value": round(low, 2), "unit": "points", "target": target}
        )
    for row in rows:
        print(row, flush=True)
    return rows


def run(
    seeds: int | None = None, optimizer: str | None = None, race: str | None = None, processes: int = 2
) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    if not DATA.exists():
        return [{"what": "racing: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    with ProcessPoolExecutor(processes) as pool:
        return [
            row
            for name, mode, n, share in MEASURED
            if optimizer in {None, name} and race in {None, mode}
            for row in compared(pool, name, mode, seeds or n, share)
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--optimizer", choices=sorted({name for name, *_ in MEASURED}))
    parser.add_argument("--race", choices=sorted(SIZES))
    arguments = parser.parse_args()
    run(arguments.seeds, arguments.optimizer, arguments.race)
