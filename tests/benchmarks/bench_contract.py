"""The server's contract: requests that schemathesis makes up from the OpenAPI document, valid ones and not.

Every operation is asked with bodies, paths and queries of its schema and against it.  An answer must have a status and
a body that the document names, a request that breaks the schema must be refused, and none may end in a defect.  That
valid names are accepted is not asked for: most of what is made up names nothing.
It asks in rounds, each with a seed of its own, until `WANTED` requests were made.  ``python
tests/benchmarks/bench_contract.py 20000 FILE`` asks as often as that, which takes more than an hour, and keeps each
round in the file: started again, it goes on behind the last one.
"""

from __future__ import annotations

import json
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
WANTED, EACH = 1000, 40  # requests in all, and made up of an operation in a round


def asked(seed: int) -> str:
    """Ask every operation `EACH` times; return what schemathesis tells of it."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-bench-") as folder:
        root = Path(folder)
        (root / "house.py").write_text(HOUSE)
        (root / ".skillfleet").mkdir()
        (root / ".skillfleet" / "config.toml").write_text(CONFIG)
        with served(root) as (address, _), httpx.Client(base_url=f"{address}/skillfleet/api/v1") as client:
            client.headers["Authorization"] = f"token {TOKEN}"
            client.post("/jobs", json=RUN, timeout=60).raise_for_status()
            while not client.get("/jobs/0", timeout=60).json()["finished"]:
                time.sleep(0.5)
            phases = "coverage,fuzzing" if seed == 1 else "fuzzing"  # what covers the schema is the same each time
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}openapi.json"),
                *("-H", f"Authorization: token {TOKEN}", "-n", str(EACH), "--seed", str(seed)),
                *("--exclude-path-regex", "stream$"),  # which go on until the client goes
                *("--phases", phases, "--exclude-checks", "positive_data_acceptance"),
                *("--continue-on-failure", "--request-timeout", "60"),
            ]
            return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout


def rounds(wanted: int, file: Path | None = None) -> list[dict[str, Any]]:
    """Ask until so many requests were made, going on behind the rounds that the file holds."""
    past = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file and file.exists() else []
    while sum(one["requests"] for one in past) < wanted:
        text = asked(len(past) + 1)
        made = re.search(r"([\d,]+) generated", text)
        if made is None:
            raise RuntimeError(text[-2000:])
        failed = re.findall(r"^- (ST\d+ .+)$|^-  ?\d+\. (.+)$", text, re.MULTILINE)
        faults = [" ".join(filter(None, one)) for one in failed]
        past.append({"requests": int(made[1].replace(",", "")), "failed": faults})
        if file is not None:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(f"{json.dumps(past[-1])}\n")
            if faults:
                file.with_suffix(f".{len(past)}.txt").write_text(text, "utf-8")
    return past


def run(wanted: int = WANTED, file: Path | None = None) -> list[dict[str, Any]]:
    """Count requests, and those whose answer breaks the contract."""
    past = rounds(wanted, file)
    failed = [fault for one in past for fault in one["failed"]]
    what = "requests made up from the OpenAPI document"
    return [
        {"what": what, "value": sum(one["requests"] for one in past), "unit": "requests", "target": f"≥ {wanted}"},
        {"what": f"{what}: defects", "value": sum(DEFECTS in f for f in failed), "unit": "answers", "target": "≤ 0"},
        {"what": f"{what}: contract broken", "value": len(failed), "unit": "answers", "target": "≤ 0"},
    ]


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(run(int(sys.argv[1]), Path(sys.argv[2])), indent=1, ensure_ascii=False)}\n")
