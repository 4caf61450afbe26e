"""Memory and journal of one long run: up to 200,000 calls of a model, recorded with their texts.

Memory is the growth of the process from the 15,000th call to the last, when imports and caches are warm: NumPy too,
which the end of a run imports where nothing did before, and which takes 14 MiB whatever the run.  DSPy's own cache in
memory is off, for it is meant to grow.
Run: ``python tests/benchmarks/bench_memory.py [--calls 200000]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
import psutil
from bench_offline_lm import label_metric

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.stats import paired_comparison

ROWS, CALLS, WARM = 200, 200_000, 15_000


def _program() -> tuple[Any, list[Any]]:
    rows = [dspy.Example(text=r["text"], label=r["intent"]).with_inputs("text") for r in bundled("intents")]
    labels = sorted({row.label for row in rows})
    signature = dspy.Signature(f"text -> label: Literal{labels}", "Choose the intent of the message.")
    return dspy.Predict(signature), rows


def run(calls: int = CALLS) -> list[dict[str, Any]]:
    """Run a random search that scores as many candidates as it takes."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    paired_comparison([0, 1] * 100, [1, 0.5] * 100)
    program, rows = _program()
    train, val, test = rows[:40], rows[40 : 40 + ROWS], rows[40 + ROWS :]
    process, sizes = psutil.Process(), {}
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder) / "home")
        job = fleet.optimize(
            program, train=train, val=val, test=test, metric=label_metric, optimizer="bootstrap_random_search",
            params={"num_candidate_programs": calls // ROWS, "max_bootstrapped_demos": 1, "max_labeled_demos": 1},
            lm=offline_lm(cache=False), num_threads=2,
        )  # fmt: skip
        while not job.wait(0.5):
            done = job.progress.calls
            sizes[done] = process.memory_info().rss
            print(f"{done:,} calls, {sizes[done] / 2**20:.0f} MiB", file=sys.stderr)
        result = job.result()
        grown = process.memory_info().rss
        journal = sum(f.stat().st_size for f in (fleet.home.journal_dir(job.id)).glob("[0-9]*.jsonl"))
        start = time.perf_counter()
        folded = int(fleet.sql("select count(*) as n from lm_calls").n[0])
        seconds = time.perf_counter() - start
    assert folded == result.lm_calls, f"{folded} rows for {result.lm_calls} calls"
    first = next(size for done, size in sizes.items() if done >= WARM)
    return [
        {"what": f"memory growth from {WARM:,} to {result.lm_calls:,} calls",
         "value": round((grown - first) / 2**20, 1), "unit": "MiB", "target": "≤ 10"},
        {"what": "journal, texts included", "value": round(journal / result.lm_calls), "unit": "bytes/call",
         "target": None},
        {"what": "fold of the whole run", "value": round(folded / seconds), "unit": "calls/s", "target": None},
        {"what": "calls of the whole run", "value": round(result.lm_calls / result.wall_s), "unit": "calls/s",
         "target": None},
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    for row in run(parser.parse_args().calls):
        print(row)
