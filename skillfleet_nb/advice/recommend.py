"""Choose an optimizer for a budget: forecast every candidate, expect a score of each, take the best one can afford.

All that costs time happens once, in :class:`Advice`; choosing under other limits is then a matter of
comparing numbers, quick enough to follow a slider.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from skillfleet_nb.advice.forecast import Forecast, Interval, forecast
from skillfleet_nb.advice.past_runs import calibrated, corrections
from skillfleet_nb.advice.posterior import baseline_of, expectations
from skillfleet_nb.advice.rules import ARMS, STEPS_USD, Arm, allowed
from skillfleet_nb.charts.cost_quality import Way, cost_quality_data, cost_quality_svg
from skillfleet_nb.errors import InputError, LMError, SkillfleetError
from skillfleet_nb.events import Recommended
from skillfleet_nb.format import duration, money, percent, points, points_change
from skillfleet_nb.html import Readable, items, table, text_table
from skillfleet_nb.lm.prices import how_to_state_a_price
from skillfleet_nb.runs.request import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.advice.past_runs import Past
    from skillfleet_nb.advice.posterior import Expectation
    from skillfleet_nb.advice.setup import Setup
    from skillfleet_nb.advice.sizing import Sizing
    from skillfleet_nb.data.landmarks import Landmarks

WITHIN = 0.02
"""A choice is right when no other would have scored this much more."""
_ENOUGH = 1.5  # runs from which an optimizer is known, whatever the rules say of the budget
_MOST_ALTERNATIVES = 3
_Z80 = 1.2816


class Option(BaseModel):
    """One candidate: what it costs, what it promises, and why not if it is not possible.

    Attributes
    ----------
    name, optimizer, params
        What would run.
    cost_usd, wall_s, calls
        Forecast (low, expected, high), of 80%; cost None where a price is unknown.
    expected_score, score
        Expected on the test split, in [0, 1], and its 80% interval.
    runs
        How much past runs of the home say of it: about the number of runs on tasks like this.
    feasible, why_not
        Whether it keeps the limits and the rules; the reason in words where it does not.
    difference
        Expected score against the recommended one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    optimizer: str
    params: dict[str, Any]
    cost_usd: Interval | None
    wall_s: Interval
    calls: Interval
    expected_score: float
    score: tuple[float, float]
    runs: float = 0.0
    feasible: bool = True
    why_not: str = ""
    difference: float = 0.0

    def row(self) -> list[str]:
        """Tell it as cells: name, cost, time, score, difference."""
        low, high = self.score
        usd = self.cost_usd
        cost = "unknown" if usd is None else f"{money(usd.expected)}, up to {money(usd.high)}"
        return [
            self.name, cost, f"{duration(self.wall_s.expected)}, up to {duration(self.wall_s.high)}",
            f"{points(self.expected_score, digits=0)} ({points(low, digits=0)} to {points(high, digits=0)})",
            points_change(self.difference),
        ]  # fmt: skip


