"""A monitored program in use: how often it is called, how well and fast it answers, what it costs, its newest calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, PrivateAttr

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import ago, duration, is_missing, money, one_line, percent, points
from skillfleet_nb.html import NO_MATH, Readable, breakable, fill, join, table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.ticker import seconds
from skillfleet_nb.stats import mean_interval
from skillfleet_nb.store import queries
from skillfleet_nb.tracing.traces import Traces, brief_seconds
from skillfleet_nb.tracing.usage_chart import usage_svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

    from skillfleet_nb.example import Read  # noqa: TC004  of a private attribute, which pydantic does not read
    from skillfleet_nb.store import Store

STRETCHES = 30
"""Into how many parts the time is divided."""
SHOWN = 5
"""Newest predictions that are shown with their trees."""
_MOST_SCORES, _RESAMPLES = 2000, 999  # the newest, and draws: a live view makes the interval again and again
_MOST_KINDS = 5
_LONGEST_S = 10 * 365 * 86_400.0
_WIDEST = 40  # characters of a kind of error

Look: TypeAlias = "Callable[[float], Usage]"


class Stretch(BaseModel):
    """A part of the time: when it begins, and what was called in it."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    calls: float
    failed: float
    p50_s: float | None = None
    p95_s: float | None = None


class Usage(Readable, BaseModel):
    """How a monitored program was used in the last while.

    Where a share is recorded, `calls`, `failed`, tokens and cost are those that the recorded predictions stand for.

    Attributes
    ----------
    program
        What it is monitored as.
    until, window_s
        The end of the time looked at, and how long it is.
    predictions
        Recorded in that time.
    calls, failed
        Of the program, and those that raised.
    success, success_low, success_high
        Share of calls that did not raise, and its 95% interval (Wilson); None without any.
    p50_s, p95_s
        Latency.
    lm_calls, cached
        Calls of models in the recorded predictions, and those that a cache answered.
    input_tokens, output_tokens, cost_usd
        Used; the cost is None where a price is unknown.
    scored, score, score_low, score_high
        The newest that the metric scored, their mean, and its 95% interval.
    versions, errors
        Calls by registered version, and by kind of error, the most frequent first.
    times
        The same over time.
    last_at
        When the last prediction was recorded, at whatever time; None where none ever was.
    spans
        Calls of the newest predictions, as in the relation ``spans``.
    """

    model_config = ConfigDict(frozen=True)

    program: str
    until: datetime
    window_s: float
    predictions: int = 0
    calls: float = 0.0
    failed: float = 0.0
    success: float | None = None
    success_low: float | None = None
    success_high: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    lm_calls: int = 0
    cached: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost_usd: float | None = 0.0
    scored: int = 0
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    versions: dict[str, float] = {}
    errors: dict[str, float] = {}
    times: tuple[Stretch, ...] = ()
    last_at: datetime | None = None
    spans: tuple[dict[str, Any], ...] = ()
    _read: Read | None = PrivateAttr(default=None)
    _look: Look | None = PrivateAttr(default=None)

    def looking(self, look: Look, read: Read | None = None) -> Usage:
        """Take what looks again, given seconds to look back, and what finds the images and sounds of calls."""
        self._look, self._read = look, read
        return self

    def again(self, window: str | float | None = None) -> Usage:
        """Look again, as far back as now or as `window` says; raises `InputError` if that is no time."""
        if self._look is None:
            raise InputError("this was read from a file: ask fleet.usage(program) for how it stands now.")
        return self._look(self.window_s if window is None else window_seconds(window))

    @property
    def traces(self) -> Traces:
        """The newest predictions as trees of calls."""
        import pandas as pd

        frame = pd.DataFrame(list(self.spans))
        return Traces(self.program, frame, "", self._read)

    @property
    def calls_a_minute(self) -> float:
        """How often it was called."""
        return self.calls / (self.window_s / 60)

    def facts(self) -> list[list[str]]:
        """Say what matters, as pairs of a word and its value."""
        a_call = 1 / self.calls if self.calls else 0.0
        rows = [["calls", self._rate()], ["success", self._success()]]
        if self.p50_s is not None and self.p95_s is not None:
            rows.append(["latency", f"p50 {brief_seconds(self.p50_s)} · p95 {brief_seconds(self.p95_s)}"])
        if self.lm_calls:
            rows.append(["tokens", self._tokens(a_call)])
            cost = None if self.cost_usd is None else self.cost_usd * a_call
            rows.append(["cost", money(cost) + ("" if cost is None else f" a call · {money(self.cost_usd)} in all")])
        if self.score is not None:
            interval = f"[{points(self.score_low)}, {points(self.score_high)}]"
            rows.append(["quality", f"{points(self.score)} {interval} on {self.scored:,} scored"])
        if self.versions:
            rows.append(["versions", _in_order(self.versions)])
        return rows

    def _tokens(self, a_call: float) -> str:
        used = [f"{n * a_call:,.0f}" for n in (self.input_tokens, self.output_tokens)]
        parts = [f"{' + '.join(used)} a call", f"{self.input_tokens:,.0f} + {self.output_tokens:,.0f} in all"]
        cached = [f"{percent(self.cached / self.lm_calls)} of model calls from the cache"] if self.cached else []
        return " · ".join((parts if self.input_tokens or self.output_tokens else []) + cached) or "none"

    def _rate(self) -> str:
        rate = self.calls_a_minute
        said = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"  # noqa: PLR2004  whole ones say enough
        sampled = f", about {self.calls:,.0f}: {self.predictions:,} recorded"
        return f"{said} a minute" + (sampled if round(self.calls) != self.predictions else f", {self.predictions:,}")

    def _success(self) -> str:
        said = f"{percent(self.success)} [{percent(self.success_low)}, {percent(self.success_high)}]"
        return f"{said} · {self.failed:,.0f} failed: {_in_order(self.errors)}" if self.failed else said

    def nothing(self) -> str:
        """Say why there is nothing to see, and what to do; empty where there is."""
        if self.predictions:
            return ""
        if self.last_at is None:
            return (
                f"nothing is recorded yet: m = sf.monitored(program, name={self.program!r}) returns the program, and "
                "records it as m is called"
            )
        since = (self.until - self.last_at).total_seconds()
        longer = f"{int(since // 86_400) + 1}d" if since > 3600 * 20 else f"{int(since // 3600) + 1}h"
        return (
            f"nothing in this time; the last prediction is {duration(since)} old: "
            f"{as_typed(f'monitor {quote(self.program)} --window {longer}')}"
        )

    def title(self) -> str:
        """Name the program and the time."""
        return f"{self.program}, the last {window_in_words(self.window_s)}"

    def line(self) -> str:
        """Say in one line how it stands."""
        figures = [f"{word} {value}" for word, value in self.facts() if word != "versions"]
        return f"{self.title()}: {self.nothing() or ' | '.join(figures)}"

    def text(self) -> str:
        """Show figures, the course of time in a line, and the newest calls."""
        from skillfleet_nb.charts import sparkline

        if not self.predictions:
            return f"{self.title()}: {self.nothing()}"
        lines = [self.title(), *(f"{word:<8}  {value}" for word, value in self.facts())]
        lines += [f"over time {sparkline([s.calls for s in self.times])}  each {window_in_words(self._step_s())}"]
        trees = self.traces.tree_lines()
        return "\n".join([*lines, "", "newest calls:", *trees])

    __repr__ = Readable.__str__

    def _step_s(self) -> float:
        return self.window_s / len(self.times)

    def html(self) -> Markup:
        """Show it as a page does: figures, the course of time, and the newest calls to be opened."""
        parts = join([self.figures_html(), self.calls_html()])
        style = "max-width:60em;overflow-wrap:break-word;line-height:1.45"
        return fill("<div class='{}' style='{}'>{}</div>", NO_MATH, style, parts)

    def figures_html(self) -> Markup:
        """Show the figures and the course of time."""
        head = fill("<div style='font-weight:600'>{}</div>", breakable(self.title()))
        if not self.predictions:
            return head + fill("<div>{}</div>", self.nothing())
        return join(
            [
                head,
                table([], self.facts()),
                usage_svg(self.times, self._step_s(), f"{window_in_words(self.window_s)} ago"),
            ]
        )

    def calls_html(self) -> Markup:
        """Show the newest calls, each to be opened; nothing where there is none in this time."""
        if not self.predictions:
            return join([])
        traces = self.traces
        trees = traces.pages([ago(tree.row["at"]) for tree in traces.trees])
        return join([fill("<div style='font-weight:600;margin-top:8px'>Newest calls</div>"), *trees])


