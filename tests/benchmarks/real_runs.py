"""What runs on a real model took, read from their home, against what was forecast of them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]
FORECAST = ("calls", "tokens")
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
