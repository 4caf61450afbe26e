"""How charts look: colours that colour-blind readers tell apart, and ink that reads on light and dark pages.

A picture cannot know the page it is shown on: the same output is opened in a light JupyterLab, a dark
VS Code and a printed PDF.  So its ground is transparent and its ink one grey, which reads on both.  What a page
draws itself has the page's ink (see ``drawing.to_live``).  Series differ in colour and in shape or dash as well.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from skillfleet_nb.design import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


WIDTH, HEIGHT = 470, 220  # pixels of a plot
_SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4])  # with six colours, 30 different lines
_LABEL = 200  # pixels of a label, the rest is cut
_WIDE = 10_000  # numbers from here on need room
_BRIEF = 12  # characters of names of which four stand beside one another
_SHORT = 28  # and of which two do
_NAME = 36  # characters of a name that is part of a label
_SUBTITLE = 84  # characters of a line under the title
_ALONE = 68  # and of one that stands in place of a chart

CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    # Room for a reader's font that is wider than the one the picture was measured with.
    "padding": {"left": 12, "top": 5, "right": 24, "bottom": 5},
    "mark": {"aria": False},  # the chart has a description; hundreds of marks that speak are noise
    "view": {"stroke": "transparent"},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": INK,
        "gridOpacity": 0.2,
        "domainColor": INK,
        "tickColor": INK,
        "labelLimit": _LABEL,
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelLimit": 2 * _LABEL},
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelLimit": 230,
        "symbolLimit": 40,
        "orient": "bottom",  # at the side it would make charts wider than a narrow page
        "columns": 2,
        "columnPadding": 24,
        "title": None,  # the chart's own title and lines say what its series are
    },
    "rule": {"color": INK},
    "text": {"color": INK},
    "title": {
        "color": INK,
        "subtitleColor": INK,
        "anchor": "start",
        "fontSize": 13,
        "subtitleFontSize": 11,
        "limit": WIDTH + 40,
        "offset": 8,
    },
}


def titled(title: str, *how: str) -> Any:
    """Make a title, with lines under it that say how to read the chart."""
    import altair as alt

    under = [line for text in how if text for line in wrap(text, _SUBTITLE)]
    return alt.TitleParams(text=title, subtitle=under) if under else alt.TitleParams(text=title)


def panel_title(text: str) -> Any:
    """Make the title of one of several plots that stand under one another."""
    import altair as alt

    return alt.TitleParams(text=text, fontSize=11, frame="group", offset=6)


def shortened(names: Iterable[str]) -> dict[str, str]:
    """Shorten names in the middle, where those that differ still do.

    Examples
    --------
    >>> shortened(["a", "b" * 40 + "1"])["b" * 40 + "1"]
    'bbbbbbbbbbbbbbbbbb…bbbbbbbbbbbbbbbb1'
    """
    half = _NAME // 2
    short = {n: n if len(n) <= _NAME else f"{n[:half]}…{n[1 - half :]}" for n in names}
    seen = list(short.values())
    return {n: s if seen.count(s) == 1 else n for n, s in short.items()}


def score_axis(field: str, values: Iterable[float], title: str = "score (points)") -> Any:
    """Make an axis of scores that begins and ends around the values, within 0 to 100."""
    import altair as alt

    scores = [v for v in values if v == v]  # noqa: PLR0124  without NaN
    low, high = min(scores), max(scores)
    room = max(5.0, 0.06 * (high - low))
    domain = [max(0.0, low - room), min(100.0, high + room)]
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(domain=domain, nice=False), axis=alt.Axis(tickCount=6))


def trial_axis(last: int) -> Any:
    """Make an axis of whole trials."""
    import altair as alt

    return alt.Axis(tickCount=max(1, min(12 if last < _WIDE else 6, int(last))), format=",d")


def told_apart(
    field: str, names: Sequence[str], colours: Sequence[str] = _SERIES, shapes: Sequence[str] = _SHAPES
) -> dict[str, Any]:
    """Return encodings that tell series apart by colour and by shape, with one legend for both."""
    import altair as alt

    return {
        "color": alt.Color(f"{field}:N", scale=_scale(names, colours), legend=_legend(names)),
        "shape": alt.Shape(f"{field}:N", scale=_scale(names, shapes), legend=_legend(names)),
    }


def dashed(field: str, names: Sequence[str]) -> dict[str, Any]:
    """Return encodings that tell lines apart by colour and by dashes."""
    import altair as alt

    return {
        "color": alt.Color(f"{field}:N", scale=_scale(names, _SERIES), legend=_legend(names)),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=_scale(names, _DASHES), legend=_legend(names)),
    }


def _legend(names: Sequence[str]) -> Any:
    import altair as alt

    longest = max(map(len, names), default=0)
    columns = 4 if longest <= _BRIEF else 2 if longest <= _SHORT else 1  # names of any length stay apart
    return alt.Legend(title=None, columns=columns, labelLimit=WIDTH if columns == 1 else 230)


def _scale(names: Sequence[str], looks: Sequence[Any]) -> Any:
    import altair as alt

    return alt.Scale(domain=list(names), range=[looks[place % len(looks)] for place in range(len(names))])


def nothing(what: str) -> Any:
    """Make the chart that stands where there is nothing to draw, saying what is missing."""
    import altair as alt
    import pandas as pd

    lines = wrap(what, _ALONE)
    return (
        alt.Chart(pd.DataFrame({"text": ["\n".join(lines)]}))
        .mark_text(align="left", fontSize=13, lineBreak="\n", x=0, y=12, baseline="middle")
        .encode(text="text:N")
        .properties(width=WIDTH, height=20 * len(lines) + 8, description=what)
    )
