"""What the home's earlier runs say: how well each optimizer did on tasks like this, how right forecasts were.

Runs are weighed by how like their task is to the one asked about, and held against the house rules,
which count as a few runs themselves: one lucky run moves little, many move all.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.selector.forecast import Correction, Corrections
from skillfleet_nb.selector.rules import Arm, arm_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from skillfleet_nb.store import Store

_RULES_WEIGH = 3.0  # runs that the house rules count as
_RULES_SD = 0.22  # of the share that an optimizer wins, over tasks
_SAME_TASK = 4.0  # how much more a run on the very same task counts
ENOUGH = 1.5  # weight of runs from which an optimizer is known, whatever the rules say of the budget
_FULL = 0.98  # a baseline from which there is no gain to speak of a share of
_ASSUMED_BASELINE, _BASELINE_WEIGH = 0.5, 2.0


@dataclass(frozen=True)
class Past:
    """One finished run: its task, what it ran, and what it came to; scores in [0, 1]."""

    features: Mapping[str, Any]
    optimizer: str
    arm: str
    baseline: float | None
    gain: float | None
    regret: float | None = None
    confidence: float | None = None
    how: str = "manual"
    finished: bool = True
    warm: bool = False  # an earlier job on the task filled the cache: it bought less than forecast
    calls: tuple[float, float] | None = None
    usd: tuple[float, float] | None = None
    wall: tuple[float, float] | None = None


@dataclass(frozen=True)
class Expectation:
    """The score expected of an arm: mean and standard deviation, and the weight of runs behind it."""

    mean: float
    sd: float
    evidence: float


@dataclass(frozen=True)
class Known:
    """What the home knows that advice on a task goes by: its runs, and the task's last probe and headroom."""

    past: tuple[Past, ...]
    probed: Mapping[str, Any] | None = None
    headroom: Mapping[str, Any] | None = None


def read(store: Store, task: str) -> Known:
    """Read the home's finished runs with what had been forecast of them, and what is known of a task."""
    # In one question: each one looks whether there is something new to fold.
    rows = store.frame(
        """
        WITH told AS (
            SELECT kind, payload, row_number() OVER (PARTITION BY kind ORDER BY events."at" DESC) AS newest
            FROM events WHERE kind IN ('probed', 'headroom') AND payload->>'key' = ?
        )
        SELECT kind, payload::VARCHAR AS told FROM told WHERE newest = 1
        UNION ALL
        SELECT 'run', to_json(r)::VARCHAR FROM (
            SELECT features, chosen, chosen_params, stop_reason, baseline_score, gain, regret, confidence, how, warm,
                expected_calls, actual_calls, expected_cost_usd, actual_cost_usd, expected_wall_s, actual_wall_s
            FROM recommendations WHERE job_id IS NOT NULL AND state = 'completed' ORDER BY "at"
        ) AS r""",
        [task],
    )
    told = [(str(kind), json.loads(text)) for kind, text in rows.itertuples(index=False, name=None)]
    only = {kind: body for kind, body in told if kind != "run"}
    return Known(tuple(_past(body) for kind, body in told if kind == "run"), only.get("probed"), only.get("headroom"))


def _past(r: Mapping[Any, Any]) -> Past:
    chosen = str(r["chosen"])
    reason = str(r["stop_reason"] or "")

    def value(name: str) -> float | None:
        return None if r[name] is None else float(r[name])

    def pair(told: str, actual: str) -> tuple[float, float] | None:
        first, second = value(told), value(actual)
        return None if first is None or second is None else (first, second)

    return Past(
        features=r["features"],
        optimizer=chosen,
        arm=arm_name(chosen, r["chosen_params"]),
        baseline=value("baseline_score"),
        gain=value("gain"),
        regret=value("regret"),
        confidence=value("confidence"),
        how=str(r["how"]),
        finished=not reason.startswith("budget"),
        warm=bool(r["warm"]),
        calls=pair("expected_calls", "actual_calls"),
        usd=pair("expected_cost_usd", "actual_cost_usd"),
        wall=pair("expected_wall_s", "actual_wall_s"),
    )


