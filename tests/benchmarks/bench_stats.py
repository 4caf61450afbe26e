"""Seconds that one honest result takes."""

from __future__ import annotations

import time

import numpy as np

from skillfleet_nb.stats import paired_comparison


def run() -> list[dict[str, object]]:
    """Time the comparison of two programs with graded scores, the slowest kind; best of five."""
    rows: list[dict[str, object]] = []
    for n, target in ((200, 0.05), (3080, None)):
        before, after = np.random.default_rng(0).random((2, n))
        paired_comparison(before, after)  # the imports
        times = []
        for _ in range(5):
            start = time.perf_counter()
            paired_comparison(before, after)
            times.append(time.perf_counter() - start)
        rows.append({"what": f"paired comparison, n={n}", "value": min(times), "unit": "s", "target": target})
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
