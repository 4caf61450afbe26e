"""Which examples a candidate fixed and which it broke: a map of examples by candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Takes, kind
from skillfleet_nb.charts.style import WIDTH, nothing, panel_title, titled
from skillfleet_nb.design import BLUE, GREY, VERMILION
from skillfleet_nb.format import counted
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_MOST_EXAMPLES, _MOST_ROWS = 120, 6
_ORDER = ("fixed", "broke", "unsolved", "solved")
_MINUS = "\N{MINUS SIGN}"
_TITLES = {"val": "validation", "test": "sealed test", "train": "train"}
_NAMES = 92  # pixels of the names of candidates, so that panels stand under one another


def shown_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Choose the trials that tell a job's story.

    Parameters
    ----------
    trials
        Rows of the relation ``trials`` of one job.

    Returns
    -------
    pandas.DataFrame
        Columns `trial`, `split` and `candidate`, its name on the chart.  Of validation the program as
        given and each full evaluation that was the best so far, six at most, the last ones; of the
        sealed test both evaluations.
    """
    import pandas as pd

    val = trials[(trials.split == "val") & trials.full_eval.astype(bool)].sort_values("trial")
    best = val[val.score > val.score.cummax().shift(fill_value=float("-inf"))]
    best = pd.concat([best.head(1), best.iloc[1:].tail(_MOST_ROWS - 1)])
    names = [f"trial {t}" for t in best.trial]
    if names:
        names = ["as given", *names[1:]]
        names[-1] = f"{names[-1]}, best" if len(names) > 1 else "as given, best"
    test = trials[trials.split == "test"].sort_values("trial").drop_duplicates("program_id", keep="last")
    named = ["as given", *["best"] * (len(test) - 1)] if len(test) > 1 else ["as given, best"] * len(test)
    return pd.concat([best.assign(candidate=names), test.assign(candidate=named)])[
        ["trial", "split", "candidate"]
    ].reset_index(drop=True)