def _in_order(counts: dict[str, float]) -> str:
    shown = [f"{one_line(name, _WIDEST)} {n:,.0f}" for name, n in list(counts.items())[:_MOST_KINDS]]
    return ", ".join([*shown, *(["…"] if len(counts) > _MOST_KINDS else [])])


def window_seconds(window: str | float) -> float:
    """Read how far to look back; raises `InputError` if that is no time, or longer than ten years."""
    window_s = seconds(window, "window")
    if window_s > _LONGEST_S:
        raise InputError(f"window={window!r}: give a time of ten years at most, such as 15m, 1h or 1d.")
    return window_s


def window_in_words(seconds: float) -> str:
    """Write a span of time without the parts that are nought.

    Examples
    --------
    >>> window_in_words(3600), window_in_words(90), window_in_words(172_800)
    ('1 h', '1 min 30 s', '2 d')
    """
    if seconds >= 86_400 and not seconds % 86_400:  # noqa: PLR2004  a day
        return f"{seconds / 86_400:.0f} d"
    return duration(seconds).removesuffix(" 0 s").removesuffix(" 0 min")


def usage_of(store: Store, program: str, window_s: float, *, read: Read | None = None) -> Usage:
    """Sum up what was recorded of a program in the last while."""
    until, look = datetime.now(UTC), partial(usage_of, store, program, read=read)
    step_s, since = window_s / STRETCHES, until - timedelta(seconds=window_s)
    frame = queries.usage(store, program, since=since, step_s=step_s)
    if frame.empty:
        recorded = queries.monitored_programs(store)
        mine = recorded[recorded.program == program]
        last = None if mine.empty else mine.last_at.iloc[0].to_pydatetime()
        return Usage(program=program, until=until, window_s=window_s, last_at=last).looking(look)
    total = frame[frame["part"] == "all"].iloc[0]
    spans = queries.spans(store, program, limit=SHOWN)
    spans["attributes"] = spans.attributes.map(json.loads)
    plain = {name: None if is_missing(total[name]) else total[name].item() for name in _TOTALS}
    made = Usage(
        program=program, until=until, window_s=window_s, **plain, **_success(total), **_quality(total.scores),
        versions=_counts(frame, "version", "calls"), errors=_counts(frame, "error", "failed"),
        times=_times(frame, since, step_s), last_at=spans["at"].max().to_pydatetime(),
        spans=tuple(_rows(spans)),
    )  # fmt: skip
    return made.looking(look, read)


