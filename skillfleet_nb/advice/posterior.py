"""What is expected of every way to optimise on a task, given the runs of a home: Gaussian process regression.

Before any run, the score expected is that of the house rules.  Runs correct it, and more so those on tasks like
this one: in how well the program does as it is, how many examples there are, labels and predictors, and how far
simple learners get on the data.  Every optimizer is corrected by itself, and leans on its other sizes, on those
that fill prompts with examples as it does, or as little, and on all: a few runs of one tell something of the
others too.  What the runs on one task have in common beyond all this counts as that task's own, so that many runs
on one task do not pass for knowledge of others.
The posterior is joint over optimizers, so that it also tells how sure a choice among them is.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2 and 5.4.1; several outputs
as in Bonilla, Chai and Williams, Multi-task Gaussian Process Prediction (2008).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.advice.rules import ARMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.advice.past_runs import Past
    from skillfleet_nb.advice.rules import Arm

    Floats = NDArray[np.float64]

_MIDDLE = {"baseline": 0.5, "words": 0.75, "nearest": 0.6, "named": 0.6, "labels": 5.0}  # taken for the unknown too
_FAMILY = {arm.name: arm.optimizer for arm in ARMS}
_FEW_SHOT = {arm.name: arm.few_shot for arm in ARMS}
_WORDS = ("program", "domain", "style", "complexity")  # features that two tasks have in common, or have not
SHARED = 0.8  # of the variance of a test split's mean, the part that is the same for all runs on it
_SMALL = 0.04  # variance of an example's score, at least: few examples do not make sure
_VAGUE = 2.0  # examples that what is expected of a baseline counts for where no other task is known
_MOST = 600  # points, those on the tasks most like this one, that are counted: more would take longer than they tell
_DRAWS = 300
_LEAST_SD = 0.005


class Deviations(NamedTuple):
    """Standard deviations of a part of a score: of what all optimizers share, and ever fewer of them, to each's own.

    Those of one manner fill prompts with examples, or do not (:attr:`Arm.few_shot`); a family is all sizes of one.
    """

    all: float
    manner: float
    family: float
    own: float


class Constants(NamedTuple):
    """What is taken for granted of scores; all in scores but the lengths.

    Attributes
    ----------
    lengths
        By feature, how far apart tasks are that tell little of one another.
    constant, varying, task
        How far optimizers are off what the rules say of them: everywhere, by the features of tasks, and by task.
    luck
        What another seed, or another draw of the examples, changes in the score of a run: also for all, or a part.
    """

    lengths: dict[str, float]
    constant: Deviations
    varying: Deviations
    task: Deviations
    luck: Deviations


# From the tuning half of the tasks of ``make bench-selector``; the other half judges.  Found by marginal likelihood
# (``python tests/benchmarks/tune_selector.py``); where it hardly told them apart, those that chose better there.
SCORES = Constants(
    {
        "baseline": 0.63, "words": 0.98, "nearest": 0.49, "named": 0.51, "examples": 1.8, "labels": 6.5,
        "predictors": 8.2, "program": 3.9, "domain": 1.0, "style": 1.0, "complexity": 1.0,
    },
    constant=Deviations(0.034, 0.036, 0.016, 0.005),
    varying=Deviations(0.12, 0.097, 0.073, 0.006),
    task=Deviations(0.016, 0.018, 0.01, 0.004),
    luck=Deviations(0.018, 0.019, 0.031, 0.016),
)  # fmt: skip
BASELINES = Constants(
    {
        "baseline": 1.0, "words": 0.76, "nearest": 1.7, "named": 0.71, "examples": 6.8, "labels": 2.6,
        "predictors": 5.1, "program": 3.5, "domain": 1.0, "style": 1.0, "complexity": 1.0,
    },
    constant=Deviations(0.07, 0.0, 0.0, 0.0),
    varying=Deviations(0.369, 0.0, 0.0, 0.0),
    task=Deviations(0.073, 0.0, 0.0, 0.0),
    luck=Deviations(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What the runs of one optimizer on one task came to; without runs, a place that is asked for.

    Attributes
    ----------
    arm, task, at
        Which; `at` are the task's features, by name.
    off
        How far off what was expected before any run.
    runs
        How many; `sampling` is the variance of the mean over their test split.
    """

    arm: str
    task: Any
    at: dict[str, float | str]
    off: float = 0.0
    runs: int = 0
    sampling: float = 0.0


