"""What a score cost: jobs by cost and score, and the front of those that none beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Choice, Takes, kind
from skillfleet_nb.charts.population import population, population_data
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, score_axis, titled, told_apart
from skillfleet_nb.design import INK
from skillfleet_nb.format import counted
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_MOST = 300
COSTS = {"usd": "cost_usd", "calls": "lm_calls", "minutes": "wall_s"}
_AXES = {"usd": "cost of the job (USD)", "calls": "LM calls made", "minutes": "time (minutes)"}
SCORES = {"test": "score on the sealed test (points)", "validation": "best score on validation (points)"}


def pareto_data(jobs: pd.DataFrame, *, by: str | None = None, on: str | None = None) -> pd.DataFrame:
    """Place jobs by cost and score.

    Parameters
    ----------
    jobs
        Rows of the relation ``jobs``; a column `job` may name them.
    by
        ``"usd"``, ``"calls"`` or ``"minutes"``; by default USD where any job cost some.
    on
        ``"test"`` or ``"validation"``; by default the test where any job was tested.

    Returns
    -------
    pandas.DataFrame
        Columns `job`, `optimizer`, `task` (program and metric: only jobs of one task compare),
        `cost`, `score` in [0, 100], `front`, `by`, `on` and `cached`; jobs without cost or score are left out.
        A cost in USD counts what DSPy's cache answered from earlier runs at what it once cost; `cached` is its share.
    """
    if (
        "full_cost_usd" in jobs
    ):  # what it costs to run again elsewhere: an answer kept by DSPy's cache is not free there
        full = jobs["full_cost_usd"].fillna(jobs["cost_usd"])
        cached = ((full - jobs["cost_usd"]) / full.where(full > 0)).fillna(0.0)
        jobs = jobs.assign(cost_usd=full, cached_share=cached)
    by = by or ("usd" if (jobs["cost_usd"] > 0).any() else "calls")
    on = on or ("test" if jobs["test_score"].notna().any() else "validation")
    cost = jobs[COSTS[by]] / (60 if by == "minutes" else 1)
    placed = jobs.assign(
        job=jobs["job"] if "job" in jobs else jobs["name"],
        task=jobs["program"].astype(str) + " · " + jobs["metric"].astype(str),
        cost=cost.astype(float),
        score=100 * jobs["test_score" if on == "test" else "best_score"].astype(float),
        by=by,
        on=on,
        cached=jobs["cached_share"].astype(float) if by == "usd" and "cached_share" in jobs else 0.0,
    ).dropna(subset=["cost", "score"])
    placed = placed.sort_values(["task", "cost", "score"], ascending=[True, True, False], kind="stable")
    before = placed.groupby("task")["score"].transform(lambda s: s.cummax().shift(fill_value=float("-inf")))
    placed["front"] = placed["score"] > before
    if len(placed) > _MOST:
        rest = placed[~placed["front"]].nlargest(_MOST, "score").index
        placed = placed[placed["front"] | placed.index.isin(rest)]
    return placed[["job", "optimizer", "task", "cost", "score", "front", "by", "on", "cached"]].reset_index(drop=True)


def pareto(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot :func:`pareto_data`: a point a job, and the front of those that no cheaper one equals."""
    if data.empty:
        return nothing("Nothing to compare: no job here has both a score and a known cost. --by calls needs no prices.")
    import altair as alt

    by, on = str(data["by"].iloc[0]), str(data["on"].iloc[0])
    names = sorted(data["optimizer"].unique())
    form = {"usd": "$,.3~r", "calls": ",d", "minutes": ",.3~r"}[by]
    step = 1 if by == "calls" else alt.Undefined  # there is no half a call
    low, high = float(data["cost"].min()), float(data["cost"].max())
    room = 0.06 * (high - low or high)
    domain = [max(0.0, low - room), high + room] if high else [0, 1]  # no cost is below zero, nor is the axis
    axis = alt.Axis(format=form, tickCount=6, tickMinStep=step)
    x = alt.X("cost:Q", title=_AXES[by], axis=axis, scale=alt.Scale(domain=domain, nice=False))
    y = score_axis("score", data["score"], SCORES[on])
    front = alt.Chart(data[data["front"]]).encode(x=x, y=y, detail="task:N")
    line = front.mark_line(interpolate="step-after", color=INK, strokeDash=[4, 4])
    middle = (low + high) / 2  # names point to where there is room
    sides: Any = (("<=", "left", 8), (">", "right", -8))
    labels = [
        front.transform_filter(f"datum.cost {side} {middle}")
        .transform_calculate(short="truncate(datum.job, 28)")
        .mark_text(align=align, dx=dx, dy=-8, fontSize=10)
        .encode(text="short:N")
        for side, align, dx in sides
    ]
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            y=y,
            **told_apart("optimizer", names),
            tooltip=[
                "job", "optimizer", "task", alt.Tooltip("cost:Q", title=_AXES[by], format=form),
                alt.Tooltip("score:Q", format=".1f"),
                alt.Tooltip("cached:Q", title="of which the cache answered", format=".0%"),
            ],
        )
    )  # fmt: skip
    tasks = data["task"].nunique()
    how = "Named and joined: the Pareto front, jobs that no job at the same or a lower cost equals" + (
        f"; one front for each of {tasks} tasks." if tasks > 1 else "."
    )
    return alt.layer(line, dots, *labels).properties(
        width=WIDTH, height=HEIGHT + 40, title=titled(title, f"{how} {note}".strip())
    )


@kind(
    "pareto",
    "score against cost, with the Pareto front; of all jobs, those named, or one population",
    takes=Takes.ALL,
    by=Choice(tuple(COSTS), "what a job cost"),
    on=Choice(tuple(SCORES), "where it was scored"),
)
def of_jobs(jobs: Jobs, *, by: str | None = None, on: str | None = None) -> Chart:
    """Plot score against cost, with the Pareto front; of one job that breeds programs, its population.

    Parameters
    ----------
    jobs
        By default all.
    by
        Cost in ``"usd"``, ``"calls"`` or ``"minutes"``; by default USD where any job cost some.
    on
        Score on ``"test"`` or ``"validation"``; by default the sealed test where there is one.
    """
    if len(jobs.labels) == 1 and by is None and on is None:  # of one alone its population, if it has one
        bred = queries.individuals(jobs.store, jobs.labels)
        if bred["score"].notna().any():
            data, title = population_data(bred), f"Population of {jobs.title}"
            return Chart(title, data, population(data, title=title))
    data = pareto_data(jobs.frame, by=by, on=on)
    title = f"Score against cost of {counted(len(data), 'job')}"
    out = len(jobs.frame) - len(data)
    note = f"{counted(out, 'job')} without a score or a known cost left out." if out else ""
    if replayed := int((data["cached"] > 0).sum()):
        note += f" {counted(replayed, 'job')} answered in part from the cache: at what that once cost."
    return Chart(title, data, pareto(data, title=title, note=note))
