"""The rows of the dashboard's grid: what a page gets of each job, and which of them a filter leaves."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import orjson

from skillfleet_nb.events import JobState
from skillfleet_nb.format import duration, is_missing, money, points, points_change, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

COLUMNS = (
    "name", "task", "state", "optimizer", "baseline", "best", "test", "delta", "verdict", "calls", "cost", "time",
    "started", "tags", "note", "domain",
)  # fmt: skip
"""What can be shown, in the order in which it is."""

SHOWN = ("name", "state", "optimizer", "best", "test", "delta", "verdict", "cost", "started")
"""What is shown until somebody chooses."""

_FROM = {
    "id": "job_id", "name": "name", "state": "state", "optimizer": "optimizer", "baseline": "baseline_score",
    "best": "best_score", "test": "test_score", "delta": "test_delta", "low": "test_delta_low",
    "high": "test_delta_high", "verdict": "verdict", "calls": "lm_calls", "cost": "cost_usd", "time": "wall_s",
    "note": "note", "domain": "domain", "kept": "kept",
}  # fmt: skip
_LIMIT = re.compile(r"([<>])\s*([-+]?[\d.]+)")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_KEPT = "kept yours"
_IN_POINTS = {"baseline", "best", "test", "delta"}
_WRITTEN: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("baseline", "best", "test"), points), "delta": points_change, "calls": whole, "cost": money,
    "time": duration,
}  # fmt: skip


def rows_of(jobs: pd.DataFrame) -> dict[str, list[Any]]:
    """Take what a page shows of jobs, as columns; times are seconds since 1970, scores in [0, 1].

    Parameters
    ----------
    jobs
        Rows of the relation ``jobs``.
    """
    plain = {to: jobs[column].astype(object).where(jobs[column].notna(), None).tolist() for to, column in _FROM.items()}
    plain["state"] = jobs["state"].map(_in_words).mask(jobs["paused"], "paused").tolist()
    plain["task"] = [f"{program} · {metric}" for program, metric in zip(jobs["program"], jobs["metric"], strict=True)]
    plain["started"] = (jobs["created_at"].astype("int64") / 1e6).round(1).tolist()
    plain["tags"] = [", ".join(tags) for tags in jobs["tags"]]
    return plain


def packed(rows: Mapping[str, list[Any]], **facts: object) -> bytes:
    """Write rows for a page as JSON, with what else there is to tell."""
    return orjson.dumps({"columns": rows, "n": len(rows["id"]), **facts}, option=orjson.OPT_SERIALIZE_NUMPY)


def changed(old: Mapping[str, list[Any]], new: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], list[str]]:
    """Tell which rows are new or differ, and the ids of those that are gone."""
    names = list(new)
    before = dict(zip(old["id"], zip(*(old[name] for name in names), strict=True), strict=True))
    differ = [
        row for row in zip(*(new[name] for name in names), strict=True) if before.get(row[names.index("id")]) != row
    ]
    now = set(new["id"])
    return {name: [row[i] for row in differ] for i, name in enumerate(names)}, [j for j in before if j not in now]


def _ago(seconds: float) -> str:
    """Write how long ago something was, as the page does: in whole units of the largest."""
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{max(0, int(seconds // size))} {unit} ago"


def fits(field: str, text: str, value: Any, *, kept: bool = False) -> bool:
    """Tell whether a cell passes a filter: it holds the text, in capitals or not; a number is ``> 50`` or ``< 3``.

    The gain of a job that `kept` the given program reads ``kept yours``.

    Examples
    --------
    >>> fits("name", "INT", "intents"), fits("test", "> 80", 0.81), fits("cost", "<1", 2.0), fits("test", "81", 0.81)
    (True, True, False, True)
    """
    limit = _LIMIT.fullmatch(text.strip()) if field in _WRITTEN or field == "started" else None
    if limit is not None:
        if is_missing(value):
            return False
        number = float(value) * (100 if field in _IN_POINTS else 1)
        return number < float(limit[2]) if limit[1] == "<" else number > float(limit[2])
    if is_missing(value):
        shown = ""
    elif field == "started":
        shown = _ago(time.time() - value)
    elif field == "delta" and kept:
        shown = _KEPT
    else:
        shown = _WRITTEN.get(field, str)(value)
    return text.strip().lower() in shown.lower()


def found(rows: Mapping[str, list[Any]], filters: Mapping[str, str]) -> list[int]:
    """Return the places of the rows that pass every filter."""
    places = list(range(len(rows["id"])))
    for field, text in filters.items():
        if text.strip():
            places = [row for row in places if fits(field, text, rows[field][row], kept=rows["kept"][row])]
    return places


def _in_words(state: str) -> str:
    return JobState(state).in_words
