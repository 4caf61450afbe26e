"""The server on loopback: lists under load, answers that are still right, streams to many clients, the client's cache.

A home of 100 finished jobs with 10,000 calls each is written first, and served by ``skillfleet serve``.  *jobs* is
asked 50 times a second for ten seconds, once while nothing is written and once while a job writes 20 events a
second, so that each answer is made anew.

*Streams*: 200 clients follow a job that writes 500 calls and 10 milestones a second for 20
seconds, 20 of them reading 4 kB a second; the time of a milestone is from its line in the journal to the client, which
shares the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from skillfleet_nb.events import JobCreated, JobState, LMCall, Phase, Result, StateChanged
from skillfleet_nb.remote.fleet import RemoteFleet
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOBS, CALLS, RATE, SECONDS = 100, 10_000, 50, 10
CLIENTS, SLOW, EVENTS, FOLLOWED_S = 200, 20, 500, 20
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
    env = {**os.environ, "SKILLFLEET_HOME": str(root / ".skillfleet"), "JUPYTER_TOKEN": TOKEN}
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


async def followed(address: str, job: str, *, slow: bool) -> tuple[list[float], int]:
    """Follow a job to its end; return the delay of each milestone in ms, and how many there were."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 12 if slow else 1 << 20)
    path = f"/skillfleet/api/v1/jobs/{job}/stream"
    writer.write(f"GET {path} HTTP/1.0\r\nAuthorization: token {TOKEN}\r\n\r\n".encode())
    delays, count, rest = [], 0, b""
    while piece := await reader.read(1 << 12 if slow else 1 << 20):
        now = datetime.now(UTC)
        *messages, rest = (rest + piece).split(b"\n\n")
        for message in messages:
            if b"event: milestone" in message:
                count += 1
                at = datetime.fromisoformat(json.loads(message.partition(b"data: ")[2])["at"])
                delays.append((now - at).total_seconds() * 1000)
        if slow and b"event: end" not in rest:
            await asyncio.sleep(0 if count >= FOLLOWED_S * 10 else 1)
    writer.close()
    return delays, count


async def streams(address: str, home: Home, server: psutil.Process) -> list[dict[str, Any]]:
    with Journal(home, "streamed") as journal:
        journal.append_many([created("streamed"), StateChanged(state=JobState.RUNNING)])
        clients = [asyncio.create_task(followed(address, "streamed", slow=n < SLOW)) for n in range(CLIENTS)]
        await asyncio.sleep(3)
        before = server.memory_info().rss

        def tick(number: int) -> list[Any]:
            return [*(call(number) for _ in range(EVENTS // 10)), Phase(text=f"step {number}")]

        with written(journal, tick, 10):
            await asyncio.sleep(FOLLOWED_S)
        grown = (server.memory_info().rss - before) / 2**20
        journal.append(StateChanged(state=JobState.COMPLETED), sync=True)
    told = await asyncio.gather(*clients)
    fast = [delay for delays, _ in told[SLOW:] for delay in delays[5:]]
    most = max(count for _, count in told)
    what = f"{CLIENTS} streams of {EVENTS} events/s, {SLOW} slow"
    return [
        {
            "what": f"{what}: event to client, p95",
            "value": statistics.quantiles(fast, n=20)[-1],
            "unit": "ms",
            "target": "< 500",
        },
        {
            "what": f"{what}: milestones lost",
            "value": sum(most - n for _, n in told),
            "unit": "milestones",
            "target": "≤ 0",
        },
        {"what": f"{what}: memory gained in {FOLLOWED_S} s", "value": grown, "unit": "MiB", "target": ""},
    ]


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
        with served(root) as (address, server):
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
            rows = asyncio.run(streams(address, home, server))
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
        *rows,
    ]
