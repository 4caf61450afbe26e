"""Real runs of every optimizer on many tasks, kept on disk: what the benchmarks of advice reckon with.

A run goes to its end without a budget, with a priced offline model of its own.  What it would have come
to under a budget is read off its own record: the best program that was known when that much was spent.
Programs are scored on the test split and, to tell them apart more finely, on the task's further examples.
One run is one JSON file in ``$SKILLFLEET_BENCH_CACHE``, so an interrupted collection goes on where it stopped.

Run: ``python tests/benchmarks/grid_runs.py [--minutes 50] [--workers 2]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from made_up_tasks import JUDGING_DRAWS, Task, grid

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.lm import embed
from skillfleet_nb.offline.engine import AsyncOfflineEngine, OfflineEngine
from skillfleet_nb.programs.loading import load_state
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
    "miprov2 heavy": ("miprov2", {"auto": "heavy"}),
    "gepa medium": ("gepa", {"auto": "medium"}),
    "better_together": ("better_together", {"steps": "bootstrap_random_search,infer_rules"}),
    "knn_fewshot": ("knn_fewshot", {}),
}
"""Every optimizer, in several sizes where it has them; but no model without weights can be fine-tuned."""


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


def cases() -> Iterator[tuple[Task, str, int, Path]]:
    """List what is to be run, and the file of each; one seed of all before the next, each with a draw of its own."""
    for seed in range(JUDGING_DRAWS):
        for task in (t for t in grid() if seed < t.draws):
            for arm in ARMS:
                yield task, arm, seed, CACHE / "grid" / f"{task.name}--{arm.replace(' ', '-')}--{seed}.json"


def run_once(
    task: Task, optimizer: str, params: dict[str, Any], seed: int, *,
    engine: OfflineEngine | None = None, threads: int = 1, judge: Judge | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run one job to its end, and return what it used, by role, and what it came to, judged on its way too."""
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
        judged = {} if judge is None else judge.of(fleet, job.id, result, lm)
    dspy.cache.reset_memory_cache()
    return {
        "task": task.name, "optimizer": optimizer, "params": params, "seed": seed, "threads": threads,
        "sizes": [len(task.train), len(task.val), len(task.test)], "predictors": len(task.program().predictors()),
        "state": str(result.state), "reason": result.stop_reason, "used": used, "calls": result.lm_calls,
        "cached": result.cached_calls, "usd": result.cost_usd, "wall_s": result.wall_s,
        "baseline": result.baseline_score, "best": result.best_score, "test_baseline": result.test_baseline,
        "test": result.test_score, **judged,
    }  # fmt: skip


class Judge:
    """Scores programs on a task's further examples, each program once."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._known: dict[str, float] = {}

    def of(self, fleet: Fleet, job_id: str, result: Any, lm: Any) -> dict[str, Any]:
        """Judge the given program, the best one, and those that were the best known on the way, by their cost."""
        path, best = [], -1.0
        for t in fleet.trials(job_id).to_dict("records"):
            if not t["full_eval"] or t["split"] != "val" or t["score"] <= best:
                continue
            best = float(t["score"])
            key = str(t["program_id"])
            try:
                program = load_state(self._task.program(), load_program(fleet.home, key))
            except InputError:
                program = result.program  # more than its state, and the only candidate of its search
            score = self._score(key, program, lm)
            path.append({"usd": t["cost_usd"], "calls": int(t["lm_calls"]), "val": best, "judged": score})
        given = self._score("given", self._task.program(), lm)
        return {"judged_baseline": given, "judged": self._score(None, result.program, lm), "path": path}

    def _score(self, key: str | None, program: Any, lm: Any) -> float:
        if key is not None and key in self._known:
            return self._known[key]
        with dspy.context(lm=lm):
            rows = dspy.Evaluate(devset=self._task.judge, metric=self._task.metric, num_threads=1)(program)
        score = rows.score / 100
        if key is not None:
            self._known[key] = score
        return score


def _used(fleet: Fleet, job_id: str) -> dict[str, dict[str, float]]:
    """Add up calls, tokens and seconds by role; the baseline's are a role of their own."""
    added: dict[str, dict[str, float]] = {}
    before_search = True
    for event in follow(fleet.home, job_id).poll():
        p = event.payload.model_dump()
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


def collect(minutes: float, workers: int = 2) -> None:
    """Run what is missing, up to a time limit; a process of its own takes one task and seed at a time."""
    until = time.time() + 60 * minutes
    parts: dict[tuple[int, str], None] = {}
    for task, _, seed, file in cases():
        if not file.exists():
            parts[seed, task.name] = None
    (CACHE / "grid").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_collect, *zip(*parts, strict=True), [until] * len(parts)) if parts else ())


def _collect(seed: int, name: str, until: float) -> None:
    """Run what is missing of one task and seed."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    task = next(t for t in grid() if t.name == name).drawn(seed)
    engine, judge = Remembering(usd_per_1k_tokens=task.usd_per_1k), Judge(task)
    # Nearest-neighbour programs embed every input they are judged on, one by one; all at once is much quicker.
    embed.Embedder = partial(embed.Embedder, cache=CACHE / "vectors")  # type: ignore[assignment,misc]
    embed.Embedder()([" | ".join(f"{k}: {v}" for k, v in e.inputs().items()) for e in (*task.train, *task.judge)])
    for other, arm, at, file in cases():
        if other.name != name or at != seed or file.exists() or time.time() > until:
            continue
        started = time.monotonic()
        optimizer, params = ARMS[arm]
        with Path(os.devnull).open("w", encoding="utf-8") as sink:
            kept, sys.stdout = sys.stdout, sink
            try:
                row = run_once(task, optimizer, params, seed, engine=engine, judge=judge)
            finally:
                sys.stdout = kept
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**row, "arm": arm}), "utf-8")
        part.rename(file)
        told = f"{row['judged_baseline']:.3f} -> {row['judged']:.3f}" if row["test"] is not None else row["reason"]
        print(f"{time.monotonic() - started:6.1f} s  {name}  {arm}  {seed}  {row['calls']} calls  {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    collect(asked.minutes, asked.workers)
