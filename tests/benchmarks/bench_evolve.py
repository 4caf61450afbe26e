"""Evolution against random search and the optimizers of instructions, at the same limit of calls, from an empty cache.

On the tasks, the limits and the setups of ``bench_portfolio``; differences are paired by draw.

Run: ``python tests/benchmarks/bench_evolve.py [--draws 10] [--first 0] [--cases intents,plans]``; runs are kept in
``$SKILLFLEET_BENCH_CACHE`` where it is set, and an interrupted benchmark goes on where it stopped.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench_offline_lm import DATA
from bench_portfolio import CASES, MEMBERS, interval_of, scored

SEARCH = "bootstrap_random_search"
SETUPS: dict[str, dict[str, Any]] = {
    "evolve": {"population": 6, "generations": 30, "patience": 30},
    **{name: MEMBERS[name] for name in (SEARCH, "infer_rules", "miprov2", "gepa")},
}
DRAWS = 10


def run(
    draws: int = DRAWS, first: int = 0, cases: tuple[str, ...] = tuple(CASES), processes: int = 2
) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    if not DATA.exists():
        return [{"what": "evolution: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    rows = []
    with ProcessPoolExecutor(processes) as pool:
        for name in cases:
            runs = {
                optimizer: [pool.submit(scored, name, draw, optimizer, params) for draw in range(first, first + draws)]
                for optimizer, params in SETUPS.items()
            }
            scores = {optimizer: [one.result() for one in own] for optimizer, own in runs.items()}
            print(name, {key: [round(score, 1) for score in own] for key, own in scores.items()}, flush=True)
            instructing = [optimizer for optimizer in SETUPS if optimizer not in {"evolve", SEARCH}]
            best = max(instructing, key=lambda optimizer: statistics.mean(scores[optimizer]))
            for other, target in ((SEARCH, "> 0"), (best, "≥ -2")):
                less = [own - its for own, its in zip(scores["evolve"], scores[other], strict=True)]
                rows.append(_row(f"evolve, {draws} draws of {name}: against {other}", less, target))
            rows += [
                _row(f"{optimizer}, {draws} draws of {name}: test score", own) for optimizer, own in scores.items()
            ]
    return rows


def _row(what: str, values: list[float], target: str | None = None) -> dict[str, Any]:
    low, high = interval_of(values)
    value = round(statistics.mean(values), 2)
    return {"what": f"{what} [{low:.1f}, {high:.1f}]", "value": value, "unit": "points", "target": target}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", default=",".join(CASES))
    asked = parser.parse_args()
    for row in run(asked.draws, asked.first, tuple(asked.cases.split(","))):
        print(row)
