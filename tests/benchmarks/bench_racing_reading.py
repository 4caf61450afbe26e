"""What racing would save, and cost, for optimizers whose search reads the scores: there it is off by default.

As ``racing``, with GEPA (1,000 metric calls) and MIPROv2 (light), *exact* against off.  A pruned candidate reads lower
than it is, so the search may come to another program: the difference on the sealed test of 200 messages is paired by
seed.  That it costs no more than half a point is shown where its 95% interval begins above -0.5.

Run: ``python tests/benchmarks/bench_racing_reading.py``; runs are kept in ``$SKILLFLEET_BENCH_CACHE`` where it is set,
and an interrupted benchmark goes on where it stopped.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

from typing import Any

import bench_racing

SEEDS = {"gepa": 20, "miprov2": 20}


def run() -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    return [row for optimizer, seeds in SEEDS.items() for row in bench_racing.run(seeds, optimizer)]


if __name__ == "__main__":
    for row in run():
        print(row)
