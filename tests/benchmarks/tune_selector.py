"""Find the constants of the selector's regression: those of the greatest marginal likelihood on the tuning tasks.

The held-out half of the tasks is not looked at.  A weak prior holds every constant near the one there is, so
that what the data do not tell stays.  Prints what belongs into ``selector/posterior.py``.

Run: ``python tests/benchmarks/tune_selector.py``, after ``make bench-selector`` has collected the runs.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dspy
import numpy as np
from bench_selector import known_runs, past_of, setups_of, split
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from skillfleet_nb.selector.posterior import (
    BASELINES,
    SCORES,
    Constants,
    Deviations,
    by_task,
    covariance,
    grouped,
    noise,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.selector.posterior import Point

_PRIOR_SD = 1.0  # of the log of a constant
_STEPS = 60


def flat(c: Constants) -> list[float]:
    """Put all constants into one list."""
    return [*c.lengths.values(), *c.constant, *c.varying, *c.task, c.luck]


def unflat(values: Sequence[float], like: Constants) -> Constants:
    """Undo :func:`flat`."""
    n = len(like.lengths)
    lengths = dict(zip(like.lengths, values[:n], strict=True))
    of = len(Deviations._fields)
    parts = [Deviations(*values[n + at : n + at + of]) for at in range(0, 3 * of, of)]
    return Constants(lengths, *parts, values[-1])


def minus_log_likelihood(known: Sequence[Point], by: Constants) -> float:
    """Rasmussen and Williams (2006), equation 2.30, without its constant."""
    off = np.array([k.off for k in known])
    try:
        factor = cho_factor(covariance(known, known, by) + noise(known, by) + 1e-6 * np.eye(len(known)), lower=True)
    except LinAlgError:
        return math.inf
    return float(off @ cho_solve(factor, off) / 2 + np.log(np.diag(factor[0])).sum())


def fitted(known: Sequence[Point], start: Constants) -> Constants:
    """Maximise the marginal likelihood from `start`; what is 0 there stays 0."""
    at_start = np.array(flat(start))
    free = at_start > 0
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
    for name, known, start in (("SCORES", grouped(past), SCORES), ("BASELINES", by_task(past), BASELINES)):
        made = fitted(known, start)
        print(f"{name}: {len(known)} known, {minus_log_likelihood(known, start):.1f} before")
        print(f"{minus_log_likelihood(known, made):.1f} after:")
        for field, value in made._asdict().items():
            told = {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else value
            print(f"    {field} = {[round(v, 3) for v in value] if isinstance(value, tuple) else told}")
