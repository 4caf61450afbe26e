"""How right forecasts are: real runs of every optimizer against what was forecast before they began.

Tasks, sizes, parameters, predictors (1 to 3) and threads are drawn by seed; none of them was used to set
a constant of the formulas.  Calls are those bought by the whole job, the baseline and the final test
included; USD are those of a priced offline LM.  Each run is forecast from a probe of 3 real calls, knowing
nothing of other runs.

Run: ``python tests/benchmarks/bench_forecast.py [--runs 72]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from grid_runs import run_once
from made_up_tasks import KINDS, Task, make

from skillfleet_nb import Fleet, offline_lm

OPTIMIZERS = (
    "labeled_fewshot", "bootstrap_fewshot", "bootstrap_random_search", "miprov2", "gepa", "infer_rules", "copro",
    "simba", "better_together",
)  # fmt: skip


def drawn(optimizer: str, rng: random.Random) -> dict[str, Any]:
    """Draw parameters for an optimizer."""
    demos = {"max_bootstrapped_demos": rng.choice((2, 4)), "max_labeled_demos": rng.choice((4, 8, 16))}
    gepa = {"max_metric_calls": rng.choice((120, 200, 300)), "reflection_minibatch_size": rng.choice((3, 5))}
    trials = {"num_candidates": rng.choice((4, 6)), "num_trials": rng.choice((6, 12)), "minibatch_size": 10}
    choices: dict[str, dict[str, Any]] = {
        "labeled_fewshot": {"k": rng.choice((4, 8, 16))},
        "bootstrap_fewshot": {**demos, "max_rounds": rng.choice((1, 2))},
        "bootstrap_random_search": {**demos, "num_candidate_programs": rng.choice((4, 6, 10))},
        "miprov2": rng.choice(({"auto": "light"}, trials, {**trials, "minibatch": False})),
        "gepa": gepa,
        "infer_rules": {"num_candidates": rng.choice((2, 4, 6))},
        "copro": {"breadth": rng.choice((3, 4, 5)), "depth": rng.choice((2, 3))},
        "simba": {"bsize": 8, "num_candidates": rng.choice((3, 4)), "max_steps": rng.choice((2, 4))},
        "better_together": {"steps": rng.choice(("labeled_fewshot,copro", "bootstrap_fewshot,infer_rules"))},
    }
    return choices[optimizer]


def cases(runs: int) -> list[tuple[Task, str, dict[str, Any], int, int]]:
    """Draw what to run: task, optimizer, parameters, seed, threads."""
    rng = random.Random(77)
    found = []
    for at in range(runs):
        kind = KINDS[at % len(KINDS)]
        n, labels = rng.choice((20, 28, 40, 52)), rng.choice((3, 4, 5, 7))
        task = make(kind, n=n, labels=labels, noise=rng.choice((0.15, 0.3)), usd_per_1k=0.01, seed=1000 + at, test=40)
        optimizer = OPTIMIZERS[(at * 4 + at // len(OPTIMIZERS)) % len(OPTIMIZERS)]
        found.append((task, optimizer, drawn(optimizer, rng), at, rng.choice((1, 2, 4))))
    return found


def compare(task: Task, optimizer: str, params: dict[str, Any], seed: int, threads: int) -> dict[str, Any]:
    """Forecast one run from a probe, run it, and put both beside each other."""
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(io.StringIO()):
        lm = offline_lm(usd_per_1k_tokens=task.usd_per_1k, name=f"probed-{seed}")
        told = Fleet(Path(home) / "home").advice.estimate(
            task.program(), train=task.train, val=task.val, test=task.test, metric=task.metric, lm=lm,
            optimizer=optimizer, params=params, num_threads=threads, seed=seed,
        )  # fmt: skip
        run = run_once(task, optimizer, params, seed, threads=threads)
    row: dict[str, Any] = {"optimizer": optimizer, "task": task.name, "params": params, "run": run}
    assert told.cost_usd is not None
    for what, interval, actual in (
        ("calls", told.calls, run["calls"]), ("cost", told.cost_usd, run["usd"]), ("time", told.wall_s, run["wall_s"])
    ):  # fmt: skip
        row[what] = {
            "error": abs(interval.expected - actual) / actual,
            "held": interval.low <= actual <= interval.high,
            "told": [round(v, 4) for v in interval],
            "actual": actual,
        }
    return row


def run(runs: int = 72, *, show: bool = False) -> list[dict[str, Any]]:
    """Measure forecasts of calls, cost and time."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    rows = []
    for case in cases(runs):
        rows.append(compare(*case))
        if show:
            r = rows[-1]
            print(f"{r['optimizer']:24} {r['task']:34} calls {r['calls']['told']} {r['calls']['actual']} "
                  f"usd {r['cost']['told']} {r['cost']['actual']:.4f}", file=sys.stderr)  # fmt: skip
    told = []
    for what, target in (("calls", "≤ 10"), ("cost", "≤ 15"), ("time", None)):
        error = 100 * statistics.median(r[what]["error"] for r in rows)
        held = 100 * statistics.mean(r[what]["held"] for r in rows)
        told.append({"what": f"{what}: median error over {runs} runs", "value": error, "unit": "%", "target": target})
        least = "≥ 75" if what == "calls" else None
        told.append({"what": f"{what}: runs within the 80% interval", "value": held, "unit": "%", "target": least})
        if least:
            told.append({"what": f"{what}: runs within, at most", "value": held, "unit": "%", "target": "≤ 90"})
    for name in OPTIMIZERS:
        mine = [r["calls"]["error"] for r in rows if r["optimizer"] == name]
        if mine:
            value = 100 * statistics.median(mine)
            told.append({"what": f"{name}: median error of calls", "value": value, "unit": "%", "target": None})
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=72)
    for row in run(parser.parse_args().runs, show=True):
        print(row)
