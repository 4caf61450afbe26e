"""What holds under fire, as ``make bench-fire`` last found it: nothing is run here.

A case that does not hold is tried again by the next ``make bench-fire``; one that was not reached counts as missing.
The runs of processes say under which load they were.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from fire import KEPT, KITS, PARTS


def run() -> list[dict[str, Any]]:
    """Count the cases of each part that hold."""
    sys.path += [str(Path(__file__).parent.parent / kit) for kit in KITS]
    rows = []
    for name in PARTS:
        module: Any = import_module(f"fire_{name}")
        cases, file = set(module.cases()), KEPT / f"{name}.jsonl"
        kept = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        held = {row["case"]: row for row in kept if row["case"] in cases}
        what = f"{name}: cases that hold, of {len(cases):,}"
        value = len(held) if file.exists() else None  # not tried since
        rows.append({"what": what, "value": value, "unit": "cases", "target": f"≥ {len(cases)}"})
        if name == "processes":
            rows += [{"what": str(row["measured"]), "value": 0, "unit": "lost or doubled", "target": "≤ 0"}
                     for row in held.values()]  # fmt: skip
    return rows
