"""Charts of drift: checks over time with the line of alarm, inputs on a map, shares of answers before and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, titled, told_apart
from skillfleet_nb.design import BLUE, INK, VERMILION
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.monitoring.drift_report import DriftReport

_COLUMNS = ["look", "at", "kind", "p_value", "spent", "divergence", "n", "alarm"]
_MOST = 1000  # points of each side of a map
_MOST_SHARES = 24
_SIDES = ["reference", "live"]


def drift_data(checks: pd.DataFrame) -> pd.DataFrame:
    """Take what is drawn of rows of ``drift_checks``."""
    return checks[_COLUMNS].reset_index(drop=True)


def drift(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`drift_data`: a point a check and kind, the line of alarm, and how far apart both were."""
    if data.empty:
        return nothing("No checks for drift under this name.")
    import altair as alt

    kinds = [kind for kind in ("input", "output", "quality", "model") if kind in set(data["kind"])]
    apart = told_apart("kind", kinds)
    x = alt.X("look:O", title=None, axis=alt.Axis(labelAngle=0))
    tips = ["at:T", "kind", "n", alt.Tooltip("divergence:Q", format=".2f"), alt.Tooltip("p_value:Q", format=".2g")]
    y = alt.Y(
        "p_value:Q", scale=alt.Scale(type="log", domainMax=1), title="p-value",
        axis=alt.Axis(grid=False, tickCount=6, format="~g"),
    )  # fmt: skip
    base = alt.Chart(data).encode(x=x)
    size = alt.condition("datum.alarm", alt.value(160), alt.value(50))
    points = base.mark_point(filled=True, opacity=1).encode(y=y, size=size, tooltip=[*tips, "alarm"], **apart)
    line = base.mark_tick(color=VERMILION, thickness=2, size=WIDTH / (1 + data["look"].nunique())).encode(y="spent:Q")
    below = alt.Chart(data).mark_line(point=True).encode(
        x=alt.X("look:O", title="check", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("divergence:Q", title="divergence", scale=alt.Scale(domain=[0, 1])), tooltip=tips, color=apart["color"],
    )  # fmt: skip
    how = "A line is what a test may spend of the risk of all; a point on or below it is an alarm."
    top = alt.layer(line, points).properties(width=WIDTH, height=HEIGHT)
    return alt.vconcat(top, below.properties(width=WIDTH, height=HEIGHT // 3)).properties(title=titled(title, how))


def drift_chart(checks: pd.DataFrame, name: str) -> Chart:
    """Make the chart of the checks of a name."""
    title, data = f"Drift of {name}", drift_data(checks)
    return Chart(title, data, drift(data, title=title))


def map_data(report: DriftReport) -> pd.DataFrame:
    """Lay inputs on the plane on which they lie furthest apart (principal components); columns `x`, `y`, `side`."""
    import pandas as pd

    if report.vectors is None:
        raise InputError("there is no map: inputs were not compared (kinds=('input',)).")
    rng = np.random.default_rng(0)
    parts = [part[np.sort(rng.permutation(len(part))[:_MOST])] for part in report.vectors]
    pooled = np.concatenate(parts).astype(np.float64)
    _, _, axes = np.linalg.svd(pooled - pooled.mean(axis=0), full_matrices=False)
    plane = (pooled - pooled.mean(axis=0)) @ axes[:2].T
    sides = np.repeat(_SIDES, [len(part) for part in parts])
    return pd.DataFrame({"x": plane[:, 0], "y": plane[:, 1] if plane.shape[1] > 1 else 0.0, "side": sides})


def map_chart(report: DriftReport) -> Chart:
    """Make the map of a check's inputs."""
    import altair as alt

    title, data = f"Inputs of {report.of}" if report.of else "Inputs", map_data(report)
    bare = alt.Axis(labels=False, ticks=False, grid=False, title=None)
    drawn = alt.Chart(data).mark_point(filled=True, size=28, opacity=0.55).encode(
        x=alt.X("x:Q", axis=bare), y=alt.Y("y:Q", axis=bare), **told_apart("side", _SIDES)
    )  # fmt: skip
    how = "Each point is an input; near ones mean alike. Live inputs where no reference lies are new."
    return Chart(title, data, drawn.properties(width=WIDTH, height=WIDTH * 3 // 5, title=titled(title, how)))


def share_data(report: DriftReport) -> pd.DataFrame:
    """Return shares of answers in percent, those that changed most first; columns `answer`, `side`, `share`."""
    import pandas as pd

    if not report.shares:
        raise InputError(
            "there are no shares: no field of the outputs has answers that come often (kinds=('output',))."
        )
    fields = {one.field for one in report.shares}
    shown = sorted(report.shares, key=lambda one: -abs(one.live - one.reference))[:_MOST_SHARES]
    rows = [
        {
            "answer": one_line(one.answer if len(fields) == 1 else f"{one.field}: {one.answer}", 40),
            "side": side,
            "share": 100 * share,
        }
        for one in shown
        for side, share in zip(_SIDES, (one.reference, one.live), strict=True)
    ]
    return pd.DataFrame(rows)


def share_chart(report: DriftReport) -> Chart:
    """Make the chart of shares of answers, before and now."""
    import altair as alt

    title, data = f"Answers of {report.of}" if report.of else "Answers", share_data(report)
    y = alt.Y("answer:N", title=None, sort=list(dict.fromkeys(data.answer)))
    x = alt.X("share:Q", title="share of the answers (%)")
    base = alt.Chart(data).encode(y=y)
    line = base.mark_line(color=INK, strokeWidth=2).encode(x=x, detail="answer:N")
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x, tooltip=["answer", "side", alt.Tooltip("share:Q", format=".1f")],
        **told_apart("side", _SIDES, (BLUE, VERMILION)),
    )  # fmt: skip
    how = "Before and now, what changed most first."
    return Chart(title, data, alt.layer(line, points).properties(width=WIDTH, title=titled(title, how)))
