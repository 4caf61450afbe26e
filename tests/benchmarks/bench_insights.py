"""What the runs say, held against runs that were not looked at; and how soon the pages about all runs are there.

The runs are those of the selector's benchmark: real runs of every optimizer on tasks of many kinds, on the offline
LM.  *Scores ahead*: each run that searches is cut off at 30, 50 and 70 % of its search, and its further rise compared
with the 80 % interval, learned from the runs on every second task alone; judged are those on the other tasks.  The
constants were chosen with the first 140 runs in view, on both halves.
*Insights*: those drawn on a random half of the tasks, 20 times, are asked again of the other half, and hold where the
effect there has the same sign.  Gains are those of the test split, with a normal interval of 0/1 scores.
*Shuffled*: gains are dealt out anew among the runs, with random signs, so that nothing goes with anything; homes are
of 60 runs.  *Pages*: a home of 1,000 jobs and 5,000,000 calls; what the kernel takes to make each page, the
database asked anew, the first time in a process that has drawn a chart before.

Run: ``python tests/benchmarks insights``; runs come from ``grid_runs.py``.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "insights"))

from made_up_runs import run_events

from skillfleet_nb import Fleet
from skillfleet_nb.events import LMCall
from skillfleet_nb.insights.extrapolation import BestSoFar, PastCurves, extrapolate
from skillfleet_nb.insights.insight import insights
from skillfleet_nb.insights.outcomes import RunOutcome
from skillfleet_nb.insights.patterns import look_at, looks
from skillfleet_nb.store import Home, Journal
from skillfleet_nb.widgets.opened import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = Path(os.environ.get("SKILLFLEET_BENCH_CACHE") or Path(tempfile.gettempdir()) / "skillfleet-bench")
JOBS, CALLS = 1000, 5_000_000
HALVES, SHUFFLES, HOME_RUNS = 20, 2000, 60
ONE_CANDIDATE = {"labeled_fewshot", "bootstrap_fewshot", "knn_fewshot", "infer_rules"}  # there is nothing to go on with
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def _row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "unit": unit, "target": target}


def recorded() -> list[dict[str, Any]]:
    """Read the recorded runs that came to their end."""
    files = sorted((CACHE / "grid").glob("*.json")) if (CACHE / "grid").is_dir() else []
    rows = [json.loads(file.read_text("utf-8")) for file in files]
    return [r for r in rows if r["test"] is not None and r["path"]]


def curve_of(row: dict[str, Any]) -> tuple[BestSoFar, int]:
    """Return the best score by calls, and the calls at which the search ended: the test asks twice after that."""
    curve = BestSoFar.of((step["calls"], step["val"]) for step in row["path"])
    return curve, max(row["calls"] - 2 * row["sizes"][2] * row["predictors"], curve.calls[-1])


def ahead(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hold extrapolated scores against what came."""
    tasks = sorted({r["task"] for r in rows})
    judged = set(tasks[1::2])
    searched = [(r, *curve_of(r)) for r in rows if r["optimizer"] not in ONE_CANDIDATE]
    known = [(r["optimizer"], curve, end) for r, curve, end in searched if r["task"] not in judged]
    held, rose, chances = [], [], []
    for r, curve, end in searched:
        if r["task"] not in judged:
            continue
        every = [(c, e) for _, c, e in known]
        past = PastCurves.of(every, [(c, e) for name, c, e in known if name == r["optimizer"]])
        for share in (0.3, 0.5, 0.7):
            now = round(curve.calls[0] + share * (end - curve.calls[0]))
            if end - now < 20:
                continue
            told = extrapolate(curve.until(now), now, end - now, past)
            rise = curve.at(end) - curve.at(now)
            held.append(told.low - 1e-9 <= rise <= told.high + 1e-9)
            rose.append(rise > 0)
            chances.append(told.chance)
    rises = [h for h, r in zip(held, rose, strict=True) if r]
    n = f"{len(held)} cuts of runs on {len(judged)} tasks"
    return [
        _row(f"scores ahead: within the 80 % interval, {n}", 100 * statistics.mean(held), "%", "≥ 75"),
        _row("the same, at most", 100 * statistics.mean(held), "%", "≤ 90"),
        _row("of those that did rise", 100 * statistics.mean(rises), "%"),
        _row("chance of a rise that was told, on average", 100 * statistics.mean(chances), "%"),
        _row("rose", 100 * statistics.mean(rose), "%"),
    ]


