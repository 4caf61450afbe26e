"""How good advice has been: forecasts against what came, confidence against outcome, gains by who chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import BLUE, INK, ORANGE, VERMILION, WIDTH, nothing, titled, told_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.advice.track_record import Calibration, Outcome

_HELD = ["within its interval", "outside"]
_CHOSEN = {"accepted": "as recommended", "overridden": "overridden", "manual": "by hand"}


def forecast_data(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Set what jobs came to against what was forecast.

    Returns
    -------
    pandas.DataFrame
        Columns `what` (calls, cost, time), `job`, `ratio` (what came over what was expected), `low` and
        `high` (the 80% interval, over what was expected) and `held` in words; a job whose task an earlier
        one had put into the cache is left out.
    """
    import pandas as pd

    rows = [
        {"what": what, "job": o.job, "ratio": f.actual / f.expected, "low": f.low / f.expected,
         "high": f.high / f.expected, "held": _HELD[not f.low <= f.actual <= f.high]}
        for o in outcomes if not o.warm
        for what, f in o.forecasts.items() if f.expected > 0 and f.actual > 0
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["what", "job", "ratio", "low", "high", "held"])


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


def calibration_data(bins: Sequence[Calibration]) -> pd.DataFrame:
    """Set confidence against outcome.

    Returns
    -------
    pandas.DataFrame
        Columns `confidence` (mean of the bin), `right` with `low` and `high` (its 95% interval by Wilson), all in
        points, and `n` recommendations.
    """
    import pandas as pd

    from skillfleet_nb.stats import mean_interval

    rows = []
    for b in bins:
        hits = round(b.right * b.n)
        found = mean_interval([1.0] * hits + [0.0] * (b.n - hits))
        rows.append({"confidence": 100 * b.confidence, "right": 100 * found.mean, "low": 100 * found.low,
                     "high": 100 * found.high, "n": b.n})  # fmt: skip
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


def gain_data(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Set the gains of jobs side by side, by who chose their optimizer.

    Returns
    -------
    pandas.DataFrame
        Columns `chosen` in words, `job`, `optimizer` and `gain` on the sealed test in points.
    """
    import pandas as pd

    rows = [
        {"chosen": _CHOSEN[o.how], "job": o.job, "optimizer": o.optimizer, "gain": 100 * o.gain}
        for o in outcomes if o.gain is not None and o.how in _CHOSEN
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["chosen", "job", "optimizer", "gain"])


def gains(data: pd.DataFrame) -> Any:
    """Plot :func:`gain_data`: a mark a job, the mean as a tick."""
    if data.empty:
        return nothing("No gain to compare yet: no job has scored its best program on the sealed test.")
    import altair as alt

    names = [said for said in _CHOSEN.values() if said in set(data["chosen"])]
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
