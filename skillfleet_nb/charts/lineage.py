"""Where candidates came from: each with its parents, and the way to the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.convergence import FULL, PART
from skillfleet_nb.charts.kind import Takes, kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, score_axis, titled, told_apart, trial_axis
from skillfleet_nb.design import BLUE, GREY, VERMILION
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_MOST = 150
_KINDS = {
    "as given": (GREY, "square"),
    "candidate": (GREY, "circle"),
    "ancestor of the best": (BLUE, "triangle-up"),
    "best": (VERMILION, "diamond"),
}


def lineage_data(trials: pd.DataFrame) -> pd.DataFrame:
    """Find each candidate's place in the search.

    Parameters
    ----------
    trials
        Rows of the relation ``trials`` of one job.

    Returns
    -------
    pandas.DataFrame
        A row each candidate: `program`, `trial` (its first), `score` in [0, 100] (on all of validation
        where it was scored on it, else of its last trial), `scored` (on what), `kind` (``"as given"``,
        ``"best"``, ``"ancestor of the best"`` or ``"candidate"``) and `parents`.  Of more than 150
        the way to the best and the highest are kept.
    """
    import pandas as pd

    seen = trials[(trials.split != "test") & trials.program_id.notna()].sort_values("trial")
    columns = ["program", "trial", "score", "scored", "kind", "parents"]
    if seen.empty:
        return pd.DataFrame(columns=columns)
    full = (
        seen[(seen.split == "val") & seen.full_eval.astype(bool)].drop_duplicates("program_id").set_index("program_id")
    )
    last = seen.drop_duplicates("program_id", keep="last").set_index("program_id")
    data = seen.drop_duplicates("program_id").set_index("program_id")[["trial"]]
    score = full["score"].reindex(data.index)
    data["scored"] = score.notna().map({True: FULL, False: PART})
    data["score"] = 100 * score.fillna(last["score"].reindex(data.index))
    descended = seen[seen["parent_ids"].map(len) > 0].drop_duplicates("program_id")
    parents = dict(zip(descended["program_id"], descended["parent_ids"], strict=True))
    root = full.index[0] if len(full) else data.index[0]
    best = full["score"].idxmax() if len(full) else None
    data["kind"] = "candidate"
    data.loc[data.index.isin(_ancestors(best, parents)), "kind"] = "ancestor of the best"
    data.loc[root, "kind"] = "as given"
    if best is not None:
        data.loc[best, "kind"] = "best"
    data = data.rename_axis("program").reset_index()
    if len(data) > _MOST:
        way = data["kind"] != "candidate"
        top = data[~way].nlargest(max(0, _MOST - int(way.sum())), "score").index
        data = data[way | data.index.isin(top)]
    data["parents"] = [[str(p) for p in dict.fromkeys(parents.get(one, ())) if p != one] for one in data["program"]]
    return pd.DataFrame(data[columns]).reset_index(drop=True)


def _ancestors(best: Hashable, parents: Mapping[Any, Sequence[Any]]) -> set[Any]:
    ancestors: set[Any] = set()
    todo = [] if best is None else [best]
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in ancestors:
                ancestors.add(parent)
                todo.append(parent)
    return ancestors


def edges(data: pd.DataFrame) -> pd.DataFrame:
    """Draw :func:`lineage_data`'s parents as lines: `x`, `y` of the parent, `x2`, `y2` of the child, `way`."""
    import pandas as pd

    place = {p: (t, s) for p, t, s in zip(data["program"], data["trial"], data["score"], strict=True)}
    way = data["kind"].isin(["best", "ancestor of the best"]).map({True: "to the best", False: "others"})
    rows = [
        (*place[parent], *place[program], led)
        for program, parents, led in zip(data["program"], data["parents"], way, strict=True)
        for parent in parents
        if parent in place
    ]
    return pd.DataFrame(rows, columns=["x", "y", "x2", "y2", "way"])


def lineage(data: pd.DataFrame, *, title: str = "", total: int | None = None) -> Any:
    """Plot :func:`lineage_data`: candidates by trial and score, lines from parent to child."""
    if data.empty:
        return nothing("No candidates yet: none has been scored on train or validation.")
    import altair as alt

    lines = edges(data)
    shown = data.drop(columns="parents").assign(parents=[", ".join(p[:8] for p in ps) for ps in data["parents"]])
    kinds = [k for k in _KINDS if (data["kind"] == k).any()]
    dots = (
        alt.Chart(shown)
        .mark_point(filled=True, size=70)
        .encode(
            x=alt.X("trial:Q", title="trial at which it was first scored", axis=trial_axis(data["trial"].max())),
            y=score_axis("score", data["score"]),
            **told_apart("kind", kinds, [_KINDS[k][0] for k in kinds], [_KINDS[k][1] for k in kinds]),
            opacity=alt.condition(alt.datum.scored == FULL, alt.value(1), alt.value(0.4)),
            tooltip=["program", "trial", alt.Tooltip("score:Q", format=".1f"), "scored", "kind", "parents"],
        )
    )
    layers = [dots]
    if len(lines):
        bound = alt.Chart(lines).encode(x="x:Q", y=score_axis("y", data["score"]), x2="x2:Q", y2="y2:Q")
        layers = [
            bound.transform_filter("datum.way == 'others'").mark_rule(strokeWidth=1),
            bound.transform_filter("datum.way == 'to the best'").mark_rule(strokeWidth=2.5, color=BLUE),
            dots,
        ]
        how = "A line leads from a parent to what was made of it; thick: the way to the best."
    else:
        how = "This optimizer tells no parents: candidates stand in the order in which they were scored."
    if (data["scored"] != FULL).any():
        how += " Pale: scored on a part of validation, or on train."
    if total is not None and total > len(data):
        how += f" {len(data):,} of {total:,} candidates: the way to the best, and the highest."
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT + 20, title=titled(title, how))


@kind("lineage", "candidates with their parents, and the way to the best", takes=Takes.ONE)
def of_job(jobs: Jobs) -> Chart:
    """Plot the candidates of a job with their parents."""
    (job_id,) = jobs.labels
    trials = queries.trials(jobs.store, [job_id])
    data = lineage_data(trials)
    title = f"Lineage of the candidates of {jobs.title}"
    total = trials[trials.split != "test"].program_id.nunique()
    return Chart(title, data, lineage(data, title=title, total=total))
