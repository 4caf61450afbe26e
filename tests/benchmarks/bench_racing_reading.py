"""What racing would save, and cost, where a search reads the scores: there it is off by default.

As ``racing``, *exact* against off: a pruned candidate reads lower than it is, so that the search may come to another
program.  The difference on the sealed test of 200 messages is paired by seed; that racing costs no more than half a
point is shown where its 95% interval begins above -0.5.  GEPA (1,000 metric calls) is not raced though it was asked
for: it traces what it scores, with a metric of DSPy's own around the run's, and the job says so.  MIPROv2 mostly scores
minibatches, which are not raced, and few candidates on all examples.  Where runs had been kept, the time below is that
of reading them.

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
    return [row for optimizer, seeds in SEEDS.items() for row in bench_racing.run(seeds, optimizer, ("exact",))]


if __name__ == "__main__":
    for row in run():
        print(row)
