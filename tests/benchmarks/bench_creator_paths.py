"""What the fast path to a skill saves, and whether it costs quality: simple tasks, both ways, taking turns.

The model is the offline one, which takes half a second for a call; the same template is given to both ways.  What is
loaded once in a process was loaded before.

Run: ``python tests/benchmarks creator_paths``.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

from bench_creator import row, tasks

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.skills.similarity import Embedder
from skillfleet_nb.stats import paired_comparison

LATENCY_S = 0.5


def run() -> list[dict[str, Any]]:
    """Measure all."""
    simple = [task for task, label in tasks() if label == "simple"]
    ways: dict[str, list[tuple[float, float, int]]] = {"fast": [], "normal": []}
    Embedder()(["what is loaded once"])
    with tempfile.TemporaryDirectory() as folder:
        for task in simple:
            for path, seen in ways.items():
                fleet, lm = Fleet(Path(folder) / "home"), sf.offline_lm(latency_s=LATENCY_S, name=f"offline-{path}")
                started, root = time.monotonic(), Path(folder) / path
                made: Any = fleet.create_skill(task, root=root, lm=lm, path=path, template="guide_basic").result()
                seen.append((made.score, time.monotonic() - started, made.created.calls))
    fast, normal = (list(zip(*ways[path], strict=True)) for path in ("fast", "normal"))
    compared = paired_comparison(normal[0], fast[0])
    low, high = 100 * compared.low, 100 * compared.high
    what = f"{len(simple)} simple tasks"
    return [
        row(f"{what}: time the fast path saves", 100 * (1 - sum(fast[1]) / sum(normal[1])), "%", "≥ 50"),
        row(f"{what}: calls it saves", 100 * (1 - sum(fast[2]) / sum(normal[2])), "%", "≥ 50"),
        row(f"{what}: quality, fast less normal ({low:+.1f} to {high:+.1f})",
            100 * (statistics.mean(fast[0]) - statistics.mean(normal[0])), "points", "≥ -2"),
        row(f"{what}: the same, lower end of the interval", low, "points", "≥ -2"),
    ]  # fmt: skip
