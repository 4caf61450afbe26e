"""What every Jupyter server pays for the extension when it starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from skillfleet_nb.commands.server_process import HERE, free_port
from skillfleet_nb.errors import InputError
from skillfleet_nb.server.door import _BELOW
from skillfleet_nb.server.route import PREFIX
from skillfleet_nb.server.routes import routes

if TYPE_CHECKING:
    from pathlib import Path

_START = """
import json, sys
from jupyter_server.serverapp import ServerApp
app = ServerApp(jpserver_extensions={"skillfleet_nb.server": True}, log_level="ERROR")
app.initialize(argv=[], find_extensions=False, new_httpserver=False)
ours = [name for name in sys.modules if name.startswith("skillfleet_nb")]
print(json.dumps([ours, [name for name in ("pydantic", "duckdb", "pandas", "numpy", "dspy") if name in sys.modules]]))
"""


def test_nothing_is_imported_before_somebody_asks(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _START], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    ours, heavy = json.loads(done.stdout.splitlines()[-1])
    assert sorted(ours) == ["skillfleet_nb", "skillfleet_nb.server", "skillfleet_nb.server.door"]
    assert heavy == []


def test_the_door_stands_before_every_route() -> None:
    import re

    for one in routes():
        for path in (f"{PREFIX}/{one.path}", *one.aliases):
            assert re.fullmatch(_BELOW, path), path


def test_a_port_is_free_again_when_its_server_has_ended() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: .*give another"):
            free_port(port)
        with socket.create_connection((HERE, port)) as client:
            server.accept()[0].close()  # the server's end goes first, and its connection is remembered for a minute
            assert client.recv(1) == b""
    assert free_port(port) == port


def test_a_server_ends_with_its_command_even_one_that_is_killed(tmp_path: Path) -> None:
    env = {**os.environ, "SKILLFLEET_HOME": str(tmp_path / "home"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    command = [sys.executable, "-m", "skillfleet_nb.cli", "serve", "--no-browser", "--root", str(tmp_path)]
    serve = subprocess.Popen(command, env={**env, "JUPYTER_NO_CONFIG": "1"}, stdout=subprocess.PIPE, text=True)
    assert serve.stdout is not None
    address = next(line for line in serve.stdout if line.startswith("export SKILLFLEET_SERVER="))
    port = int(address.rpartition(":")[2])
    below = psutil.Process(serve.pid).children(recursive=True)
    serve.kill()
    serve.wait()
    left = psutil.wait_procs(below, 60)[1]
    for one in left:
        one.kill()
    assert below
    assert left == []
    assert free_port(port) == port, "the next one can have its place"
