"""What is expected of every way to optimise on a task, given the runs of a home: Bayesian linear regression.

Before any run, the score expected is that of the house rules.  Runs on other tasks correct it by what can be
told of a task without a call: how well the program does as it is, how many examples there are, how many
predictors, and how far simple learners get on the data.  Every optimizer has coefficients of its own, which
lean on those of its other sizes and on those of all: a few runs of one tell something of the others too.
The posterior is joint over optimizers, so that it also tells how sure a choice among them is.

Written as a Gaussian process with a linear kernel, which is the same; Rasmussen and Williams, Gaussian
Processes for Machine Learning (2006), section 2.1.
"""

from __future__ import annotations

import math
from collections import defaultdict
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
_BIAS = 0.2  # standard deviations of coefficients, in scores: of the constant,
_SCALES = {
    "baseline": 0.2, "words": 1.0, "apart": 0.35, "named": 0.5, "examples": 0.25, "predictors": 0.4, "said": 0.3,
    "program": 0.1,
}  # fmt: skip
_COMMON, _FAMILY = 0.3, 0.4  # shares of their variance that all optimizers, and all sizes of one, have in common
_LUCK = 0.19  # of a run's score: its seed, and what the features do not tell
_SAMPLING = 0.2  # of the variance of a test split's mean, the part that is not the same for all runs on it
_MIDDLE = {"baseline": 0.5, "words": 0.75, "nearest": 0.75, "named": 0.6, "examples": 4.0}  # taken for the unknown too
_ALIKE = 0.15  # standard deviation of baselines of tasks with the same features
_VAGUE = 2.0  # examples that what is expected of a baseline counts for where no other task is known
_MOST_TASKS = 600  # tasks by optimizers, the newest, that are counted
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
        About the number of runs on this very task that would tell as much as the home's runs do.
    draws
        Scores as they may be on average over seeds, shape (300,): the same draw of several ways belongs together.
    """

    mean: float
    sd: float
    evidence: float
    draws: Floats


def baseline_of(features: Mapping[str, Any], past: Sequence[Past]) -> float:
    """Say how well the program does as it is.

    As measured here, on a few examples of a probe, and by runs of the same task; held against what the home's
    other tasks lead to expect of one with these features.
    """
    others: dict[Any, list[Past]] = defaultdict(list)
    expected, counts, total = _MIDDLE["baseline"], 0.0, 0.0
    if features.get("baseline") is not None:
        counts = float(features.get("baseline_n") or 3)
        total = counts * features["baseline"]
    for at, run in enumerate(past):
        if run.baseline is None:
            continue
        if run.features.get("task", at) == features.get("task"):
            weight = float(run.features.get("val") or 10)
            counts, total = counts + weight, total + weight * run.baseline
        else:
            others[run.features.get("task", at)].append(run)
    worth = _VAGUE
    if others:
        mean, variance = _regressed(features, list(others.values())[-_MOST_TASKS:])
        expected = min(0.95, max(0.05, mean))
        worth = max(_VAGUE, expected * (1 - expected) / variance)
    return (worth * expected + total) / (worth + counts)


def _regressed(features: Mapping[str, Any], tasks: Sequence[Sequence[Past]]) -> tuple[float, float]:
    """Expect a baseline from those of other tasks; return its mean and variance."""
    import numpy as np

    middle = _MIDDLE["baseline"]
    here = np.array(_place(features, middle))
    there = np.array([_place(runs[-1].features, middle) for runs in tasks])
    scores = np.array([math.fsum(float(r.baseline or 0.0) for r in runs) / len(runs) for runs in tasks])
    sizes = np.array([float(runs[-1].features.get("val") or 10) for runs in tasks])
    noise = _ALIKE**2 + np.maximum(0.04, scores * (1 - scores)) / sizes
    cross = there @ here
    solved = np.linalg.solve(there @ there.T + np.diag(noise), np.column_stack([scores - middle, cross]))
    return middle + float(cross @ solved[:, 0]), float(here @ here - cross @ solved[:, 1]) + _ALIKE**2


def expectations(
    arms: Sequence[Arm], features: Mapping[str, Any], baseline: float, past: Sequence[Past]
) -> list[Expectation]:
    """Expect a score of each of `arms` on a task of these features, whose program scores `baseline` as it is."""
    import numpy as np

    here, names = np.array([_place(features, baseline)] * len(arms)), [arm.name for arm in arms]
    mean = np.array([_by_rules(arm, baseline) for arm in arms])
    prior = cov = _kernel(here, names, here, names)
    known = _grouped(past)
    if known:
        there, of = np.array([k.place for k in known]), [k.arm for k in known]
        cross = _kernel(here, names, there, of)
        noisy = _kernel(there, of, there, of) + np.diag([k.noise for k in known])
        solved = np.linalg.solve(noisy, np.column_stack([[k.off for k in known], cross.T]))
        mean = mean + cross @ solved[:, 0]
        cov = cov - cross @ solved[:, 1:]
    before, after = np.diag(prior), np.maximum(1e-9, np.diag(cov))
    evidence = np.maximum(0, _LUCK**2 * (1 / after - 1 / before))
    drawn = np.random.default_rng(5).multivariate_normal(mean, (cov + cov.T) / 2, _DRAWS, method="svd")
    sds = np.maximum(_LEAST_SD, np.sqrt(after + _LUCK**2))
    return [
        Expectation(float(m), float(sd), float(e), drawn[:, at])
        for at, (m, sd, e) in enumerate(zip(mean, sds, evidence, strict=True))
    ]


@dataclass(frozen=True)
class _Known:
    """What the runs of one optimizer on one task came to: how far off the rules, and the variance of that."""

    arm: str
    place: list[float]
    off: float
    noise: float


def _grouped(past: Sequence[Past]) -> list[_Known]:
    """Put the runs of one optimizer on one task together, the newest tasks last."""
    arms = {arm.name: arm for arm in ARMS}
    groups: dict[tuple[str, Any], list[Past]] = defaultdict(list)
    for at, run in enumerate(past):
        if run.arm in arms and run.finished and None not in (run.gain, run.score, run.baseline):
            groups[run.arm, run.features.get("task", at)].append(run)
    return [_known(arms[name], runs) for (name, _), runs in list(groups.items())[-_MOST_TASKS:]]


def _known(arm: Arm, runs: Sequence[Past]) -> _Known:
    n = len(runs)
    score = math.fsum(float(r.score or 0.0) for r in runs) / n
    gain = math.fsum(float(r.gain or 0.0) for r in runs) / n
    # Validation and test say the same of the program as it was given; together they say it more exactly.
    baseline = (math.fsum(float(r.baseline or 0.0) for r in runs) / n + score - gain) / 2
    tested = float(runs[-1].features.get("test") or 50)
    noise = _LUCK**2 / n + _SAMPLING * max(0.04, score * (1 - score)) / tested
    return _Known(arm.name, _place(runs[-1].features, baseline), score - _by_rules(arm, baseline), noise)


def _by_rules(arm: Arm, baseline: float) -> float:
    return baseline + arm.share * max(0.0, 1 - baseline)


def _place(features: Mapping[str, Any], baseline: float) -> list[float]:
    """Put a task into the space of its features, each in units of its coefficient's standard deviation."""

    def known(name: str) -> float:
        value = features.get(name)
        return _MIDDLE[name] if value is None else float(value)

    at = {
        "baseline": baseline - _MIDDLE["baseline"],
        "words": known("words") - _MIDDLE["words"],
        "apart": known("nearest") - known("words"),
        "named": known("named") - _MIDDLE["named"],
        "examples": math.log(max(1, features.get("n") or 1)) - _MIDDLE["examples"],
        "predictors": float(features.get("predictors") or 1) - 1,
    }
    words = {"domain": "said", "style": "said", "complexity": "said", "program": "program"}
    said = [x * _SCALES[scale] for name, scale in words.items() for x in _word(features.get(name))]
    return [_BIAS, *(value * _SCALES[name] for name, value in at.items()), *said]


def _word(said: Any) -> list[float]:
    """Put a word in a direction of its own, of length 1, and none in the middle of all."""
    import hashlib

    if not said:
        return [0.0] * 8
    signs = hashlib.sha256(str(said).encode()).digest()[0]
    return [(1.0 if signs >> bit & 1 else -1.0) / math.sqrt(8) for bit in range(8)]


def _kernel(here: Floats, names: Sequence[str], there: Floats, of: Sequence[str]) -> Floats:
    import numpy as np

    def same(mine: Sequence[str], theirs: Sequence[str]) -> Floats:
        found: Floats = (np.array(mine)[:, None] == np.array(theirs)[None, :]).astype(np.float64)
        return found

    family = {arm.name: arm.optimizer for arm in ARMS}
    related = same([family.get(n, n) for n in names], [family.get(n, n) for n in of])
    shared = _COMMON + _FAMILY * related + (1 - _COMMON - _FAMILY) * same(names, of)
    return (here @ there.T) * shared