@dataclass(frozen=True, eq=False)
class Expectation:
    """The score expected of one way to optimise.

    Attributes
    ----------
    mean, sd
        Of the score of a run; the mean may leave [0, 1] a little.
    evidence
        Runs of the same optimizer in the home, each counted from 1 for a task of the same features down to 0.
    draws
        Scores as they may be on average over runs, in [0, 1], shape (300,): the same draw of several ways belongs
        together.
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
    counts, total = 0.0, 0.0
    if features.get("baseline") is not None:
        counts = float(features.get("baseline_n") or 3)
        total = counts * features["baseline"]
    for run in past:
        if run.baseline is not None and run.features.get("task") == features.get("task") is not None:
            weight = float(run.features.get("val") or 10)
            counts, total = counts + weight, total + weight * run.baseline
    expected, worth = _MIDDLE["baseline"], _VAGUE
    here = Point("", None, _place(features, expected))
    others = _most_alike(here, [k for k in by_task(past) if k.task != features.get("task")], BASELINES)
    if others:
        off, cov = conditioned([here], others, BASELINES)
        expected = min(0.95, max(0.05, expected + float(off[0])))
        worth = max(_VAGUE, expected * (1 - expected) / float(cov[0, 0]))
    return (worth * expected + total) / (worth + counts)


def by_task(past: Sequence[Past]) -> list[Point]:
    """Put the baselines of each task's runs together."""
    groups: dict[Any, list[Past]] = defaultdict(list)
    for at, run in enumerate(past):
        if run.baseline is not None:
            groups[run.features.get("task", at)].append(run)
    known, middle = [], _MIDDLE["baseline"]
    for task, runs in groups.items():
        score = math.fsum(float(r.baseline or 0.0) for r in runs) / len(runs)
        # The runs on a task score the same program on the same examples: all of them tell what one does.
        sampling = max(_SMALL, score * (1 - score)) / float(runs[-1].features.get("val") or 10)
        known.append(Point("", task, _place(runs[-1].features, middle), score - middle, 1, sampling))
    return known


def expectations(
    arms: Sequence[Arm], features: Mapping[str, Any], baseline: float, past: Sequence[Past]
) -> list[Expectation]:
    """Expect a score of each of `arms` on a task of these features, whose program scores `baseline` as it is."""
    import numpy as np

    place, by = _place(features, baseline), SCORES
    here = [Point(arm.name, features.get("task"), place) for arm in arms]
    known = _most_alike(here[0], grouped(past), by)
    off, cov = conditioned(here, known, by)
    mean = off + np.array([_by_rules(arm, baseline) for arm in arms])
    # As they are on average over draws and seeds, of which a run is one.
    drawn = np.random.default_rng(5).multivariate_normal(mean, (cov + cov.T) / 2, _DRAWS, method="svd").clip(0, 1)
    sds = np.sqrt(np.maximum(_LEAST_SD**2, np.diag(cov) + sum(sd**2 for sd in by.luck)))
    counted = _families(here, known) * _alike(here, known, by.lengths) @ np.array([k.runs for k in known], dtype=float)
    return [
        Expectation(float(m), float(sd), float(n), drawn[:, at])
        for at, (m, sd, n) in enumerate(zip(mean, sds, counted, strict=True))
    ]


def grouped(past: Sequence[Past]) -> list[Point]:
    """Put the runs of one optimizer on one task together."""
    arms = {arm.name: arm for arm in ARMS}
    groups: dict[tuple[str, Any], list[Past]] = defaultdict(list)
    for at, run in enumerate(past):
        if run.arm in arms and run.finished and None not in (run.gain, run.score, run.baseline):
            groups[run.arm, run.features.get("task", at)].append(run)
    return [_point(arms[name], task, runs) for (name, task), runs in groups.items()]


def _most_alike(here: Point, known: Sequence[Point], by: Constants) -> Sequence[Point]:
    """Keep what is known of the tasks most like this one, and of it itself."""
    import numpy as np

    if len(known) <= _MOST:
        return known
    likeness = _alike([here], known, by.lengths)[0] + np.array([k.task == here.task for k in known])
    return [known[at] for at in np.argsort(-likeness, kind="stable")[:_MOST]]


def _point(arm: Arm, task: Any, runs: Sequence[Past]) -> Point:
    n = len(runs)
    score = math.fsum(float(r.score or 0.0) for r in runs) / n
    gain = math.fsum(float(r.gain or 0.0) for r in runs) / n
    # Validation and test say the same of the program as it was given; together they say it more exactly.
    baseline = (math.fsum(float(r.baseline or 0.0) for r in runs) / n + score - gain) / 2
    sampling = max(_SMALL, score * (1 - score)) / float(runs[-1].features.get("test") or 50)
    return Point(arm.name, task, _place(runs[-1].features, baseline), score - _by_rules(arm, baseline), n, sampling)


