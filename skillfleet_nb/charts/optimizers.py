"""Optimizers side by side: each job's gain on the sealed test, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Takes, kind
from skillfleet_nb.charts.style import WIDTH, nothing, shortened, titled, told_apart
from skillfleet_nb.design import BLUE, GREY, VERMILION
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_MOST = 40
_VERDICTS = ["improved", "no evidence", "worse"]


def optimizer_data(jobs: pd.DataFrame) -> pd.DataFrame:
    """Take the gains of tested jobs, best optimizer first.

    Parameters
    ----------
    jobs
        Rows of the relation ``jobs``; a column `job` may name them.

    Returns
    -------
    pandas.DataFrame
        Columns `optimizer`, `job`, `label` (both, short), `delta`, `low` and `high` in points (the
        95% interval of the paired difference) and `verdict`; the newest 40 jobs that were tested.
    """
    tested = jobs[jobs["test_delta"].notna()]
    names = tested["job"] if "job" in tested else tested["name"]
    short = shortened(names)
    tested = tested.assign(
        job=names,
        label=[
            short[n] if n.startswith(o) else f"{short[n]} · {o}"
            for n, o in zip(names, tested["optimizer"], strict=True)
        ],
        delta=100 * tested["test_delta"],
        low=100 * tested["test_delta_low"],
        high=100 * tested["test_delta_high"],
    )
    tested = tested.nlargest(_MOST, "created_at") if len(tested) > _MOST else tested
    mean = tested.groupby("optimizer")["delta"].transform("mean")
    ordered = tested.assign(mean=mean).sort_values(["mean", "optimizer", "delta"], ascending=[False, True, False])
    return ordered[["optimizer", "job", "label", "delta", "low", "high", "verdict"]].reset_index(drop=True)


def optimizers(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot :func:`optimizer_data`: a line a job, its gain and the interval around it."""
    if data.empty:
        return nothing("Nothing to compare: none of these jobs has scored its best program on the sealed test.")
    import altair as alt

    y = alt.Y("label:N", title=None, sort=data["label"].tolist(), axis=alt.Axis(grid=True))
    base = alt.Chart(data)
    x = alt.X("low:Q", title="gain on the sealed test (points)")
    looks = told_apart("verdict", _VERDICTS, [BLUE, GREY, VERMILION], ["triangle-up", "circle", "triangle-down"])
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y, color=looks["color"])
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        x="delta:Q",
        y=y,
        **looks,
        tooltip=[
            "job",
            "optimizer",
            *(alt.Tooltip(f"{c}:Q", format="+.1f") for c in ("delta", "low", "high")),
            "verdict",
        ],
    )
    zero = alt.Chart().mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(0))
    how = "A line is a job: mean paired difference to the program as given, and its 95% interval."
    return alt.layer(bars, dots, zero).properties(
        width=WIDTH - 120, height=alt.Step(22), title=titled(title, f"{how} {note}".strip())
    )


@kind("optimizers", "gain on the sealed test with its interval; of all jobs, or those named", takes=Takes.ALL)
def of_jobs(jobs: Jobs) -> Chart:
    """Plot the gain of each job on the sealed test with its interval, by optimizer."""
    data = optimizer_data(jobs.frame)
    title = f"Gain of {counted(data['optimizer'].nunique(), 'optimizer')} in {counted(len(data), 'job')}"
    out = len(jobs.frame) - len(data)
    note = f"{counted(out, 'job')} older or not tested left out." if out else ""
    return Chart(title, data, optimizers(data, title=title, note=note))
