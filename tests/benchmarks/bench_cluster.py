"""Many jobs at once on the workers of a local Dask cluster, against DSPy alone there, and kills of workers.

1. All jobs are asked for at once.  Each scores its program, takes demos, scores again and tests both, with a model that
   takes 200 ms.  The demos help, so that both programs are tested.  Calls per second are those bought by all jobs, from
   the first that was asked for to the end of the last, everything recorded; every ten seconds somebody looks at the
   list of jobs, on the same processors.  The ceiling is DSPy alone, which does the same evaluations of as many programs
   on the same workers, of a new cluster, with a cache of its own that is as empty.
2. While jobs run, workers are killed with ``kill -9``, one after the other.  All jobs must complete; bought twice are
   at most the calls that reached the model and are in no journal.

Run: ``python tests/benchmarks/bench_cluster.py [--jobs 1000] [--kills 10] [--size 12] [--rounds 1]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))
sys.path.insert(0, str(Path(__file__).parents[1] / "runs" / "jobs"))

import dask
import dspy
import psutil
from dask.distributed import Client, LocalCluster
from job_kit import LoggedLM, bought, metric, program, setup, splits, until

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS, KILLS, KILLED_JOBS, SIZE, ROUNDS = 1000, 10, 24, 12, 1
WORKERS, AT_ONCE, LATENCY_S, LOOK_S = 2, 16, 0.2, 10.0
DEMOS = 8
OPTIONS = {"optimizer": "labeled_fewshot", "params": {"k": DEMOS}, "num_threads": 2}


def row(what: str, value: float, unit: str, target: float | str | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "target": target}


@contextmanager
def cluster() -> Iterator[Client]:
    # Its profiler may halt a worker for good, see docs/cluster.md; workers take this process's configuration.
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(n_workers=WORKERS, threads_per_worker=AT_ONCE, dashboard_address=None) as made,
        Client(made) as client,
    ):
        client.run(_ready)
        yield client


def _ready() -> None:
    """Import on a worker what is used, and draw no bars: DSPy forgets those of other threads, which then fail."""
    import logging

    from dspy.utils import parallelizer

    import skillfleet_nb.runs.execution

    del skillfleet_nb
    parallelizer.tqdm = MagicMock()
    logging.getLogger("dspy").setLevel(logging.ERROR)


def directly(lm: Any, size: int) -> int:
    """Do with DSPy alone what a job does; return how many predictions were made."""
    data = splits(size)
    with dspy.context(lm=lm, disable_history=True):
        given = program()
        found = dspy.LabeledFewShot(k=DEMOS).compile(given, trainset=data["train"])
        score = dspy.Evaluate(devset=data["val"], metric=metric, num_threads=2, display_progress=False)
        test = dspy.Evaluate(devset=data["test"], metric=metric, num_threads=2, display_progress=False)
        results = [score(given), score(found), test(given), test(found)]
    return sum(len(one.results) for one in results)


def alone(jobs: int, size: int, folder: Path) -> float:
    """Return the calls per second of DSPy alone."""
    models = [LoggedLM(folder, LATENCY_S) for _ in range(jobs)]
    with cluster() as client:
        started = time.perf_counter()
        client.gather([client.submit(directly, model.lm, size, pure=False) for model in models])
        seconds = time.perf_counter() - started
    return sum(model.calls for model in models) / seconds


def together(jobs: int, size: int, folder: Path) -> tuple[float, float, float]:
    """Return calls per second of as many jobs, the most memory of all workers in MiB, and the seconds of asking."""
    models = [LoggedLM(folder, LATENCY_S) for _ in range(jobs)]
    fleet, most = Fleet(folder / "home"), 0.0
    with cluster() as client:
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        started = time.perf_counter()
        asked = [fleet.optimize(**{**setup(m.lm, engine=client), **OPTIONS, **splits(size)}) for m in models]
        asking = time.perf_counter() - started
        while not fleet.jobs().state.isin(["completed", "failed", "interrupted", "cancelled"]).all():
            most = max(most, sum(worker.memory_info().rss for worker in workers) / 2**20)
            time.sleep(LOOK_S)
        ended = fleet.sql("select max(finished_at) - min(created_at) as s from jobs").s[0].total_seconds()
    assert all(job.state is JobState.COMPLETED for job in asked)
    return sum(model.calls for model in models) / ended, most, asking


def killed(kills: int, folder: Path) -> list[dict[str, Any]]:
    """Kill workers while jobs run."""
    models = [LoggedLM(folder, LATENCY_S / 4) for _ in range(KILLED_JOBS)]
    fleet, rng = Fleet(folder / "home"), random.Random(7)
    given = {"optimizer": "bootstrap_random_search", "params": {"num_candidate_programs": 3, "max_labeled_demos": 4}}
    with cluster() as client:
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 10 * kills))
        asked = [fleet.optimize(**{**setup(m.lm, engine=client), **given, **splits(6)}) for m in models]
        everything, dead = 0, list[int]()

        def living() -> list[int]:
            pids = [nanny.pid for nanny in client.cluster.workers.values()]
            return [pid for pid in pids if pid and pid not in dead]

        for _ in range(kills):
            everything += rng.randint(20, 60)
            until(lambda least=everything: sum(m.calls for m in models) >= least)  # type: ignore[misc]  # bound at once
            dead.append(rng.choice(until(living)))
            os.kill(dead[-1], signal.SIGKILL)
        for job in asked:
            job.wait()
    states = [str(job.state) for job in asked]
    reached, told = sum(m.calls for m in models), sum(bought(fleet, job.id) for job in asked)
    attempts = sum(job.progress.attempts - 1 for job in asked)
    ended = f"{kills} kills of workers, which ended {attempts} attempts at {KILLED_JOBS} jobs"
    in_flight = 2 * attempts  # two threads an evaluation
    return [
        row(f"{ended}: jobs that completed", states.count("completed"), "jobs", KILLED_JOBS),
        row(f"{ended}: calls bought that no journal has, of {reached:,}", reached - told, "calls", f"≤ {in_flight}"),
    ]


def run(jobs: int = JOBS, kills: int = KILLS, size: int = SIZE, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure everything."""
    ceilings, speeds, memory, asking = [], [], [], []
    for _ in range(rounds):
        for ours in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                dspy.configure_cache(disk_cache_dir=f"{folder}/cache")
                os.environ["DSPY_CACHEDIR"] = f"{folder}/cache"
                if ours:
                    speed, most, seconds = together(jobs, size, Path(folder))
                    speeds.append(speed), memory.append(most), asking.append(seconds)
                else:
                    ceilings.append(alone(jobs, size, Path(folder)))
        print(f"DSPy alone {ceilings[-1]:.1f} calls/s, jobs {speeds[-1]:.1f}, {memory[-1]:.0f} MiB", flush=True)
    where = f"{jobs:,} jobs at once, {WORKERS} workers of {AT_ONCE} jobs, 200 ms a call"
    share = statistics.median(ours / theirs for ours, theirs in zip(speeds, ceilings, strict=True))
    rows = [
        row(f"{where}: calls a second, against DSPy alone", share, "ratio", "≥ 0.85"),
        row(f"{where}: calls a second", statistics.median(speeds), "calls/s", None),
        row("DSPy alone on the same workers: calls a second", statistics.median(ceilings), "calls/s", None),
        row(f"{where}: memory of all workers", max(memory), "MiB", "≤ 12288"),
        row(f"{where}: to ask for one", statistics.median(asking) / jobs, "s", None),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows += killed(kills, Path(folder))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    for one in run(args.jobs, args.kills, args.size, args.rounds):
        print(f"{one['what']}: {one['value']:.3g} {one['unit']} (target {one['target']})")
