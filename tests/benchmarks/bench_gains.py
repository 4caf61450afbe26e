"""What optimising gains on real data, through ``Fleet.optimize`` and on the offline model, as a user would run it.

The tasks and their splits are those of ``bench_offline_lm`` (12 of 77 intents of bank customers, several
choices; plans of agent skills), with inputs that occur in two splits taken out of the earlier one.  Each
figure is the job's own: the difference of the best and the given program on the sealed test split, with
its 95% interval.

Run: ``python tests/benchmarks/bench_gains.py [--seeds 3] [--only gepa,copro] [--tasks intents,plans]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

from bench_offline_lm import DATA, banking, label_metric, plan_metric, skill_plans

from skillfleet_nb import Fleet, offline_lm

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.spec import RunResult

PARAMS: dict[str, dict[str, Any]] = {
    "bootstrap_random_search": {"num_candidate_programs": 16},
    "miprov2": {"auto": "light"},
    "gepa": {"max_metric_calls": 1000},
    "simba": {},
    "copro": {"breadth": 8, "depth": 3},
    "infer_rules": {"num_candidates": 2, "num_rules": 20},
}
TASKS = ("intents", "plans")
POINTS, BEST_POINTS, MIN_OPTIMIZERS = 5.0, 12.0, 4


def _row(what: str, value: float, target: str | None = None, unit: str = "points") -> dict[str, Any]:
    return {"what": what, "value": round(value, 1), "unit": unit, "target": target}


def optimise(
    fleet: Fleet, name: str, task: tuple[Any, tuple[list[Any], ...]], metric: Callable[..., Any], seed: int
) -> RunResult:
    """Run one job to its end."""
    program, (train, val, test) = task
    train, val = _unseen(train, val, test), _unseen(val, test)
    job = fleet.optimize(
        program, train=train, val=val, test=test, metric=metric, optimizer=name, params=PARAMS[name],
        lm=offline_lm(), seed=seed, num_threads=2, name=f"{name}-{seed}",
    )  # fmt: skip
    return job.result()


def _unseen(rows: list[Any], *later: list[Any]) -> list[Any]:
    taken = {str(e.inputs().toDict()) for others in later for e in others}
    return [e for e in rows if str(e.inputs().toDict()) not in taken]


def gains(
    title: str, build: Callable[[int], Any], metric: Callable[..., Any], seeds: int, only: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Measure every optimizer on several choices of the data."""
    rows: list[dict[str, Any]] = []
    found: dict[str, list[float]] = {name: [] for name in only}
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home) / "home")
        for seed in range(seeds):
            for name in only:
                result = optimise(fleet, name, build(seed), metric, seed)
                assert result.test_delta is not None, result.stop_reason
                assert result.test_baseline is not None
                assert result.test_delta_interval is not None
                low, high = (100 * bound for bound in result.test_delta_interval)
                found[name].append(100 * result.test_delta)
                starts.append(100 * result.test_baseline)
                rows.append(
                    _row(f"{title}, choice {seed}: {name} from {starts[-1]:.1f} [{low:+.1f}, {high:+.1f}], "
                         f"{result.verdict}", found[name][-1])
                )  # fmt: skip
                print(rows[-1]["what"], rows[-1]["value"], file=sys.stderr)
    means = {name: statistics.mean(values) for name, values in found.items()}
    told = f"mean of {seeds}"
    rows.insert(0, _row(f"{title}: unoptimised, {told}", statistics.mean(starts), unit="%"))
    rows += [_row(f"{title}: {name} gains, {told}", mean) for name, mean in means.items()]
    if title == "intents":
        enough = sum(mean >= POINTS for mean in means.values())
        rows.append(_row(f"{title}: optimizers of {len(only)} that gain {POINTS:g} points or more, {told}", enough,
                         f"≥ {MIN_OPTIMIZERS}", "optimizers"))  # fmt: skip
        rows.append(_row(f"{title}: best gain, {told}", max(means.values()), f"≥ {BEST_POINTS:g}"))
    else:
        rows.append(_row(f"{title}: best gain, {told}", max(means.values()), "> 0"))
    return rows


def all_intents() -> list[dict[str, Any]]:
    """Run a job with all 77 intents."""
    with tempfile.TemporaryDirectory() as home:
        task = banking(0, intents=77, size=160, test=400)
        result = optimise(Fleet(Path(home) / "home"), "bootstrap_random_search", task, label_metric, 0)
    assert result.test_baseline is not None
    assert result.test_delta is not None
    return [
        _row("77 intents: unoptimised", 100 * result.test_baseline, unit="%"),
        _row("77 intents: bootstrap_random_search gains", 100 * result.test_delta),
    ]


def run(seeds: int = 3, only: tuple[str, ...] = tuple(PARAMS), tasks: tuple[str, ...] = TASKS) -> list[dict[str, Any]]:
    """Measure gains; figures differ between machines only where an optimizer's threads race."""
    if not DATA.exists():
        return [{"what": "gains: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    rows = []
    if "intents" in tasks:
        rows += gains("intents", banking, label_metric, seeds, only)
        rows += all_intents()
    if "plans" in tasks:
        rows += gains("plans", skill_plans, plan_metric, seeds, only)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARAMS))
    parser.add_argument("--tasks", default=",".join(TASKS))
    asked = parser.parse_args()
    for row in run(asked.seeds, tuple(asked.only.split(",")), tuple(asked.tasks.split(","))):
        print(row)
