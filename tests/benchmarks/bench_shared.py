"""Many small queued runs, a process each and sixteen in one: time, memory, and what a kill takes.

1. All runs are asked for while no place is free, then two processes at a time work them off, with a model that takes
   200 ms.  Each scores its program, takes demos, scores again and tests both: 20 calls of a model of its own name, so
   that none is answered by another's cache.  Memory is that of all workers together, at most.  With a process each it
   is fewer runs, and time is compared for one.
2. Sixteen share one process, which is killed with ``kill -9`` again and again; whatever reads interrupted is resumed.
   Bought twice are the calls that reached the model beyond those of undisturbed runs; the bound is what was in flight.

Run: ``python tests/benchmarks/bench_shared.py [--runs 1000] [--alone 100] [--kills 10]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))
sys.path.insert(0, str(Path(__file__).parents[1] / "runs" / "jobs"))

import psutil
from job_kit import LoggedLM, bought, events, setup, splits, until

from skillfleet_nb import Fleet
from skillfleet_nb.store import locks, tickets

RUNS, ALONE, KILLS, PROCESSES, TOGETHER, LATENCY_S = 1000, 100, 10, 2, 16, 0.2
OPTIONS = {"optimizer": "labeled_fewshot", "params": {"k": 2}, "num_threads": 2, "max_parallel": PROCESSES}


def row(what: str, value: float, unit: str, target: float | str | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def workers(fleet: Fleet) -> list[psutil.Process]:
    """Find the processes that run jobs of a home."""
    wanted = ["skillfleet_nb.runs.engines.worker", str(fleet.home.root)]
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[3:5] == wanted]


def memory(fleet: Fleet) -> float:
    """Add up the memory that the workers have for themselves, and that of what they share once, in MiB."""
    total, shared = 0.0, 0.0
    for process in workers(fleet):
        try:
            rss = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total, shared = total + (rss.rss - rss.shared) / 2**20, max(shared, rss.shared / 2**20)
    return total + shared


def tickets_left(fleet: Fleet) -> bool:
    """Tell whether jobs wait."""
    return any(True for _ in tickets.waiting(fleet.home))


def queued(runs: int, together: int, folder: Path) -> tuple[float, float]:
    """Return the seconds from when there is room to the end of the last, and the most memory of all workers in MiB."""
    fleet = Fleet(folder / "home")
    models = [LoggedLM(folder, LATENCY_S) for _ in range(runs)]
    (fleet.home.ensure().root / "slots").mkdir()
    held = [locks.acquire(fleet.home.root / "slots" / f"{n}.lock") for n in range(PROCESSES)]
    for model in models:
        fleet.optimize(**{**setup(model.lm, **OPTIONS, runs_per_worker=together), **splits(5)})
    for slot in held:
        os.close(slot)
    started, most = datetime.now(UTC), 0.0
    while tickets_left(fleet) or workers(fleet):  # no question of the home, which takes a processor from them
        most = max(most, memory(fleet))
        time.sleep(0.5)
    states = fleet.jobs().state.value_counts().to_dict()
    if states != {"completed": runs}:
        raise RuntimeError(str(states))
    ended = fleet.sql("select max(finished_at) as at from jobs")["at"][0].to_pydatetime().replace(tzinfo=UTC)
    return (ended - started).total_seconds(), most


def killed(kills: int, folder: Path) -> list[dict[str, Any]]:
    """Kill the process that many share, again and again."""
    fleet, rng = Fleet(folder / "home"), random.Random(7)
    models = [LoggedLM(folder, LATENCY_S / 4) for _ in range(TOGETHER)]
    given = {"optimizer": "bootstrap_random_search", "params": {"num_candidate_programs": 3, "max_labeled_demos": 4}}
    given |= {"max_parallel": 1, "runs_per_worker": TOGETHER}
    alone = LoggedLM(folder)
    fleet.optimize(**{**setup(alone.lm, **given), "engine": "thread", "max_parallel": None, "runs_per_worker": None}
                   ).result()  # fmt: skip
    jobs = [fleet.optimize(**setup(model.lm, **given)) for model in models]
    total, ended, done = alone.calls * len(jobs), 0, 0
    while done < kills:
        more = rng.randint(total // (4 * kills), total // (2 * kills))
        least = min(sum(m.calls for m in models) + more, total - 2 * TOGETHER)  # by then some run is not at its end
        until(lambda least=least: sum(m.calls for m in models) >= least)  # type: ignore[misc]  # bound at once
        living = workers(fleet)
        if not living and all(job.state.is_finished() for job in jobs):
            break
        for worker in living:
            os.kill(worker.pid, signal.SIGKILL)
        done += bool(living)
        until(lambda: not workers(fleet))
        for job in jobs:
            if job.state == "interrupted":
                ended += 1
                fleet.resume(job.id, max_parallel=1, runs_per_worker=TOGETHER)
    for job in jobs:
        job.wait()
    states = [str(job.state) for job in jobs]
    results = {str(events(fleet, job.id, "result")[-1]) for job in jobs if job.state == "completed"}
    calls, told = sum(m.calls for m in models), sum(bought(fleet, job.id) for job in jobs)
    what = f"{done} kills of a process of {TOGETHER} runs, which ended {ended} attempts"
    return [
        row(f"{what}: runs that completed", states.count("completed"), "jobs", TOGETHER),
        row(f"{what}: different results of one set-up", len(results), "results", "≤ 1"),
        row(f"{what}: calls bought twice, of {calls:,}", calls - total, "calls", f"≤ {calls - told}"),
    ]


def run(runs: int = RUNS, alone: int = ALONE, kills: int = KILLS) -> list[dict[str, Any]]:
    """Measure everything."""
    rows, of_one = [], {}
    for together, number in ((TOGETHER, runs), (1, alone)):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DSPY_CACHEDIR"] = f"{folder}/cache"
            seconds, most = queued(number, together, Path(folder))
        of_one[together] = seconds / number
        where = f"{number:,} queued runs, {PROCESSES} processes of {together}"
        print(f"{where}: {seconds:.0f} s, {most:.0f} MiB", flush=True)
        rows += [
            row(f"{where}: all finished", seconds, "s", None),
            row(f"{where}: memory of all workers", most, "MiB", None),
        ]
    ratio = of_one[TOGETHER] / of_one[1]
    rows.append(row(f"time for a run, {TOGETHER} in a process against one", ratio, "ratio", "≤ 0.5"))
    with tempfile.TemporaryDirectory() as folder:
        rows += killed(kills, Path(folder))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--alone", type=int, default=ALONE)
    parser.add_argument("--kills", type=int, default=KILLS)
    args = parser.parse_args()
    for one in run(args.runs, args.alone, args.kills):
        print(f"{one['what']}: {one['value']:.3g} {one['unit']} (target {one['target']})")
