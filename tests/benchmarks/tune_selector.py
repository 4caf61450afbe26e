"""Find the constants of the selector's regression: those of the greatest marginal likelihood on the tuning tasks.

The held-out half of the tasks is not looked at.  Luck is measured by how scores of a task vary over draws: means
over the same number of runs do not tell it from what a task has of its own.  A weak prior holds every other constant
near the one there is, so that what the data do not tell stays.  Prints what belongs into ``selector/posterior.py``.

Run: ``python tests/benchmarks/tune_selector.py``, after ``make bench-selector`` has collected the runs.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dspy
import numpy as np
from bench_selector import known_runs, past_of, setups_of, split
from grid_runs import ARMS
from made_up_tasks import DRAWS
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from skillfleet_nb.advice.posterior import (
    BASELINES,
    SCORES,
    SHARED,
    Constants,
    Deviations,
    Point,
    by_task,
    covariance,
    grouped,
    noise,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench_selector import Rows
    from made_up_tasks import Task

_PRIOR_SD = 1.0  # of the log of a constant
_STEPS = 60


def flat(c: Constants) -> list[float]:
    """Put all constants into one list."""
    return [*c.lengths.values(), *c.constant, *c.varying, *c.task, *c.luck]


def unflat(values: Sequence[float], like: Constants) -> Constants:
    """Undo :func:`flat`."""
    n = len(like.lengths)
    lengths = dict(zip(like.lengths, values[:n], strict=True))
    of = len(Deviations._fields)
    return Constants(lengths, *(Deviations(*values[at : at + of]) for at in range(n, len(values), of)))


def minus_log_likelihood(known: Sequence[Point], by: Constants) -> float:
    """Rasmussen and Williams (2006), equation 2.30, without its constant."""
    off = np.array([k.off for k in known])
    try:
        factor = cho_factor(covariance(known, known, by) + noise(known, by) + 1e-6 * np.eye(len(known)), lower=True)
    except LinAlgError:
        return math.inf
    return float(off @ cho_solve(factor, off) / 2 + np.log(np.diag(factor[0])).sum())


def luck_of(rows: Rows, tasks: Sequence[Task]) -> Deviations:
    """Measure what another draw and seed change in a run's score, by what deviations over draws have in common."""
    arms = [Point(name, "", {}) for name in ARMS]
    found = []
    for task in tasks:
        scores = np.array([[rows[task.name, arm, seed]["judged"] for seed in range(DRAWS)] for arm in ARMS])
        sampling = (1 - SHARED) * scores.mean() * (1 - scores.mean()) / len(task.judge)
        found.append(np.cov(scores) - sampling * np.eye(len(arms)))
    shared, levels, before = np.mean(found, axis=0), [], 0.0
    for level in range(len(Deviations._fields)):
        # As far as arms share this level and no later one, they have in common what was before, and this.
        here, later = (_levels(arms, at) for at in (level, level + 1))
        now = float(shared[(here - later) > 0].mean())
        levels.append(math.sqrt(max(0.0, now - before)))
        before = max(before, now)
    return Deviations(*levels)


def _levels(arms: Sequence[Point], level: int) -> np.ndarray:
    """Return 1 where two arms share a level: all, their manner, their family, themselves; 0 beyond."""
    if level == len(Deviations._fields):
        return np.zeros((len(arms), len(arms)))
    return parts(arms, arms)(Deviations(*(float(at == level) for at in range(len(Deviations._fields)))))


def fitted(known: Sequence[Point], start: Constants) -> Constants:
    """Maximise the marginal likelihood from `start`, whose luck is held; what is 0 there stays 0."""
    at_start = np.array(flat(start))
    free = (at_start > 0) & (np.arange(len(at_start)) < len(at_start) - len(start.luck))
    logs = np.log(at_start[free])

    def constants(x: np.ndarray) -> Constants:
        values = at_start.copy()
        values[free] = np.exp(x)
        return unflat(values.tolist(), start)

    def cost(x: np.ndarray) -> float:
        return minus_log_likelihood(known, constants(x)) + float((((x - logs) / _PRIOR_SD) ** 2).sum()) / 2

    found = minimize(cost, logs, method="L-BFGS-B", options={"maxiter": _STEPS, "maxfun": 10**6})
    return constants(found.x)


if __name__ == "__main__":
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    rows, (tasks, _) = known_runs(), split()
    setups = setups_of(tasks)
    past = [run for task in tasks for run in past_of(task, setups, rows)]
    scores = SCORES._replace(luck=luck_of(rows, tasks))
    for name, known, start in (("SCORES", grouped(past), scores), ("BASELINES", by_task(past), BASELINES)):
        made = fitted(known, start)
        print(f"{name}: {len(known)} known, {minus_log_likelihood(known, start):.1f} before")
        print(f"{minus_log_likelihood(known, made):.1f} after:")
        for field, value in made._asdict().items():
            told = {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else value
            print(f"    {field} = {[round(v, 3) for v in value] if isinstance(value, tuple) else told}")
