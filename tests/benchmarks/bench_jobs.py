"""Kill detached jobs, queue many of them, and follow many events: what it costs, what is lost.

1. Per optimizer, a worker is killed with ``kill -9`` at random points and resumed, 20 times in all (a
   further job is started whenever one has finished).  Bought twice are the calls beyond those of an
   undisturbed run with the same seed; the bound is what was in flight at the kills.  Program and
   scores must be those of the undisturbed run, or the benchmark fails.
2. 200 detached jobs are queued with ``max_parallel = 4``.
3. The memory of a process that follows a job of many events.
4. 1,000 jobs are queued with no place free: what they take in memory, and what the dispatcher does.

Run: ``python tests/benchmarks/bench_jobs.py [--kills 20] [--jobs 200] [--only gepa,copro]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))
sys.path.insert(0, str(Path(__file__).parents[1] / "runs" / "jobs"))

import psutil
from job_kit import SMALL, LoggedLM, bought, ends, events, kill, setup, until

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobCreated, LMCall
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import Journal, locks

KILLS, JOBS, WAITING = 20, 200, 1000


def row(what: str, value: float, unit: str, target: float | str | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def killed(optimizer: str, kills: int, folder: Path) -> list[dict[str, Any]]:
    """Kill one optimizer's workers again and again."""
    fleet = Fleet(folder / "home")
    model = LoggedLM(folder)
    whole = fleet.optimize(**setup(model.lm, optimizer, engine="thread"))
    whole.result()
    calls, expected = model.calls, events(fleet, whole.id, "result")[-1]
    rng, done, twice, in_flight, jobs = random.Random(optimizer), 0, 0, 0, 0
    while done < kills:
        model = LoggedLM(folder, latency_s=0.01)
        job = fleet.optimize(**setup(model.lm, optimizer))
        for after in sorted(rng.sample(range(1, calls - 1), min(5, kills - done))):
            until(lambda model=model, after=after: model.calls >= after)  # type: ignore[misc]  # bound at once
            kill(job)
            done += 1
            job = fleet.resume(job.id)
        job.result()
        assert events(fleet, job.id, "result")[-1] == expected, f"{optimizer}: another result"
        assert ends(fleet, job.id) == ["completed"]
        jobs += 1
        twice += model.calls - calls
        in_flight += model.calls - bought(fleet, job.id)
    assert twice <= in_flight, f"{optimizer}: {twice} calls bought twice, {in_flight} were in flight"
    what = f"{optimizer}: calls bought twice in {done} kills of {jobs} jobs of {calls} calls"
    return [row(what, twice, "calls", f"≤ {in_flight}")]


def queued(n: int, folder: Path) -> list[dict[str, Any]]:
    """Queue many jobs and wait for all of them."""
    fleet, model = Fleet(folder / "home"), LoggedLM(folder)
    me = psutil.Process()
    given = {"optimizer": "labeled_fewshot", "params": {"k": 2}}
    fleet.jobs()  # what a first question loads is not counted
    started = time.perf_counter()
    before = me.memory_info().rss
    jobs = [fleet.optimize(**setup(model.lm, **given, seed=seed), max_parallel=4) for seed in range(n)]
    asked = time.perf_counter() - started
    most = 0
    while True:
        states = fleet.jobs().state.value_counts().to_dict()
        most = max(most, states.get("running", 0))
        if states.get("completed", 0) == n or states.get("failed") or states.get("interrupted"):
            break
        time.sleep(1)
    assert states == {"completed": n}, states
    assert most <= 4, most
    return [
        row(f"{n} detached jobs, 4 at a time: all finished", time.perf_counter() - started, "s", None),
        row("one detached job asked for", 1000 * asked / len(jobs), "ms", None),
        row(f"growth of the asking process with {n} jobs", (me.memory_info().rss - before) / 2**20, "MiB", None),
    ]


def waiting(n: int, folder: Path) -> list[dict[str, Any]]:
    """Queue many jobs with no place free, and tell what they take: the dispatcher, and what the asking process grew."""
    fleet, model, me = Fleet(folder / "home"), LoggedLM(folder), psutil.Process()
    (fleet.home.ensure().root / "slots").mkdir()
    slot = locks.acquire(fleet.home.root / "slots" / "0.lock")
    given = {"optimizer": "labeled_fewshot", "params": {"k": 2}, "max_parallel": 1}
    fleet.optimize(**setup(model.lm, **given)).cancel()  # what a first one loads is not counted
    before = me.memory_info().rss
    jobs = [fleet.optimize(**setup(model.lm, **given, seed=seed)) for seed in range(n)]
    grown = me.memory_info().rss - before
    theirs = [p for p in psutil.process_iter(["cmdline"]) if str(fleet.home.root) in (p.info["cmdline"] or [])]
    assert len(theirs) == 1, "one dispatcher, and nothing else"
    [dispatcher] = theirs
    processor, started = sum(dispatcher.cpu_times()[:2]), time.perf_counter()
    time.sleep(10)
    busy = (sum(dispatcher.cpu_times()[:2]) - processor) / (time.perf_counter() - started)
    rss = dispatcher.memory_info().rss
    looked = time.perf_counter()
    place = jobs[-1].progress.phase
    looked = time.perf_counter() - looked
    assert place == f"waiting: place {n} of {n}, 1 job at a time", place
    dispatcher.kill()
    dispatcher.wait()
    os.close(slot)
    return [
        row(f"{n:,} waiting jobs: memory of all of them", (grown + rss) / 2**20, "MiB", 300),
        row(f"{n:,} waiting jobs: share of a processor that the dispatcher takes", 100 * busy, "%", None),
        row(f"{n:,} waiting jobs: to say which place one has", 1000 * looked, "ms", None),
    ]


def followed(n: int, folder: Path) -> list[dict[str, Any]]:
    """Follow a job of many events, and tell what the follower grows by."""
    home = Fleet(folder / "home").home
    with Journal(home, "many") as journal:
        created = {"name": "many", "optimizer": "gepa", "program": "p", "metric": "m", "engine": "thread", "seed": 0}
        journal.append(JobCreated(**created))
        call = {"model": "m", "role": "task", "cached": False, "prompt": "x" * 1000, "response": "y" * 200}
        me, progress = psutil.Process(), Progress(home, "many")
        sizes = []
        for _ in range(4):
            journal.append_many([LMCall(call_id=str(i), **call) for i in range(n // 4)])
            progress.update()
            sizes.append(me.memory_info().rss)
        again = Progress(home, "many").update()
        assert progress.calls == again.calls == 4 * (n // 4)
        grown = max(sizes[-1], me.memory_info().rss) - sizes[0]
    return [row(f"growth of a follower from {n // 4:,} to {n:,} events", grown / 2**20, "MiB", 32)]


def run(kills: int = KILLS, jobs: int = JOBS, only: tuple[str, ...] = tuple(SMALL)) -> list[dict[str, Any]]:
    """Measure everything."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for name in only:
            rows += killed(name, kills, _made(Path(place) / name))
        rows += followed(100_000, _made(Path(place) / "followed"))
        if jobs:
            rows += queued(jobs, _made(Path(place) / "queued"))
            rows += waiting(WAITING, _made(Path(place) / "waiting"))
    return rows


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--only", default=",".join(SMALL))
    asked = parser.parse_args()
    for found in run(asked.kills, asked.jobs, tuple(n for n in asked.only.split(",") if n)):
        print(found)
