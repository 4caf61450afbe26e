"""What each optimizer has been worth on a kind of task, by the runs of a home: gains with intervals, and weights.

The runs are those that recommendations go by, and so is the regression over them: where little is known of an
optimizer on a kind of task it leans on its runs on other kinds, on optimizers like it, and on what is expected of it
before any run.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.posterior import expectations
from skillfleet_nb.optimizers import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.advice.configurations import Configuration
    from skillfleet_nb.advice.past_runs import PastRun

COLUMNS = ("kind", "optimizer", "weight", "gain", "low", "high", "runs", "mean_gain", "mean_regret", "mean_cost_usd")
_TAILS = (0.1, 0.9)
_NUMBERS = ("n", "labels", "words", "nearest", "named")


def kind_of(features: Mapping[str, Any]) -> str:
    """Say in words what kind of task has these features.

    Examples
    --------
    >>> kind_of({"labels": 4, "predictors": 1}), kind_of({"labels": None, "predictors": 3})
    ('categories', 'text, several predictors')
    """
    what = "categories" if features.get("labels") else "text"
    return what + (", several predictors" if (features.get("predictors") or 1) > 1 else "")


def weights(past: Sequence[PastRun]) -> pd.DataFrame:
    """Return a row for each optimizer and kind of task that the home has runs on, the most worth first.

    `weight` is the chance that it gains the most of all on such a task, `gain` what it is expected to gain in score,
    between `low` and `high` with 80%; `runs` and the means are of the home's own runs.
    """
    import pandas as pd

    kinds: dict[str, list[PastRun]] = defaultdict(list)
    for run in past:
        if run.configuration is not None and run.baseline is not None and run.gain is not None:
            kinds[kind_of(run.features)].append(run)
    rows = [row for kind, runs in sorted(kinds.items()) for row in _rows(kind, runs, past)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(kind: str, runs: Sequence[PastRun], past: Sequence[PastRun]) -> list[list[object]]:
    import numpy as np

    baseline = fmean(run.baseline for run in runs if run.baseline is not None)
    configurations = installed().configurations
    expected = expectations(configurations, _typical(runs), baseline, past)
    by_optimizer: dict[str, tuple[Configuration, Any]] = {}
    tried = {run.optimizer for run in runs}
    for c, expectation in zip(configurations, expected, strict=True):  # each at the size that is expected to gain most
        if c.preset.tier is Tier.FINETUNE and c.optimizer not in tried:
            continue
        if c.optimizer not in by_optimizer or expectation.mean > by_optimizer[c.optimizer][1].mean:
            by_optimizer[c.optimizer] = c, expectation
    draws = np.array([e.draws for _, e in by_optimizer.values()])
    won = np.bincount(draws.argmax(axis=0), minlength=len(draws)) / draws.shape[1]
    rows: list[list[object]] = []
    for (optimizer, (_, expectation)), weight in zip(by_optimizer.items(), won, strict=True):
        own = [run for run in runs if run.optimizer == optimizer]
        low, high = np.quantile(expectation.draws, _TAILS) - baseline
        rows.append([
            kind, optimizer, float(weight), expectation.mean - baseline, float(low), float(high), len(own),
            _mean([run.gain for run in own]), _mean([run.regret for run in own]),
            _mean([None if run.usd is None else run.usd[1] for run in own]),
        ])  # fmt: skip
    return sorted(rows, key=lambda row: (-float(str(row[2])), -float(str(row[3]))))


def _typical(runs: Sequence[PastRun]) -> dict[str, Any]:
    """Return the features of a task in the middle of these."""
    features: dict[str, Any] = {"predictors": median(run.features.get("predictors") or 1 for run in runs)}
    for name in _NUMBERS:
        values = [float(run.features[name]) for run in runs if run.features.get(name) is not None]
        if values:
            features[name] = median(values)
    return features


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None
