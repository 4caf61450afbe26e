"""Populations: the programs of an evolution by what they send and what they score, with their Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import HEIGHT, WIDTH, score_axis, titled, told_apart
from skillfleet_nb.design import INK

if TYPE_CHECKING:
    import pandas as pd

FATES = ("as given", "of the last population", "ended before")


def population_data(individuals: pd.DataFrame) -> pd.DataFrame:
    """Place all programs that a job bred and scored by the tokens they send and their score.

    Parameters
    ----------
    individuals
        Rows of the relation ``individuals`` of one job.

    Returns
    -------
    pandas.DataFrame
        A row a program: `program`, `operator`, `generation` (its first), `tokens`, `length`, `score` in [0, 100],
        `fate` and `front`: whether none scores as much with fewer tokens, or more with as many.
    """
    scored = individuals[individuals["score"].notna()].sort_values("generation", kind="stable")
    last = scored["generation"].max()
    survivors = scored[(scored["generation"] == last) & scored["survives"].astype(bool)]["program_id"]
    data = scored.drop_duplicates("program_id")
    data = data.assign(program=data["program_id"], score=100 * data["score"].astype(float), fate=FATES[2])
    data.loc[data["program_id"].isin(survivors), "fate"] = FATES[1]
    data.loc[data["operator"] == "given", "fate"] = FATES[0]
    data = data.sort_values(["tokens", "score"], ascending=[True, False], kind="stable")
    data["front"] = data["score"] > data["score"].cummax().shift(fill_value=float("-inf"))
    columns = ["program", "operator", "generation", "tokens", "length", "score", "fate", "front"]
    return data[columns].reset_index(drop=True)


def population(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`population_data`: a point a program, and the front of those that no shorter one equals."""
    import altair as alt

    x = alt.X("tokens:Q", title="tokens it sends with each answer, about", scale=alt.Scale(zero=False, nice=True))
    y = score_axis("score", data["score"], "score on validation (points)")
    line = (
        alt.Chart(data[data["front"]])
        .mark_line(interpolate="step-after", color=INK, strokeDash=[4, 4])
        .encode(x=x, y=y)
    )
    fates = [fate for fate in FATES if (data["fate"] == fate).any()]
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=x,
            y=y,
            **told_apart("fate", fates),
            tooltip=["program", "operator", "generation", "tokens", "length", alt.Tooltip("score:Q", format=".1f")],
        )
    )
    how = "A point is a program that was bred. Joined: the Pareto front, programs that none with as few tokens equals."
    return (line + dots).properties(width=WIDTH, height=HEIGHT + 40, title=titled(title, how))
