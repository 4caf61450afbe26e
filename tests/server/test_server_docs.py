"""The page about the server: its examples run, and no route is missing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.config import Settings
from skillfleet_nb.server.routes import routes

if TYPE_CHECKING:
    from conftest import Server  # type: ignore[attr-defined]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server.md").read_text("utf-8")


@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
def test_the_examples_run(server: Server) -> None:
    shell = [block for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if "…" not in block]
    assert len(shell) == 3
    token = server.owner.headers["Authorization"].partition(" ")[2]
    env = {**os.environ, "SKILLFLEET_SERVER": server.address, "SKILLFLEET_TOKEN": token}
    for block in shell:
        ran = subprocess.run(["bash", "-e"], input=block, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert Fleet(server.home).job("by-curl").wait(300)
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    asked = Fleet(server.home).sql(query)
    assert {"POST jobs", "POST jobs/{job}/cancel"} <= set(asked.what)


def test_the_settings_are_those_there_are(tmp_path: Path) -> None:
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "config.toml").write_text(settings)
    told = Settings.load(tmp_path / "config.toml").serving
    assert set(type(told).model_fields) == told.model_fields_set


def test_no_route_is_missing() -> None:
    table = " ".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for one in routes():
        head, _, last = one.path.rpartition("/")
        is_there = f"{one.method} {one.path}`" in table or f"`{one.path}`" in table or f"`{last or one.path}`" in table
        assert is_there, f"{one.method} {one.path} ({head})"
