"""What is expected of every way to optimise on a task, given the runs of a home: Gaussian process regression.

Before any run, the score expected is that of the house rules: the prior mean.  Runs correct it by their residuals,
and more so those on tasks like this one: in how well the program does as it is, how many examples there are, labels
and predictors, and how far simple learners get on the data.  Every configuration is corrected by itself, and leans on
the optimizer's other sizes, on those that fill prompts with examples as it does, or as little, and on all: a few runs
of one tell something of the others too.  What the runs on one task have in common beyond all this counts as that
task's own, so that many runs on one task do not pass for knowledge of others.
The posterior is joint over configurations, so that it also tells how sure a choice among them is.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2 and 5.4.1; several outputs
as in Bonilla, Chai and Williams, Multi-task Gaussian Process Prediction (2008).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.advice.configurations import Configuration
    from skillfleet_nb.advice.past_runs import PastRun

    Floats = NDArray[np.float64]

_DEFAULTS = {"baseline": 0.5, "words": 0.75, "nearest": 0.6, "named": 0.6, "labels": 5.0}  # of what is not known
_CATEGORICAL = ("program", "domain", "style", "complexity")  # features that two tasks have in common, or have not
SHARED = 0.8  # of the sampling variance of a test split's mean, the part that is the same for all runs on it
_LEAST_VARIANCE = 0.04  # of an example's score: few examples do not make sure
_PRIOR_EXAMPLES = 2.0  # examples that a baseline's prior counts for where no other task is known
_MOST_POINTS = 600  # those on the tasks most like this one that are counted: more take longer than they tell
_DRAWS = 300
_LEAST_SD = 0.005


class Deviations(NamedTuple):
    """Standard deviations of one part of a score, by which configurations share it.

    Attributes
    ----------
    all
        Shared by all.
    manner
        By those that fill prompts with examples, or do not (:attr:`Preset.few_shot`).
    family
        By all sizes of one optimizer.
    own
        By one configuration.
    """

    all: float
    manner: float
    family: float
    own: float


class Hyperparameters(NamedTuple):
    """Of the kernel and of the noise; all in scores but the length scales.

    Attributes
    ----------
    length_scales
        By feature, how far apart tasks are that tell little of one another.
    constant, varying, task
        How far residuals reach: everywhere, by the features of tasks, and by task.
    noise
        What another seed, or another draw of the examples, changes in the score of a run: also for all, or a part.
    """

    length_scales: dict[str, float]
    constant: Deviations
    varying: Deviations
    task: Deviations
    noise: Deviations


# From the tuning half of the tasks of ``make bench-selector``; the other half judges.  Found by marginal likelihood
# (``python tests/benchmarks/tune_selector.py``); where it hardly told them apart, those that chose better there.  How
# far a baseline or a domain reaches was chosen on published results of real models (``tune_priors.py``).
SCORES = Hyperparameters(
    {
        "baseline": 1.5, "words": 0.98, "nearest": 0.49, "named": 0.51, "examples": 1.8, "labels": 6.5,
        "predictors": 8.2, "program": 3.9, "domain": 0.6, "style": 1.0, "complexity": 1.0,
    },
    constant=Deviations(0.034, 0.036, 0.016, 0.005),
    varying=Deviations(0.12, 0.097, 0.073, 0.006),
    task=Deviations(0.016, 0.018, 0.01, 0.004),
    noise=Deviations(0.018, 0.019, 0.031, 0.016),
)  # fmt: skip
BASELINES = Hyperparameters(
    {
        "baseline": 1.0, "words": 0.76, "nearest": 1.7, "named": 0.71, "examples": 6.8, "labels": 2.6,
        "predictors": 5.1, "program": 3.5, "domain": 1.0, "style": 1.0, "complexity": 1.0,
    },
    constant=Deviations(0.07, 0.0, 0.0, 0.0),
    varying=Deviations(0.369, 0.0, 0.0, 0.0),
    task=Deviations(0.073, 0.0, 0.0, 0.0),
    noise=Deviations(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A training point, the runs of one configuration on one task; or, without runs, a query point.

    Attributes
    ----------
    configuration, task, features
        Which; None where a program's baseline is meant, which has no optimizer.
    residual
        Mean score of the runs, less the prior mean.
    runs
        How many.
    sampling_variance
        Of the mean score over the examples of their test split.
    """

    configuration: Configuration | None
    task: Hashable
    features: dict[str, float | str]
    residual: float = 0.0
    runs: int = 0
    sampling_variance: float = 0.0


@dataclass(frozen=True, eq=False)
class Expectation:
    """The score expected of one configuration.

    Attributes
    ----------
    mean, sd
        Of the score of a run; the mean may leave [0, 1] a little.
    evidence
        Runs of the same optimizer in the home, each counted from 1 for a task of the same features down to 0.
    draws
        Scores as they may be on average over runs, in [0, 1], shape (300,): the same draw of several configurations
        belongs together.
    """

    mean: float
    sd: float
    evidence: float
    draws: Floats


