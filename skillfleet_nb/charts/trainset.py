"""Pictures of a training set: quality, categories, lengths, and a map of its embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import CONFIG, panel_title
from skillfleet_nb.data.scoring import HIGH, LOW
from skillfleet_nb.design import BLUE, GREEN, INK, ORANGE, VERMILION
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from skillfleet_nb.data import TrainsetReport

BANDS = ("high", "medium", "low")
_STATES = ("enough", "under-represented")
_STEP = 0.05
_MOST_BARS, _MOST_DOTS = 30, 3_000


def quality_data(report: TrainsetReport) -> pd.DataFrame:
    """Count rows by quality in steps of 0.05: columns `low`, `high`, `band`, `rows`."""
    import numpy as np
    import pandas as pd

    steps = round(1 / _STEP)
    step = np.minimum((report.examples["quality"].to_numpy() / _STEP + 1e-9).astype(int), steps - 1)
    counts = np.bincount(step, minlength=steps)
    low = np.arange(steps) * _STEP
    band = np.where(low >= HIGH - 1e-9, "high", np.where(low >= LOW - 1e-9, "medium", "low"))
    return pd.DataFrame({"low": low.round(2), "high": (low + _STEP).round(2), "band": band, "rows": counts})


def category_data(report: TrainsetReport) -> pd.DataFrame:
    """Count rows by category: columns `category`, `rows`, `state`; the 30 smallest where there are more."""
    import pandas as pd

    counts = sorted(report.categories.items(), key=lambda item: (item[1], item[0]))[:_MOST_BARS]
    data = pd.DataFrame({"category": [c for c, _ in counts], "rows": [n for _, n in counts]})
    return data.assign(state=_states(report, data["category"]))


def map_data(report: TrainsetReport) -> pd.DataFrame:
    """Lay rows out on the map, a dot each.

    Columns are `row`, `x`, `y`, `quality`, `band`, `category`, `state`, `text` and `characters`.  Of more
    than 3,000 rows the map shows so many, evenly over the ranks.
    """
    import numpy as np
    import pandas as pd

    frame = report.examples
    if len(frame) > _MOST_DOTS:
        frame = frame.iloc[np.linspace(0, len(frame) - 1, _MOST_DOTS).astype(int)]
    return pd.DataFrame(
        {
            "row": frame["row"].to_numpy(),
            "x": frame["x"].round(4).to_numpy(),
            "y": frame["y"].round(4).to_numpy(),
            "quality": frame["quality"].round(3).to_numpy(),
            "band": [_band(q) for q in frame["quality"]],
            "category": [c if c is not None else "none" for c in frame["category"]],
            "state": _states(report, frame["category"]),
            "text": [one_line(t) for t in frame["text"]],
            "characters": frame["characters"].to_numpy(),
        }
    )


def _states(report: TrainsetReport, categories: Iterable[str]) -> list[str]:
    short = {g.category for g in report.underrepresented}
    return [_STATES[c in short] for c in categories]


def quality_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`quality_data`: how many rows are of which quality."""
    import altair as alt

    return (
        alt.Chart(data)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="quality",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1]),
            ),
            x2="high:Q",
            y=alt.Y("rows:Q", title="rows"),
            color=_by_band(),
            tooltip=["low", "high", "rows"],
        )
        .properties(width=300, height=140, title="quality")
    )


def category_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`category_data`, under-represented ones marked."""
    import altair as alt

    return (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("category:N", title=None, sort=data["category"].tolist(), axis=alt.Axis(labelLimit=260)),
            color=_by_state(),
            tooltip=["category", "rows", "state"],
        )
        .properties(width=300, height=alt.Step(14), title="rows of each category")
    )


def length_chart(data: pd.DataFrame) -> Any:
    """Plot how long the inputs of :func:`map_data` are."""
    import altair as alt

    return (
        alt.Chart(data)
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X(
                "characters:Q",
                bin=alt.Bin(maxbins=30),
                title="characters",
                axis=alt.Axis(labelOverlap="greedy", labelSeparation=8),
            ),
            y=alt.Y("count():Q", title="rows"),
        )
        .properties(width=300, height=140, title="length of the inputs")
    )


def selection_names(data: pd.DataFrame) -> tuple[str, str]:
    """Name the box and the clicks of :func:`map_chart`, after the data: of joined charts equal names would be one."""
    import hashlib

    import pandas as pd

    own = hashlib.sha256(pd.util.hash_pandas_object(data).to_numpy().tobytes()).hexdigest()[:8]
    return f"brush_{own}", f"picked_{own}"


def map_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`map_data`: brush rows on the map, or click categories; the bars beside it count these alone."""
    import altair as alt

    box, clicked = selection_names(data)
    brush = alt.selection_interval(name=box)
    picked = alt.selection_point(name=clicked, fields=["category"])
    dots = (
        alt.Chart(data)
        .mark_circle(size=36)
        .encode(
            x=alt.X("x:Q", axis=None),
            y=alt.Y("y:Q", axis=None),
            color=_by_band(),
            opacity=alt.condition(brush & picked, alt.value(0.85), alt.value(0.12)),
            tooltip=["row", "category", alt.Tooltip("quality:Q", format=".2f"), "text"],
        )
        .add_params(brush)
        .properties(width=340, height=330, title="map of the inputs: drag to select rows")
    )
    counted = alt.Chart(data).mark_bar(binSpacing=1).transform_filter(brush)
    rows = alt.Y("count():Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=4))
    by_quality = (
        counted.transform_filter(picked)
        .encode(
            x=alt.X("quality:Q", bin=alt.Bin(step=_STEP, extent=[0, 1]), title=None),
            y=rows,
            color=_by_band().legend(None),
        )
        .properties(width=240, height=60, title=panel_title("rows by quality"))
    )
    by_length = (
        counted.transform_filter(picked)
        .encode(x=alt.X("characters:Q", bin=alt.Bin(maxbins=24), title=None), y=rows, color=alt.value(BLUE))
        .properties(width=240, height=60, title=panel_title("rows by length, in characters"))
    )
    panels = [by_quality, by_length]
    if 1 < data["category"].nunique() <= _MOST_BARS:
        bars = (
            counted.encode(
                x=alt.X("count():Q", title=None, axis=alt.Axis(tickMinStep=1)),
                y=alt.Y("category:N", title=None, axis=alt.Axis(labelLimit=130)),
                color=_by_state().legend(None),
                opacity=alt.condition(picked, alt.value(1), alt.value(0.3)),
                tooltip=["category", "state", alt.Tooltip("count():Q", title="rows")],
            )
            .add_params(picked)
            .properties(
                width=240, height=alt.Step(12), title=panel_title("rows by category, too few in red: click to select")
            )
        )
        panels.append(bars)
    else:
        dots = dots.add_params(picked)
    config = {**CONFIG, "view": {"stroke": INK, "strokeOpacity": 0.4}}
    beside = alt.vconcat(*panels).resolve_scale(color="independent")
    return alt.hconcat(dots, beside).resolve_scale(color="independent").configure(**config)


def _by_state() -> Any:
    import altair as alt

    return alt.Color(
        "state:N",
        title=None,
        scale=alt.Scale(domain=list(_STATES), range=[BLUE, VERMILION]),
        legend=alt.Legend(orient="top"),
    )


def _by_band() -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(BANDS), range=[GREEN, ORANGE, VERMILION])
    return alt.Color("band:N", scale=scale, legend=alt.Legend(title=None, columns=len(BANDS)))


def _band(quality: float) -> str:
    return "high" if quality >= HIGH else "medium" if quality >= LOW else "low"