def outcome_of(number: int, row: dict[str, Any]) -> RunOutcome:
    """Make a run's outcome of its record."""
    gain, n = row["test"] - row["test_baseline"], row["sizes"][2]
    half = 1.96 * math.sqrt(max(abs(gain) - gain * gain, 0.05) / n)
    labels = next((int(part[1:]) for part in row["task"].split("-") if part[:1] == "l" and part[1:].isdigit()), None)
    return RunOutcome(
        job_id=f"job-{number}", name=f"run-{number}", optimizer=row["optimizer"], task=row["task"],
        task_key=row["task"], model="offline", tags=(row["task"].partition("-")[0],),
        finished_at=_FIRST + timedelta(hours=number), stop_kind="finished",
        baseline=row["test_baseline"], gain=gain, low=gain - half, high=gain + half,
        cost_usd=row["usd"], lm_calls=row["calls"], rows=sum(row["sizes"][:2]), labels=labels,
        predictors=row["predictors"],
    )  # fmt: skip


def halves(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Ask of the other half of the tasks what one half says."""
    rng = random.Random(7)
    tasks = sorted({o.task_key for o in outcomes})
    held: dict[str, list[bool]] = {"sure": [], "weak": []}
    for _ in range(HALVES):
        chosen = set(rng.sample(tasks, len(tasks) // 2))
        one, other = ([o for o in outcomes if (o.task_key in chosen) is side] for side in (True, False))
        said = {insight.jobs: insight for insight in insights(one).insights}
        for look in looks(one):
            insight = said.get(look.job_ids)
            again = None if insight is None else look_at(look.question, other)
            if insight is not None and again is not None:
                held["weak" if insight.confidence == "weak" else "sure"].append(again.effect * insight.effect > 0)
    every = held["sure"] + held["weak"]
    n = f"{len(every)} insights in {HALVES} halvings of {len(tasks)} tasks, {len(outcomes)} runs"
    return [
        _row(f"insights of half the tasks that hold on the others, {n}", 100 * statistics.mean(every), "%", "≥ 85"),
        _row(f"of those above weak, {len(held['sure'])}", 100 * statistics.mean(held["sure"]), "%"),
        *(
            [_row(f"of the weak, {len(held['weak'])}", 100 * statistics.mean(held["weak"]), "%")]
            if held["weak"]
            else []
        ),
    ]


def shuffled(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Count homes that say anything sure of gains that were dealt out at random."""
    rng = random.Random(11)
    sure = 0
    for _ in range(SHUFFLES):
        home = rng.sample(list(outcomes), min(HOME_RUNS, len(outcomes)))
        dealt = rng.sample(home, len(home))
        runs = []
        for run, other in zip(home, dealt, strict=True):
            gain, half = other.gain * rng.choice((-1, 1)), (other.high - other.low) / 2
            runs.append(replace(run, gain=gain, low=gain - half, high=gain + half))
        sure += any(one.confidence != "weak" for one in insights(runs).insights)
    what = f"{SHUFFLES} homes of shuffled gains that say anything above weak"
    return [_row(what, 100 * sure / SHUFFLES, "%", "≤ 5")]


def pages() -> list[dict[str, Any]]:
    """Make each page over a large home."""
    rng = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        home = Home.find(Path(folder) / "home")
        for number in range(JOBS):
            with Journal(home, f"job-{number:04d}") as journal:
                journal.append_many(run_events(number, number % 40, ("copro", "gepa", "miprov2")[number % 3],
                                               rng.gauss(0.05, 0.04)))  # fmt: skip
                n = CALLS // JOBS
                journal.append_many([
                    LMCall(model="openai/mini", cached=False, cost_usd=1e-5, call_id=f"c{c}", role="task",
                           input_tokens=400, output_tokens=40, latency_s=0.5) for c in range(n)
                ])  # fmt: skip
        fleet = Fleet(home.root)
        began = time.perf_counter()
        fleet.store.fold()
        told = [_row(f"fold {CALLS:,} calls of {JOBS:,} jobs, once", time.perf_counter() - began, "s")]
        fleet.trends("week").html()
        for name, path in (
            ("Trends", ["@trends"]),
            ("Insights", ["@insights"]),
            ("Money", ["@money", "task", "40 USD"]),
        ):
            took = []
            for _ in range(5):
                began = time.perf_counter()
                opened(fleet, path)
                took.append(time.perf_counter() - began)
            told.append(
                _row(f"page {name}: {JOBS:,} jobs, {CALLS:,} calls, median of 5", statistics.median(took), "s", "< 1")
            )
    return told


def run() -> list[dict[str, Any]]:
    """Measure all of it; without recorded runs, the pages alone."""
    rows = recorded()
    if not rows:
        missing = "insights: no runs in $SKILLFLEET_BENCH_CACHE, grid_runs.py collects them"
        return [{"what": missing, "value": None, "unit": "", "target": None}, *pages()]
    outcomes = [outcome_of(number, row) for number, row in enumerate(rows)]
    return [*ahead(rows), *halves(outcomes), *shuffled(outcomes), *pages()]


if __name__ == "__main__":
    for made in run():
        print(made)  # noqa: T201  a benchmark reports to the terminal
