"""The gain of every run by when it ended, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, shortened, titled, told_apart

if TYPE_CHECKING:
    import pandas as pd

_MOST_GROUPS = 6
OTHERS = "others"


def gains_over_time_data(runs: pd.DataFrame) -> pd.DataFrame:
    """Prepare runs for the chart.

    Parameters
    ----------
    runs
        Columns `job`, `group`, `finished_at`, and `gain`, `low`, `high` in [-1, 1]; a run may be in several groups.

    Returns
    -------
    pandas.DataFrame
        The same in points, the runs of small groups gathered as `others` where there are more than six.
    """
    sizes = runs["group"].value_counts()
    kept = set(sizes.index if len(sizes) <= _MOST_GROUPS else sizes.index[: _MOST_GROUPS - 1])
    short = shortened(sorted(str(name) for name in kept))
    data = runs.assign(group=[short[name] if name in kept else OTHERS for name in runs["group"]])
    data[["gain", "low", "high"]] = 100 * data[["gain", "low", "high"]].astype(float)
    return data[["job", "group", "finished_at", "gain", "low", "high"]].reset_index(drop=True)


def gains_over_time(data: pd.DataFrame, *, title: str = "Gains over time") -> Any:
    """Plot :func:`gains_over_time_data`: a mark a run, its bar the 95% interval."""
    if data.empty:
        return nothing("No gains yet: no run has scored its best program on the sealed test.")
    import altair as alt

    names = sorted(set(data["group"]) - {OTHERS}) + [OTHERS] * bool((data["group"] == OTHERS).any())
    x = alt.X("finished_at:T", title="ended")
    axis_title = "gain on the sealed test (points)"
    looks = told_apart("group", names)
    base = alt.Chart(data)
    bars = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        x=x, y=alt.Y("low:Q", title=axis_title), y2="high:Q", color=looks["color"]
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=x, y=alt.Y("gain:Q", title=axis_title), **looks,
        tooltip=["job", "group", *(alt.Tooltip(f"{c}:Q", format="+.1f") for c in ("gain", "low", "high"))],
    )  # fmt: skip
    zero = alt.Chart().mark_rule(strokeDash=[4, 4]).encode(y=alt.datum(0))
    how = "A mark is a run, its bar the 95% interval on the test. Dashed: no gain."
    return alt.layer(zero, bars, dots).properties(width=WIDTH, height=HEIGHT, title=titled(title, how))