def outcome_data(outcomes: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Lay examples out by what became of them.

    Parameters
    ----------
    outcomes
        Rows of the relation ``example_outcomes`` of one job, of the trials `shown`.
    shown
        What :func:`shown_trials` chose.

    Returns
    -------
    pandas.DataFrame
        Columns `split`, `candidate`, `example`, `at` (its place, from 0), `outcome`, `before` and
        `score` in [0, 100].  Examples that the last candidate fixed come first, then the broken, the
        unsolved and the solved.  Of more than 120 examples all that changed are kept first.
    """
    import pandas as pd

    judged = outcomes.dropna(subset=["outcome"]).merge(shown, on=["trial", "split"])
    judged = judged.drop_duplicates(["split", "trial", "example_id"])  # a split may hold an example twice
    parts = []
    for split in ("val", "test", "train"):
        cells = judged[judged.split == split].sort_values("trial", kind="stable")
        if cells.empty:
            continue
        last = cells.drop_duplicates("example_id", keep="last").set_index("example_id")
        changed = cells.assign(changed=cells.outcome.isin(["fixed", "broke"])).groupby("example_id").changed.sum()
        order = pd.DataFrame({"kind": last.outcome.map(_ORDER.index), "changed": -changed, "score": last.score})
        order = order.sort_values(["kind", "changed", "score"], kind="stable")
        if len(order) > _MOST_EXAMPLES:
            order = _sampled(order)
        place = pd.Series(range(len(order)), index=order.index, name="at")
        cells = cells[cells.example_id.isin(place.index)]
        parts.append(cells.assign(at=cells.example_id.map(place)))
    columns = ["split", "candidate", "example", "at", "outcome", "before", "score"]
    if not parts:
        return pd.DataFrame(columns=columns)
    laid = pd.concat(parts).rename(columns={"example_id": "example"})
    return laid.assign(before=(100 * laid.before).round(1), score=(100 * laid.score).round(1))[columns].reset_index(
        drop=True
    )


def _sampled(order: pd.DataFrame) -> pd.DataFrame:
    """Keep what changed first, and of the rest an even sample; the order stays."""
    import numpy as np

    moved = np.flatnonzero(order["changed"] < 0)
    moved = moved[np.linspace(0, len(moved) - 1, min(len(moved), _MOST_EXAMPLES)).astype(int)] if len(moved) else moved
    rest = np.flatnonzero(order["changed"] == 0)
    room = min(_MOST_EXAMPLES - len(moved), len(rest))
    rest = rest[np.linspace(0, len(rest) - 1, room).astype(int)] if room > 0 else rest[:0]
    return order.iloc[sorted({*moved.tolist(), *rest.tolist()})]


def outcome_map(data: pd.DataFrame, *, title: str = "", counts: dict[str, int] | None = None) -> Any:
    """Plot :func:`outcome_data`: a row a candidate, a cell an example; `counts` are the examples of each split."""
    if data.empty:
        return nothing("No outcomes yet: the job has not scored a candidate on all of validation or on the test.")
    import altair as alt

    panels = []
    for split in dict.fromkeys(data["split"]):
        cells = data[data["split"] == split]
        n, rows = cells["example"].nunique(), list(dict.fromkeys(cells["candidate"]))
        total = (counts or {}).get(str(split), n)
        last = cells[cells["candidate"] == rows[-1]]["outcome"].value_counts()
        kinds = ", ".join(f"{last[kind]} {kind}" for kind in _ORDER if last.get(kind))
        part = f" of {total:,}, what changed first" if total > n else ""
        head = f"{_TITLES[str(split)]}, {counted(n, 'example')}{part}: {kinds}"
        panels.append(_panel(cells, rows, n).properties(title=panel_title(head)))
    how = "A row is a candidate, a cell an example: what became of it against the program as given."
    return alt.vconcat(*panels, spacing=12).properties(title=titled(title, how))


def _panel(cells: pd.DataFrame, rows: list[str], n: int) -> Any:
    import altair as alt

    room = WIDTH - _NAMES  # beside the names of rows
    step = max(room / n, 1.0) if n > room / 20 else 20.0
    base = alt.Chart(cells).encode(
        x=alt.X("at:O", axis=None),
        y=alt.Y("candidate:N", title=None, sort=rows, axis=alt.Axis(domain=False, ticks=False, minExtent=_NAMES)),
    )
    legend = alt.Legend(
        title=None, columns=4, labelExpr=f"{{fixed: '+ fixed', broke: '{_MINUS} broke'}}[datum.label] || datum.label"
    )
    shades = alt.Scale(domain=list(_ORDER), range=[BLUE, VERMILION, GREY, "#c4c4c4"])
    rects = base.mark_rect(stroke=None).encode(
        color=alt.Color("outcome:N", scale=shades, legend=legend),
        tooltip=["example", "candidate", "outcome", "before", "score"],
    )
    changed = base.transform_filter("datum.outcome == 'fixed' || datum.outcome == 'broke'")
    signs = (
        changed.transform_calculate(sign=f"datum.outcome == 'fixed' ? '+' : '{_MINUS}'")
        .mark_text(color="white", fontWeight="bold", fontSize=min(12.0, 1.7 * step))
        .encode(text="sign:N")
    )
    return (rects + signs).properties(width=alt.Step(step), height=alt.Step(22))


@kind("outcomes", "examples by candidates: fixed and broken against the program as given", takes=Takes.ONE)
def of_job(jobs: Jobs) -> Chart:
    """Map which examples the best candidates of a job fixed and broke."""
    (job_id,) = jobs.labels
    shown = shown_trials(queries.trials(jobs.store, [job_id]))
    outcomes = queries.outcomes(jobs.store, job_id, shown.trial.tolist())
    counts = {str(split): int(n) for split, n in outcomes.groupby("split")["example_id"].nunique().items()}
    title = f"Examples fixed and broken by {jobs.title}"
    data = outcome_data(outcomes, shown)
    return Chart(title, data, outcome_map(data, title=title, counts=counts))
