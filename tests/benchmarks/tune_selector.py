"""Find the hyperparameters of the selector's regression: those of the greatest marginal likelihood on the tuning tasks.

The held-out half of the tasks is not looked at.  Noise is measured by how scores of a task vary over draws: means
over the same number of runs do not tell it from what a task has of its own.  A weak prior holds every other one
near what it is, so that what the data do not tell stays.  Prints what belongs into ``advice/posterior.py``.

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

from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.posterior import (
    BASELINES,
    SCORES,
    SHARED,
    Deviations,
    Hyperparameters,
    Point,
    baseline_points,
    coregionalization,
    kernel,
    noise_covariance,
    score_points,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench_selector import Rows
    from made_up_tasks import Task

_PRIOR_SD = 1.0  # of the log of a hyperparameter
_STEPS = 60


def flat(hyper: Hyperparameters) -> list[float]:
    """Put all hyperparameters into one list."""
    return [*hyper.length_scales.values(), *hyper.constant, *hyper.varying, *hyper.task, *hyper.noise]


def unflat(values: Sequence[float], like: Hyperparameters) -> Hyperparameters:
    """Undo :func:`flat`."""
    n = len(like.length_scales)
    length_scales = dict(zip(like.length_scales, values[:n], strict=True))
    of = len(Deviations._fields)
    return Hyperparameters(length_scales, *(Deviations(*values[at : at + of]) for at in range(n, len(values), of)))


def minus_log_likelihood(train: Sequence[Point], hyper: Hyperparameters) -> float:
    """Rasmussen and Williams (2006), equation 2.30, without its constant."""
    residuals = np.array([p.residual for p in train])
    covariance = kernel(train, train, hyper) + noise_covariance(train, hyper) + 1e-6 * np.eye(len(train))
    try:
        factor = cho_factor(covariance, lower=True)
    except LinAlgError:
        return math.inf
    return float(residuals @ cho_solve(factor, residuals) / 2 + np.log(np.diag(factor[0])).sum())


def noise_of(rows: Rows, tasks: Sequence[Task]) -> Deviations:
    """Measure what another draw and seed change in a run's score, by what deviations over draws have in common."""
    every = installed()
    points = [Point(every.of_run(*way), "", {}) for way in ARMS.values()]
    covariances = []
    for task in tasks:
        scores = np.array([[rows[task.name, arm, seed]["judged"] for seed in range(DRAWS)] for arm in ARMS])
        sampling = (1 - SHARED) * scores.mean() * (1 - scores.mean()) / len(task.judge)
        covariances.append(np.cov(scores) - sampling * np.eye(len(points)))
    shared, levels, before = np.mean(covariances, axis=0), [], 0.0
    for level in range(len(Deviations._fields)):
        # As far as two share this level and no later one, they have in common what was before, and this.
        here, later = (_levels(points, at) for at in (level, level + 1))
        now = float(shared[(here - later) > 0].mean())
        levels.append(math.sqrt(max(0.0, now - before)))
        before = max(before, now)
    return Deviations(*levels)


def _levels(points: Sequence[Point], level: int) -> np.ndarray:
    """Return 1 where two share a level: all, their manner, their family, themselves; 0 beyond."""
    if level == len(Deviations._fields):
        return np.zeros((len(points), len(points)))
    return coregionalization(points, points)(Deviations(*(float(at == level) for at in range(len(Deviations._fields)))))


def fitted(train: Sequence[Point], start: Hyperparameters) -> Hyperparameters:
    """Maximise the marginal likelihood from `start`, whose noise is held; what is 0 there stays 0."""
    at_start = np.array(flat(start))
    free = (at_start > 0) & (np.arange(len(at_start)) < len(at_start) - len(start.noise))
    logs = np.log(at_start[free])

    def hyperparameters(x: np.ndarray) -> Hyperparameters:
        values = at_start.copy()
        values[free] = np.exp(x)
        return unflat(values.tolist(), start)

    def cost(x: np.ndarray) -> float:
        return minus_log_likelihood(train, hyperparameters(x)) + float((((x - logs) / _PRIOR_SD) ** 2).sum()) / 2

    found = minimize(cost, logs, method="L-BFGS-B", options={"maxiter": _STEPS, "maxfun": 10**6})
    return hyperparameters(found.x)


if __name__ == "__main__":
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    rows, (tasks, _) = known_runs(), split()
    setups = setups_of(tasks)
    past = [run for task in tasks for run in past_of(task, setups, rows)]
    scores = SCORES._replace(noise=noise_of(rows, tasks))
    for name, train, start in (
        ("SCORES", score_points(past), scores), ("BASELINES", baseline_points(past), BASELINES),
    ):  # fmt: skip
        made = fitted(train, start)
        print(f"{name}: {len(train)} points, {minus_log_likelihood(train, start):.1f} before")
        print(f"{minus_log_likelihood(train, made):.1f} after:")
        for field, value in made._asdict().items():
            told = {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else value
            print(f"    {field} = {[round(v, 3) for v in value] if isinstance(value, tuple) else told}")
