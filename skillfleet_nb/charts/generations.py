"""Generations: what the programs of an evolution scored, generation by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Takes, kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, score_axis, titled, told_apart, trial_axis
from skillfleet_nb.design import BLUE, GREY
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_NOTHING = "No generations: this job breeds no programs (--optimizer evolve)."
_GOES_ON = {True: "goes on", False: "ends here"}


def generations_data(individuals: pd.DataFrame) -> pd.DataFrame:
    """Place the programs of each generation by what they scored on all of validation.

    Parameters
    ----------
    individuals
        Rows of the relation ``individuals`` of one job.

    Returns
    -------
    pandas.DataFrame
        Columns `generation`, `program`, `operator`, `score` in [0, 100], `fate` (``"goes on"`` or ``"ends here"``),
        `best` of all so far and `middle`, the median of those that go on.
    """
    scored = individuals[individuals["score"].notna()]
    data = scored.assign(
        program=scored["program_id"],
        score=100 * scored["score"].astype(float),
        fate=scored["survives"].astype(bool).map(_GOES_ON),
    )
    goes_on = data[data["fate"] == _GOES_ON[True]].groupby("generation")["score"]
    data["best"] = data["generation"].map(data.groupby("generation")["score"].max().cummax())
    data["middle"] = data["generation"].map(goes_on.median())
    columns = ["generation", "program", "operator", "score", "fate", "best", "middle"]
    return data[columns].reset_index(drop=True)


def generations(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`generations_data`: a point a program, lines of the best and of the middle of the population."""
    if data.empty:
        return nothing(_NOTHING)
    import altair as alt

    values, axis = data["score"], "score on validation (points)"
    x = alt.X("generation:Q", title="generation", axis=trial_axis(data["generation"].max()))
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=60, opacity=0.8)
        .encode(
            x=x,
            y=score_axis("score", values, axis),
            **told_apart("fate", list(_GOES_ON.values()), [BLUE, GREY], ["circle", "square"]),
            tooltip=["program", "generation", "operator", alt.Tooltip("score:Q", format=".1f"), "fate"],
        )
    )
    lines = alt.Chart(data.drop_duplicates("generation")).encode(x=x)
    best = lines.mark_line(interpolate="step-after", color=BLUE, strokeWidth=2).encode(
        y=score_axis("best", values, axis)
    )
    middle = lines.mark_line(color=BLUE, strokeDash=[4, 4]).encode(y=score_axis("middle", values, axis))
    how = "A point is a program. Line: the best so far; dashed: the median of those that go on."
    return (best + middle + dots).properties(width=WIDTH, height=HEIGHT, title=titled(title, how))


@kind("generations", "the programs of an evolution by generation: scores, and who goes on", takes=Takes.ONE)
def of_job(jobs: Jobs) -> Chart:
    """Plot the generations of a job that breeds programs."""
    data = generations_data(queries.individuals(jobs.store, jobs.labels))
    title = f"Generations of {jobs.title}"
    return Chart(title, data, generations(data, title=title))