def _by_rules(arm: Arm, baseline: float) -> float:
    return baseline + arm.share * max(0.0, 1 - baseline)


def _place(features: Mapping[str, Any], baseline: float) -> dict[str, float | str]:
    """Read off a task's features what it is compared by."""

    def known(name: str) -> float:
        value = features.get(name)
        return _MIDDLE[name] if value is None else float(value)

    return {
        "baseline": baseline,
        "words": known("words"),
        "nearest": known("nearest"),
        "named": known("named"),
        "examples": math.log(max(1, features.get("n") or 1)),
        "labels": math.log(features.get("labels") or _MIDDLE["labels"]),
        "predictors": float(features.get("predictors") or 1),
        **{name: str(features.get(name) or "") for name in _WORDS},
    }


def conditioned(here: Sequence[Point], known: Sequence[Point], by: Constants) -> tuple[Floats, Floats]:
    """Return mean and covariance of how far off `here` is, shapes (n,) and (n, n), given what is known."""
    import numpy as np

    cov = covariance(here, here, by)
    if not known:
        return np.zeros(len(here)), cov
    cross = covariance(here, known, by)
    off = np.array([k.off for k in known])
    solved = np.linalg.solve(covariance(known, known, by) + noise(known, by), np.column_stack([off, cross.T]))
    return cross @ solved[:, 0], cov - cross @ solved[:, 1:]


def covariance(here: Sequence[Point], there: Sequence[Point], by: Constants) -> Floats:
    """Return the prior covariance of how far off both are, shape (len(here), len(there))."""
    part, tasks = parts(here, there), _same(*([k.task for k in of] for of in (here, there)))
    return part(by.constant) + part(by.varying) * _alike(here, there, by.lengths) + part(by.task) * tasks


def noise(known: Sequence[Point], by: Constants) -> Floats:
    """Return the covariance of what runs show beside what is to be known: their luck, and their test split's."""
    import numpy as np

    tasks, few = _same(*[[k.task for k in known]] * 2), 1 / np.sqrt([k.runs for k in known])
    sampling = few * np.sqrt([k.sampling for k in known])
    split = SHARED * tasks + (1 - SHARED) * np.eye(len(known))
    return np.outer(sampling, sampling) * split + np.outer(few, few) * parts(known, known)(by.luck) * tasks


def parts(here: Sequence[Point], there: Sequence[Point]) -> Callable[[Deviations], Floats]:
    """Return what makes covariances of deviations, shape (len(here), len(there)), by which optimizers share them."""
    arms, families = _same(*([k.arm for k in of] for of in (here, there))), _families(here, there)
    manners = _same(*([_FEW_SHOT.get(k.arm) for k in of] for of in (here, there)))
    return lambda sd: sd.all**2 + sd.manner**2 * manners + sd.family**2 * families + sd.own**2 * arms


def _alike(here: Sequence[Point], there: Sequence[Point], lengths: Mapping[str, float]) -> Floats:
    """Say how much tasks tell of one another, from 1 for the same features down to 0."""
    import numpy as np

    numbers = [name for name in lengths if name not in _WORDS]
    scale = np.array([lengths[name] for name in numbers])
    mine, theirs = (
        np.array([[k.at[name] for name in numbers] for k in of]).reshape(-1, len(numbers)) / scale
        for of in (here, there)
    )
    apart = (mine**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * mine @ theirs.T
    for name in _WORDS:
        apart = apart + (1 - _same([k.at[name] for k in here], [k.at[name] for k in there])) / lengths[name] ** 2
    alike: Floats = np.exp(-np.maximum(0, apart) / 2)
    return alike


def _families(here: Sequence[Point], there: Sequence[Point]) -> Floats:
    return _same(*([_FAMILY.get(k.arm) for k in of] for of in (here, there)))


def _same(mine: Sequence[Any], theirs: Sequence[Any]) -> Floats:
    import numpy as np

    codes = {value: at for at, value in enumerate({*mine, *theirs})}
    if len(codes) <= 1:
        return np.ones((len(mine), len(theirs)))
    one, other = ([codes[value] for value in of] for of in (mine, theirs))
    return np.equal.outer(one, other).astype(np.float64)
