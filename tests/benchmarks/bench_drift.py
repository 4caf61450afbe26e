"""Checks for drift of inputs: how often an alarm is false, and what a check takes.

Vectors of eight normal numbers, or of one of twelve values, so that most are ties; seeds fixed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from skillfleet_nb.monitoring.drift import spent
from skillfleet_nb.monitoring.two_sample import compare

_RUNS, _SERIES = 2000, 100


def run() -> list[dict[str, object]]:
    """Simulate checks, and time one."""
    return [*_alone(), *_together(), *_time()]


def _row(what: str, value: float, unit: str, target: object = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def _alone() -> list[dict[str, object]]:
    rng, rows = np.random.default_rng(4), []
    for n, ties, runs in ((30, 0, _RUNS), (100, 0, _RUNS), (100, 12, _RUNS), (1000, 0, _RUNS // 10)):
        p = np.array([compare(_sample(rng, n, ties), _sample(rng, n, ties), seed=s).p_value for s in range(runs)])
        for alpha in (0.01, 0.05):
            of = f"{n:,} inputs{', many ties' if ties else ''}, risk {alpha:.0%}, {runs:,} runs"
            most = f"≤ {100 * alpha + 0.5:g}"
            rows.append(_row(f"false alarms of a check: {of}", 100 * float((p <= alpha).mean()), "%", most))
    return rows


def _together() -> list[dict[str, object]]:
    rng, alarms, risk = np.random.default_rng(5), 0, 0.2
    for seed in range(_SERIES):
        reference = _sample(rng, 100, 0)
        parts = [spent(risk, look) for look in range(1, 31)]
        alarms += any(compare(reference, _sample(rng, 60, 0), alpha=one, seed=seed).p_value <= one for one in parts)
    what = f"false alarms within 30 checks of one reference, at a risk of 20 % over all, {_SERIES} runs"
    return [_row(what, 100 * alarms / _SERIES, "%", "≤ 20")]


def _time() -> list[dict[str, object]]:
    vectors = np.random.default_rng(6).standard_normal((2, 10_000, 384)).astype(np.float32)
    compare(*vectors)
    start = time.perf_counter()
    compare(*vectors)
    return [_row("10,000 inputs against 10,000, embedded before", time.perf_counter() - start, "s", "≤ 2")]


def _sample(rng: np.random.Generator, n: int, ties: int) -> Any:
    if ties:
        return (rng.integers(0, ties, (n, 1)) * np.ones((1, 8))).astype(np.float32)
    return rng.standard_normal((n, 8)).astype(np.float32)


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
