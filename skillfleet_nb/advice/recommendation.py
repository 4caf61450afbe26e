"""A recommendation: which optimizer to run, with what it will cost and why; as text, as HTML, and as an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from skillfleet_nb.advice.forecast import Interval
from skillfleet_nb.charts.cost_quality import Way, cost_quality_data, cost_quality_svg
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import Recommended
from skillfleet_nb.format import duration, money, percent, points, points_change
from skillfleet_nb.html import Readable, items, table, text_table
from skillfleet_nb.runs.request import TaskRequest


class Option(BaseModel):
    """One configuration: what it costs, what it promises, and why not if it is not possible.

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
        Chance that no other affordable option would score 2 points more, in [0, 1].
    reasons
        One sentence each.
    alternatives
        Up to three, the best first.
    companion, companion_gain
        What to run as well, where the better of both is expected to score by `companion_gain` more, in [0, 1],
        for at most half the cost; None where nothing adds a point.
    together
        The portfolio of two or three to run instead, where the evidence does not support one name: ``auto`` runs it.
    headroom
        Verdict of ``fleet.advice.headroom`` where the task was looked at, else None.
    budget_usd, quality_target, max_minutes
        The limits it was made for.
    probe_usd
        What measuring the task took of the budget; what is left is the job's.
    options
        Every configuration that can run here, those that are not possible with the reason.
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
    companion: Option | None = None
    companion_gain: float = 0.0
    together: Option | None = None
    headroom: str | None = None
    baseline: float
    budget_usd: float | None
    probe_usd: float = 0.0
    quality_target: float
    max_minutes: float | None
    features: dict[str, Any] = Field(default_factory=dict)
    options: tuple[Option, ...] = ()
    notes: tuple[str, ...] = ()
    _choose: Callable[..., Recommendation] | None = PrivateAttr(None)
    _request: TaskRequest | None = PrivateAttr(None)

    def prepared_with(self, choose: Callable[..., Recommendation], request: TaskRequest) -> Recommendation:
        """Remember how to choose anew, and the program, data, metric and models to run with."""
        self._choose, self._request = choose, request
        return self

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
        """Recommend again under other limits, without a call; raises as :meth:`Selector.choose` does."""
        if self._choose is None or self._request is None:
            raise InputError("this recommendation was not made in this session: call recommend again")
        made = self._choose(budget_usd=budget_usd, quality_target=quality_target, max_minutes=max_minutes)
        return made.prepared_with(self._choose, self._request)

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters as pairs of a word and its value."""
        params = ", ".join(f"{k}={v}" for k, v in self.params.items())
        span_of = f"{100 * self.score[0]:.0f} to {100 * self.score[1]:.0f}"

        def span(i: Interval, written: Callable[[float], str]) -> str:
            return f"{written(i.expected)} ({written(i.low)} to {written(i.high)})"

        beside = self.companion
        return [
            ("optimizer", self.optimizer + (f" ({params})" if params else "")),
            *([] if beside is None else [("run as well", self._beside(beside))]),
            *([] if self.together is None else [("or together", self._told_together(self.together))]),
            ("cost", "unknown" if self.cost_usd is None else span(self.cost_usd, money)),
            ("time", span(self.wall_s, duration)),
            ("calls", span(self.calls, lambda v: f"{v:,.0f}")),
            ("expected score", f"{100 * self.expected_score:.0f} ({span_of}), from about {100 * self.baseline:.0f}"),
            ("confidence", percent(self.confidence)),
        ]  # fmt: skip

    def _beside(self, option: Option) -> str:
        gain, usd = points(self.companion_gain), option.cost_usd
        cost = f"{option.calls.expected:,.0f} calls" if usd is None else money(usd.expected)
        return f"{option.name}, {cost} more: the better of both may score {gain} points higher"

    def _told_together(self, option: Option) -> str:
        usd, n = option.cost_usd, len(option.params["members"])
        cost = f"{option.calls.expected:,.0f} calls" if usd is None else money(usd.expected)
        names = ", ".join(option.params["members"])
        return (
            f"run these {n}, racing, for about {cost}: {names} in one portfolio, expected "
            f"to score {points(option.difference)} points more; the evidence does not support one name"
        )

    @property
    def to_run(self) -> Option:
        """What ``auto`` runs: the portfolio where there is one, else what is recommended."""
        return self.together or self.chosen

    def text(self) -> str:
        """Return the recommendation as text."""
        rows = self.summary()
        width = max(len(word) for word, _ in rows)
        parts = ["\n".join(f"{word:<{width}}  {value}" for word, value in rows)]
        parts.append("\n".join(f"- {reason}" for reason in (*self.reasons, *self.notes)))
        if self.alternatives:
            parts.append(text_table(_HEADER, [a.row() for a in self.alternatives]))
        return "\n\n".join(parts)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        parts = [table([], [list(r) for r in self.summary()], title="Recommendation (intervals of 80%)")]
        parts.append(items([*self.reasons, *self.notes], title="Why"))
        if self.alternatives:
            parts.append(table(_HEADER, [a.row() for a in self.alternatives], title="Alternatives"))
        return "".join(parts)

    @property
    def job_usd(self) -> float | None:
        """What of the budget is the job's; None without one."""
        return None if self.budget_usd is None else max(1e-9, self.budget_usd - self.probe_usd)

    @property
    def chosen(self) -> Option:
        """The option that is recommended."""
        return next(o for o in self.options if (o.optimizer, o.params) == (self.optimizer, self.params))

    def chart_data(self) -> list[dict[str, Any]]:
        """Return every option by cost and score, as :func:`~skillfleet_nb.charts.cost_quality.cost_quality_data`."""
        chosen = self.chosen
        return cost_quality_data([
            Way(o.name, "recommended" if o is chosen else "possible" if o.feasible else "beyond a limit",
                o.cost_usd, o.calls, o.expected_score, o.score)
            for o in self.options
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