def baseline_of(features: Mapping[str, Any], past: Sequence[PastRun]) -> float:
    """Say how well the program does as it is.

    As measured here, on a few examples of a probe, and by runs of the same task; held against what the home's
    other tasks lead to expect of one with these features.
    """
    examples, total = 0.0, 0.0
    if features.get("baseline") is not None:
        examples = float(features.get("baseline_n") or 3)
        total = examples * features["baseline"]
    for run in past:
        if run.baseline is not None and run.features.get("task") == features.get("task") is not None:
            weight = float(run.features.get("val") or 10)
            examples, total = examples + weight, total + weight * run.baseline
    prior, prior_examples = _DEFAULTS["baseline"], _PRIOR_EXAMPLES
    query = Point(None, None, _kernel_features(features, prior))
    train = _nearest(query, [p for p in baseline_points(past) if p.task != features.get("task")], BASELINES)
    if train:
        residual, covariance = posterior([query], train, BASELINES)
        prior = min(0.95, max(0.05, prior + float(residual[0])))
        prior_examples = max(_PRIOR_EXAMPLES, prior * (1 - prior) / float(covariance[0, 0]))
    return (prior_examples * prior + total) / (prior_examples + examples)


def baseline_points(past: Sequence[PastRun]) -> list[Point]:
    """Return a training point for each task's baseline."""
    groups: dict[Hashable, list[PastRun]] = defaultdict(list)
    for number, run in enumerate(past):
        if run.baseline is not None:
            groups[run.features.get("task", number)].append(run)
    points, prior = [], _DEFAULTS["baseline"]
    for task, runs in groups.items():
        score = math.fsum(float(r.baseline or 0.0) for r in runs) / len(runs)
        # The runs on a task score the same program on the same examples: all of them tell what one does.
        variance = max(_LEAST_VARIANCE, score * (1 - score)) / float(runs[-1].features.get("val") or 10)
        points.append(Point(None, task, _kernel_features(runs[-1].features, prior), score - prior, 1, variance))
    return points


def expectations(
    configurations: Sequence[Configuration],
    features: Mapping[str, Any],
    baseline: float,
    past: Sequence[PastRun],
    *,
    hyper: Hyperparameters = SCORES,
) -> list[Expectation]:
    """Expect a score of each configuration on a task of these features, whose program scores `baseline` as it is."""
    import numpy as np

    kernel_features = _kernel_features(features, baseline)
    query = [Point(c, features.get("task"), kernel_features) for c in configurations]
    train = _nearest(query[0], score_points(past), hyper)
    residual, covariance = posterior(query, train, hyper)
    mean = residual + np.array([_prior_mean(c, baseline) for c in configurations])
    # As they are on average over draws and seeds, of which a run is one.
    symmetric = (covariance + covariance.T) / 2
    draws = np.random.default_rng(5).multivariate_normal(mean, symmetric, _DRAWS, method="svd").clip(0, 1)
    sds = np.sqrt(np.maximum(_LEAST_SD**2, np.diag(covariance) + sum(sd**2 for sd in hyper.noise)))
    likeness = _same_family(query, train) * _squared_exponential(query, train, hyper.length_scales)
    evidence = likeness @ np.array([p.runs for p in train], dtype=float)
    return [
        Expectation(float(m), float(sd), float(n), draws[:, column])
        for column, (m, sd, n) in enumerate(zip(mean, sds, evidence, strict=True))
    ]


def score_points(past: Sequence[PastRun]) -> list[Point]:
    """Return a training point for the finished runs of each configuration on each task."""
    groups: dict[tuple[str, Hashable], list[PastRun]] = defaultdict(list)
    for number, run in enumerate(past):
        c = run.configuration
        if c is not None and run.finished and None not in (run.gain, run.score, run.baseline):
            groups[c.name, run.features.get("task", number)].append(run)
    return [_point(task, runs) for (_, task), runs in groups.items()]


def _nearest(query: Point, points: Sequence[Point], hyper: Hyperparameters) -> Sequence[Point]:
    """Keep the points of the tasks most like this one, and of it itself."""
    import numpy as np

    if len(points) <= _MOST_POINTS:
        return points
    likeness = _squared_exponential([query], points, hyper.length_scales)[0]
    likeness = likeness + np.array([p.task == query.task for p in points])
    return [points[place] for place in np.argsort(-likeness, kind="stable")[:_MOST_POINTS]]


def _point(task: Hashable, runs: Sequence[PastRun]) -> Point:
    configuration, n = runs[0].configuration, len(runs)
    score = math.fsum(float(r.score or 0.0) for r in runs) / n
    gain = math.fsum(float(r.gain or 0.0) for r in runs) / n
    # Validation and test say the same of the program as it was given; together they say it more exactly.
    baseline = (math.fsum(float(r.baseline or 0.0) for r in runs) / n + score - gain) / 2
    variance = max(_LEAST_VARIANCE, score * (1 - score)) / float(runs[-1].features.get("test") or 50)
    residual = score - _prior_mean(configuration, baseline)
    return Point(configuration, task, _kernel_features(runs[-1].features, baseline), residual, n, variance)


