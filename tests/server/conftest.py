"""One real server for all tests of this folder, started as a person starts it, with a small package to import from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from serving import TOKEN, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIEWER = "somebody-who-only-looks"
HOUSE = """
import math
import dspy
program = dspy.Predict("text -> label")
rows = [{"text": str(n), "label": "odd" if n % 2 else "even"} for n in range(24)]
def same(example, prediction, trace=None):
    return example.label == prediction.label
"""
CONFIG = """
[serving]
imports = ["house", "gated"]
max_body_mb = 0.2
sql_rows = 50
"""


class Server:
    """A server that runs, and ways to ask it."""

    def __init__(self, root: Path, address: str) -> None:
        self.root, self.address = root, address
        self.home = root / ".skillfleet"
        self.api = f"{address}/skillfleet/api/v1"
        self.owner = self.client(TOKEN)
        self.viewer = self.client(VIEWER)
        self.stranger = httpx.Client(base_url=self.api, timeout=60)

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.api, headers={"Authorization": f"token {token}"}, timeout=60)

    def close(self) -> None:
        for client in (self.owner, self.viewer, self.stranger):
            client.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    (root / "house.py").write_text(HOUSE)
    (root / "data.csv").write_text("text,label\n" + "".join(f"{n},{'odd' if n % 2 else 'even'}\n" for n in range(24)))
    home = root / ".skillfleet"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)
    with serving(root, SKILLFLEET_VIEWER_TOKEN=VIEWER) as address:
        running = Server(root, address)
        yield running
        running.close()


@pytest.fixture(scope="session")
def task() -> dict[str, Any]:
    """A run as it is sent."""
    return {
        "program": "house:program", "train": "data.csv", "metric": "house:same",
        "optimizer": "labeled_fewshot", "lm": "offline", "name": "parity", "num_threads": 1,
    }  # fmt: skip


@pytest.fixture(scope="session")
def finished(server: Server, task: dict[str, Any]) -> dict[str, Any]:
    """A job that was started over HTTP, at its end."""
    from skillfleet_nb import Fleet

    started = server.owner.post("/jobs", json=task)
    assert started.status_code == 201, started.text
    assert Fleet(server.home).job(started.json()["id"]).wait(300)
    return dict(server.owner.get(f"/jobs/{started.json()['id']}").json())
