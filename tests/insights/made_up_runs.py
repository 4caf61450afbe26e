"""Homes of finished runs whose gains are known: what the runs say can be held against how they were made."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from skillfleet_nb.events import Chosen, JobCreated, LMCall, Result, StateChanged, Trial
from skillfleet_nb.insights.outcomes import RunOutcome
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.events import Payload

OPTIMIZERS = ("copro", "gepa", "miprov2")


def write_runs(home: Path, n: int = 36, *, tasks: int = 9, seed: int = 1) -> None:
    """Write runs on several tasks; those of gepa gain 11 points, others 3, give or take 2."""
    rng = random.Random(seed)
    for number in range(n):
        optimizer = OPTIMIZERS[number // tasks % 3]
        gain = 0.03 + 0.08 * (optimizer == "gepa") + rng.gauss(0, 0.02)
        with Journal(Home.find(home), f"job-{number:03d}") as journal:
            journal.append_many(run_events(number, number % tasks, optimizer, gain))


def run_events(number: int, task: int, optimizer: str, gain: float) -> list[Payload]:
    """Return the events of a run on a task."""
    before = 0.4 + 0.02 * task
    features = {"task": f"key {task}", "lm": "openai/mini", "n": 20 + 10 * task, "labels": 3, "predictors": 1}
    val = {"split": "val", "full_eval": True, "n_examples": 20}
    test = {"split": "test", "full_eval": True, "n_examples": 50}
    return [
        JobCreated(
            name=f"run-{number}", optimizer=optimizer, program="Triage", metric="exact", engine="thread", seed=0,
            tags=("odd",) if number % 2 else (), domain=f"task {task}",
        ),
        Chosen(how="manual", recommendation_id=None, features=features, optimizer=optimizer, params={}, calls=None,
               cost_usd=None, wall_s=None),
        StateChanged(state="running"),
        *(Trial(trial=k, score=before + gain * k / 3, program_id=f"p{k}", lm_calls=20 * 2**k,
                full_cost_usd=0.02 * (k + 1), **val) for k in range(4)),
        Trial(trial=4, score=before, program_id="p0", lm_calls=200, full_cost_usd=0.23, **test),
        Trial(trial=5, score=before + gain, program_id="p3", lm_calls=250, full_cost_usd=0.23, **test),
        LMCall(model="openai/mini", cached=False, cost_usd=0.5, call_id="c", role="task"),
        Result(
            baseline_score=before, best_score=before + gain, test_baseline=before, test_score=before + gain,
            test_delta=gain, test_delta_low=gain - 0.05, test_delta_high=gain + 0.05, p_value=0.2,
            verdict="no evidence", best_program_id="p3", summary="done",
        ),
        StateChanged(state="completed", stop_kind="finished"),
    ]  # fmt: skip


def outcome(number: int, gain: float, **changes: object) -> RunOutcome:
    """Make the outcome of a run in memory."""
    from datetime import UTC, datetime

    values = {
        "job_id": f"job-{number}", "name": f"run-{number}", "optimizer": "gepa", "task": "a task", "task_key": "key",
        "model": None, "tags": (), "finished_at": datetime(2026, 1, 1, tzinfo=UTC), "stop_kind": "finished",
        "baseline": 0.5, "gain": gain, "low": gain - 0.05, "high": gain + 0.05, "cost_usd": 1.0, "lm_calls": 100,
    }  # fmt: skip
    return RunOutcome(**(values | changes))  # type: ignore[arg-type]
