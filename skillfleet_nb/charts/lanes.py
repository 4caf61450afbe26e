"""Lanes: what each of the searches of one job had found by the calls the job had bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, dashed, nothing, score_axis, titled, told_apart
from skillfleet_nb.format import counted
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs


def lanes_data(trials: pd.DataFrame) -> pd.DataFrame:
    """Take the best so far of each search.

    Parameters
    ----------
    trials
        Rows of the relation ``trials``; of several jobs with a column `job`.

    Returns
    -------
    pandas.DataFrame
        Full evaluations on validation in order: `lane` (the member, and the job where there are several), `calls` the
        job had bought by then, `score` and `best` so far of the lane, in points.
    """
    full = trials[(trials["split"] == "val") & trials["full_eval"].astype(bool) & trials["member"].notna()]
    names = full["job"] if "job" in full else full["job_id"]
    lane = full["member"] + (" · " + names if len(set(names)) > 1 else "")
    points = full.assign(lane=lane, calls=full["lm_calls"], score=100 * full["score"]).sort_values(
        ["lane", "trial"], kind="stable"
    )
    points["best"] = points.groupby("lane")["score"].cummax()
    return points[["lane", "calls", "score", "best"]].reset_index(drop=True)


def lanes(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot :func:`lanes_data`: a line a search."""
    if data.empty:
        return nothing("No lanes: no job here makes several searches at once (--ensemble, --optimizer portfolio).")
    import altair as alt

    names = list(dict.fromkeys(data["lane"]))
    x = alt.X("calls:Q", title="calls the job had made", scale=alt.Scale(zero=False, nice=True))
    base = alt.Chart(data).encode(x=x, y=score_axis("best", [*data["score"], *data["best"]], "best so far (points)"))
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(**dashed("lane", names))
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        **told_apart("lane", names),
        tooltip=["lane", "calls", *(alt.Tooltip(f"{name}:Q", format=".1f") for name in ("score", "best"))],
    )
    how = "A line is a search of the job: its best so far on all of validation."
    return (line + dots).properties(width=WIDTH, height=HEIGHT, title=titled(title, f"{how} {note}".strip()))


@kind("lanes", "the searches of a job of several optimizers, side by side: best so far by calls made")
def of_jobs(jobs: Jobs) -> Chart:
    """Plot the searches of jobs that make several at the same time."""
    data = lanes_data(jobs.labelled(queries.trials(jobs.store, jobs.labels)))
    title = f"{counted(data['lane'].nunique(), 'lane')} of {jobs.title}"
    return Chart(title, data, lanes(data, title=title, note=jobs.left_out))
