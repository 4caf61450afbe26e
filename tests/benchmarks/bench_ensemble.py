"""Three optimizers in one job against the same three one after the other, each from an empty cache.

Messages of bank customers (12 of 77 intents, 80 validation and 100 test examples), the offline LM with 20 ms a call
and 4 threads an evaluation.  Calls are those of whole jobs, baseline and test included; time is the wall time of the
ensemble against that of its slowest member alone, on a machine whose cores are few: much of it is Python's.

Run: ``python tests/benchmarks/bench_ensemble.py [--seeds 3]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import _unseen
from bench_offline_lm import banking, label_metric

from skillfleet_nb import Fleet, offline_lm

if TYPE_CHECKING:
    from skillfleet_nb.runs.spec import RunResult

MEMBERS: dict[str, dict[str, Any]] = {
    "bootstrap_random_search": {"num_candidate_programs": 8},
    "miprov2": {"auto": "light"},
    "gepa": {"max_metric_calls": 400},
}
SEEDS = 3


def ended(optimizer: str, params: dict[str, Any], seed: int, race: str | None = "off") -> RunResult:
    """Run a job to its end, from an empty cache."""
    program, (train, val, test) = banking(seed, test=100)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cache:
        dspy.configure_cache(disk_cache_dir=cache)
        job = Fleet(home).optimize(
            program, train=_unseen(train, val, test), val=_unseen(val, test), test=test, metric=label_metric,
            optimizer=optimizer, params=params, lm=offline_lm(latency_s=0.02), seed=seed, num_threads=4, race=race,
        )  # fmt: skip
        return job.result()


def run(seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    calls, times, lost = [], [], []
    for seed in range(seeds):
        alone = [ended(name, params, seed) for name, params in MEMBERS.items()]
        whole = ended("ensemble", {"members": list(MEMBERS), "settings": MEMBERS}, seed)
        calls.append(whole.lm_calls / sum(r.lm_calls for r in alone))
        times.append(whole.wall_s / max(r.wall_s for r in alone))
        best = max(alone, key=lambda r: r.best_score or 0.0)
        lost.append(100 * ((best.test_score or 0.0) - (whole.test_score or 0.0)))
        print(f"{seed}: calls {calls[-1]:.2f}, time {times[-1]:.2f}, {lost[-1]:+.1f} points behind the best alone")
    what = f"three optimizers at the same time, {seeds} seeds"
    return [
        {"what": f"{what}: calls, against three jobs", "value": round(statistics.mean(calls), 3), "unit": "ratio",
         "target": 0.9},
        {"what": f"{what}: time, against the slowest alone", "value": round(statistics.median(times), 2),
         "unit": "ratio", "target": 1.15},
        {"what": f"{what}: test score below the one best on validation", "value": round(statistics.mean(lost), 2),
         "unit": "points", "target": "≤ 0"},
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=SEEDS)
    for row in run(parser.parse_args().seeds):
        print(row)
