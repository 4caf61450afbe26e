"""Put the product under fire: ``python tests/benchmarks/fire.py [part …]``, or ``make bench-fire``.

Every ``fire_<part>.py`` beside this file has ``cases() -> Iterable[str]`` and ``hold(case, folder)``, which
raises where something does not hold, and may return what it measured.  Each part runs in a process of its
own; what held is kept in ``$SKILLFLEET_BENCH_CACHE/fire``, so that an interrupted run goes on where it
stopped, and what failed is tried again.  ``--fresh`` forgets what is kept.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = Path(os.environ.get("SKILLFLEET_BENCH_CACHE", Path.home() / ".cache" / "skillfleet-bench")) / "fire"
KITS = ("runs", "store", "commands", "lm/faults")  # folders beside this one that parts import from
PARTS = tuple(sorted(f.stem.removeprefix("fire_") for f in HERE.glob("fire_*.py")))


def part(name: str) -> int:
    """Run one part; return how many of its cases do not hold."""
    module: Any = import_module(f"fire_{name}")
    file = KEPT / f"{name}.jsonl"
    held = {json.loads(line)["case"] for line in file.read_text("utf-8").splitlines()} if file.exists() else set()
    faults, cases = 0, list(module.cases())
    for case in cases:
        if case in held:
            continue
        folder, began = Path(tempfile.mkdtemp(prefix=f"fire-{name}-")), time.monotonic()
        try:
            measured = module.hold(case, folder)
        except Exception as exc:  # noqa: BLE001  counted, and told
            faults += 1
            where = traceback.extract_tb(exc.__traceback__)[-1]
            print(f"{name}: {case} FAILED: {type(exc).__name__}: {exc} ({Path(where.filename).name}:{where.lineno})")
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        row = {"case": case, "seconds": round(time.monotonic() - began, 2), "measured": measured}
        with file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps(row) + "\n")
    print(f"{name}: {len(cases)} cases, {len(held)} held before, {faults} faults", flush=True)
    return faults


def main() -> int:
    """Run the parts that were asked for; the exit status is 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=", ".join(PARTS))
    parser.add_argument("--fresh", action="store_true", help="forget what held before")
    parser.add_argument("--here", action="store_true", help="run in this process")
    given = parser.parse_args()
    asked = given.parts or PARTS
    KEPT.mkdir(parents=True, exist_ok=True)
    if given.here:
        return min(1, sum(part(name) for name in asked))
    failed = 0
    for name in asked:
        if given.fresh:
            (KEPT / f"{name}.jsonl").unlink(missing_ok=True)
        env = {**os.environ, "DSPY_CACHEDIR": tempfile.mkdtemp(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        env["PYTHONPATH"] = os.pathsep.join([str(HERE), *(str(HERE.parent / kit) for kit in KITS)])
        with (KEPT / f"{name}.log").open("a", encoding="utf-8") as log:
            command = [sys.executable, __file__, "--here", name]
            failed += subprocess.run(command, env=env, stderr=log, check=False).returncode != 0
        shutil.rmtree(env["DSPY_CACHEDIR"], ignore_errors=True)
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
