"""The server on loopback: lists under load, answers that are still right, the client's cache.

A home of 100 finished jobs with 10,000 calls each is written first, and served by ``skillfleet serve``.  *jobs* is
asked 50 times a second for ten seconds, once while nothing is written and once while a job writes 20 events a
second, so that each answer is made anew.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from skillfleet_nb.events import JobCreated, JobState, LMCall, Result, StateChanged
from skillfleet_nb.remote.fleet import RemoteFleet
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOBS, CALLS, RATE, SECONDS = 100, 10_000, 50, 10
TOKEN = "benchmark"  # noqa: S105  of a server that ends with this process


def created(name: str) -> JobCreated:
    return JobCreated(name=name, optimizer="gepa", program="p", metric="m", engine="thread", seed=0)


def call(number: int) -> LMCall:
    return LMCall(
        model="m", cached=False, input_tokens=900, output_tokens=100, cost_usd=1e-4, latency_s=0.4,
        call_id=f"c{number}", role="task", prompt="x" * 200, response="y" * 50,
    )  # fmt: skip


def write_home(home: Home) -> None:
    for number in range(JOBS):
        with Journal(home, f"job-{number:03d}") as journal:
            journal.append_many([created(f"job-{number}"), StateChanged(state=JobState.RUNNING)])
            journal.append_many([call(n) for n in range(CALLS)])
            journal.append_many([Result(best_score=0.5, summary="fine"), StateChanged(state=JobState.COMPLETED)])


@contextmanager
def served(root: Path) -> Iterator[tuple[str, psutil.Process]]:
    env = {**os.environ, "SKILLFLEET_HOME": str(root / ".skillfleet"), "JUPYTER_TOKEN": TOKEN, "JUPYTER_NO_CONFIG": "1"}
    command = [sys.executable, "-m", "skillfleet_nb.cli", "serve", "--no-browser", "--root", str(root)]
    process = subprocess.Popen(command, env=env, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("export SKILLFLEET_SERVER="))
        yield line.strip().partition("=")[2], psutil.Process(process.pid).children()[0]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def written(journal: Journal, times: Callable[[int], list[Any]], rate: float) -> Iterator[None]:
    """Write to a job from a thread: what `times` makes, so often a second."""
    ended = threading.Event()

    def work() -> None:
        began, number = time.perf_counter(), 0
        while not ended.wait(max(0.0, began + number / rate - time.perf_counter())):
            journal.append_many(times(number))
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def asked(address: str, path: str, seconds: float) -> float:
    """Ask `RATE` times a second; return the 95th percentile of the answers' times in ms."""
    async with httpx.AsyncClient(base_url=f"{address}/skillfleet/api/v1", timeout=60) as client:

        async def once() -> float:
            began = time.perf_counter()
            told = await client.get(path, headers={"Authorization": f"token {TOKEN}"})
            assert told.status_code == 200
            return (time.perf_counter() - began) * 1000

        await once()
        began, tasks = time.perf_counter(), []
        for number in range(int(RATE * seconds)):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(once()))
        return statistics.quantiles(await asyncio.gather(*tasks), n=20)[-1]


def still_right(address: str, path: str, tag: str, seconds: float) -> float:
    """Ask `RATE` times a second for what the client has; return the 95th percentile of the answers' times in ms.

    The client is a bare connection: one for all needs makes each answer wait for itself some milliseconds.
    """
    host, _, port = address.removeprefix("http://").partition(":")
    head = {"Host": host, "Authorization": f"token {TOKEN}", "If-None-Match": tag}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    asking = f"GET /skillfleet/api/v1{path} HTTP/1.1\r\n{lines}\r\n".encode()
    times = []
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for _ in range(int(RATE * seconds)):
            began, told = time.perf_counter(), b""
            connection.sendall(asking)
            while b"\r\n\r\n" not in told:
                told += connection.recv(4096)
            assert told.startswith(b"HTTP/1.1 304")
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, began + 1 / RATE - time.perf_counter()))
    return statistics.quantiles(times, n=20)[-1]


def cached(address: str) -> float:
    """Return how much faster a complete job is shown from disk than asked for."""

    def shown(fleet: RemoteFleet) -> float:
        began = time.perf_counter()
        fleet.job("job-1").text()
        return time.perf_counter() - began

    bare, kept = RemoteFleet(address, TOKEN, cache_s=None), RemoteFleet(address, TOKEN)
    shown(bare), shown(kept)
    return statistics.median(shown(bare) / shown(kept) for _ in range(20))


def run() -> list[dict[str, Any]]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        root = Path(folder)
        home = Home(root / ".skillfleet").ensure()
        write_home(home)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")
        with served(root) as (address, _):
            quiet = asyncio.run(asked(address, "/jobs?limit=20", SECONDS))
            with httpx.Client(timeout=60) as client:
                headers = {"Authorization": f"token {TOKEN}"}
                tag = client.get(f"{address}/skillfleet/api/v1/jobs/job-001", headers=headers).headers["etag"]
            same = still_right(address, "/jobs/job-001", tag, SECONDS)
            with Journal(home, "busy") as journal:
                journal.append(created("busy"))
                with written(journal, lambda number: [call(number)], 20):
                    busy = asyncio.run(asked(address, "/jobs?limit=20", SECONDS))
            ratio = cached(address)
    size = f"{JOBS * CALLS:,} calls"
    return [
        {"what": f"jobs at {RATE}/s, {size}: p95", "value": quiet, "unit": "ms", "target": "< 100"},
        {"what": f"jobs at {RATE}/s while a job writes, {size}: p95", "value": busy, "unit": "ms", "target": "< 100"},
        {"what": f"304 at {RATE}/s: p95", "value": same, "unit": "ms", "target": "< 5"},
        {
            "what": "a complete job from disk, times faster than asked for",
            "value": ratio,
            "unit": "times",
            "target": "≥ 10",
        },
    ]
