"""A tracking server of MLflow in a process of its own, which keeps its runs in SQLite."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVE = "import sys, uvicorn; uvicorn.run('mlflow.server.fastapi_app:app', port=int(sys.argv[1]), log_level='error')"


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """Start one, and give its address once it answers."""
    port, store = free_port(), f"sqlite:///{folder}/mlflow.db"
    places = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-W", "ignore", "-c", _SERVE, str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **places}, cwd=folder, stdout=log, stderr=log)
    uri = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while not _answers(uri):
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)
        yield uri
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def _answers(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/version", timeout=2).ok
    except requests.RequestException:
        return False
