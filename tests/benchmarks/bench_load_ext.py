"""What a person waits for before the first result: the extension, the import, the first list of jobs.

Every figure is the median of fresh processes in which IPython is imported and a shell is running; the
first process of each kind, which may compile and read from a cold disk, is not counted.

Run: ``python tests/benchmarks/bench_load_ext.py [--processes 9]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

# Runs in a fresh process: what is timed, and what it must not have imported by then.
_WORK = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("1")
seconds = {}
for name, line in json.loads(sys.argv[1]):
    start = time.perf_counter()
    result = shell.run_cell(line, silent=True)
    seconds[name] = time.perf_counter() - start
    result.raise_error()
heavy = [m for m in ("dspy", "litellm", "torch", "pandas", "duckdb", "altair") if m in sys.modules]
sys.__stdout__.write("\\n" + json.dumps([seconds, heavy]) + "\\n")
"""
_LOAD = ("%load_ext skillfleet_nb", "%load_ext skillfleet_nb")
_SESSIONS: dict[str, list[tuple[str, str]]] = {
    "extension": [_LOAD],
    "import": [("import skillfleet_nb", "import skillfleet_nb")],
    "jobs": [
        _LOAD,
        ("first %skillfleet jobs, empty home", "%skillfleet jobs"),
        ("second %skillfleet jobs", "%skillfleet jobs"),
    ],
}
_TARGETS = {"%load_ext skillfleet_nb": "< 0.1"}


def _session(lines: list[tuple[str, str]]) -> tuple[dict[str, float], list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _WORK, json.dumps(lines)],
            env={**os.environ, "SKILLFLEET_HOME": f"{folder}/home", "IPYTHONDIR": f"{folder}/ipython"},
            cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    seconds, heavy = json.loads(done.stdout.splitlines()[-1])
    return seconds, heavy


def run(processes: int = 9) -> list[dict[str, Any]]:
    """Measure; the extension alone must have loaded nothing heavy."""
    rows = []
    for kind, lines in _SESSIONS.items():
        _session(lines)
        results = [_session(lines) for _ in range(processes)]
        if kind != "jobs":
            assert not results[0][1], f"{kind} imports {results[0][1]}"
        for name, _ in lines:
            if kind == "jobs" and name == _LOAD[0]:
                continue
            value = round(statistics.median(seconds[name] for seconds, _ in results), 4)
            rows.append({"what": name, "value": value, "unit": "s", "target": _TARGETS.get(name)})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=9)
    for row in run(parser.parse_args().processes):
        print(row)
