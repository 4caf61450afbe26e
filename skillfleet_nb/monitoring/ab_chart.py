"""The confidence sequence of an A/B test, over its scored units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, titled, told_apart
from skillfleet_nb.design import BLUE, INK, VERMILION
from skillfleet_nb.monitoring.betting import path

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.monitoring.ab_report import ABStatus

_MOST = 300  # points of a line


def sequence_data(status: ABStatus) -> pd.DataFrame:
    """Return, of each other variant, the bounds of its gain on the control after every scored unit.

    Columns: `variant`, `units` scored, and in points `low`, `high` and the `gain` seen so far.
    """
    import pandas as pd

    frames = []
    for label, bets in status.bets.items():
        n = bets.x.shape[-1]
        if not n:
            continue
        low, high = path(bets, status.alpha)
        shown = np.unique(np.linspace(0, n - 1, min(n, _MOST)).astype(int))
        gain = np.clip(np.cumsum(bets.x) / np.arange(1, n + 1), -1, 1)
        values = {"low": 100 * low[shown], "high": 100 * high[shown], "gain": 100 * gain[shown]}
        frames.append(pd.DataFrame({"variant": label, "units": shown + 1, **values}))
    columns = ["variant", "units", "low", "high", "gain"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def sequence(data: pd.DataFrame, *, floor: float = 0.0, planned: int = 0, title: str = "") -> Any:
    """Plot :func:`sequence_data`: a band a variant; the test is decided where it leaves the dashed line."""
    if data.empty:
        return nothing("No confidence sequence: nothing is scored yet.")
    import altair as alt

    x = alt.X(
        "units:Q", title="scored units", axis=alt.Axis(tickCount=6),
        scale=alt.Scale(domainMax=max(planned, int(data["units"].max()))),
    )  # fmt: skip
    base = alt.Chart(data).encode(x=x, tooltip=["variant", "units", *_formatted("gain", "low", "high")])
    band = base.mark_area(opacity=0.22, color=BLUE).encode(
        y=alt.Y("low:Q", title="gain on the first variant (points)"), y2="high:Q"
    )
    line = base.mark_line(color=BLUE, strokeWidth=2).encode(y="gain:Q")
    once = alt.Chart().transform_aggregate(rows="count()")  # a line, and not one for each row
    rule = once.mark_rule(color=VERMILION, strokeDash=[5, 4], strokeWidth=1.5).encode(y=alt.datum(floor))
    how = "The gain seen so far, within bounds that hold at every look; it is decided once they leave the dashed line."
    layers = alt.layer(band, line, rule, data=data)
    if planned:
        end = once.mark_rule(color=INK, strokeDash=[2, 3]).encode(x=alt.datum(planned))
        layers, how = alt.layer(band, line, rule, end, data=data), f"{how} Dotted: the units that were planned."
    sized = layers.properties(width=WIDTH, height=HEIGHT)
    if len(set(data["variant"])) > 1:
        return sized.facet(row=alt.Row("variant:N", title=None)).properties(title=titled(title, how))
    return sized.properties(title=titled(title, how))


def sequence_chart(status: ABStatus) -> Chart:
    """Make the chart of a test."""
    asked = status.test.started
    title, data = f"A/B test {status.name}", sequence_data(status)
    of_two = asked.rows * (asked.split[0] + min(asked.split[1:]))  # those of the comparison that takes the most
    drawn = sequence(data, floor=-100 * (asked.margin or 0.0), planned=round(of_two), title=title)
    return Chart(title, data, drawn)


def timeline_data(status: ABStatus) -> pd.DataFrame:
    """Return how new units were split over time: `at`, `variant`, its `share` in percent, and `why` it was changed."""
    import pandas as pd

    test = status.test
    steps = list(zip(test.split_at, test.splits, test.split_why, strict=True))
    last = status.scores["at"].max() if len(status.scores) else steps[-1][0]
    steps += [(last, steps[-1][1], "")] if last > steps[-1][0] else []
    rows = [
        {"at": moment, "variant": label, "share": 100 * share, "why": why}
        for moment, split, why in steps
        for label, share in zip(test.labels[1:], split[1:], strict=True)
    ]
    return pd.DataFrame(rows)


def timeline_chart(status: ABStatus) -> Chart:
    """Make the chart of how new units were split."""
    import altair as alt

    title, data = f"Split of {status.name}", timeline_data(status)
    apart = told_apart("variant", status.test.labels[1:])
    base = alt.Chart(data).encode(
        x=alt.X("at:T", title=None),
        y=alt.Y("share:Q", title="share of new units (%)", scale=alt.Scale(domain=[0, 100])),
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(color=apart["color"])
    marks = base.transform_filter("datum.why != ''").mark_point(filled=True, size=70, opacity=1)
    points = marks.encode(tooltip=["at:T", "variant", alt.Tooltip("share:Q", format=".0f"), "why"], **apart)
    how = "Each point is a step: what new units got from then on."
    return Chart(title, data, alt.layer(line, points).properties(width=WIDTH, height=HEIGHT, title=titled(title, how)))


def _formatted(*names: str) -> list[Any]:
    import altair as alt

    return [alt.Tooltip(f"{name}:Q", format="+.1f") for name in names]
