"""Runs all parts of the suite, two at a time, goes on after one that fails, and sums up at the end.

The parts are targets of the Makefile, which calls this as ``make test``.  What a part prints is shown whole
when it is done.
"""

# ruff: noqa: T201  it reports to the terminal
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

# The tests of the package keep one place busy to the end, the others share the second.
PARTS = ("lint", "unit", "types", "browser", "notebooks")
_MEMORY = 6 * 2**30  # bytes that must be free
APT = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]


class Part(NamedTuple):
    """A part that has ended."""

    name: str
    passed: bool
    seconds: float
    output: str


def temporary() -> Path:
    """Make a folder for all temporary files, in memory where there is plenty and programs may run from it.

    A test of a job waits for the disk some forty times: what is acknowledged has to be on it.
    """
    memory = Path("/dev/shm")  # noqa: S108  a folder of our own in it
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _MEMORY
    runs = fits and not os.statvfs(memory).f_flag & os.ST_NOEXEC
    return Path(tempfile.mkdtemp(prefix="sf-", dir=memory if runs else None))


def run(name: str, folder: Path) -> Part:
    started = time.monotonic()
    print(f"{name}: started", flush=True)
    ran = subprocess.run(
        [os.environ.get("MAKE", "make"), "--no-print-directory", name],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    return Part(name, ran.returncode == 0, time.monotonic() - started, ran.stdout)


def chromium() -> str | None:
    """Bring Chromium where it is missing and may be installed; return what to do where it may not."""
    path = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    if path.exists():
        return None
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if "CHROMIUM" not in os.environ and all(shutil.which(tool) for tool in ("apt-get", *as_root[:1])):
        print("installing Chromium for the browser tests", flush=True)
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], APT):
            subprocess.run([*as_root, *command], env=env, check=False)
    if path.exists():
        return None
    return f"no Chromium at {path}, so no browser test ran: sudo {' '.join(APT)}, or set CHROMIUM"


def skipped(output: str) -> Counter[str]:
    """Count the tests that pytest tells it skipped, by the reason."""
    told: Counter[str] = Counter()
    for n, why in re.findall(r"^SKIPPED \[(\d+)\] [^ ]+ (.+)$", output, re.MULTILINE):
        told[why] += int(n)
    return told


def main() -> int:
    missing, folder = chromium(), temporary()
    ended = []
    try:
        with ThreadPoolExecutor(2) as places:
            for future in as_completed([places.submit(run, name, folder) for name in PARTS]):
                part = future.result()
                ended.append(part)
                print(f"\n=== {part.name} ===\n{part.output}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("=== all parts ===")
    for part in sorted(ended, key=lambda p: PARTS.index(p.name)):
        print(f"{part.name:<10} {'passed' if part.passed else 'FAILED'} {part.seconds:6.0f} s")
    for why, n in sum((skipped(part.output) for part in ended), Counter[str]()).items():
        print(f"skipped {n:>3}: {why}")
    if missing is not None:
        print(missing)
    return 0 if all(part.passed for part in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
