"""The learning curve: every trial, and the best so far; or the best so far of several jobs."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, dashed, nothing, score_axis, titled, told_apart, trial_axis
from skillfleet_nb.design import BLUE, GREY, VERMILION
from skillfleet_nb.runs.jobs.curve import Curve, score_scale
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_BARS = "▁▂▃▄▅▆▇█"
FULL, PART, PRUNED = "validation, all", "part or train", "pruned, at most"


def convergence_data(trials: pd.DataFrame) -> pd.DataFrame:
    """Prepare trials for the learning curve.

    Parameters
    ----------
    trials
        Rows of the relation ``trials``, in any order; of several jobs with a column `job`.

    Returns
    -------
    pandas.DataFrame
        The points of each job's :class:`~skillfleet_nb.runs.jobs.curve.Curve`, as the live monitor shows them:
        columns `job`; `trial`; `score` and `best` in [0, 100]; `kind`: ``"validation, all"`` for a full evaluation on
        validation, ``"part or train"`` for any other, ``"pruned, at most"`` for one that ended early.
        The sealed test is left out.
    """
    import pandas as pd

    shown = trials[trials.split != "test"]
    shown = shown.assign(job=shown.get("job", "")).sort_values(["job", "trial"], kind="stable")
    columns = ["job", "trial", "score", "best", "kind"]
    rows = [row for job, part in shown.groupby("job", sort=False) for row in _points(job, part)]
    return pd.DataFrame(rows, columns=columns)


def _points(job: object, trials: pd.DataFrame) -> list[tuple[object, int, float, float, str]]:
    curve = Curve()
    full = (trials["split"] == "val") & trials["full_eval"].astype(bool)
    bounds_column = trials["bound"].astype(float) if "bound" in trials else [math.nan] * len(trials)
    bounds = [None if math.isnan(bound) else bound for bound in bounds_column]
    for row in zip(trials["trial"].tolist(), trials["score"].tolist(), full.tolist(), bounds, strict=True):
        trial, score, on_all, bound = row
        curve.add(trial, score, full=on_all, bound=bound)
    rises, rows = [trial for trial, _ in curve.best], []
    drawn = {FULL: curve.full, PART: curve.part, PRUNED: curve.pruned}
    for trial, score, scored_on in sorted((*p, name) for name, points in drawn.items() for p in points):
        risen = bisect_right(rises, trial)
        best = curve.best[risen - 1][1] if risen else math.nan
        rows.append((job, trial, 100 * score, 100 * best, scored_on))
    return rows


def convergence(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot what :func:`convergence_data` prepared, as an Altair chart."""
    if data.empty:
        return nothing("No learning curve yet: no candidate has been scored on train or validation.")
    if len(data["job"].unique()) > 1:
        return _several(data, title, note)
    import altair as alt

    x = alt.X("trial:Q", title="trial", axis=trial_axis(data["trial"].max()))
    low, high, step = score_scale(data["score"].tolist())
    scale, axis = alt.Scale(domain=[low, high], nice=False), alt.Axis(values=_ticks(low, high, step))
    y = alt.Y("score:Q", title="score (points)", scale=scale, axis=axis)
    base = alt.Chart(data)
    kinds = [name for name in (FULL, PART, PRUNED) if name != PRUNED or (data["kind"] == PRUNED).any()]
    dots = base.mark_point(filled=True, size=36, opacity=1).encode(
        x=x,
        y=y,
        **told_apart("kind", kinds, [BLUE, VERMILION, GREY][: len(kinds)], ["circle", "square", "cross"][: len(kinds)]),
        tooltip=["trial", alt.Tooltip("score:Q", format=".1f"), alt.Tooltip("kind", title="scored on")],
    )
    line = base.mark_line(interpolate="step-after", color=BLUE, strokeWidth=2).encode(
        x=x, y=alt.Y("best:Q", title="score (points)", scale=scale, axis=axis)
    )
    layers, how = [line, dots], "Line: the best so far on all of validation."
    baseline = data[(data["trial"] == 0) & (data["kind"] == FULL)]
    if len(baseline):
        how += " Dashed: the program as given."
        layers.insert(0, alt.Chart(baseline.head(1)).mark_rule(strokeDash=[4, 4]).encode(y=y))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=titled(title, f"{how} {note}".strip()))


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [low + n * step for n in range(round((high - low) / step) + 1)]


def _several(data: pd.DataFrame, title: str, note: str) -> Any:
    import altair as alt
    import pandas as pd

    names = list(dict.fromkeys(data["job"]))
    # A curve's points are where it rises, and its end; the trials between would hide the others.
    full = data[data["best"].notna()]
    rises = full["best"] != full.groupby("job", sort=False)["best"].shift()
    ends = ~full.duplicated("job", keep="last")
    lines = pd.DataFrame(full[rises | ends])
    if lines.empty:
        return nothing("No learning curves yet: no candidate of these jobs has been scored on all of validation.")
    x = alt.X("trial:Q", title="trial", axis=trial_axis(lines["trial"].max()))
    y = score_axis("best", lines["best"], "best score so far (points)")
    base = alt.Chart(lines).encode(x=x, y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(**dashed("job", names))
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        **told_apart("job", names),
        tooltip=["job", "trial", alt.Tooltip("best:Q", title="best so far", format=".1f")],
    )
    how = "On all of validation; a mark where a job found a better candidate, and at its last trial."
    return (line + dots).properties(width=WIDTH, height=HEIGHT, title=titled(title, f"{how} {note}".strip()))


def sparkline(scores: Sequence[float]) -> str:
    """Draw scores as a line of text, lowest to highest.

    Examples
    --------
    >>> sparkline([0.2, 0.5, 0.9])
    '▁▄█'
    """
    if not scores:
        return ""
    low, span = min(scores), max(scores) - min(scores)
    return "".join(_BARS[round((s - low) / span * (len(_BARS) - 1)) if span else 0] for s in scores)


@kind("convergence", "score by trial and the best so far; of several jobs the best so far of each")
def of_jobs(jobs: Jobs) -> Chart:
    """Plot the learning curve of a job, or the best so far of several."""
    trials = jobs.labelled(queries.trials(jobs.store, jobs.labels))
    data = convergence_data(trials)
    title = f"Learning {'curve' if len(jobs.labels) == 1 else 'curves'} of {jobs.title}"
    seen = int((trials.split != "test").sum())
    thin = f"{len(data):,} of {seen:,} trials, the lowest and highest of each stretch." if seen > len(data) else ""
    if not jobs.search:
        return Chart(title, data, nothing("No learning curve: a job that only scores, or creates a skill, has none."))
    return Chart(title, data, convergence(data, title=title, note=f"{thin} {jobs.left_out}".strip()))
