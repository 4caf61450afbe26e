"""``make test`` goes on after a part that fails, and says at the end what became of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_all.py")
MAKEFILE = """
lint browser notebooks:
\t@touch $$TMPDIR/$@; echo did $@; echo in $$TMPDIR
types:
\t@echo did $@; {types}
unit:
\t@echo "SKIPPED [2] tests/data/test_splits.py:191: the data set is not beside the project"
\t@echo "SKIPPED [1] tests/lm/test_one.py:1: the data set is not beside the project"
"""


@pytest.mark.parametrize(("types", "status"), [("false", 1), ("true", 0)])
def test_all_parts_run_and_the_end_sums_them_up(tmp_path: Path, types: str, status: int) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE.format(types=types))
    none = tmp_path / "no-chromium"
    ran = subprocess.run(
        [sys.executable, SCRIPT], cwd=tmp_path, env={**os.environ, "CHROMIUM": str(none)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == status, ran.stderr
    for part in ("lint", "types", "browser", "notebooks"):
        assert f"did {part}\n" in ran.stdout
    (folder,) = {line.removeprefix("in ") for line in ran.stdout.splitlines() if line.startswith("in ")}
    assert not Path(folder).exists(), "their temporary files go with them"
    *parts, skips, chromium = ran.stdout.partition("=== all parts ===\n")[2].splitlines()
    told = {line.split()[0]: line.split()[1] for line in parts}
    assert told == {
        "lint": "passed", "unit": "passed", "types": "FAILED" if status else "passed", "browser": "passed",
        "notebooks": "passed",
    }  # fmt: skip
    assert skips == "skipped   3: the data set is not beside the project"
    assert chromium.startswith(f"no Chromium at {none}")
    assert "sudo apt-get install" in chromium
