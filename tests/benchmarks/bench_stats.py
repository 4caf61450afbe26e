"""Seconds that one honest result takes, and whether the smallest gain that is stated is the one that is seen."""

from __future__ import annotations

import time

import numpy as np

from skillfleet_nb.power import smallest_difference
from skillfleet_nb.stats import paired_comparison

_SIMULATED, _FACTORS = 300, (0.8, 0.9, 1.0, 1.1, 1.2, 1.35)


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
    return rows + _stated()


def _stated() -> list[dict[str, object]]:
    """Compare stated smallest gains with those that simulated comparisons call improved in 80%."""
    rng, ratios = np.random.default_rng(0), []
    for n in (20, 50, 100, 300):
        for null_variance in (0.0, 0.05, 0.2):
            stated = smallest_difference(n, null_variance) or 1.0
            shown = [_shown(rng, n, stated * factor, null_variance) for factor in _FACTORS]
            ratios.append(1 / float(np.interp(0.8, shown, _FACTORS)))
    what = "smallest gain stated, against the one seen in 80% of simulated comparisons"
    return [
        {"what": f"{what}: {name}", "value": value, "unit": "times", "target": target}
        for name, value, target in (("least", min(ratios), "≥ 0.8"), ("most", max(ratios), "≤ 1.2"))
    ]


def _shown(rng: np.random.Generator, n: int, gain: float, null_variance: float) -> float:
    """Return how often a gain is called improved, among rows that change by themselves with this variance."""
    improved = 0
    for _ in range(_SIMULATED):
        drawn = rng.random(n)
        changed = np.select([drawn < null_variance / 2 + gain, drawn < null_variance + gain], [1, -1], 0)
        before, after = (changed < 0).astype(float), (changed > 0).astype(float)
        improved += paired_comparison(before, after, n_resamples=499).verdict == "improved"
    return improved / _SIMULATED


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
