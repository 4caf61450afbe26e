"""``skillfleet serve`` in a process of its own, as a person starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "the-owner-of-the-server"  # noqa: S105  of a server that ends with the test
_ADDRESS = "export SKILLFLEET_SERVER="


@contextmanager
def serving(root: Path, *options: str, **environment: str) -> Iterator[str]:
    """Serve a folder until the block ends; give the server's address."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SKILLFLEET_")},
        "SKILLFLEET_HOME": str(root / ".skillfleet"), "JUPYTER_TOKEN": TOKEN, "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"), **environment,
    }  # fmt: skip
    command = [sys.executable, "-m", "skillfleet_nb.cli", "serve", "--no-browser", "--root", str(root), *options]
    process = subprocess.Popen(command, env=env, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith(_ADDRESS))
        yield line.strip().removeprefix(_ADDRESS)
    finally:
        process.terminate()
        process.wait()
