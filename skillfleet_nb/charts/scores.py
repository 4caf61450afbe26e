"""Scores of examples: of the given program against the best, and how hard each example is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, panel_title, shortened, titled
from skillfleet_nb.design import BLUE, GREY, INK, VERMILION
from skillfleet_nb.format import counted, one_line
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_FEW, _BINS, _MOST_JOBS, _HARDEST = 6, 10, 6, 15
_NAMES, _BRIEF, _ID = 150, 30, 12  # pixels of a name, characters of an input and of an id in it
GIVEN, BEST = "as given", "best"


def score_data(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Count examples by score, for the program as given and the best.

    Parameters
    ----------
    outcomes
        Columns `job`, `split`, `before` and `score` in [0, 1]: a row an example, scored by both.

    Returns
    -------
    pandas.DataFrame
        Columns `job`, `split`, `program` (``"as given"`` or ``"best"``), `scored` (a score or a range,
        in points), `order`, `examples`, and the program's `mean` in [0, 100].  Up to six different
        scores stand for themselves, more are counted in ten ranges.
    """
    import numpy as np
    import pandas as pd

    both = outcomes.dropna(subset=["before", "score"])
    long = pd.concat(
        [both.assign(program=GIVEN, value=100 * both["before"]), both.assign(program=BEST, value=100 * both["score"])]
    )
    values = np.sort(long["value"].round(6).unique())
    if len(values) <= _FEW:
        order = np.searchsorted(values, long["value"].round(6).to_numpy())
        names = [f"{v:g}" for v in values]
    else:
        order = np.minimum(long["value"].to_numpy() // _BINS, _BINS - 1).astype(int)
        names = [f"{_BINS * number} to {_BINS * (number + 1)}" for number in range(_BINS)]
    long = long.assign(order=order, scored=[names[number] for number in order])
    long["mean"] = long.groupby(["job", "program"])["value"].transform("mean")
    keys = ["job", "split", "program", "order", "scored", "mean"]
    data = long.groupby(keys, sort=False).size().rename("examples").reset_index()
    jobs = list(dict.fromkeys(data["job"]))[:_MOST_JOBS]
    data = data[data["job"].isin(jobs)]
    place = {job: number for number, job in enumerate(jobs)}
    return data.sort_values(
        ["job", "program", "order"], key=lambda s: s.map(place) if s.name == "job" else s
    ).reset_index(drop=True)


def scores(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot :func:`score_data`: bars of the given program beside those of the best."""
    if data.empty:
        return nothing("No scores to compare yet: they come when the best program has been scored on all of a split.")
    import altair as alt

    order = data.drop_duplicates("scored").sort_values("order")["scored"].tolist()
    jobs = list(dict.fromkeys(data["job"]))
    means = data.drop_duplicates(["job", "program"]).pivot_table(index="job", columns="program", values="mean")
    split = {"test": "the sealed test", "val": "validation"}.get(str(data["split"].iloc[0]), "train")
    mean_of = {job: f"mean {means[GIVEN][job]:.1f} → {means[BEST][job]:.1f}" for job in jobs}
    programs = alt.Scale(domain=[GIVEN, BEST], range=[GREY, BLUE])
    x = alt.X("scored:N", title="score of an example (points)", sort=order, axis=alt.Axis(labelAngle=0))
    bars = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=x,
            xOffset=alt.XOffset("program:N", sort=[GIVEN, BEST]),
            y=alt.Y("examples:Q", title="examples", axis=alt.Axis(tickMinStep=1, tickCount=4)),
            color=alt.Color("program:N", title=None, scale=programs),
            tooltip=["job", "program", "scored", "examples", alt.Tooltip("mean:Q", format=".1f")],
        )
    )
    how = f"On {split}; left bar: the program as given, right bar: the best."
    if len(jobs) == 1:
        made = bars.properties(width=WIDTH - 120, height=HEIGHT - 40)
        return made.properties(title=titled(title, f"{how} {mean_of[jobs[0]].capitalize()}."))
    short = shortened(jobs)
    panels = [
        bars.transform_filter(alt.datum.job == job)
        .encode(x=x if job == jobs[-1] else alt.X("scored:N", title=None, sort=order, axis=alt.Axis(labelAngle=0)))
        .properties(width=WIDTH - 120, height=70, title=panel_title(f"{short[job]}: {mean_of[job]}"))
        for job in jobs
    ]
    return alt.vconcat(*panels, spacing=12, data=data).properties(title=titled(title, f"{how} {note}".strip()))


def difficulty_data(examples: pd.DataFrame) -> pd.DataFrame:
    """Order examples by how hard candidates found them.

    Parameters
    ----------
    examples
        Columns `example_id`, `scored` (how many candidates were tried on it), `mean` in [0, 1] (a
        failure counts 0), and where known `category`.

    Returns
    -------
    pandas.DataFrame
        Columns `example`, `scored`, `mean` in [0, 100], `bin` (0 to 9, tens of points) and `hard`:
        whether it is among the fifteen hardest.  Hardest first.
    """
    ordered = examples.assign(example=examples["example_id"], mean=100 * examples["mean"].fillna(0.0)).sort_values(
        ["mean", "scored", "example"], ascending=[True, False, True], kind="stable"
    )
    return ordered.assign(
        bin=(ordered["mean"] // _BINS).clip(0, _BINS - 1).astype(int),
        hard=[place < _HARDEST for place in range(len(ordered))],
    )[["example", "scored", "mean", "bin", "hard"]].reset_index(drop=True)


def difficulty(data: pd.DataFrame, *, title: str = "", inputs: Mapping[str, str] | None = None) -> Any:
    """Plot :func:`difficulty_data`: how many examples are how hard, and the hardest ones, by their `inputs`."""
    if data.empty:
        return nothing("No example has been scored yet on train or validation.")
    import altair as alt
    import pandas as pd

    counts = data.groupby("bin").agg(examples=("example", "size")).reindex(range(_BINS), fill_value=0).reset_index()
    counts = pd.DataFrame(counts).assign(low=lambda d: d["bin"] * _BINS, high=lambda d: (d["bin"] + 1) * _BINS)
    axis = "mean score over candidates (points)"
    bars = (
        alt.Chart(counts)
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title=axis, scale=alt.Scale(domain=[0, 100])),
            x2="high:Q",
            y=alt.Y("examples:Q", title="examples", axis=alt.Axis(tickMinStep=1, tickCount=4)),
            tooltip=["low", "high", "examples"],
        )
        .properties(width=WIDTH * 2 // 5, height=HEIGHT, title=alt.TitleParams(text="all examples", fontSize=11))
    )
    hardest = pd.DataFrame(data[data["hard"]])
    hardest = hardest.assign(example=_named(hardest["example"].tolist(), inputs or {}))
    base = alt.Chart(hardest).encode(
        y=alt.Y(
            "example:N",
            title=None,
            sort=hardest["example"].tolist(),
            axis=alt.Axis(labelLimit=_NAMES),
        )
    )
    x = alt.X("mean:Q", title="mean score (points)", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=3))
    tooltip = ["example", alt.Tooltip("mean:Q", format=".1f"), alt.Tooltip("scored:Q", title="candidates tried on it")]
    stems = base.mark_rule(strokeWidth=2, color=INK).encode(x=x, x2=alt.datum(0))
    dots = base.mark_point(filled=True, size=60, color=VERMILION, opacity=1).encode(x=x, tooltip=tooltip)
    worst = (stems + dots).properties(
        width=WIDTH // 4, height=HEIGHT, title=alt.TitleParams(text=f"the {len(hardest)} hardest", fontSize=11)
    )
    never = int((data["mean"] == 0).sum())
    how = f"{len(data):,} examples of train and validation; {never:,} of them no candidate scored above 0 on."
    return alt.hconcat(bars, worst, spacing=24).properties(title=titled(title, how))


def _named(example_ids: Sequence[str], inputs: Mapping[str, str]) -> list[str]:
    """Call examples what they are, where that is known; of equal beginnings each with that of its id."""
    brief = [one_line(inputs[i], _BRIEF) if inputs.get(i) else i[:_ID] for i in example_ids]
    return [b if brief.count(b) == 1 else f"{b} ({i[:4]})" for b, i in zip(brief, example_ids, strict=True)]


@kind("scores", "scores of examples: the program as given against the best")
def scores_of_jobs(jobs: Jobs) -> Chart:
    """Plot the scores of examples: the program as given against the best."""
    data = score_data(jobs.labelled(queries.given_and_best_scores(jobs.store, jobs.labels)))
    title = f"Scores of examples, given against best, of {jobs.title}"
    out = len(jobs.labels) - data["job"].nunique()
    note = f"{counted(out, 'job')} left out: not scored yet, or beyond the first six." if out else ""
    return Chart(title, data, scores(data, title=title, note=note))


@kind("difficulty", "how hard candidates found the examples")
def difficulty_of_jobs(jobs: Jobs) -> Chart:
    """Plot how hard candidates found the examples, and the hardest ones."""
    data = difficulty_data(queries.example_means(jobs.store, jobs.labels))
    title = f"Difficulty of the examples of {jobs.title}"
    inputs = jobs.inputs(data["example"][data["hard"]])
    return Chart(title, data, difficulty(data, title=title, inputs=inputs))
