"""The server on loopback: lists under load, answers that are still right, streams to many clients, the client's cache.

A home of 100 finished jobs with 10,000 calls each is written first, and served by ``skillfleet serve``.  *jobs* is
asked 50 times a second for ten seconds, once while nothing is written and once while a job writes 20 events a
second, so that each answer is made anew.

*Streams*: 200 clients follow a job of another process, 20 of them reading 4 kB a second.  It writes 50 calls and a
milestone, waits a tenth of a second as for a model, and writes again; the time of a milestone is from its line in the
journal to the client, which shares the machine.  The run's time is against that of the same job followed by nobody.
Streams take 20 seconds, of which the last half tells of memory; ``python tests/benchmarks/bench_server.py 600`` prints
the rows of streams alone, over ten minutes.
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


async def followed(address: str, job: str, *, slow: bool, until: float) -> tuple[list[float], int]:
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
            await asyncio.sleep(0 if count >= until else 1)
    writer.close()
    return delays, count


def write(root: str, job: str, ticks: int) -> None:
    """Write a job, in a process of its own: say when it is there, wait to be told to begin, say how long it took."""
    with Journal(Home(Path(root)), job) as journal:
        journal.append_many([created(job), StateChanged(state=JobState.RUNNING)], sync=True)
        sys.stdout.write("there\n")
        sys.stdout.flush()
        sys.stdin.readline()
        began = time.perf_counter()
        for number in range(ticks):
            journal.append_many([*(call(number) for _ in range(EVENTS // 10)), Phase(text=f"step {number}")])
            time.sleep(0.1)
        took = time.perf_counter() - began
        journal.append(StateChanged(state=JobState.COMPLETED), sync=True)
    sys.stdout.write(f"{took}\n")


class Run:
    """A job that another process writes."""

    def __init__(self, home: Home, job: str, seconds: float) -> None:
        code = f"from bench_server import write; write({str(home.root)!r}, {job!r}, {int(10 * seconds)})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        )  # fmt: skip
        self._says()

    def _says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def took(self) -> float:
        """Let it write; return the seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()
        seconds = float(self._says())
        self.process.wait()
        return seconds


async def streams(address: str, home: Home, server: psutil.Process, seconds: float) -> list[dict[str, Any]]:
    alone = await asyncio.to_thread(Run(home, "alone", FOLLOWED_S).took) / FOLLOWED_S
    run = Run(home, "streamed", seconds)
    clients = [
        asyncio.create_task(followed(address, "streamed", slow=n < SLOW, until=10 * seconds)) for n in range(CLIENTS)
    ]
    await asyncio.sleep(3)
    memory: list[float] = []

    async def weigh() -> None:
        while True:
            memory.append(server.memory_info().rss / 2**20)
            await asyncio.sleep(1)

    weighing, before = asyncio.create_task(weigh()), sum(server.cpu_times()[:2])
    together = await asyncio.to_thread(run.took) / seconds
    busy = (sum(server.cpu_times()[:2]) - before) / (together * seconds)
    weighing.cancel()
    told = await asyncio.gather(*clients)
    fast = [delay for delays, _ in told[SLOW:] for delay in delays[5:]]
    most = max(count for _, count in told)
    half = len(memory) // 2
    grown = statistics.median(memory[-half // 4 :]) - statistics.median(memory[half : half + half // 4 + 1])
    what = f"{CLIENTS} streams of {EVENTS} events/s, {SLOW} slow, {seconds:.0f} s"
    p95 = statistics.quantiles(fast, n=20)[-1]
    lost = sum(most - n for _, n in told)
    return [
        {"what": f"{what}: event to client, p95 of the fast", "value": p95, "unit": "ms", "target": "< 500"},
        {"what": f"{what}: milestones lost, of {most:,} each", "value": lost, "unit": "milestones", "target": "≤ 0"},
        {
            "what": f"{what}: time of the run, times that alone",
            "value": together / alone,
            "unit": "ratio",
            "target": 1.03,
        },
        {"what": f"{what}: memory gained in the second half", "value": grown, "unit": "MiB", "target": "< 5"},
        {"what": f"{what}: processor of the server", "value": 100 * busy, "unit": "% of a core", "target": ""},
        {"what": f"{what}: memory of the server", "value": memory[-1], "unit": "MiB", "target": ""},
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
            rows = asyncio.run(streams(address, home, server, FOLLOWED_S))
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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        home = Home(Path(folder) / ".skillfleet").ensure()
        with served(Path(folder)) as (address, server):
            rows = asyncio.run(streams(address, home, server, float(sys.argv[1])))
    sys.stdout.write(f"{json.dumps(rows, indent=1, ensure_ascii=False)}\n")
