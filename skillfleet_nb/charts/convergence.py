"""The learning curve: every trial, and the best so far; or the best so far of several jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts import facts
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import kind
from skillfleet_nb.charts.style import (
    BLUE,
    HEIGHT,
    VERMILION,
    WIDTH,
    dashed,
    nothing,
    score_axis,
    titled,
    told_apart,
    trial_axis,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_BARS = "▁▂▃▄▅▆▇█"
_MOST = 300  # points of a job's curve
FULL, PART = "validation, all", "part or train"


def convergence_data(trials: pd.DataFrame, *, most: int = _MOST) -> pd.DataFrame:
    """Prepare trials for the learning curve.

    Parameters
    ----------
    trials
        Rows of the relation ``trials``, in any order; of several jobs with a column `job`.
    most
        Of a job with more trials, only those that show its shape are kept: where the best changes,
        and of each stretch the lowest and the highest of each kind.

    Returns
    -------
    pandas.DataFrame
        Columns `job`; `trial`; `score` and `best` in [0, 100]; `kind`: ``"validation, all"`` for a
        full evaluation on validation, ``"part or train"`` for any other.  The sealed test is left out.
    """
    import pandas as pd

    shown = trials[trials.split != "test"]
    shown = shown.assign(job=shown.get("job", "")).sort_values(["job", "trial"], kind="stable")
    full = (shown.split == "val") & shown.full_eval.astype(bool)
    of_full = (100 * shown.score).where(full)
    shown = shown.assign(
        score=100 * shown.score,
        best=of_full.groupby(shown["job"], sort=False).cummax().groupby(shown["job"], sort=False).ffill(),
        kind=full.map({True: FULL, False: PART}),
    )[["job", "trial", "score", "best", "kind"]]
    parts = [_thinned(part, most) for _, part in shown.groupby("job", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else shown.reset_index(drop=True)


def _thinned(curve: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(curve) <= most:
        return curve
    import numpy as np

    stretch = np.arange(len(curve)) * (most // 4) // len(curve)  # two kinds, each with a low and a high
    scores = curve.reset_index(drop=True).score.groupby([stretch, curve["kind"].to_numpy()])
    kept = {0, len(curve) - 1, *scores.idxmin(), *scores.idxmax()}
    changes = np.flatnonzero(curve["best"].to_numpy()[1:] != curve["best"].to_numpy()[:-1]) + 1
    changes = changes[~np.isnan(curve["best"].to_numpy()[changes])]
    return curve.iloc[sorted(kept | set(changes[-most:].tolist()))]


def convergence(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot what :func:`convergence_data` prepared, as an Altair chart."""
    if data.empty:
        return nothing("No learning curve yet: no candidate has been scored on train or validation.")
    if len(data["job"].unique()) > 1:
        return _several(data, title, note)
    import altair as alt

    x = alt.X("trial:Q", title="trial", axis=trial_axis(data["trial"].max()))
    y = score_axis("score", [*data["score"], *data["best"]])
    base = alt.Chart(data)
    dots = base.mark_point(filled=True, size=36, opacity=1).encode(
        x=x,
        y=y,
        **told_apart("kind", [FULL, PART], [BLUE, VERMILION], ["circle", "square"]),
        tooltip=["trial", alt.Tooltip("score:Q", format=".1f"), alt.Tooltip("kind", title="scored on")],
    )
    best = score_axis("best", [*data["score"], *data["best"]])
    line = base.mark_line(interpolate="step-after", color=BLUE, strokeWidth=2).encode(x=x, y=best)
    layers, how = [line, dots], "Line: the best so far on all of validation."
    given = data[(data["trial"] == 0) & (data["kind"] == FULL)]
    if len(given):
        how += " Dashed: the program as given."
        layers.insert(0, alt.Chart(given.head(1)).mark_rule(strokeDash=[4, 4]).encode(y=y))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=titled(title, f"{how} {note}".strip()))


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
    trials = facts.curves(jobs.store, jobs.labels)
    data = convergence_data(trials)
    title = f"Learning curve{'s' * (len(jobs.labels) != 1)} of {jobs.title}"
    seen = int((trials.split != "test").sum())
    thin = f"{len(data):,} of {seen:,} trials, the lowest and highest of each stretch." if seen > len(data) else ""
    return Chart(title, data, convergence(data, title=title, note=f"{thin} {jobs.left_out}".strip()))
