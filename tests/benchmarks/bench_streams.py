"""Streams of the server to many clients on loopback: delay, milestones, the run's time, the server's memory.

200 clients follow a job of another process, 20 of them reading 4 kB a second.  It writes 50 calls and a milestone,
waits a tenth of a second as for a model, and writes again; the time of a milestone is from its line in the journal to
the client, which shares the machine.  The run's time is against that of the same job followed by nobody.  Streams take
20 seconds, of which the last half tells of memory; ``python tests/benchmarks/bench_streams.py 600`` takes ten minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_server import TOKEN, call, created, served

from skillfleet_nb.events import JobState, Phase, StateChanged
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    import psutil

CLIENTS, SLOW, EVENTS, FOLLOWED_S = 200, 20, 500, 20


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
        code = f"from bench_streams import write; write({str(home.root)!r}, {job!r}, {int(10 * seconds)})"
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


def run(seconds: float = FOLLOWED_S) -> list[dict[str, Any]]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        home = Home(Path(folder) / ".skillfleet").ensure()
        with served(Path(folder)) as (address, server):
            return asyncio.run(streams(address, home, server, seconds))


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(run(float(sys.argv[1])), indent=1, ensure_ascii=False)}\n")
