"""Pictures of a training set: quality, categories, lengths, and a map of its embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.style import BLUE, CONFIG, GREEN, INK, ORANGE, VERMILION
from skillfleet_nb.trainset.rows import brief
from skillfleet_nb.trainset.scoring import HIGH, LOW

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.trainset import TrainsetReport

BANDS = ("high", "medium", "low")
_STEP = 0.05
_MOST_BARS, _MOST_DOTS = 30, 3_000


def quality_data(report: TrainsetReport) -> pd.DataFrame:
    """Count rows by quality in steps of 0.05: columns `low`, `high`, `band`, `rows`."""
    import numpy as np
    import pandas as pd

    steps = round(1 / _STEP)
    at = np.minimum((report.examples["quality"].to_numpy() / _STEP + 1e-9).astype(int), steps - 1)
    counts = np.bincount(at, minlength=steps)
    low = np.arange(steps) * _STEP
    band = np.where(low >= HIGH - 1e-9, "high", np.where(low >= LOW - 1e-9, "medium", "low"))
    return pd.DataFrame({"low": low.round(2), "high": (low + _STEP).round(2), "band": band, "rows": counts})


def category_data(report: TrainsetReport) -> pd.DataFrame:
    """Count rows by category: columns `category`, `rows`, `state`; the 30 smallest where there are more."""
    import pandas as pd

    short = {g.category for g in report.underrepresented}
    counts = sorted(report.categories.items(), key=lambda item: (item[1], item[0]))[:_MOST_BARS]
    states = ["under-represented" if c in short else "enough" for c, _ in counts]
    return pd.DataFrame({"category": [c for c, _ in counts], "rows": [n for _, n in counts], "state": states})


def map_data(report: TrainsetReport) -> pd.DataFrame:
    """Lay rows out on the map: columns `row`, `x`, `y`, `quality`, `band`, `category`, `text`, `characters`.

    Of more than 3,000 rows the map shows so many, evenly over the ranks.
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
            "text": [brief(t) for t in frame["text"]],
            "characters": frame["characters"].to_numpy(),
        }
    )


def quality_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`quality_data`: how many rows are of which quality."""
    import altair as alt

    return (
        alt.Chart(data)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title="quality", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y("rows:Q", title="rows"),
            color=_by_band(alt),
            tooltip=["low", "high", "rows"],
        )
        .properties(width=300, height=140, title="quality")
    )


def category_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`category_data`, under-represented ones marked."""
    import altair as alt

    states = ["enough", "under-represented"]
    return (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("category:N", title=None, sort=data["category"].tolist(), axis=alt.Axis(labelLimit=260)),
            color=alt.Color(
                "state:N",
                title=None,
                scale=alt.Scale(domain=states, range=[BLUE, VERMILION]),
                legend=alt.Legend(orient="top"),
            ),
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
            x=alt.X("characters:Q", bin=alt.Bin(maxbins=30), title="characters"),
            y=alt.Y("count():Q", title="rows"),
        )
        .properties(width=300, height=140, title="length of the inputs")
    )


def map_chart(data: pd.DataFrame) -> Any:
    """Plot :func:`map_data`: brush rows on the map, and the histogram beside it counts these alone."""
    import altair as alt

    brush = alt.selection_interval(name="brush")
    dots = (
        alt.Chart(data)
        .mark_circle(size=36)
        .encode(
            x=alt.X("x:Q", axis=None),
            y=alt.Y("y:Q", axis=None),
            color=_by_band(alt),
            opacity=alt.condition(brush, alt.value(0.85), alt.value(0.15)),
            tooltip=["row", "category", alt.Tooltip("quality:Q", format=".2f"), "text"],
        )
        .add_params(brush)
        .properties(width=380, height=300, title="map of the inputs: drag to select rows")
    )
    bars = (
        alt.Chart(data)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("quality:Q", bin=alt.Bin(step=_STEP, extent=[0, 1]), title="quality"),
            y=alt.Y("count():Q", title="rows selected"),
            color=_by_band(alt),
        )
        .transform_filter(brush)
        .properties(width=220, height=300)
    )
    return alt.hconcat(dots, bars).configure(**{**CONFIG, "view": {"stroke": INK, "strokeOpacity": 0.4}})


def _by_band(alt: Any) -> Any:
    return alt.Color("band:N", title=None, scale=alt.Scale(domain=list(BANDS), range=[GREEN, ORANGE, VERMILION]))


def _band(quality: float) -> str:
    return "high" if quality >= HIGH else "medium" if quality >= LOW else "low"
