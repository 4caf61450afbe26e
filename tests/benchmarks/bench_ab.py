"""A/B tests: how often a winner is wrong, how soon a true one is told, and what routing costs.

Scores are right or wrong; 2,000 simulated tests a row, seeds fixed, looked at after every score.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skillfleet_nb import Fleet
from skillfleet_nb.monitoring.ab_report import SRM_ALPHA, mismatch
from skillfleet_nb.monitoring.ab_tests import ABTest, checked_start
from skillfleet_nb.monitoring.assignment import unit_hash, variant_of
from skillfleet_nb.monitoring.betting import difference_bets, log_capital, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNS, _CHUNK, _ALPHA, _EFFECT = 2000, 100, 0.05, 0.05
_LOOKS, _WARM_UP = 4000, 100
_ASSIGNED, _CALLS = 100_000, 4000


def run() -> list[dict[str, object]]:
    """Simulate tests, and time routing."""
    return [*_winners(), *_planned(), *_unplanned(), *_splits(), *_routing()]


def _row(what: str, value: float, unit: str, target: object = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def _simulated(
    means: tuple[float, float], rows: int, seed: int, effect: float = _EFFECT, power: float = 0.9
) -> Iterator[tuple[Any, Any, Any]]:
    rng = np.random.default_rng(seed)
    for _ in range(_RUNS // _CHUNK):
        treated = rng.random((_CHUNK, rows)) < 0.5
        scores = (rng.random((_CHUNK, rows)) < np.where(treated, means[1], means[0])).astype(float)
        bets = difference_bets(scores, treated, 0.5, effect, alpha=_ALPHA, power=power)
        yield scores, treated, [log_capital(one, 0.0) >= -math.log(_ALPHA / 2) for one in (bets, bets.mirrored)]


def _winners() -> list[dict[str, object]]:
    rows = []
    for mean in (0.5, 0.9):
        wrong, naive = 0, 0
        for scores, treated, told in _simulated((mean, mean), _LOOKS, 1):
            wrong += int((told[0] | told[1]).any(axis=1).sum())
            naive += int(_t_tests(scores, treated)[:, _WARM_UP:].any(axis=1).sum())
        of = f"among equals at {mean:.0%}, {_LOOKS:,} looks"
        rows.append(_row(f"wrong winners {of}", 100 * wrong / _RUNS, "%", "≤ 5"))
        rows.append(_row(f"wrong winners {of}: a t-test at each", 100 * naive / _RUNS, "%"))
    return rows


def _t_tests(scores: Any, treated: Any) -> Any:
    """Tell at which looks a test made for one look would name a winner."""
    spread, gain = np.zeros(scores.shape), np.zeros(scores.shape)
    for sign, arm in ((1, treated), (-1, ~treated)):
        n = np.maximum(np.cumsum(arm, axis=1), 1)
        seen = np.cumsum(scores * arm, axis=1) / n
        spread, gain = spread + seen * (1 - seen) / n, gain + sign * seen
    return np.abs(gain) > 1.96 * np.sqrt(spread)


def _planned() -> list[dict[str, object]]:
    rows = []
    for power in (0.8, 0.9):
        means = 0.475, 0.525
        planned = plan(_EFFECT, _ALPHA, power)
        found, stopped = 0, 0.0
        for _, _, (better, worse) in _simulated(means, planned.rows, 2, power=power):
            first, other = (np.where(t.any(axis=1), t.argmax(axis=1), planned.rows) for t in (better, worse))
            found += int((first < np.minimum(other, planned.rows)).sum())
            stopped += float(np.minimum(np.minimum(first, other) + 1, planned.rows).sum())
        of = f"5 points, planned for {power:.0%}"
        goal = f"≥ {100 * power - 2:.0f}"
        rows.append(_row(f"winner found within {planned.rows:,} units: {of}", 100 * found / _RUNS, "%", goal))
        share = stopped / _RUNS / planned.fixed
        rows.append(_row(f"units until it stops, by those of one look: {of}", share, "times", "≤ 0.75"))
    return rows


def _unplanned() -> list[dict[str, object]]:
    """Tell how effects other than the planned one are found, by the units that one look takes which was planned so."""
    rows = []
    for points, effect, looks in ((5, 0.1, 8_000), (20, 0.1, 1_500)):
        found, stopped = 0, 0.0
        fixed = plan(points / 100, _ALPHA, 0.9).fixed
        for _, _, (better, _) in _simulated((0.5 - points / 200, 0.5 + points / 200), looks, 4, effect):
            told = better.any(axis=1)
            found, stopped = found + int(told.sum()), stopped + float(np.where(told, better.argmax(1) + 1, looks).sum())
        of = f"{points} points where {100 * effect:.0f} were planned"
        rows.append(_row(f"winner found within {looks:,} units: {of}", 100 * found / _RUNS, "%"))
        rows.append(_row(f"units until it stops, by those of one look: {of}", stopped / _RUNS / fixed, "times"))
    return rows


def _splits() -> list[dict[str, object]]:
    test = ABTest(checked_start("t", {"A": "a@1", "B": "a@2"}), None, [(0.5, 0.5)])  # type: ignore[arg-type]
    rng, alarms, told = np.random.default_rng(3), 0, 0
    for _ in range(_RUNS):
        for share in (0.5, 0.6):
            units = pd.DataFrame({"variant": np.where(rng.random(1000) < share, "B", "A"), "epoch": 0})
            wrong = bool(mismatch(test, units, "units"))
            alarms, told = alarms + (wrong and share == 0.5), told + (wrong and share > 0.5)
    return [
        _row(
            "false alarms of the check of the split, 1,000 units", 100 * alarms / _RUNS, "%", f"≤ {100 * SRM_ALPHA:g}"
        ),
        _row("splits of 60:40 that are told as no 50:50, 1,000 units", 100 * told / _RUNS, "%"),
    ]


def _routing() -> list[dict[str, object]]:
    import dspy

    class Says(dspy.Module):  # type: ignore[misc]
        def forward(self, text: str) -> dspy.Prediction:
            return dspy.Prediction(intent=text)

    places = [variant_of(unit_hash("run", n), (0.5, 0.5)) for n in range(_ASSIGNED)]
    again = [variant_of(unit_hash("run", n), (0.5, 0.5)) for n in range(_ASSIGNED)]
    fleet = Fleet(tempfile.mkdtemp())
    ref = fleet.register(dspy.Predict("text -> intent"), "intents").ref
    fleet.start_ab("t", {"A": ref, "B": ref})
    route, program = fleet.ab("t"), Says()
    route.programs = dict.fromkeys(route.programs, program)
    for n in range(_CALLS // 4):
        route(unit=n, text="x")
    routed, direct = [], []
    for n in range(_CALLS):
        start = time.perf_counter()
        program(text="x")
        middle = time.perf_counter()
        route(unit=n, text="x")
        direct.append(middle - start)
        routed.append(time.perf_counter() - middle)
    route.close()
    added = 1e6 * (statistics.median(routed) - statistics.median(direct))
    changed = sum(a != b for a, b in zip(places, again, strict=True))
    off = abs(Counter(places)[0] / _ASSIGNED - 0.5)
    return [
        _row("of 100,000 units, assigned otherwise the second time", changed, "units", "≤ 0"),
        _row("share of 100,000 units off 50:50", 100 * off, "%", "≤ 0.5"),
        _row("added to a call by routing, median", added, "µs", "≤ 100"),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
