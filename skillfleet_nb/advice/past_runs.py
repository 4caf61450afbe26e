"""What a home knows that advice goes by: its earlier runs, how right their forecasts were, what was looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.forecast import Correction, Corrections, quantile
from skillfleet_nb.events import StopKind
from skillfleet_nb.optimizers.registry import available
from skillfleet_nb.optimizers.rehearsal.calls import LEVEL
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.advice.configurations import Configuration, Installed
    from skillfleet_nb.store import Store

_PSEUDO_ERROR = 0.15  # log of the ratio of a pseudo-observation
_PSEUDO_RECOMMENDATIONS = 8  # for which a confidence counts before any is judged


@dataclass(frozen=True)
class PastRun:
    """One finished run: its task, what it ran, and what it came to; scores in [0, 1].

    `baseline` is the given program's on validation, `score` the best one's on the sealed test, `gain` over the given.
    `configuration` is None where the optimizer is no longer installed, or was run otherwise than it declares.
    """

    features: Mapping[str, Any]
    optimizer: str
    configuration: Configuration | None
    baseline: float | None
    gain: float | None
    score: float | None = None
    regret: float | None = None
    confidence: float | None = None
    how: str = "manual"
    finished: bool = True
    warm: bool = False  # an earlier job on the task filled the cache: it bought less than forecast
    calls: tuple[float, float] | None = None
    usd: tuple[float, float] | None = None
    wall: tuple[float, float] | None = None


@dataclass(frozen=True)
class History:
    """What the home knows that advice on a task goes by: its runs, and what was last measured of the task."""

    past: tuple[PastRun, ...]
    probed: Mapping[str, Any] | None = None
    headroom: Mapping[str, Any] | None = None
    landmarks: Mapping[str, Any] | None = None


STREAM = "advice-"
"""What streams are called that hold recommendations alone: they add nothing to what is known."""


class Histories:
    """What a home knows of tasks.

    Kept until something else is written: to recommend again under other limits then takes milliseconds.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, tuple[object, History]] = {}

    def of(self, task: str) -> History:
        """Read the home's finished runs with what had been forecast of them, and what is known of a task."""
        version = self._store.written(but=STREAM), frozenset(available())
        if task not in self._kept or self._kept[task][0] != version:
            seen, every = queries.experience(self._store, task), installed()
            past = tuple(_past_run(run, seen.landmarks, every) for run in seen.runs)
            history = History(past, seen.probed, seen.headroom, seen.landmarks.get(task))
            self._kept[task] = version, history
        return self._kept[task][1]


def _past_run(r: Mapping[str, Any], landmarks: Mapping[str, Mapping[str, Any]], every: Installed) -> PastRun:
    def value(name: str) -> float | None:
        return None if r[name] is None else float(r[name])

    def pair(expected: str, actual: str) -> tuple[float, float] | None:
        first, second = value(expected), value(actual)
        return None if first is None or second is None else (first, second)

    return PastRun(
        features={**landmarks.get(str(r["features"].get("task")), {}), **r["features"]},
        optimizer=str(r["chosen"]),
        configuration=every.of_run(str(r["chosen"]), r["chosen_params"]),
        baseline=value("baseline_score"),
        gain=value("gain"),
        score=value("score"),
        regret=value("regret"),
        confidence=value("confidence"),
        how=str(r["how"]),
        finished=r["stop_kind"] != StopKind.BUDGET,
        warm=bool(r["warm"]),
        calls=pair("expected_calls", "actual_calls"),
        usd=pair("expected_cost_usd", "actual_cost_usd"),
        wall=pair("expected_wall_s", "actual_wall_s"),
    )


def corrections(optimizer: str, lm: str, past: Sequence[PastRun]) -> Corrections:
    """Learn from past forecasts for this optimizer and model how far off such forecasts are."""
    every = [p for p in past if p.optimizer == optimizer and p.features.get("lm") == lm and p.finished]
    runs = [p for p in every if not p.warm]
    return Corrections(
        calls=_correction([p.calls for p in runs]),
        usd=_correction([p.usd for p in every]),  # what calls cost without the cache, warm or not
        wall=_correction([p.wall for p in runs]),
    )


def _correction(pairs: Sequence[tuple[float, float] | None]) -> Correction:
    errors = [math.log(p[1] / p[0]) for p in pairs if p is not None and p[0] > 0 and p[1] > 0]
    if not errors:
        return Correction()
    # Two pseudo-observations, a little off to both sides, stand in for what few runs have not shown.
    ordered = sorted([*errors, -_PSEUDO_ERROR, _PSEUDO_ERROR])
    low, middle, high = (quantile(ordered, share) for share in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    return Correction(middle, middle - low, high - middle, len(errors))


def calibrated(confidence: float, past: Sequence[PastRun], within: float) -> float:
    """Hold a confidence against how often advice of the home was right, where that is known."""
    right = [p.regret <= within for p in past if p.how == "accepted" and p.regret is not None]
    return (_PSEUDO_RECOMMENDATIONS * confidence + sum(right)) / (_PSEUDO_RECOMMENDATIONS + len(right))
