"""Charts as static SVG: drawn without a browser or a network, readable on light and dark pages."""

from __future__ import annotations

from typing import Any

_INK = "#888888"  # has contrast on white and on black
_CONFIG = {
    "background": None,
    "view": {"stroke": None},
    "axis": {"labelColor": _INK, "titleColor": _INK, "gridColor": _INK, "gridOpacity": 0.25, "domainColor": _INK},
    "legend": {"labelColor": _INK, "titleColor": _INK},
    "title": {"color": _INK},
}


def to_svg(chart: Any) -> str:
    """Draw an Altair chart as SVG text, in neutral colours on a transparent ground."""
    import vl_convert

    spec = chart.to_dict()
    spec["config"] = {**spec.get("config", {}), **_CONFIG}
    return str(vl_convert.vegalite_to_svg(spec))
