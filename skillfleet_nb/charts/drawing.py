"""From an Altair chart to what is shown: a Vega-Lite 5 specification, SVG, PDF, or a page of its own.

JupyterLab draws Vega-Lite up to 5.6 itself, without a network, so that is what charts are written in;
vl-convert draws the same specification where there is no JupyterLab, in a process beside this one.  Whatever text is
in a specification, it holds only what a picture can: XML knows no control characters, and no reader sees them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import altair as alt
    from markupsafe import Markup

from skillfleet_nb.charts.renderer import renderer
from skillfleet_nb.charts.style import CONFIG
from skillfleet_nb.design import INK, LIVE_INK
from skillfleet_nb.format import visible
from skillfleet_nb.html import in_script

_VERSION = "5.8"  # of Vega-Lite, the nearest to JupyterLab's that vl-convert holds
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_PLACE = {"place": "of the specification"}


def to_spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Write an Altair chart as Vega-Lite 5, in neutral colours on a transparent ground."""
    import altair as alt

    # Whatever the person has set for charts of their own, such as data kept in files, stays theirs.
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    config = spec.get("config", {})
    own = {
        k: {**config[k], **v} if isinstance(v, dict) and isinstance(config.get(k), dict) else v
        for k, v in CONFIG.items()
    }
    title = spec.get("title", {})
    described = {"description": ". ".join([title["text"], *title.get("subtitle", [])])} if "text" in title else {}
    whole: dict[str, Any] = _readable({**described, **spec, "$schema": _SCHEMA, "config": {**config, **own}})
    return whole


def to_live(spec: dict[str, Any]) -> dict[str, Any]:
    """Give a specification that a page draws as SVG the page's own ink, whatever its theme."""
    return cast("dict[str, Any]", _inked(spec))


def _inked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner if name in {"data", "datasets"} else _inked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_inked(inner) for inner in value]
    return LIVE_INK if value == INK else value


def _readable(value: Any) -> Any:
    """Make every text in a specification visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_readable(name): _readable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    return value


def to_svg(chart: alt.TopLevelMixin | dict[str, Any]) -> Markup:
    """Draw an Altair chart, or its specification, as SVG; raises `ChartError` where that cannot be done."""
    from markupsafe import Markup

    spec = _readable(chart) if isinstance(chart, dict) else to_spec(chart)
    svg = renderer().make("svg", {"spec": spec, "version": _VERSION}).decode()
    return Markup(svg.replace("<svg ", "<svg style='overflow:visible' ", 1))  # noqa: S704  the renderer escapes text


def to_png(svg: str) -> bytes:
    """Paint an SVG of :func:`to_svg` in twice its size; raises as that does."""
    return renderer().make("png", svg)


def to_pdf(svg: str) -> bytes:
    """Print an SVG of :func:`to_svg`; raises as that does."""
    return renderer().make("pdf", svg)


def to_html(spec: dict[str, Any]) -> str:
    """Make a page that draws a specification by itself: its scripts are in it, and it asks for nothing."""
    # The scripts it brings are of Vega-Lite 6, which draws the same; said so, the page has nothing to warn of.
    newest = {**to_live(_readable(spec)), "$schema": _SCHEMA.replace("v5", "v6")}
    # The renderer writes a specification into the page's script as it is, so that a text may end the script.
    page = renderer().make("page", _PLACE).decode()
    page = page.replace("<head>", "<head><meta name='color-scheme' content='light dark'>", 1)
    head, tail = page.rsplit(json.dumps(_PLACE, separators=(",", ":")), 1)
    return f"{head}{in_script(newest)}{tail}"


def to_script(module: str) -> str:
    """Bundle a module that draws charts, with all that it imports, into a script that asks for nothing."""
    return renderer().make("script", module).decode()
