"""Checks for drift over time, with the line below which a p-value is an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.style import BLUE, HEIGHT, VERMILION, WIDTH, nothing, titled

if TYPE_CHECKING:
    import pandas as pd


def drift_data(checks: pd.DataFrame) -> pd.DataFrame:
    """Take `look`, `at`, `p_value`, `spent`, `divergence`, `n` and `alarm` of rows of ``drift_checks``."""
    return checks[["look", "at", "p_value", "spent", "divergence", "n", "alarm"]].reset_index(drop=True)


def drift(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`drift_data`: a point a check, the line of alarm, and how far apart both were."""
    if data.empty:
        return nothing("No checks for drift under this name.")
    import altair as alt

    x = alt.X("look:O", title=None, axis=alt.Axis(labelAngle=0))
    tips = ["at:T", "n", alt.Tooltip("divergence:Q", format=".2f"), alt.Tooltip("p_value:Q", format=".2g"), "alarm"]
    y = alt.Y("p_value:Q", scale=alt.Scale(type="log", domainMax=1), title="p-value")
    base = alt.Chart(data).encode(x=x)
    colour = alt.condition("datum.alarm", alt.value(VERMILION), alt.value(BLUE))
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y=y, color=colour, tooltip=tips)
    line = base.mark_line(color=VERMILION, strokeDash=[5, 4], interpolate="step").encode(y="spent:Q")
    below = alt.Chart(data).mark_bar(color=BLUE, opacity=0.5).encode(
        x=alt.X("look:O", title="check", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("divergence:Q", title="divergence", scale=alt.Scale(domain=[0, 1])), tooltip=tips,
    )  # fmt: skip
    how = "A point on or below the dashed line is an alarm: what each check may spend of the risk of all."
    top = alt.layer(line, points).properties(width=WIDTH, height=HEIGHT)
    return alt.vconcat(top, below.properties(width=WIDTH, height=HEIGHT // 3)).properties(title=titled(title, how))


def drift_chart(checks: pd.DataFrame, name: str) -> Chart:
    """Make the chart of the checks of a name."""
    title, data = f"Drift of {name}", drift_data(checks)
    return Chart(title, data, drift(data, title=title))
