"""Real runs of every optimizer on many tasks, kept on disk: what the benchmarks of advice reckon with.

A run goes to its end without a budget, with a priced offline model of its own.  What it would have come
to under a budget is read off its own record: the best program that was known when that much was spent,
which is then scored on the test split.  One run is one JSON file in ``$SKILLFLEET_BENCH_CACHE``, so an
interrupted collection goes on where it stopped.

Run: ``python tests/benchmarks/grid_runs.py [--seeds 3] [--minutes 50]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from made_up_tasks import Task, grid

from skillfleet_nb import Fleet
from skillfleet_nb.lm.offline.engine import AsyncOfflineEngine, OfflineEngine
from skillfleet_nb.programs.state import load_state
from skillfleet_nb.store import follow, load_program

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(os.environ.get("SKILLFLEET_BENCH_CACHE") or Path(tempfile.gettempdir()) / "skillfleet-bench")
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "labeled_fewshot": ("labeled_fewshot", {}),
    "bootstrap_fewshot": ("bootstrap_fewshot", {}),
    "bootstrap_random_search": ("bootstrap_random_search", {"num_candidate_programs": 8}),
    "miprov2 light": ("miprov2", {"auto": "light"}),
    "gepa light": ("gepa", {"auto": "light"}),
    "infer_rules": ("infer_rules", {"num_candidates": 4}),
    "copro": ("copro", {"breadth": 4, "depth": 2}),
    "simba": ("simba", {"num_candidates": 4, "max_steps": 4}),
    "miprov2 medium": ("miprov2", {"auto": "medium"}),
}


class Remembering(OfflineEngine):
    """The offline engine, quicker where it was asked the same before: answers and usage are the same."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.known: dict[Any, str] = {}

    def _reply(self, system: str, turns: list[tuple[str, str]], candidate: int, temperature: float) -> str:
        key = (system, *turns, candidate, temperature)
        if key not in self.known:
            self.known[key] = super()._reply(system, turns, candidate, temperature)
        return self.known[key]


def cases(seeds: int) -> Iterator[tuple[Task, str, int, Path]]:
    """List what is to be run, and the file of each; one seed of all before the next."""
    for seed in range(seeds):
        for task in grid():
            for arm in ARMS:
                yield task, arm, seed, CACHE / "grid" / f"{task.name}--{arm.replace(' ', '-')}--{seed}.json"


def run_once(
    task: Task, optimizer: str, params: dict[str, Any], seed: int, *,
    engine: OfflineEngine | None = None, threads: int = 1, paths: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Run one job to its end, and return what it used, by role, and what it came to on its way."""
    engine = engine or Remembering(usd_per_1k_tokens=task.usd_per_1k)
    name = f"skillfleet/grid-{time.monotonic_ns()}"
    lm = dspy.LM(name, engine=engine, async_engine=AsyncOfflineEngine(engine))
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home) / "home")
        job = fleet.optimize(
            task.program(), train=task.train, val=task.val, test=task.test, metric=task.metric,
            optimizer=optimizer, params=params, lm=lm, seed=seed, num_threads=threads, record_prompts=False,
        )  # fmt: skip
        result = job.result()
        used = _used(fleet, job.id)
        path = _path(fleet, job.id, task, lm) if paths else []
    dspy.cache.reset_memory_cache()
    return {
        "task": task.name, "optimizer": optimizer, "params": params, "seed": seed, "threads": threads,
        "sizes": [len(task.train), len(task.val), len(task.test)], "predictors": len(task.program().predictors()),
        "state": str(result.state), "reason": result.stop_reason, "used": used, "calls": result.lm_calls,
        "cached": result.cached_calls, "usd": result.cost_usd, "wall_s": result.wall_s,
        "baseline": result.baseline_score, "best": result.best_score, "test_baseline": result.test_baseline,
        "test": result.test_score, "path": path,
    }  # fmt: skip


def _used(fleet: Fleet, job_id: str) -> dict[str, dict[str, float]]:
    """Add up calls, tokens and seconds by role; the baseline's are a role of their own."""
    added: dict[str, dict[str, float]] = {}
    before_search = True
    for event in follow(fleet.home, job_id).poll():
        p = event.payload
        if event.kind == "phase" and p["text"].startswith("searching"):
            before_search = False
        if event.kind != "lm_call":
            continue
        role = "baseline" if before_search else p["role"]
        row = added.setdefault(role, {"bought": 0, "cached": 0, "in": 0, "out": 0, "s": 0.0})
        row["cached" if p["cached"] else "bought"] += 1
        if not p["cached"]:
            row["in"] += p["input_tokens"]
            row["out"] += p["output_tokens"]
            row["s"] += p["latency_s"]
    return added


def _path(fleet: Fleet, job_id: str, task: Task, lm: Any) -> list[dict[str, Any]]:
    """Say at which cost which program was the best known, and what each scores on test."""
    found: list[dict[str, Any]] = []
    best = -1.0
    scores: dict[str, float] = {}
    for t in fleet.trials(job_id).to_dict("records"):
        if not t["full_eval"] or t["split"] != "val" or t["score"] <= best:
            continue
        best = float(t["score"])
        key = str(t["program_id"])
        if key not in scores:
            program = load_state(task.program(), load_program(fleet.home, key))
            with dspy.context(lm=lm):
                rows = dspy.Evaluate(devset=task.test, metric=task.metric, num_threads=1)(program)
            scores[key] = rows.score / 100
        found.append({"usd": t["cost_usd"], "calls": int(t["lm_calls"]), "val": best, "test": scores[key]})
    return found


def collect(seeds: int, minutes: float) -> None:
    """Run what is missing, up to a time limit."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    until, engines = time.monotonic() + 60 * minutes, {}
    for task, arm, seed, file in cases(seeds):
        if file.exists() or time.monotonic() > until:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        if task.name not in engines:
            engines.clear()
            engines[task.name] = Remembering(usd_per_1k_tokens=task.usd_per_1k)
        started = time.monotonic()
        optimizer, params = ARMS[arm]
        with Path(os.devnull).open("w", encoding="utf-8") as sink:
            kept, sys.stdout = sys.stdout, sink
            try:
                row = run_once(task, optimizer, params, seed, engine=engines[task.name])
            finally:
                sys.stdout = kept
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**row, "arm": arm}), "utf-8")
        part.rename(file)
        told = f"{row['test_baseline']:.3f} -> {row['test']:.3f}" if row["test"] is not None else row["reason"]
        print(
            f"{time.monotonic() - started:6.1f} s  {task.name}  {arm}  {seed}  {row['calls']} calls  {told}", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=50)
    asked = parser.parse_args()
    collect(asked.seeds, asked.minutes)