def _prior_mean(configuration: Configuration | None, baseline: float) -> float:
    gain = 0.0 if configuration is None else configuration.preset.prior_gain
    return baseline + gain * max(0.0, 1 - baseline)


def _kernel_features(features: Mapping[str, Any], baseline: float) -> dict[str, float | str]:
    """Return what tasks are compared by."""

    def number(name: str) -> float:
        value = features.get(name)
        return _DEFAULTS[name] if value is None else float(value)

    return {
        "baseline": baseline,
        "words": number("words"),
        "nearest": number("nearest"),
        "named": number("named"),
        "examples": math.log(max(1, features.get("n") or 1)),
        "labels": math.log(features.get("labels") or _DEFAULTS["labels"]),
        "predictors": float(features.get("predictors") or 1),
        **{name: str(features.get(name) or "") for name in _CATEGORICAL},
    }


def posterior(query: Sequence[Point], train: Sequence[Point], hyper: Hyperparameters) -> tuple[Floats, Floats]:
    """Return mean and covariance of the residuals at the query points, shapes (n,) and (n, n)."""
    import numpy as np

    prior = kernel(query, query, hyper)
    if not train:
        return np.zeros(len(query)), prior
    cross = kernel(query, train, hyper)
    residuals = np.array([p.residual for p in train])
    observed = kernel(train, train, hyper) + noise_covariance(train, hyper)
    solved = np.linalg.solve(observed, np.column_stack([residuals, cross.T]))
    return cross @ solved[:, 0], prior - cross @ solved[:, 1:]


def kernel(one: Sequence[Point], other: Sequence[Point], hyper: Hyperparameters) -> Floats:
    """Return the prior covariance of residuals, shape (len(one), len(other))."""
    part, tasks = coregionalization(one, other), _equal([p.task for p in one], [p.task for p in other])
    alike = _squared_exponential(one, other, hyper.length_scales)
    return part(hyper.constant) + part(hyper.varying) * alike + part(hyper.task) * tasks


def noise_covariance(train: Sequence[Point], hyper: Hyperparameters) -> Floats:
    """Return the covariance of what runs show beside their mean: of seeds and draws, and of their test split's."""
    import numpy as np

    task_of = [p.task for p in train]
    tasks, per_run = _equal(task_of, task_of), 1 / np.sqrt([p.runs for p in train])
    sampling = per_run * np.sqrt([p.sampling_variance for p in train])
    split = SHARED * tasks + (1 - SHARED) * np.eye(len(train))
    seeds = coregionalization(train, train)(hyper.noise)
    return np.outer(sampling, sampling) * split + np.outer(per_run, per_run) * seeds * tasks


def coregionalization(one: Sequence[Point], other: Sequence[Point]) -> Callable[[Deviations], Floats]:
    """Return what makes the covariance over configurations of a part of scores, shape (len(one), len(other))."""
    own = _equal(*([c and c.name for c in _configurations(points)] for points in (one, other)))
    manner = _equal(*([c and c.preset.few_shot for c in _configurations(points)] for points in (one, other)))
    family = _same_family(one, other)
    return lambda sd: sd.all**2 + sd.manner**2 * manner + sd.family**2 * family + sd.own**2 * own


def _squared_exponential(one: Sequence[Point], other: Sequence[Point], length_scales: Mapping[str, float]) -> Floats:
    """Say how much tasks tell of one another, from 1 for the same features down to 0."""
    import numpy as np

    numbers = [name for name in length_scales if name not in _CATEGORICAL]
    scale = np.array([length_scales[name] for name in numbers])
    left, right = (
        np.array([[p.features[name] for name in numbers] for p in points]).reshape(-1, len(numbers)) / scale
        for points in (one, other)
    )
    squared = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    for name in _CATEGORICAL:
        equal = _equal([p.features[name] for p in one], [p.features[name] for p in other])
        squared = squared + (1 - equal) / length_scales[name] ** 2
    alike: Floats = np.exp(-np.maximum(0, squared) / 2)
    return alike


def _same_family(one: Sequence[Point], other: Sequence[Point]) -> Floats:
    return _equal(*([c and c.optimizer for c in _configurations(points)] for points in (one, other)))


def _configurations(points: Sequence[Point]) -> list[Configuration | None]:
    return [p.configuration for p in points]


def _equal(one: Sequence[Hashable], other: Sequence[Hashable]) -> Floats:
    """Return 1 where values are equal, else 0, shape (len(one), len(other))."""
    import numpy as np

    codes = {value: code for code, value in enumerate({*one, *other})}
    if len(codes) <= 1:
        return np.ones((len(one), len(other)))
    left, right = ([codes[value] for value in values] for values in (one, other))
    return np.equal.outer(left, right).astype(np.float64)
