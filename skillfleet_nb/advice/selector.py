"""Choose an optimizer for a budget: forecast every configuration, expect a score of each, take the best one affordable.

All that costs time happens once, in :func:`selector_for`; choosing under other limits is then a matter of
comparing numbers, quick enough to follow a slider.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.companion import companion
from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.forecast import forecast
from skillfleet_nb.advice.past_runs import calibrated, corrections
from skillfleet_nb.advice.posterior import baseline_of, expectations
from skillfleet_nb.advice.recommendation import Option, Recommendation
from skillfleet_nb.advice.rules import HEAVY_USD, STEPS_USD, allowed
from skillfleet_nb.advice.task_facts import features as features_of
from skillfleet_nb.advice.task_facts import workload as workload_of
from skillfleet_nb.advice.together import together
from skillfleet_nb.errors import InputError, LMError, SkillfleetError
from skillfleet_nb.format import duration, money, one_line, percent, points
from skillfleet_nb.lm.prices import how_to_state_a_price, without_usage
from skillfleet_nb.optimizers import Tier
from skillfleet_nb.optimizers.portfolio import Portfolio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.advice.configurations import Configuration
    from skillfleet_nb.advice.forecast import Forecast, Workload
    from skillfleet_nb.advice.past_runs import PastRun
    from skillfleet_nb.advice.posterior import Expectation
    from skillfleet_nb.advice.sizing import Sizing
    from skillfleet_nb.advice.together import Together
    from skillfleet_nb.data.landmarks import Landmarks
    from skillfleet_nb.optimizers import Optimizer, Task
    from skillfleet_nb.runs.task import CheckedTask

WITHIN = 0.02
"""A choice is right when no other would have scored this much more."""
_ENOUGH = 1.5  # runs from which an optimizer is known, whatever the rules say of the budget
_TELLS_MORE = 0.15  # than the program: how much more often examples that are alike share a label
_MOST_ALTERNATIVES = 3
_Z80 = 1.2816


@dataclass(frozen=True)
class Requirements:
    """What a choice has to keep; None is no limit.

    Raises
    ------
    InputError
        If one means nothing, in one line.
    """

    budget_usd: float | None = None
    quality_target: float = 0.85
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        usd, quality, minutes = self.budget_usd, self.quality_target, self.max_minutes
        if usd is not None and not (_is_number(usd) and usd > 0):
            raise InputError(f"budget_usd = {usd!r}: give more than 0 USD, or leave it out for no limit")
        if not (_is_number(quality) and 0 <= quality <= 1):
            scale = "; divide by 100 if it is a percentage" if _is_number(quality) and quality > 1 else ""
            raise InputError(f"quality_target = {quality!r}: give a score in [0, 1]{scale}")
        if minutes is not None and not (_is_number(minutes) and minutes > 0):
            raise InputError(f"max_minutes = {minutes!r}: give more than 0, or leave it out for no limit")

    def broken_by(self, f: Forecast, *, spent_usd: float = 0.0, spent_s: float = 0.0) -> str:
        """Say which limit a run may break, by the upper end of its forecast; empty where none."""
        cost, wall = f.cost_usd, f.wall_s
        if self.budget_usd is not None and cost is None:
            return "its cost is not known"
        if self.budget_usd is not None and cost is not None and cost.high + spent_usd > self.budget_usd:
            return f"may cost {money(cost.high)}"
        if self.max_minutes is not None and wall.high + spent_s > 60 * self.max_minutes:
            return f"may take {duration(wall.high)}"
        return ""


@dataclass(frozen=True)
class Prospect:
    """A configuration with its forecast, what is expected of it, and what it needs, in words."""

    configuration: Configuration
    forecast: Forecast
    expects: Expectation
    needs: str = ""


@dataclass(frozen=True)
class Selector:
    """Everything that choosing needs, reckoned once; :meth:`choose` compares under any limits.

    Attributes
    ----------
    prospects
        Every configuration that can run here.
    features, baseline
        Of the task.
    past
        The home's earlier runs.
    headroom, notes
        What to tell beside.
    by_rules
        Whether runs of the home are left aside, and the rules decide what is possible.
    probe_usd
        What measuring the task took of every budget, whether it was bought now or earlier.
    unpriced, silent
        Models without a known price, and those that do not say what they use.
    """

    prospects: tuple[Prospect, ...]
    features: dict[str, Any]
    baseline: float
    past: tuple[PastRun, ...] = ()
    headroom: str | None = None
    notes: tuple[str, ...] = ()
    by_rules: bool = False
    probe_usd: float = 0.0
    unpriced: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    def choose(
        self, *, budget_usd: float | None = None, quality_target: float = 0.85, max_minutes: float | None = None
    ) -> Recommendation:
        """Recommend under these limits; what is recommended keeps them at the upper end of its forecast.

        Raises
        ------
        InputError
            If a limit is out of range, or nothing keeps them all: with the smallest that would do.
        LMError
            If a budget is given and no cost is known.
        """
        limits = Requirements(budget_usd, quality_target, max_minutes)
        if budget_usd is not None and self.unpriced:  # a run with it would be refused
            raise without_price(budget_usd, self.unpriced[0])
        if budget_usd is not None and self.silent:
            raise LMError(
                f"budget_usd = {budget_usd:g} cannot be kept: {without_usage(self.silent[0])}; "
                "leave the budget out, and bound the run with max_calls"
            )
        tier, rule = allowed(self.features["n"], budget_usd, max_minutes, quality_target)
        judged = [(p, self._why_not(p, tier, limits)) for p in self.prospects]
        possible = [p for p, why in judged if not why]
        if not possible:
            raise InputError(self._nothing(limits))
        # Forecasts decide; the rules only between those of which the same is expected.
        best = max(possible, key=lambda p: (p.expects.mean, p.configuration.preset.tier <= tier, -_usd(p)))
        tied = [p for p in possible if p.expects.mean == best.expects.mean]
        by_rule = rule if any(p.configuration.preset.tier > tier for p in tied) or self.by_rules else ""
        options = tuple(_option(p, why, best) for p, why in judged)
        cost, wall = best.forecast.cost_usd, best.forecast.wall_s
        spent = self.probe_usd + (0.0 if cost is None else cost.high)
        beside = companion(best, possible, lambda f: not limits.broken_by(f, spent_usd=spent, spent_s=wall.high))
        chance = _chance(best, possible)
        in_s = None if max_minutes is None else 60 * max_minutes
        usd = None if budget_usd is None else budget_usd - self.probe_usd
        several = together(best, possible, chance, {"usd": usd, "s": in_s})
        others = [o for o in options if o.feasible and o.name != best.configuration.name]
        f = best.forecast
        return Recommendation(
            recommendation_id=secrets.token_hex(8),
            optimizer=best.configuration.optimizer,
            params=best.configuration.params,
            cost_usd=f.cost_usd,
            wall_s=f.wall_s,
            calls=f.calls,
            expected_score=_score(best.expects.mean),
            score=_interval(best.expects),
            confidence=calibrated(chance, self.past, WITHIN),
            reasons=tuple(self._reasons(best, by_rule, options, limits)),
            companion=None if beside is None else _option(beside.prospect, "", best),
            companion_gain=0.0 if beside is None else beside.gain,
            together=None if several is None else _together(several, best),
            alternatives=tuple(sorted(others, key=lambda o: -o.expected_score)[:_MOST_ALTERNATIVES]),
            headroom=self.headroom,
            baseline=self.baseline,
            budget_usd=budget_usd,
            probe_usd=self.probe_usd,
            quality_target=quality_target,
            max_minutes=max_minutes,
            features=self.features,
            options=options,
            notes=self.notes,
        )

    def _why_not(self, p: Prospect, tier: Tier, limits: Requirements) -> str:
        if broken := limits.broken_by(p.forecast, spent_usd=self.probe_usd):
            return broken
        if (is_beyond := p.configuration.preset.tier > tier) and p.configuration.preset.tier is Tier.FINETUNE:
            return f"trains the model, which no forecast prices: it is for ${HEAVY_USD:g} and a target of 0.95 or more"
        return "the rules keep it for larger budgets" if self.by_rules and is_beyond else ""

    def _nothing(self, limits: Requirements) -> str:
        """Say which limit is in the way, and the smallest that would not be."""
        minutes, usd = limits.max_minutes, limits.budget_usd
        in_time = [p for p in self.prospects if minutes is None or p.forecast.wall_s.high <= 60 * minutes]
        if minutes is not None and not in_time:
            least = min(p.forecast.wall_s.high for p in self.prospects)
            return (
                f"max_minutes = {minutes:g}: even the quickest optimizer may take {duration(least)}; "
                f"give max_minutes={math.ceil(least / 6) / 10:g} or more, or fewer examples"
            )
        enough = self._least_budget(in_time, limits)
        if usd is None or enough is None:
            return "no optimizer that can run here is allowed by the rules at these limits: give more time or examples"
        return (
            f"budget_usd = {usd:g}: scoring the program before and after already may cost more; "
            f"the smallest budget that will do is ${_rounded_up(enough):g}, or give fewer examples"
        )

    def _least_budget(self, in_time: Sequence[Prospect], limits: Requirements) -> float | None:
        """Find the smallest budget under which something is possible."""
        prices = [p.forecast.cost_usd.high + self.probe_usd for p in in_time if p.forecast.cost_usd]
        for budget in sorted(price for price in (*prices, *STEPS_USD) if price > 0):
            trial = Requirements(budget, limits.quality_target, limits.max_minutes)
            tier, _ = allowed(self.features["n"], budget, trial.max_minutes, trial.quality_target)
            if any(not self._why_not(p, tier, trial) for p in in_time):
                return budget
        return None

    def _reasons(self, best: Prospect, rule: str, options: Sequence[Option], limits: Requirements) -> list[str]:
        name, mean = best.configuration.name, _score(best.expects.mean)
        cost, wall, evidence = best.forecast.cost_usd, best.forecast.wall_s, best.expects.evidence
        if evidence >= _ENOUGH:
            gain = f"{100 * (mean - self.baseline):+.0f} points of {name}"
            why = f"runs of this home on tasks like this, about {evidence:.0f} of them, lead to expect {gain}."
        else:
            why = f"No run of this home tells of tasks like this: by what optimizers gain elsewhere, {name} is the best"
            why += f" that fits; of equals, {rule}." if rule else " that fits."
        reasons = [why]
        if limits.budget_usd is not None and cost is not None:
            reasons.append(f"At most {money(cost.high)} of the {money(limits.budget_usd)} is needed in 9 of 10 runs.")
        if limits.max_minutes is not None:
            reasons.append(f"It takes at most {duration(wall.high)} of {limits.max_minutes:g} min in 9 of 10 runs.")
        better = [o for o in options if not o.feasible and o.expected_score > mean + 0.005]
        if better:
            top = max(better, key=lambda o: o.expected_score)
            more = f"{points(top.expected_score - mean)} points more"
            reasons.append(f"{top.name} might score {more}, but {top.why_not}.")
        if best.needs:
            reasons.append(f"{name}: {best.needs}.")
        alike = self.features.get("nearest")
        others = [p.configuration.name for p in self.prospects if p.configuration.preset.by_likeness and p is not best]
        if alike is not None and alike > self.baseline + _TELLS_MORE and others:
            reasons.append(
                f"The five examples most like one have its label in {percent(alike)} of cases, and the program is "
                f"right in about {percent(self.baseline)}: {others[0]} may gain more than is expected of it."
            )
        target = limits.quality_target
        reach = 0.5 * math.erfc((target - best.expects.mean) / best.expects.sd / math.sqrt(2))
        reasons.append(f"The target of {100 * target:g} is reached with a chance of {percent(reach)}.")
        return reasons


def without_price(budget_usd: float, model: str) -> LMError:
    """Make the error of a budget for a model that has no known price."""
    return LMError(
        f"budget_usd = {budget_usd:g} cannot be compared: {model!r} has no known price; "
        f"{how_to_state_a_price(model)}, or leave the budget out"
    )


def selector_for(
    task: CheckedTask, sizing: Sizing, past: Sequence[PastRun], *, landmarks: Landmarks,
    headroom: Mapping[str, Any] | None = None, by_rules: bool = False, words: Mapping[str, str] | None = None,
) -> Selector:  # fmt: skip
    """Forecast every configuration and expect a score of each.

    Parameters
    ----------
    task, sizing
        The task and the size of its calls.
    past
        The home's earlier runs.
    landmarks
        How simple learners do on its examples.
    headroom
        What was recorded of the task's headroom, if it was looked at.
    by_rules
        Leave past runs aside.
    words
        What a person says of the task, by what it is (`domain`, `style`, `complexity`); runs on tasks of the same
        count more.
    """
    measured = {k: v for k, v in landmarks._asdict().items() if v is not None}
    features = features_of(task) | dict(words or {}) | measured
    if sizing.score is not None:
        features |= {"baseline": sizing.score, "baseline_n": sizing.probed}
    if headroom is not None and headroom["baseline"] is not None:
        features |= {"baseline": headroom["baseline"], "baseline_n": headroom["n"]}
    past = () if by_rules else tuple(past)
    probe_usd = (sizing.probe_usd or 0.0) if sizing.probed else 0.0
    baseline = baseline_of(features, past)
    workload = workload_of(task, sizing)
    forecasts, left_out = _forecasts(task, workload, past)
    expected = expectations([configuration for configuration, _, _ in forecasts], features, baseline, past)
    prospects = tuple(
        Prospect(configuration, cost, expects, needs)
        for (configuration, cost, needs), expects in zip(forecasts, expected, strict=True)
    )
    verdict = None if headroom is None else str(headroom["verdict"])
    notes = (*workload.notes(), *left_out)
    unpriced = tuple(str(lm.model) for lm in task.unpriced)
    return Selector(prospects, features, baseline, past, verdict, notes, by_rules, probe_usd, unpriced, sizing.silent)


def _forecasts(
    task: CheckedTask, workload: Workload, past: Sequence[PastRun]
) -> tuple[list[tuple[Configuration, Forecast, str]], list[str]]:
    """Forecast every configuration that can do this task, with what it needs; and say what fails, and why."""
    from skillfleet_nb.optimizers import create

    every, unusable = installed()
    offered, lm = task.for_optimizer(), str(task.lm.model)
    forecasts, left_out = [], list(unusable)
    for configuration in every:
        try:
            optimizer = create(configuration.optimizer, configuration.params)
            if _can_do(optimizer, offered):
                learned = corrections(configuration.optimizer, lm, past)
                forecasts.append((configuration, forecast(optimizer, workload, learned), optimizer.needs))
        except Exception as exc:  # noqa: BLE001  a plugin may raise anything, and stands in no other's way
            why = f"{type(exc).__name__}: {one_line(str(exc))}"
            left_out.append(f"{configuration.name} is left out, since it cannot be forecast: {why}")
    if not forecasts:
        raise InputError(f"no optimizer can run here: {'; '.join(left_out) or 'each refuses this task'}")
    return forecasts, left_out


def _can_do(optimizer: Optimizer, task: Task) -> bool:
    try:
        optimizer.check(task)
    except SkillfleetError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _usd(p: Prospect) -> float:
    return p.forecast.cost_usd.expected if p.forecast.cost_usd else p.forecast.calls.expected


def _score(mean: float) -> float:
    return min(1.0, max(0.0, mean))


def _interval(e: Expectation) -> tuple[float, float]:
    return _score(e.mean - _Z80 * e.sd), _score(e.mean + _Z80 * e.sd)


def _option(p: Prospect, why: str, best: Prospect) -> Option:
    f, c = p.forecast, p.configuration
    return Option(
        name=c.name, optimizer=c.optimizer, params=c.params, cost_usd=f.cost_usd, wall_s=f.wall_s,
        calls=f.calls, expected_score=_score(p.expects.mean), score=_interval(p.expects), runs=p.expects.evidence,
        feasible=not why, why_not=why, difference=_score(p.expects.mean) - _score(best.expects.mean),
    )  # fmt: skip


def _together(several: Together, best: Prospect) -> Option:
    import numpy as np

    low, high = (float(q) for q in np.quantile(several.draws, (0.1, 0.9)))
    return Option(
        name=several.name, optimizer=Portfolio.name, params=several.params, cost_usd=several.cost_usd,
        wall_s=several.wall_s, calls=several.calls, score=(low, high), difference=several.gain,
        expected_score=_score(best.expects.mean + several.gain),  # the mean of a few draws may be below that of one
        runs=min(p.expects.evidence for p in several.members),
    )  # fmt: skip


def _chance(best: Prospect, possible: Sequence[Prospect]) -> float:
    """Chance that none of the possible ones would score notably more than the chosen one."""
    import numpy as np

    top = np.max([p.expects.draws for p in possible], axis=0)
    return float(np.mean(best.expects.draws >= top - WITHIN))


def _rounded_up(usd: float) -> float:
    if usd <= 0:
        return 0.01
    digits = 10.0 ** (1 - math.floor(math.log10(usd)))
    return math.ceil(usd * digits) / digits
