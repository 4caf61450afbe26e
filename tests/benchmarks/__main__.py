"""Run the benchmarks and write ``docs/benchmarks.md``: ``python tests/benchmarks [name …]``, or ``make bench``.

Every ``bench_<name>.py`` beside this file has ``run() -> list[dict]`` of rows with *what*, *value*, *unit*
and *target*.  Each runs in a fresh process, one after the other.  Rows are kept in ``docs/benchmarks.json``
with the machine they were measured on, so that naming some benchmarks renews only theirs.

A target is text, such as ``"≥ 20000"`` or ``"< 0.1"``, or a bare number: at most that much where the unit
is one of time, memory or a ratio, at least that much otherwise.  The exit status is 1 where a benchmark
failed to run; a target that is not met is told in the table.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
ROWS, PAGE = DOCS / "benchmarks.json", DOCS / "benchmarks.md"
LIBRARIES = ("dspy", "duckdb", "ipython", "numpy", "pandas", "pydantic", "scipy", "sentence-transformers", "torch")
LESS_IS_BETTER = frozenset({"s", "ms", "ms/call", "MiB", "bytes/call", "ratio"})
_RUN = "import json, sys; from {module} import run; json.dump(run(), open(sys.argv[1], 'w'))"
_HEAD = """# Benchmarks

Written by `make bench`; do not edit by hand. `python tests/benchmarks overhead gains` renews these two
alone. Each file `tests/benchmarks/bench_*.py` says what exactly it measures. A ratio is taken against the
thing compared in the same run, the two taking turns, and is the median of the pairs. The project's own data
and, where stated, real data were used, with the offline LM; `real` and a part of `null` are of a real model,
`published` of others'.
"""


def machine() -> dict[str, str]:
    """Describe where the figures come from: nothing that names the machine or its folders."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "load": f"{os.getloadavg()[0]:.1f} processes at the start, the benchmark's own not counted",
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def met(row: dict[str, Any]) -> bool | None:
    """Tell whether a row meets its target; None without one.

    Examples
    --------
    >>> met({"value": 0.08, "unit": "s", "target": "< 0.1"}), met({"value": 3, "unit": "points", "target": 5})
    (True, False)
    """
    target, value = row.get("target"), row.get("value")
    if target in (None, "") or value is None:
        return None
    if not isinstance(target, str):
        return bool(value <= target if row["unit"] in LESS_IS_BETTER else value >= target)
    sign, bound = target.split()[0], float(target.split()[1].replace(",", ""))
    return bool({"≥": value >= bound, "≤": value <= bound, "<": value < bound, ">": value > bound}[sign])


def page(kept: dict[str, Any]) -> str:
    """Write the page from all kept rows."""
    parts = [_HEAD]
    for name, bench in sorted(kept.items()):
        parts.append(f"\n## {name}\n\n{bench['about']}\n")
        parts.append("| what | measured | target | met |\n| --- | ---: | ---: | --- |")
        for row in bench["rows"]:
            verdict = {True: "yes", False: "**no**", None: ""}[met(row)]
            target = row.get("target")
            if isinstance(target, int | float):
                target = f"{'≤' if row['unit'] in LESS_IS_BETTER else '≥'} {target:g}"
            what = row["what"].replace("|", "\\|")
            parts.append(f"| {what} | {_number(row['value'])} {row['unit']} | {target or ''} | {verdict} |")
        parts.append(f"\nMeasured in {bench['seconds']:.0f} s on: {_told(bench['machine'])}.\n")
    return "\n".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _told(where: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in where.items())


def measure(name: str) -> dict[str, Any] | None:
    """Run one benchmark in a fresh process; None where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        where, started = machine(), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", _RUN.format(module=f"bench_{name}"), str(out)],
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
                 "DSPY_CACHEDIR": f"{folder}/dspy", "SKILLFLEET_HOME": f"{folder}/home",
                 "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdout=sys.stderr, check=False,
        )  # fmt: skip
        if done.returncode:
            return None
        rows = json.loads(out.read_text("utf-8"))
    about = (HERE / f"bench_{name}.py").read_text("utf-8").split('"""')[1].split("\n\nRun:")[0].split("\nRun")[0]
    return {"about": about.strip(), "machine": where, "seconds": time.monotonic() - started, "rows": rows}


def keep(name: str, bench: dict[str, Any], known: Collection[str]) -> None:
    """Renew the rows of one benchmark, and the page, beside others that may do so at the same time."""
    with ROWS.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        kept = {**json.loads(file.read() or "{}"), name: bench}
        kept = {one: rows for one, rows in kept.items() if one in known}
        file.truncate(0)
        file.write(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
        PAGE.write_text(page(kept), encoding="utf-8")


def main(names: list[str]) -> int:
    """Renew the named benchmarks, or all, and the page."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"unknown benchmark {unknown[0]!r}: choose from {', '.join(known)}")
    failed = []
    for name in names or known:
        print(f"bench {name} …", file=sys.stderr, flush=True)
        bench = measure(name)
        if bench is None:
            failed.append(name)
            continue
        for row in bench["rows"]:
            mark = {True: "met", False: "NOT MET", None: ""}[met(row)]
            print(f"  {row['what']}: {_number(row['value'])} {row['unit']} {mark}", file=sys.stderr)
        keep(name, bench, known)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
