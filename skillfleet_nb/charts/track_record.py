"""How good advice has been: forecasts against what came, confidence against outcome, gains by who chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import WIDTH, nothing, titled, told_apart
from skillfleet_nb.design import BLUE, INK, ORANGE, VERMILION

if TYPE_CHECKING:
    import pandas as pd

_HELD = ["within its interval", "outside"]
_CHOSEN = {"accepted": "as recommended", "overridden": "overridden", "manual": "by hand"}


def forecast_data(jobs: pd.DataFrame) -> pd.DataFrame:
    """Set what jobs came to against what was forecast.

    Parameters
    ----------
    jobs
        Columns `job`, `what` (calls, cost or time), `low`, `expected`, `high` (the 80% interval forecast) and
        `actual`: a row each job and quantity.

    Returns
    -------
    pandas.DataFrame
        Columns `what`, `job`, `ratio` (what came over what was expected), `low` and `high` (over what was expected)
        and `held` in words; rows in which nothing was expected or came are left out.
    """
    scored = jobs[(jobs["expected"] > 0) & (jobs["actual"] > 0)]
    held = (scored["low"] <= scored["actual"]) & (scored["actual"] <= scored["high"])
    return scored.assign(
        ratio=scored["actual"] / scored["expected"],
        low=scored["low"] / scored["expected"],
        high=scored["high"] / scored["expected"],
        held=held.map({True: _HELD[0], False: _HELD[1]}),
    )[["what", "job", "ratio", "low", "high", "held"]].reset_index(drop=True)


def forecasts(data: pd.DataFrame) -> Any:
    """Plot :func:`forecast_data`: a mark a job, right of 1 where it took more than was forecast."""
    if data.empty:
        return nothing("No forecast to judge yet: no job that began with an empty cache has finished.")
    import altair as alt

    seen = [float(v) for name in ("ratio", "low", "high") for v in data[name] if v > 0]
    scale = alt.Scale(type="log", domain=[min(0.5, *seen) / 1.1, max(2.0, *seen) * 1.1], nice=False)
    x = alt.X("ratio:Q", title="actual / forecast", scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    row = alt.Y("what:N", title=None, sort=["calls", "cost", "time"])
    span = (
        alt.Chart(data)
        .mark_bar(color=INK, opacity=0.25, height=18)
        .encode(x=alt.X("median(low):Q", scale=scale), x2="median(high):Q", y=row)
    )
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=60, opacity=0.8)
        .encode(
            x=x,
            y=row,
            **told_apart("held", _HELD, [BLUE, VERMILION]),
            tooltip=["job", "what", *(alt.Tooltip(f"{c}:Q", format=".2f") for c in ("ratio", "low", "high"))],
        )
    )
    one = alt.Chart().mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(1))
    how = "A mark is a job; the bar is the interval of 80% that forecasts had, in the middle of all."
    title = titled("What jobs took against what was forecast", how)
    return alt.layer(span, one, dots).properties(width=WIDTH - 80, height=alt.Step(34), title=title)


def calibration_data(bins: pd.DataFrame) -> pd.DataFrame:
    """Set confidence against outcome.

    Parameters
    ----------
    bins
        Columns `confidence` (its mean) and `right` (a share), both in [0, 1], and `n` recommendations.

    Returns
    -------
    pandas.DataFrame
        Columns `confidence`, `right` with `low` and `high` (its 95% interval by Wilson), all in points, and `n`.
    """
    import pandas as pd

    from skillfleet_nb.stats import mean_interval

    rows = []
    for confidence, right, n in zip(bins["confidence"], bins["right"], bins["n"], strict=True):
        hits = round(right * n)
        share = mean_interval([1.0] * hits + [0.0] * (n - hits))
        rows.append({"confidence": 100 * confidence, "right": 100 * share.mean, "low": 100 * share.low,
                     "high": 100 * share.high, "n": n})  # fmt: skip
    return pd.DataFrame(rows, columns=["confidence", "right", "low", "high", "n"])


def calibration(data: pd.DataFrame) -> Any:
    """Plot :func:`calibration_data`: on the dashed line advice is as often right as it says."""
    if data.empty:
        return nothing("Confidence cannot be judged yet: run another optimizer on a task where advice was followed.")
    import altair as alt
    import pandas as pd

    axis = alt.Scale(domain=[0, 100])
    x = alt.X("confidence:Q", title="confidence (%)", scale=axis)
    y = alt.Y("right:Q", title="right, within 2 points (%)", scale=axis)
    base = alt.Chart(data)
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(x=x, y=alt.Y("low:Q", scale=axis), y2="high:Q")
    dots = base.mark_point(filled=True, size=90, opacity=1, color=BLUE).encode(
        x=x, y=y, tooltip=["n", *(alt.Tooltip(f"{c}:Q", format=".0f") for c in ("confidence", "right", "low", "high"))]
    )
    line = pd.DataFrame({"confidence": [0, 100], "right": [0, 100]})
    ideal = alt.Chart(line).mark_line(strokeDash=[4, 4], color=INK).encode(x=x, y=y)
    title = titled("How sure advice was, and how often it was right", "A mark is a group of recommendations, with 95%.")
    return alt.layer(ideal, bars, dots).properties(width=260, height=220, title=title)


def gain_data(jobs: pd.DataFrame) -> pd.DataFrame:
    """Set the gains of jobs side by side, by who chose their optimizer.

    Parameters
    ----------
    jobs
        Columns `job`, `optimizer`, `how` (accepted, overridden or manual) and `gain` in [-1, 1] on the sealed test,
        NaN where there is none.

    Returns
    -------
    pandas.DataFrame
        Columns `chosen` in words, `job`, `optimizer` and `gain` in points.
    """
    scored = jobs[jobs["gain"].notna() & jobs["how"].isin(list(_CHOSEN))]
    data = scored.assign(chosen=scored["how"].map(_CHOSEN), gain=100 * scored["gain"].astype(float))
    return data[["chosen", "job", "optimizer", "gain"]].reset_index(drop=True)


def gains(data: pd.DataFrame) -> Any:
    """Plot :func:`gain_data`: a mark a job, the mean as a tick."""
    if data.empty:
        return nothing("No gain to compare yet: no job has scored its best program on the sealed test.")
    import altair as alt

    names = [label for label in _CHOSEN.values() if label in set(data["chosen"])]
    row = alt.Y("chosen:N", title=None, sort=names)
    base = alt.Chart(data)
    dots = base.mark_point(filled=True, size=60, opacity=0.7).encode(
        x=alt.X("gain:Q", title="gain on the sealed test (points)"), y=row,
        **told_apart("chosen", names, [BLUE, ORANGE, VERMILION]),
        tooltip=["job", "optimizer", alt.Tooltip("gain:Q", format="+.1f")],
    )  # fmt: skip
    means = base.mark_tick(thickness=3, size=22, color=INK).encode(x="mean(gain):Q", y=row)
    zero = alt.Chart().mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(0))
    title = titled("Gains by who chose the optimizer", "A mark is a job, the tick their mean; tasks differ.")
    return alt.layer(zero, means, dots).properties(width=WIDTH - 120, height=alt.Step(34), title=title)
