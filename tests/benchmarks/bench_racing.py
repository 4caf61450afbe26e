"""What racing saves: calls of whole runs, baseline and test included, against the same run without it.

Random search over 16 sets of demos on messages of bank customers (12 of 77 intents, several choices, 80 validation
examples), with the offline LM; by *exact* the same program has to be chosen on every seed.  What *on* saves is measured
with 240 validation examples, where it may end an evaluation by its test, and what it costs on 200 sealed ones, paired
by seed.

Run: ``python tests/benchmarks/bench_racing.py [--seeds 10] [--optimizer gepa] [--race on]``; runs are kept in
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
SHARES = {"exact": 0.85, "on": 0.5}  # of the calls, at most; of a maximum less
SEEDS, MAXIMUM_SHARE = 10, 0.65
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


def compared(optimizer: str, race: str, seeds: int, processes: int = 2) -> list[dict[str, Any]]:
    """Compare runs with and without racing, seed by seed, and return rows of the table."""
    size, exact = SIZES[race], race == "exact" and optimizer == MAXIMUM
    modes = ("off", race) if race == "exact" else ("off", race, "exact")
    with ProcessPoolExecutor(processes) as pool:
        runs = [[pool.submit(raced, optimizer, mode, size, seed) for mode in modes] for seed in range(seeds)]
        done = [[one.result() for one in own] for own in runs]
    pairs, beside = [(before, after) for before, after, *_ in done], [(before, after) for before, *_, after in done]
    share = statistics.mean(fewer / calls for (calls, _, _), (fewer, _, _) in pairs)
    same = sum(chosen == also for (_, chosen, _), (_, also, _) in pairs)
    what = f"{optimizer}, {race} against off, {seeds} seeds"
    target = MAXIMUM_SHARE if exact else SHARES[race]
    rows = [
        {"what": f"{what}: calls", "value": round(share, 3), "unit": "ratio", "target": target},
        {"what": f"{what}: same program", "value": same, "unit": "seeds", "target": seeds if exact else None},
    ]
    if exact:
        return rows
    if race != "exact":
        least = statistics.mean(fewer / calls for (calls, _, _), (fewer, _, _) in beside)
        rows.append({"what": f"{what}: calls of exact on the same", "value": round(least, 3), "unit": "ratio",
                     "target": None})  # fmt: skip
    gained = [points - before for (_, _, before), (_, _, points) in pairs]
    low, high = interval_of(gained)
    told, target = f"{what}: difference on the test", f"≥ -{MARGIN}"
    mean = {"what": f"{told} [{low:.1f}, {high:.1f}]", "value": round(statistics.mean(gained), 2)}
    return [
        *rows,
        {**mean, "unit": "points", "target": None},
        {"what": f"{told}, lower end of the interval", "value": round(low, 2), "unit": "points", "target": target},
    ]


def run(seeds: int = SEEDS, optimizer: str = MAXIMUM, races: tuple[str, ...] = ("exact", "on")) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    if not DATA.exists():
        return [{"what": "racing: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    return [row for race in races for row in compared(optimizer, race, seeds)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--optimizer", default=MAXIMUM, choices=sorted(PARAMS))
    parser.add_argument("--race", nargs="+", default=["exact"], choices=sorted(SIZES))
    arguments = parser.parse_args()
    for row in run(arguments.seeds, arguments.optimizer, tuple(arguments.race)):
        print(row)