class Recommendation(Readable, BaseModel):
    """Which optimizer to run, with what it will cost and why.

    Attributes
    ----------
    optimizer, params
        What to run.
    cost_usd, wall_s, calls
        Forecast (low, expected, high), of 80%, of the whole run; cost None where a price is unknown.
    expected_score
        On the test split, in [0, 1]; `score` is its 80% interval.
    confidence
        Chance that no other affordable candidate would score 2 points more, in [0, 1].
    reasons
        One sentence each.
    alternatives
        Up to three, the best first.
    headroom
        Verdict of :meth:`~skillfleet_nb.Fleet.headroom` where the task was looked at, else None.
    budget_usd, quality_target, max_minutes
        The limits it was made for; the budget is what is left after the probe.
    candidates
        Every candidate, those that are not possible with the reason.
    """

    model_config = ConfigDict(frozen=True)

    recommendation_id: str
    optimizer: str
    params: dict[str, Any]
    cost_usd: Interval | None
    wall_s: Interval
    calls: Interval
    expected_score: float
    score: tuple[float, float]
    confidence: float
    reasons: tuple[str, ...]
    alternatives: tuple[Option, ...]
    headroom: str | None = None
    baseline: float
    budget_usd: float | None
    quality_target: float
    max_minutes: float | None
    features: dict[str, Any] = Field(default_factory=dict)
    candidates: tuple[Option, ...] = ()
    notes: tuple[str, ...] = ()
    _advice: Advice | None = PrivateAttr(None)
    _request: TaskRequest | None = PrivateAttr(None)

    def prepared_with(self, advice: Advice, setup: Setup) -> Recommendation:
        """Remember what it was made of, so that it can be changed and run."""
        self._advice, self._request = advice, setup.request
        return self

    @property
    def advice(self) -> Advice | None:
        """What it was chosen from; None where it was read from a file."""
        return self._advice

    def request(self) -> TaskRequest:
        """Return program, data, metric and models, as they were given.

        Raises
        ------
        InputError
            If it was made in another session.
        """
        if self._request is None:
            raise InputError(
                "this recommendation was not made in this session: give program, train and metric to optimize, "
                f"with optimizer={self.optimizer!r}"
            )
        return self._request

    def under(self, *, budget_usd: float | None, quality_target: float, max_minutes: float | None) -> Recommendation:
        """Recommend again under other limits, without a call; raises as :meth:`Advice.choose` does."""
        if self._advice is None:
            raise InputError("this recommendation was not made in this session: call recommend again")
        made = self._advice.choose(budget_usd=budget_usd, quality_target=quality_target, max_minutes=max_minutes)
        made._advice, made._request = self._advice, self._request  # noqa: SLF001  its own kind
        return made

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters as pairs of a word and its value."""
        given = ", ".join(f"{k}={v}" for k, v in self.params.items())
        span_of = f"{100 * self.score[0]:.0f} to {100 * self.score[1]:.0f}"

        def span(i: Interval, said: Callable[[float], str]) -> str:
            return f"{said(i.expected)} ({said(i.low)} to {said(i.high)})"

        return [
            ("optimizer", self.optimizer + (f" ({given})" if given else "")),
            ("cost", "unknown" if self.cost_usd is None else span(self.cost_usd, money)),
            ("time", span(self.wall_s, duration)),
            ("calls", span(self.calls, lambda v: f"{v:,.0f}")),
            ("expected score", f"{100 * self.expected_score:.0f} ({span_of}), from about {100 * self.baseline:.0f}"),
            ("confidence", f"{percent(self.confidence)}"),
        ]  # fmt: skip

    def text(self) -> str:
        """Return the recommendation as text."""
        rows = self.summary()
        width = max(len(word) for word, _ in rows)
        parts = ["\n".join(f"{word:<{width}}  {value}" for word, value in rows)]
        parts.append("\n".join(f"- {reason}" for reason in (*self.reasons, *self.notes)))
        if self.alternatives:
            parts.append(text_table(_HEADER, [a.row() for a in self.alternatives]))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [table([], [list(r) for r in self.summary()], title="Recommendation (intervals of 80%)")]
        parts.append(items([*self.reasons, *self.notes], title="Why"))
        if self.alternatives:
            parts.append(table(_HEADER, [a.row() for a in self.alternatives], title="Alternatives"))
        return "".join(parts)

    def chart_data(self) -> list[dict[str, Any]]:
        """Return every option by cost and score, as :func:`~skillfleet_nb.charts.cost_quality.cost_quality_data`."""
        mine = (self.optimizer, self.params)
        return cost_quality_data([
            Way(o.name, "recommended" if (o.optimizer, o.params) == mine else "possible" if o.feasible
                else "not possible", o.cost_usd, o.calls, o.expected_score, o.score)
            for o in self.candidates
        ])  # fmt: skip

    @property
    def svg(self) -> str:
        """The picture of every option by cost and score, as SVG text."""
        return cost_quality_svg(self.chart_data(), budget=self.budget_usd)

    def event(self) -> Recommended:
        """Return what is recorded of it."""
        return Recommended(
            recommendation_id=self.recommendation_id, features=self.features, optimizer=self.optimizer,
            params=self.params, expected_score=self.expected_score, confidence=self.confidence,
            budget_usd=self.budget_usd, quality_target=self.quality_target, max_minutes=self.max_minutes,
            calls=tuple(self.calls), cost_usd=None if self.cost_usd is None else tuple(self.cost_usd),
            wall_s=tuple(self.wall_s),
        )  # fmt: skip


_HEADER = ["alternative", "cost", "time", "expected score", "difference"]


@dataclass(frozen=True)
class Candidate:
    """An arm with its forecast, what is expected of it, and what it needs, in words."""

    arm: Arm
    forecast: Forecast
    expects: Expectation
    needs: str = ""


@dataclass(frozen=True)
class Advice:
    """Everything that choosing needs, reckoned once; :meth:`choose` compares under any limits.

    Attributes
    ----------
    candidates
        Every arm that can run here.
    features, baseline
        Of the task.
    past
        The home's earlier runs.
    """

    candidates: tuple[Candidate, ...]
    features: dict[str, Any]
    baseline: float
    past: tuple[Past, ...] = ()
    headroom: str | None = None
    notes: tuple[str, ...] = ()
    by_rules: bool = False

    def choose(
        self, *, budget_usd: float | None = None, quality_target: float = 0.85, max_minutes: float | None = None
    ) -> Recommendation:
        """Recommend under these limits; what is recommended keeps them at the upper end of its forecast.

        Raises
        ------
        InputError
            If a limit is out of range, or nothing keeps them all: with the smallest that would do.
        LMError
            If a budget is given and no price is known.
        """
        check_limits(budget_usd, quality_target, max_minutes)
        if budget_usd is not None and all(c.forecast.cost_usd is None for c in self.candidates):
            lm = str(self.features.get("lm", ""))
            raise LMError(
                f"budget_usd = {budget_usd:g} cannot be compared: {lm!r} has no known price; "
                f"{how_to_state_a_price(lm)}, or leave the budget out"
            )
        names, rule = allowed(self.features["n"], budget_usd, max_minutes, quality_target)
        judged = [(c, self._why_not(c, names, budget_usd, max_minutes)) for c in self.candidates]
        possible = [c for c, why in judged if not why]
        if not possible:
            raise InputError(self._nothing(budget_usd, quality_target, max_minutes))
        best = max(possible, key=lambda c: (c.expects.mean, -_usd(c)))
        options = tuple(_option(c, why, best) for c, why in judged)
        ranked = sorted((o for o in options if o.feasible and o.name != best.arm.name), key=lambda o: -o.expected_score)
        f = best.forecast
        return Recommendation(
            recommendation_id=secrets.token_hex(8),
            optimizer=best.arm.optimizer,
            params=dict(best.arm.params),
            cost_usd=f.cost_usd,
            wall_s=f.wall_s,
            calls=f.calls,
            expected_score=_score(best.expects.mean),
            score=_span(best.expects),
            confidence=calibrated(_chance(best, possible), self.past, WITHIN),
            reasons=tuple(self._reasons(best, rule, options, budget_usd, quality_target, max_minutes)),
            alternatives=tuple(ranked[:_MOST_ALTERNATIVES]),
            headroom=self.headroom,
            baseline=self.baseline,
            budget_usd=budget_usd,
            quality_target=quality_target,
            max_minutes=max_minutes,
            features=self.features,
            candidates=options,
            notes=self.notes,
        )

    def _why_not(self, c: Candidate, names: frozenset[str], usd: float | None, minutes: float | None) -> str:
        cost, wall = c.forecast.cost_usd, c.forecast.wall_s
        if usd is not None and cost is None:
            return "its cost is not known"
        if usd is not None and cost is not None and cost.high > usd:
            return f"may cost {money(cost.high)}"
        if minutes is not None and wall.high > 60 * minutes:
            return f"may take {duration(wall.high)}"
        if c.arm.name not in names and (self.by_rules or c.expects.evidence < _ENOUGH):
            return "the rules keep it for larger budgets"
        return ""

    def _nothing(self, usd: float | None, quality: float, minutes: float | None) -> str:
        """Say which limit is in the way, and the smallest that would not be."""
        in_time = [c for c in self.candidates if minutes is None or c.forecast.wall_s.high <= 60 * minutes]
        if not in_time:
            least = min(c.forecast.wall_s.high for c in self.candidates)
            return (
                f"max_minutes = {minutes:g}: even the quickest optimizer may take {duration(least)}; "
                f"give max_minutes={math.ceil(least / 6) / 10:g} or more, or fewer examples"
            )
        enough = self._least_budget(in_time, quality, minutes)
        if usd is None or enough is None:
            return "no optimizer that can run here is allowed by the rules at these limits: give more time or examples"
        return (
            f"budget_usd = {usd:g}: scoring the program before and after already may cost more; "
            f"the smallest budget that will do is ${_rounded_up(enough):g}, or give fewer examples"
        )

    def _least_budget(self, in_time: Sequence[Candidate], quality: float, minutes: float | None) -> float | None:
        """Find the smallest budget under which something is possible."""
        prices = [c.forecast.cost_usd.high for c in in_time if c.forecast.cost_usd]
        for budget in sorted([*prices, *STEPS_USD]):
            names, _ = allowed(self.features["n"], budget, minutes, quality)
            if any(not self._why_not(c, names, budget, minutes) for c in in_time):
                return budget
        return None

    def _reasons(
        self, best: Candidate, rule: str, options: Sequence[Option], usd: float | None, quality: float,
        minutes: float | None,
    ) -> list[str]:  # fmt: skip
        mean = _score(best.expects.mean)
        evidence = best.expects.evidence
        told = []
        if evidence >= _ENOUGH:
            told.append(
                f"runs of this home on tasks like this, about {evidence:.0f} of them, "
                f"lead to expect {100 * (mean - self.baseline):+.0f} points of {best.arm.name}."
            )
        else:
            told.append(f"{rule[0].upper()}{rule[1:]}; {best.arm.name} is the best of these that fits.")
        if usd is not None and best.forecast.cost_usd is not None:
            told.append(f"At most {money(best.forecast.cost_usd.high)} of the {money(usd)} is needed in 9 of 10 runs.")
        if minutes is not None:
            told.append(f"It takes at most {duration(best.forecast.wall_s.high)} of {minutes:g} min in 9 of 10 runs.")
        better = [o for o in options if not o.feasible and o.expected_score > mean + 0.005]
        if better:
            top = max(better, key=lambda o: o.expected_score)
            more = f"{points(top.expected_score - mean)} points more"
            told.append(f"{top.name} might score {more}, but {top.why_not}.")
        if best.needs:
            told.append(f"{best.arm.name}: {best.needs}.")
        reach = 0.5 * math.erfc((quality - best.expects.mean) / best.expects.sd / math.sqrt(2))
        told.append(f"The target of {100 * quality:g} is reached with a chance of {percent(reach)}.")
        return told


def advise(
    setup: Setup, sizing: Sizing, past: Sequence[Past], *, landmarks: Landmarks, headroom: Any = None,
    by_rules: bool = False,
    domain: str | None = None, style: str | None = None, complexity: str | None = None,
) -> Advice:  # fmt: skip
    """Forecast every candidate and expect a score of each.

    Parameters
    ----------
    setup, sizing
        The task and the size of its calls.
    past
        The home's earlier runs.
    landmarks
        How simple learners do on its examples.
    headroom
        What was found of the task's headroom, if it was looked at.
    by_rules
        Leave past runs aside.
    domain, style, complexity
        What a person says of the task; runs on tasks of the same count more.
    """
    told = {"domain": domain, "style": style, "complexity": complexity}
    features = setup.features | {k: v for k, v in (told | landmarks._asdict()).items() if v is not None}
    if sizing.score is not None:
        features |= {"baseline": sizing.score, "baseline_n": sizing.probed}
    if headroom is not None and headroom["baseline"] is not None:
        features |= {"baseline": headroom["baseline"], "baseline_n": headroom["n"]}
    past = () if by_rules else tuple(past)
    baseline = baseline_of(features, past)
    setting = setup.setting(sizing)
    runnable = [(arm, optimizer) for arm in ARMS if (optimizer := _runnable(arm, setup)) is not None]
    expects = expectations([arm for arm, _ in runnable], features, baseline, past)
    found = [
        Candidate(
            arm,
            forecast(optimizer, setting, corrections(arm.optimizer, str(setup.lm.model), past)),
            expected,
            optimizer.needs,
        )
        for (arm, optimizer), expected in zip(runnable, expects, strict=True)
    ]
    notes = tuple(n for n in found[0].forecast.notes if "past runs" not in n)
    return Advice(tuple(found), features, baseline, past, headroom and headroom["verdict"], notes, by_rules)


def _runnable(arm: Arm, setup: Setup) -> Any:
    """Make the arm's optimizer; None where it cannot do this task."""
    from skillfleet_nb.optimizers import Task, create

    try:
        optimizer = create(arm.optimizer, arm.params)
        judge: Any = setup.metric
        optimizer.check(
            Task(
                setup.program,
                setup.splits.train,
                setup.splits.val,
                judge,
                setup.lm,
                setup.prompt_lm,
                setup.request.seed,
                1,
            )
        )
    except SkillfleetError:
        return None
    return optimizer


