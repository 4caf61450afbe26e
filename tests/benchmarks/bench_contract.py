"""The server's contract: requests that schemathesis makes up from the OpenAPI document, valid ones and not.

Every operation is asked with bodies, paths and queries of its schema and against it.  An answer must have a status and
a body that the document names, a request that breaks the schema must be refused, and none may end in a defect.  That
valid names are accepted is not asked for: most of what is made up names nothing.
``python tests/benchmarks/bench_contract.py 465`` asks 20,000 times, which takes about an hour; ``make bench`` asks 25
times an operation.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from bench_server import TOKEN, served

HOUSE = """
import dspy
program = dspy.Predict("text -> label")
def same(example, prediction, trace=None):
    return example.label == prediction.label
"""
CONFIG = """
[serving]
imports = ["house"]
requests_per_minute = 1000000
"""
RUN = {
    "program": "house:program", "metric": "house:same", "optimizer": "labeled_fewshot", "lm": "offline",
    "train": [{"text": str(n), "label": "odd" if n % 2 else "even"} for n in range(24)],
    "name": "0",  # which is what is made up most
}  # fmt: skip
DEFECTS = "Server error"


def asked(each: int) -> str:
    """Ask every operation so often; return what schemathesis tells of it."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        root = Path(folder)
        (root / "house.py").write_text(HOUSE)
        (root / ".skillfleet").mkdir()
        (root / ".skillfleet" / "config.toml").write_text(CONFIG)
        with served(root) as (address, _), httpx.Client(base_url=f"{address}/skillfleet/api/v1") as client:
            client.headers["Authorization"] = f"token {TOKEN}"
            client.post("/jobs", json=RUN, timeout=60).raise_for_status()
            while not client.get("/jobs/0").json()["finished"]:
                time.sleep(0.5)
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}openapi.json"),
                *("-H", f"Authorization: token {TOKEN}", "-n", str(each), "--seed", "1"),
                *("--exclude-path", "/stream"),  # which goes on until the client goes
                *("--phases", "coverage,fuzzing", "--exclude-checks", "positive_data_acceptance"),
                *("--continue-on-failure", "--request-timeout", "60"),
            ]
            return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout


def run(each: int = 25) -> list[dict[str, Any]]:
    """Count requests, and those whose answer breaks the contract."""
    told = asked(each)
    made = re.search(r"([\d,]+) generated", told)
    failed = re.findall(r"^- (ST\d+ .+)$", told, re.MULTILINE)
    what = "requests made up from the OpenAPI document"
    return [
        {"what": what, "value": int(made[1].replace(",", "")) if made else 0, "unit": "requests", "target": "≥ 1000"},
        {"what": f"{what}: defects", "value": sum(DEFECTS in f for f in failed), "unit": "answers", "target": "≤ 0"},
        {"what": f"{what}: contract broken", "value": len(failed), "unit": "answers", "target": "≤ 0"},
    ]


if __name__ == "__main__":
    sys.stdout.write(asked(int(sys.argv[1])))
