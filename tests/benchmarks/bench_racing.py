"""What racing saves: calls of whole runs, baseline and test included, against the same run without it.

Random search over 16 sets of demos on messages of bank customers (12 of 77 intents, several choices, 80 validation
examples), with the offline LM; the same program has to be chosen on every seed.

Run: ``python tests/benchmarks/bench_racing.py [--seeds 10]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import PARAMS, _unseen
from bench_offline_lm import banking, label_metric

from skillfleet_nb import Fleet, offline_lm

SEEDS = 10


def raced(optimizer: str, race: str, seed: int) -> tuple[int, str | None, float]:
    """Run one search from an empty cache: its calls, the program chosen and its score on the test."""
    program, (train, val, test) = banking(seed)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cache:
        dspy.configure_cache(disk_cache_dir=cache)
        job = Fleet(home).optimize(
            program, train=_unseen(train, val, test), val=_unseen(val, test), test=test, metric=label_metric,
            optimizer=optimizer, params=PARAMS[optimizer], lm=offline_lm(), seed=seed, num_threads=2, race=race,
        )  # fmt: skip
        result = job.result()
        return result.lm_calls, job.progress.best_program, 100 * (result.test_score or 0.0)


def run(seeds: int = SEEDS, optimizer: str = "bootstrap_random_search") -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    shares, same = [], 0
    for seed in range(seeds):
        (calls, chosen, _), (fewer, also, _) = (raced(optimizer, race, seed) for race in ("off", "exact"))
        shares.append(fewer / calls)
        same += chosen == also
        print(f"{optimizer} {seed}: {calls} -> {fewer} calls, {'same' if chosen == also else 'ANOTHER'} program")
    what = f"{optimizer}, exact against off, {seeds} seeds"
    return [
        {"what": f"{what}: calls", "value": round(statistics.mean(shares), 3), "unit": "ratio", "target": 0.65},
        {"what": f"{what}: same program", "value": same, "unit": "seeds", "target": seeds},
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--optimizer", default="bootstrap_random_search", choices=sorted(PARAMS))
    arguments = parser.parse_args()
    for row in run(arguments.seeds, arguments.optimizer):
        print(row)
