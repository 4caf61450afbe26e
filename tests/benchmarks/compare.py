"""Run benchmarks of this checkout and of another one in turns, and print how they compare.

Each checkout runs its own ``bench_<name>.py`` on its own code, in a fresh process, so that what moved since does
not matter; rows are matched by what they say they measure, figures left out.  A ratio above 1 means that this
checkout is worse, slower or larger, whatever the unit.  The exit status is 1 where the median of a row's ratios is
above ``--most``.

Run: ``python tests/benchmarks/compare.py --against PATH overhead store recommend --pairs 3 --most 1.03``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
LESS_IS_BETTER = frozenset({"s", "ms", "µs", "ms/call", "MiB", "kB", "bytes/call", "ratio"})
_RUN = "import json, sys; from bench_{name} import run; json.dump(run(), open(sys.argv[1], 'w'))"


def entry_points(checkout: Path, folder: Path) -> Path:
    """Describe a checkout as if it were installed: what is installed here names the modules of this one."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    about = folder / f"skillfleet_nb-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: skillfleet-nb\nVersion: {project['version']}\n")
    groups = (
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items())
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n\n".join(groups))
    return folder


def measured(name: str, checkout: Path) -> dict[tuple[str, int], tuple[str, float, str]]:
    """Run a benchmark of a checkout; return what it measures, the value and the unit, by a key of both checkouts."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kits = [checkout / "tests" / kit for kit in ("benchmarks", "runs", "runs/jobs", "store")]
        path = [entry_points(checkout, folder), checkout, *kits]
        env = {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "DSPY_CACHEDIR": f"{folder}/dspy",
            "SKILLFLEET_HOME": f"{folder}/home", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }  # fmt: skip
        command = [sys.executable, "-c", _RUN.format(name=name), str(folder / "rows.json")]
        subprocess.run(command, env=env, cwd=folder, stdout=sys.stderr, check=True)
        rows = json.loads((folder / "rows.json").read_text())
    seen: Counter[str] = Counter()
    by_key = {}
    for row in rows:
        words = re.sub(r"[-\d.,]*\d", "#", row["what"])
        seen[words] += 1
        if row["value"]:
            by_key[words, seen[words]] = row["what"], row["value"], row["unit"]
    return by_key


def ratios(name: str, other: Path, pairs: int) -> dict[str, list[float]]:
    """Measure in pairs, each the other way round than the last; return the ratios of each row."""
    found: dict[tuple[str, int], list[float]] = {}
    labels = {}
    for pair in range(pairs):
        order = (HERE, other) if pair % 2 else (other, HERE)
        rows = {checkout: measured(name, checkout) for checkout in order}
        for key in rows[HERE].keys() & rows[other].keys():
            what, value, unit = rows[HERE][key]
            ratio = value / rows[other][key][1]
            found.setdefault(key, []).append(ratio if unit in LESS_IS_BETTER else 1 / ratio)
            labels[key] = what
        for key in rows[HERE].keys() ^ rows[other].keys():
            print(f"{name}: not measured by both: {key[0]}", file=sys.stderr)
    return {labels[key]: ratios for key, ratios in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--against", type=Path, required=True, help="the other checkout")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--most", type=float, default=1.03)
    asked = parser.parse_args()
    worse = False
    print(f"{'min':>7} {'median':>7} {'max':>7}")
    for name in asked.names:
        for what, found in ratios(name, asked.against.resolve(), asked.pairs).items():
            middle = statistics.median(found)
            mark = "  WORSE" if middle > asked.most else ""
            worse |= bool(mark)
            print(f"{min(found):7.3f} {middle:7.3f} {max(found):7.3f}  {name}: {what}{mark}", flush=True)
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