_TOTALS = (
    "predictions", "calls", "failed", "p50_s", "p95_s", "lm_calls", "cached", "input_tokens", "output_tokens",
    "cost_usd",
)  # fmt: skip


def _rows(spans: Any) -> list[dict[str, Any]]:
    return [
        {str(k): None if not isinstance(v, dict) and is_missing(v) else v for k, v in row.items()}
        for row in spans.to_dict("records")
    ]


def _counts(frame: Any, part: str, column: str) -> dict[str, float]:
    rows = frame[(frame["part"] == part) & frame.value.notna() & (frame.value != "")]
    rows = rows.sort_values([column, "value"], ascending=[False, True])
    return dict(zip(rows.value, rows[column].astype(float), strict=True))


def _success(total: Any) -> dict[str, float]:
    failed = round(total.failed / total.calls * total.predictions)
    share = mean_interval([0.0] * failed + [1.0] * (int(total.predictions) - failed))
    return {"success": 1 - total.failed / total.calls, "success_low": share.low, "success_high": share.high}


def _quality(scores: Any) -> dict[str, Any]:
    if scores is None or is_missing(scores) or not len(scores):
        return {}
    newest = np.asarray(scores, float)[-_MOST_SCORES:]
    mean = mean_interval(newest.tolist(), n_resamples=_RESAMPLES)
    return {"scored": len(newest), "score": mean.mean, "score_low": mean.low, "score_high": mean.high}


def _times(frame: Any, since: datetime, step_s: float) -> tuple[Stretch, ...]:
    rows = {int(row.value): row for row in frame[frame["part"] == "time"].itertuples()}
    made = []
    for number in range(STRETCHES):
        row, at = rows.get(number), since + timedelta(seconds=number * step_s)
        figures = (
            {} if row is None else {name: float(getattr(row, name)) for name in Stretch.model_fields if name != "at"}
        )
        made.append(Stretch(at=at, **{"calls": 0.0, "failed": 0.0, **figures}))
    return tuple(made)
