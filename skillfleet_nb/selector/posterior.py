"""What is expected of every way to optimise on a task, given the runs of a home: a Gaussian process.

The quantity is the *share* of what is left to gain that a run wins, which compares tasks that start at
different scores.  Before any run it is what the house rules expect of an optimizer; each run moves it, the
more the more alike the tasks are, and moves other optimizers along: a task on which one wins little has
little to win.  The posterior is joint over optimizers, so that it also tells how sure a choice among them is.
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapter 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.selector.rules import ARMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.selector.history import Past
    from skillfleet_nb.selector.rules import Arm

    Floats = NDArray[np.float64]

# Chosen on the tuning half of the tasks of ``make bench-selector``; the other half judges them.
_SPREAD = 0.30  # of the share that an optimizer wins, over tasks
_COMMON = 0.5  # of which so much is the task's, the same for every optimizer
_HABIT = 0.15  # how far the house rules may be off for an optimizer on all tasks
_LUCK = 0.10  # of a run: its seed
_SCALES = {"n": 0.6, "baseline": 0.4, "nearest": 0.25, "words": 0.25, "apart": 0.15, "labels": 2.0, "predictors": 1.0}
_UNKNOWN = {"nearest": 0.75, "words": 0.75, "baseline": 0.5}  # what is taken for what was not looked at
_SAID = 0.7  # distance of tasks of another domain, style or complexity
_FULL = 0.97  # a baseline from which there is no gain to speak of a share of
_MOST_RUNS = 600  # the newest that are counted
_DRAWS = 300
_LEAST_SD = 0.005


@dataclass(frozen=True, eq=False)
class Expectation:
    """The score expected of one way to optimise.

    Attributes
    ----------
    mean, sd
        Of the score of a run; the mean may leave [0, 1] a little.
    evidence
        About the number of runs on tasks like this.
    draws
        Scores as they may be on average over seeds, shape (300,): the same draw of several ways belongs together.
    """

    mean: float
    sd: float
    evidence: float
    draws: Floats


def expectations(
    arms: Sequence[Arm], features: Mapping[str, Any], baseline: float, past: Sequence[Past]
) -> list[Expectation]:
    """Expect a score of each of `arms` on a task of these features, whose program scores `baseline` as it is."""
    import numpy as np

    rules = {arm.name: arm.share for arm in (*ARMS, *arms)}
    names, left = [arm.name for arm in arms], max(0.0, 1 - baseline)
    here = np.array([_place(features, baseline)] * len(arms))
    mean = np.array([arm.share for arm in arms])
    cov = _kernel(here, names, here, names)
    evidence = np.zeros(len(arms))
    runs = [r for r in past if r.arm in rules and r.finished and r.gain is not None and _baseline(r) < _FULL]
    runs = runs[-_MOST_RUNS:]
    if runs:
        there, of = np.array([_place(r.features, _baseline(r)) for r in runs]), [r.arm for r in runs]
        won = np.array([_share(r) - rules[r.arm] for r in runs])
        cross = _kernel(here, names, there, of)
        known = _kernel(there, of, there, of) + np.diag([_noise(r) for r in runs])
        solved = np.linalg.solve(known, np.column_stack([won, cross.T]))
        mean = mean + cross @ solved[:, 0]
        cov = cov - cross @ solved[:, 1:]
        evidence = (_alike(here, there) * _same(names, of)).sum(axis=1)
    scores = baseline + left * mean
    drawn = np.random.default_rng(5).multivariate_normal(scores, left**2 * (cov + cov.T) / 2, _DRAWS, method="svd")
    sds = np.maximum(_LEAST_SD, left * np.sqrt(np.maximum(0, np.diag(cov)) + _LUCK**2))
    return [
        Expectation(float(m), float(sd), float(e), drawn[:, at])
        for at, (m, sd, e) in enumerate(zip(scores, sds, evidence, strict=True))
    ]


def _baseline(run: Past) -> float:
    return 1.0 if run.baseline is None else run.baseline


def _share(run: Past) -> float:
    """Return the share of what was left to gain that a run won, in [-1, 1]."""
    return max(-1.0, min(1.0, float(run.gain or 0.0) / (1 - _baseline(run))))


def _noise(run: Past) -> float:
    """Return the variance of a share that says nothing of its optimizer: of the seed, and of a test split's size."""
    n = float(run.features.get("test") or 50)
    return _LUCK**2 + 0.3 / n / (1 - _baseline(run)) ** 2


def _place(features: Mapping[str, Any], baseline: float) -> list[float]:
    """Put a task where those like it are near: one unit is a distance at which runs count about half."""

    def known(name: str) -> float:
        value = features.get(name)
        return _UNKNOWN[name] if value is None else float(value)

    nearest, words = known("nearest"), known("words")
    labels = features.get("labels")
    at = {
        "n": math.log(max(1, features.get("n") or 1)),
        "baseline": baseline,
        "nearest": nearest,
        "words": words,
        "apart": nearest - words,
        "labels": math.log(labels) if labels else -2.0,
        "predictors": float(features.get("predictors") or 1),
    }
    place = [at[name] / scale for name, scale in _SCALES.items()]
    for name in ("domain", "style", "complexity"):
        place += _word(features.get(name))
    return place


def _word(said: Any) -> list[float]:
    """Put a word at a corner of its own, and none in the middle of all."""
    import hashlib

    if not said:
        return [0.0] * 8
    signs = hashlib.sha256(str(said).encode()).digest()[0]
    return [_SAID / 4 * (1.0 if signs >> bit & 1 else -1.0) for bit in range(8)]


def _kernel(here: Floats, names: Sequence[str], there: Floats, of: Sequence[str]) -> Floats:
    same = _same(names, of)
    tasks = _SPREAD**2 * _alike(here, there) * (_COMMON + (1 - _COMMON) * same)
    habits = _HABIT**2 * same
    return tasks + habits


def _alike(here: Floats, there: Floats) -> Floats:
    import numpy as np

    away = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=-1)
    alike: Floats = np.exp(-away / 2)
    return alike


def _same(names: Sequence[str], of: Sequence[str]) -> Floats:
    import numpy as np

    same: Floats = (np.array(names)[:, None] == np.array(of)[None, :]).astype(np.float64)
    return same
