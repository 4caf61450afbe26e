"""A client that follows a job while its server is killed with ``kill -9``, again and again, and started anew.

The job goes on writing 20 milestones a second meanwhile.  Each must reach the client, in order and once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from bench_server import TOKEN, created, written

from skillfleet_nb.commands.serve import _COMMAND
from skillfleet_nb.commands.server_process import HERE, free_port
from skillfleet_nb.events import JobState, Phase, StateChanged
from skillfleet_nb.remote.fleet import RemoteFleet
from skillfleet_nb.store import Home, Journal

ROUNDS, RATE = 50, 20
_POLL_S = 0.05


def started(root: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it answers."""
    env = {
        **os.environ, "JUPYTER_TOKEN": TOKEN, "SKILLFLEET_HOME": str(root / ".skillfleet"),
        "JUPYTER_NO_CONFIG": "1", "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
    }  # fmt: skip
    options = [f"--ServerApp.root_dir={root}", f"--ServerApp.ip={HERE}", f"--ServerApp.port={port}"]
    server = subprocess.Popen([sys.executable, "-m", *_COMMAND, *options], env=env, stderr=subprocess.DEVNULL)
    while True:
        try:
            httpx.get(f"http://{HERE}:{port}/skillfleet/api/v1/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(_POLL_S)
        else:
            return server


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Kill and start so often; count what the client got."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        root, port = Path(folder), free_port(None)
        home = Home(root / ".skillfleet").ensure()
        server = started(root, port)
        seen: list[int] = []
        is_heard = threading.Event()

        def hear(kind: str, data: Any) -> None:
            if kind == "milestone":
                seen.append(data["seq"])
                is_heard.set()

        try:
            with Journal(home, "followed") as journal:
                journal.append_many([created("followed"), StateChanged(state=JobState.RUNNING)])
                fleet = RemoteFleet(f"http://{HERE}:{port}", TOKEN, cache_s=None)
                job = fleet.job("followed")
                job.follow(hear)
                with written(journal, lambda number: [Phase(text=f"step {number}")], RATE):
                    for _ in range(rounds):
                        is_heard.clear()
                        is_heard.wait()  # it is being followed
                        server.kill()
                        server.wait()
                        server = started(root, port)
                journal.append(StateChanged(state=JobState.COMPLETED), sync=True)
                is_told = job.wait(120)
            fleet.close()
            milestones = sum(1 for _ in (root / ".skillfleet/journal/followed/000001.jsonl").open("rb"))
        finally:
            server.kill()
            server.wait()
    what = f"{rounds} servers killed under a client, {milestones:,} milestones"
    return [
        {"what": f"{what}: not told, or twice", "value": milestones - len(set(seen)) + len(seen) - len(set(seen)),
         "unit": "milestones", "target": "≤ 0"},
        {"what": f"{what}: out of order", "value": int(seen != sorted(seen)), "unit": "runs", "target": "≤ 0"},
        {"what": f"{what}: the end is told", "value": int(is_told), "unit": "runs", "target": "≥ 1"},
    ]  # fmt: skip


if __name__ == "__main__":
    for row in run(int(sys.argv[1])):
        sys.stdout.write(f"{row}\n")
