"""From an Altair chart to what is shown: a Vega-Lite 5 specification, SVG, PDF, or a page of its own.

JupyterLab draws Vega-Lite up to 5.6 itself, without a network, so that is what charts are written in;
vl-convert draws the same specification where there is no JupyterLab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt
    from markupsafe import Markup

from skillfleet_nb.charts.style import CONFIG

_VERSION = "5.8"  # of Vega-Lite, the nearest to JupyterLab's that vl-convert holds
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


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
    return {**described, **spec, "$schema": _SCHEMA, "config": {**config, **own}}


def to_svg(chart: alt.TopLevelMixin | dict[str, Any]) -> Markup:
    """Draw an Altair chart, or its specification, as SVG."""
    import vl_convert
    from markupsafe import Markup

    spec = chart if isinstance(chart, dict) else to_spec(chart)
    svg = str(vl_convert.vegalite_to_svg(spec, vl_version=_VERSION))
    return Markup(svg.replace("<svg ", "<svg style='overflow:visible' ", 1))  # noqa: S704  the renderer escapes text


def to_html(spec: dict[str, Any]) -> str:
    """Make a page that draws a specification by itself: its scripts are in it, and it asks for nothing."""
    import vl_convert

    # The scripts it brings are of Vega-Lite 6, which draws the same; said so, the page has nothing to warn of.
    newest = {**spec, "$schema": _SCHEMA.replace("v5", "v6")}
    page = str(vl_convert.vegalite_to_html(newest, bundle=True, renderer="svg"))
    return page.replace("<head>", "<head><meta name='color-scheme' content='light dark'>", 1)
