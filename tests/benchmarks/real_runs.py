"""What runs on a real model took, read from their home, against what was forecast of them."""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING, Any

from bench_portfolio import interval_of

from skillfleet_nb import Fleet
from skillfleet_nb.monitoring.drift_outputs import output_drift

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]
FORECAST = ("calls", "tokens")
WINDOWS, BEFORE, LIVE, RISK = 500, 200, 100, 0.01
# What a question took whenever it was bought: a run that the cache answered in part would have bought it itself.
_TOOK = """
WITH bought AS (
    SELECT role, prompt, max(input_tokens + output_tokens) AS tokens
    FROM lm_calls WHERE NOT cached AND error IS NULL GROUP BY ALL
), asked AS (
    SELECT job_id, role, prompt, count(*) FILTER (NOT cached) AS bought FROM lm_calls GROUP BY ALL
), took AS (
    SELECT job_id, sum(greatest(bought, 1)) AS calls, sum(greatest(bought, 1) * tokens) AS tokens,
        sum(bought) / sum(greatest(bought, 1)) AS share
    FROM asked LEFT JOIN bought USING (role, prompt) GROUP BY job_id
)
SELECT optimizer, calls, tokens, stop_kind = 'budget' AS is_cut FROM jobs JOIN took USING (job_id)
WHERE state = 'completed' QUALIFY row_number() OVER (PARTITION BY optimizer ORDER BY share DESC) = 1
ORDER BY optimizer"""
_CAME_TO = """
WITH tested AS (
    SELECT job_id, example_id, scores.score FROM scores JOIN trials USING (job_id, trial) WHERE split = 'test'
), pairs AS (
    SELECT job_id, max(score) - min(score) AS moved FROM tested GROUP BY job_id, example_id
), moved AS (
    SELECT job_id, avg(moved) AS moved, count(*) AS n FROM pairs GROUP BY job_id
)
SELECT optimizer, test_baseline, test_score, test_delta, verdict, kept, moved, n, stop_kind
FROM jobs JOIN moved USING (job_id)
WHERE state = 'completed' QUALIFY row_number() OVER (PARTITION BY optimizer ORDER BY created_at DESC) = 1
ORDER BY optimizer"""


def row(what: str, value: float | None, unit: str, target: str | None = None) -> Row:
    """Make a row of the report."""
    return {"what": what, "value": None if value is None else round(float(value), 2), "unit": unit, "target": target}


def forecast_rows(home: Path, forecasts: list[Row]) -> list[Row]:
    """Hold forecasts against what finished runs took, or would have taken without a cache.

    A run that its budget ended would have taken more: of its forecast only the upper end is held against it.
    """
    took = {run["optimizer"]: run for run in Fleet(home).sql(_TOOK).to_dict("records")}
    errors: dict[str, list[tuple[float | None, bool]]] = {}
    rows: list[Row] = []
    for forecast in forecasts:
        run = took.get(forecast["optimizer"])
        if run is None:
            continue
        low, expected, high = forecast["calls"]
        what = f"{forecast['optimizer']}: calls without a cache, forecast {expected:.0f} [{low:.0f}, {high:.0f}]"
        rows.append(row(what, run["calls"], "calls"))
        for kind in FORECAST:
            low, expected, high = forecast[kind]
            error = None if run["is_cut"] else abs(expected - run[kind]) / run[kind]
            errors.setdefault(kind, []).append((error, run[kind] <= high and (run["is_cut"] or low <= run[kind])))
    for kind, of in errors.items():
        what = f"forecasts of {kind}, {len(of)} runs"
        off = [error for error, _ in of if error is not None]
        rows.append(row(f"{what}: median error of those no budget ended", 100 * statistics.median(off), "%"))
        rows.append(row(f"{what}: within the 80% interval", 100 * statistics.mean(held for _, held in of), "%"))
    return rows


def gain_rows(home: Path) -> dict[str, Row]:
    """Say what the newest run of each optimizer came to, and how many sealed rows score differently."""
    rows = {}
    for run in Fleet(home).sql(_CAME_TO).to_dict("records"):
        before, after = 100 * run["test_baseline"], 100 * run["test_score"]
        how = "the given program was kept" if run["kept"] else f"{100 * run['moved']:.0f} % of them score differently"
        how += ", ended by its budget" if run["stop_kind"] == "budget" else ""
        what = (
            f"six intents: {run['optimizer']}, {before:.0f} → {after:.0f} on {run['n']} sealed rows, {run['verdict']}"
        )
        rows[run["optimizer"]] = row(f"{what}, {how}", 100 * (run["test_delta"] or 0.0), "points")
    return rows


def recommended_rows(named: list[list[str]], gains: dict[str, Row]) -> list[Row]:
    """Hold what a recommendation names, alone or together, against the best of the optimizers that were measured."""
    best = max(gains, key=lambda name: gains[name]["value"])
    rows = []
    for names in named:
        if measured := [gains[name]["value"] for name in names if name in gains]:
            what = f"six intents: recommended {' and '.join(names)}: behind the best of {len(gains)} measured ({best})"
            rows.append(row(what, gains[best]["value"] - max(measured), "points"))
    return rows


def selected_rows(use: str, draws: list[list[float]]) -> list[Row]:
    """Compare rows that were selected with rows that were drawn, paired by draw."""
    chosen, drawn = zip(*draws, strict=True)
    low, high = interval_of([one - other for one, other in draws])
    what = f"six intents, {len(draws)} draws: {use}"
    return [
        row(f"{what}: selected", statistics.mean(chosen), "%"),
        row(f"{what}: drawn", statistics.mean(drawn), "%"),
        row(f"{what}: selected less drawn [{low:.1f}, {high:.1f}]", statistics.mean(chosen) - statistics.mean(drawn),
            "points"),
    ]  # fmt: skip


def drift_rows(answered: list[list[str]]) -> list[Row]:
    """Look for drift among answers to other messages, of the same intents and with more of one of them."""
    rng = random.Random(0)
    labels = sorted({label for label, _ in answered})

    def told(share: float) -> float:
        alarms = 0
        for window in range(WINDOWS):
            mixed = rng.sample(answered, len(answered))
            before, rest = mixed[:BEFORE], mixed[BEFORE:]
            label = rng.choice(labels)
            of_one, new = [own for own in rest if own[0] == label], round(share * LIVE)
            live = [*rng.choices(of_one, k=new), *rng.sample(rest, LIVE - new)]
            sides = ([{"label": answer} for _, answer in side] for side in (before, live))
            alarms += output_drift(*sides, {"label": None}, RISK, window).finding.alarm
        return 100 * alarms / WINDOWS

    right = 100 * statistics.mean(label == answer for label, answer in answered)
    what = f"drift of {LIVE} answers against {BEFORE}, {right:.0f} % of them right, risk 1 %, {WINDOWS} windows: told"
    return [
        row(f"{what} where nothing changed", told(0.0), "%", "≤ 1.5"),
        row(f"{what} where a fifth more is of one intent", told(0.2), "%"),
        row(f"{what} where half more is of one intent", told(0.5), "%"),
    ]