def baseline_of(features: Mapping[str, Any], past: Iterable[Past]) -> float:
    """Say how well the program does as it is: as measured, as runs of the same task found, or as nothing is known."""
    n, total = _BASELINE_WEIGH, _BASELINE_WEIGH * _ASSUMED_BASELINE
    if features.get("baseline") is not None:
        weight = float(features.get("baseline_n") or 3)
        n, total = n + weight, total + weight * features["baseline"]
    for run in past:
        if run.baseline is not None and run.features.get("task") == features.get("task"):
            weight = float(run.features.get("val") or 10)
            n, total = n + weight, total + weight * run.baseline
    return total / n


def expected(arm: Arm, features: Mapping[str, Any], baseline: float, past: Sequence[Past]) -> Expectation:
    """Expect a score of `arm` on a task of these features, whose program scores `baseline` as it is."""
    weight, total = _RULES_WEIGH, _RULES_WEIGH * arm.share
    evidence, seen = 0.0, []
    for run in past:
        if run.arm != arm.name or run.gain is None or run.baseline is None or not run.finished:
            continue
        if run.baseline >= _FULL:
            continue
        share = max(-1.0, min(1.0, run.gain / (1 - run.baseline)))
        w = likeness(features, baseline, run)
        weight, total, evidence = weight + w, total + w * share, evidence + w
        seen.append((w, share))
    mean = total / weight
    spread = _RULES_WEIGH * (_RULES_SD**2 + (arm.share - mean) ** 2) + math.fsum(w * (s - mean) ** 2 for w, s in seen)
    left = 1 - baseline
    return Expectation(baseline + mean * left, max(0.005, math.sqrt(spread / weight) * left), evidence)


def likeness(features: Mapping[str, Any], baseline: float, run: Past) -> float:
    """Weigh a run by how like its task is, in (0, 1]; more where it is the same."""
    other = run.features
    if features.get("task") is not None and other.get("task") == features["task"]:
        return _SAME_TASK
    away = ((math.log(max(1, features["n"])) - math.log(max(1, other.get("n") or 1))) / 0.45) ** 2
    away += ((baseline - (run.baseline or 0.5)) / 0.4) ** 2
    mine, theirs = features.get("labels"), other.get("labels")
    if mine and theirs:
        away += (math.log(mine / theirs) / 2.5) ** 2
    elif bool(mine) != bool(theirs):
        away += 1.5
    away += 2.5 * (features.get("predictors") != other.get("predictors"))
    for name in ("domain", "style", "complexity"):
        if features.get(name) and other.get(name):
            away += 0.5 * (features[name] != other[name])
    return math.exp(-away / 2)


def corrections(optimizer: str, lm: str, past: Sequence[Past]) -> Corrections:
    """Learn from past forecasts for this optimizer and model how far off such forecasts are."""
    runs = [p for p in past if p.optimizer == optimizer and p.features.get("lm") == lm and p.finished and not p.warm]
    return Corrections(
        calls=_correction([p.calls for p in runs]),
        usd=_correction([p.usd for p in runs]),
        wall=_correction([p.wall for p in runs]),
    )


def _correction(pairs: Sequence[tuple[float, float] | None]) -> Correction:
    logs = [math.log(p[1] / p[0]) for p in pairs if p is not None and p[0] > 0 and p[1] > 0]
    n = len(logs)
    if not n:
        return Correction()
    shift = math.fsum(logs) / (n + 2)
    spread = math.sqrt((math.fsum((x - shift) ** 2 for x in logs) + 0.02) / (n + 1))
    return Correction(shift, spread, n)


def calibrated(confidence: float, past: Sequence[Past], within: float) -> float:
    """Hold a confidence against how often advice of the home was right, where that is known."""
    known = [p.regret <= within for p in past if p.how == "accepted" and p.regret is not None]
    return (8 * confidence + sum(known)) / (8 + len(known))
