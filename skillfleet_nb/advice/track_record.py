"""How good the home's advice has been: what was recommended, what was done, and what came of it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.advice.selector import WITHIN
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.track_record import (
    calibration,
    calibration_data,
    forecast_data,
    forecasts,
    gain_data,
    gains,
)
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.format import counted, is_missing, percent
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.store import Store

_QUANTITIES = {
    "calls": ("calls_low", "expected_calls", "calls_high", "actual_calls"),
    "cost": ("cost_usd_low", "expected_cost_usd", "cost_usd_high", "actual_cost_usd"),
    "time": ("wall_s_low", "expected_wall_s", "wall_s_high", "actual_wall_s"),
}
_BINS = ((0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01))


class CalibrationBin(BaseModel):
    """Recommendations of about the same confidence, and how many were right."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    n: int
    confidence: float
    right: float


class ForecastError(BaseModel):
    """How far forecasts of one quantity were off: relative errors, and how many intervals held."""

    model_config = ConfigDict(frozen=True)

    what: str
    n: int
    median_error: float | None
    covered: float | None


class Forecasted(BaseModel):
    """What was forecast of one quantity of a job, with its 80% interval, and what came."""

    model_config = ConfigDict(frozen=True)

    low: float
    expected: float
    high: float
    actual: float


class JobOutcome(BaseModel):
    """A finished job: what it ran, who chose that (accepted, overridden, manual), and what came of it.

    `gain` is in [-1, 1] on the sealed test, None where it was not scored; `warm` tells that an earlier job on
    the task had filled the cache.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    optimizer: str
    how: str
    gain: float | None
    warm: bool
    forecasts: dict[str, Forecasted]


class SelectorReport(Readable, BaseModel):
    """What is known of advice.

    Attributes
    ----------
    recommended, accepted, overridden, manual, not_run
        Recommendations, what was done with them, and jobs chosen without one.
    known
        Jobs as recommended of whose task another optimizer was run as well, so that regret is known.
    right, regret
        Share of those within 2 points of the best, and the mean points lost, in [0, 1].
    gain_auto, gain_manual
        Mean gain of jobs as recommended, and of those chosen by hand, overridden ones among them.
    errors
        Of forecasts of calls, cost and time, of jobs whose task no earlier job had put into the cache.
    calibration
        Confidence against outcome.
    outcomes
        The finished jobs, one by one.
    """

    model_config = ConfigDict(frozen=True)

    recommended: int
    accepted: int
    overridden: int
    manual: int
    not_run: int
    known: int
    right: float | None
    regret: float | None
    gain_auto: float | None
    gain_manual: float | None
    errors: tuple[ForecastError, ...]
    calibration: tuple[CalibrationBin, ...]
    outcomes: tuple[JobOutcome, ...] = ()

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Forecasts against what came, confidence against outcome, gains by who chose; none before a job has ended."""
        if not self.outcomes:
            return ()
        import pandas as pd

        forecast = pd.DataFrame(
            [
                {"job": o.job, "what": what, **f.model_dump()}
                for o in self.outcomes if not o.warm
                for what, f in o.forecasts.items()
            ],
            columns=["job", "what", *Forecasted.model_fields],
        )  # fmt: skip
        bins = pd.DataFrame([b.model_dump() for b in self.calibration], columns=[*CalibrationBin.model_fields])
        jobs = pd.DataFrame([o.model_dump(include={"job", "optimizer", "how", "gain"}) for o in self.outcomes])
        off, right, won = forecast_data(forecast), calibration_data(bins), gain_data(jobs)
        return (
            Chart("What jobs took against what was forecast", off, forecasts(off)),
            Chart("How sure advice was, and how often it was right", right, calibration(right)),
            Chart("Gains by who chose the optimizer", won, gains(won)),
        )

    def rows(self) -> list[list[str]]:
        """Tell it as rows of a word and its value."""
        use = f"{self.accepted} accepted, {self.overridden} overridden, {self.not_run} not run"
        rows = [
            ["recommendations", f"{self.recommended}: {use}"],
            ["chosen by hand", str(self.manual)],
            ["within 2 points of the best", f"{_said(self.right, '{:.0f}%')} of {self.known} whose best is known"],
            ["behind the best, on average", _said(self.regret, "{:.1f} points")],
            ["mean gain, recommended", _said(self.gain_auto, "{:+.1f} points")],
            ["mean gain, by hand", _said(self.gain_manual, "{:+.1f} points")],
        ]
        for e in self.errors:
            held = "" if e.covered is None else f"; {percent(e.covered)} within the 80% interval"
            error = "no finished run" if e.median_error is None else f"off by {percent(e.median_error)} (median){held}"
            rows.append([f"forecast of {e.what}", f"{error}, {counted(e.n, 'run')}"])
        return rows

    def text(self) -> str:
        """Return the report as text."""
        parts = [text_table(["advice so far", ""], self.rows())]
        if self.calibration:
            parts.append(text_table(_HEADER, _cells(self.calibration), numeric=[1, 2, 3]))
        return "\n\n".join(parts)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        parts = [table([], self.rows(), title="Advice so far")]
        if self.calibration:
            title = "Confidence against outcome"
            parts.append(table(_HEADER, _cells(self.calibration), title=title, numeric=[1, 2, 3]))
        parts += [fill("<div style='overflow-x:auto;margin-top:12px'>{}</div>", chart.svg) for chart in self.charts]
        return join(parts)