def check_limits(budget_usd: float | None, quality_target: float, max_minutes: float | None) -> None:
    """Refuse limits that mean nothing, in one line."""
    if budget_usd is not None and not (_is_number(budget_usd) and budget_usd > 0):
        raise InputError(f"budget_usd = {budget_usd!r}: give more than 0 USD, or leave it out for no limit")
    if not (_is_number(quality_target) and 0 <= quality_target <= 1):
        scale = "; divide by 100 if it is a percentage" if _is_number(quality_target) and quality_target > 1 else ""
        raise InputError(f"quality_target = {quality_target!r}: give a score in [0, 1]{scale}")
    if max_minutes is not None and not (_is_number(max_minutes) and max_minutes > 0):
        raise InputError(f"max_minutes = {max_minutes!r}: give more than 0, or leave it out for no limit")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _usd(c: Candidate) -> float:
    return c.forecast.cost_usd.expected if c.forecast.cost_usd else c.forecast.calls.expected


def _score(mean: float) -> float:
    return min(1.0, max(0.0, mean))


def _span(e: Expectation) -> tuple[float, float]:
    return _score(e.mean - _Z80 * e.sd), _score(e.mean + _Z80 * e.sd)


def _option(c: Candidate, why: str, best: Candidate) -> Option:
    f = c.forecast
    return Option(
        name=c.arm.name, optimizer=c.arm.optimizer, params=dict(c.arm.params), cost_usd=f.cost_usd, wall_s=f.wall_s,
        calls=f.calls, expected_score=_score(c.expects.mean), score=_span(c.expects), runs=c.expects.evidence,
        feasible=not why, why_not=why, difference=_score(c.expects.mean) - _score(best.expects.mean),
    )  # fmt: skip


def _chance(best: Candidate, possible: Sequence[Candidate]) -> float:
    """Chance that none of the possible ones would score notably more than the chosen one."""
    import numpy as np

    top = np.max([c.expects.draws for c in possible], axis=0)
    return float(np.mean(best.expects.draws >= top - WITHIN))


def _rounded_up(usd: float) -> float:
    if usd <= 0:
        return 0.01
    digits = 10.0 ** (1 - math.floor(math.log10(usd)))
    return math.ceil(usd * digits) / digits
