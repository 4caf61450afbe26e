"""The learning curve: every trial, and the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_BARS = "▁▂▃▄▅▆▇█"
_BLUE, _ORANGE = "#0072b2", "#e69f00"  # Okabe and Ito: told apart by colour-blind readers


def convergence_data(trials: pd.DataFrame) -> pd.DataFrame:
    """Prepare a job's trials for the learning curve.

    Parameters
    ----------
    trials
        Rows of the relation ``trials`` of one job.

    Returns
    -------
    pandas.DataFrame
        Columns `trial`; `score` and `best` in [0, 100]; `kind`: ``"validation, all"`` for a full
        evaluation on validation, ``"part or train"`` for any other.  The sealed test is left out.
    """
    shown = trials[trials.split != "test"].sort_values("trial")
    full = (shown.split == "val") & shown.full_eval
    return shown.assign(
        score=100 * shown.score,
        best=(100 * shown.score.where(full)).cummax().ffill(),
        kind=full.map({True: "validation, all", False: "part or train"}),
    )[["trial", "score", "best", "kind"]]


def convergence(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot what :func:`convergence_data` prepared, as an Altair chart."""
    import altair as alt

    x = alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, format="d"))
    base = alt.Chart(data)
    kinds = ["validation, all", "part or train"]  # the same domain twice makes one legend of two
    dots = base.mark_point(filled=True, size=36).encode(
        x=x,
        y=alt.Y("score:Q", title="score (points)", scale=alt.Scale(zero=False, padding=8)),
        color=alt.Color(
            "kind:N",
            title="scored on",
            scale=alt.Scale(domain=kinds, range=[_BLUE, _ORANGE]),
        ),
        shape=alt.Shape("kind:N", title="scored on", scale=alt.Scale(domain=kinds, range=["circle", "square"])),
        tooltip=["trial", alt.Tooltip("score:Q", format=".1f"), "kind"],
    )
    line = base.mark_line(interpolate="step-after", color=_BLUE, strokeWidth=2).encode(x=x, y="best:Q")
    return (line + dots).properties(width=420, height=180, title=title)


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