_HEADER = ["confidence", "recommendations", "mean confidence", "right"]


def _said(value: float | None, how: str) -> str:
    return "not known yet" if value is None else how.format(100 * value)


def _cells(bins: Sequence[CalibrationBin]) -> list[list[str]]:
    return [
        [f"{100 * b.low:.0f} to {percent(min(1, b.high))}", str(b.n), percent(b.confidence),
         percent(b.right)]
        for b in bins
    ]  # fmt: skip


def report(store: Store) -> SelectorReport:
    """Read what was recorded; parameters are those of ``fleet.advice.report``."""
    rows = queries.recommendations(store).to_dict("records")
    how = [str(r["how"]) for r in rows]
    advised = [r for r in rows if not is_missing(r["recommended"])]
    ended = [r for r in rows if r["state"] == JobState.COMPLETED and r["stop_kind"] != StopKind.BUDGET]
    outcomes = tuple(_outcome(r) for r in ended)
    judged = [r for r in advised if r["how"] == "accepted" and not is_missing(r["regret"])]
    regrets = [float(r["regret"]) for r in judged]
    won = {
        auto: [float(r["gain"]) for r in ended if not is_missing(r["gain"]) and (r["how"] == "accepted") is auto]
        for auto in (True, False)
    }
    return SelectorReport(
        recommended=len({str(r["id"]) for r in advised}),
        accepted=how.count("accepted"),
        overridden=how.count("overridden"),
        manual=how.count("manual"),
        not_run=how.count("not run"),
        known=len(judged),
        right=_mean([x <= WITHIN for x in regrets]),
        regret=_mean(regrets),
        gain_auto=_mean(won[True]),
        gain_manual=_mean(won[False]),
        errors=tuple(_error(what, [o for o in outcomes if not o.warm]) for what in _QUANTITIES),
        calibration=tuple(_calibration(judged)),
        outcomes=outcomes,
    )


def _outcome(r: dict[Any, Any]) -> JobOutcome:
    forecasts = {}
    for what, names in _QUANTITIES.items():
        values = [r[name] for name in names]
        if not any(is_missing(v) for v in values) and float(values[-1]) > 0:
            low, expected, high, actual = map(float, values)
            forecasts[what] = Forecasted(low=low, expected=expected, high=high, actual=actual)
    return JobOutcome(
        job=str(r["job_id"]), optimizer=str(r["chosen"]), how=str(r["how"]), warm=bool(r["warm"]), forecasts=forecasts,
        gain=None if is_missing(r["gain"]) else float(r["gain"]),
    )  # fmt: skip


def _calibration(judged: Sequence[dict[Any, Any]]) -> list[CalibrationBin]:
    bins = []
    for low, high in _BINS:
        rows = [r for r in judged if low <= float(r["confidence"]) < high]
        if rows:
            sure = statistics.mean(float(r["confidence"]) for r in rows)
            right = statistics.mean(float(r["regret"]) <= WITHIN for r in rows)
            bins.append(CalibrationBin(low=low, high=high, n=len(rows), confidence=sure, right=right))
    return bins


def _error(what: str, outcomes: Sequence[JobOutcome]) -> ForecastError:
    forecasts = [o.forecasts[what] for o in outcomes if what in o.forecasts]
    if not forecasts:
        return ForecastError(what=what, n=0, median_error=None, covered=None)
    return ForecastError(
        what=what,
        n=len(forecasts),
        median_error=statistics.median(abs(f.expected - f.actual) / f.actual for f in forecasts),
        covered=statistics.mean(f.low <= f.actual <= f.high for f in forecasts),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None
