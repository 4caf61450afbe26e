"""Cost against quality: what each way to optimise costs, and the score that is expected of it.

Written as SVG here, since it is drawn anew with every move of a slider: a chart library takes longer.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from skillfleet_nb.design import BLUE, GREEN, GREY, SMALL, VERMILION

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = {"recommended": BLUE, "possible": GREEN, "beyond a limit": GREY}
_INK = "currentColor"
_LEFT, _TOP, _BOTTOM = 46.0, 12.0, 52.0
_BESIDE = 16.0  # from the plot to the names
_LINE = 14.0  # between two names
_LETTER = 0.62 * SMALL  # of a name, in fonts that are wide
_LEAST = 1e-6  # a cost axis with a logarithm has no zero


class Way(NamedTuple):
    """One way to optimise: forecasts as (low, expected, high), scores in [0, 1]; `cost_usd` is None if not known."""

    name: str
    kind: Literal["recommended", "possible", "beyond a limit"]
    cost_usd: tuple[float, float, float] | None
    calls: tuple[float, float, float]
    expected_score: float
    score: tuple[float, float]


def cost_quality_data(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """Lay ways to optimise out, one dict each, the cheapest first.

    `cost`, `low` and `high` are USD, or calls where a price is unknown or nothing costs anything (`unit`
    tells which); `score`, `worst` and `best` are points; `name` and `kind` are as given.
    """
    priced = all(way.cost_usd is not None and way.cost_usd[1] > 0 for way in ways)
    rows = []
    for way in ways:
        low, expected, high = way.cost_usd if priced and way.cost_usd is not None else way.calls
        rows.append({
            "name": way.name, "cost": max(expected, _LEAST), "low": max(low, _LEAST), "high": max(high, _LEAST),
            "score": 100 * way.expected_score, "worst": 100 * way.score[0], "best": 100 * way.score[1],
            "kind": way.kind, "unit": "USD" if priced else "calls",
        })  # fmt: skip
    return sorted(rows, key=lambda row: float(row["cost"]))


def cost_quality_svg(
    data: Sequence[dict[str, Any]], *, budget: float | None = None, width: int = 520, height: int = 250
) -> str:
    """Draw :func:`cost_quality_data`: cost on a logarithmic axis, intervals as lines, the budget as a dashed one.

    Names stand in a column beside the plot, each joined to its mark: near the marks they would hide one another.

    Parameters
    ----------
    data
        At least one row.
    budget
        In USD; drawn where costs are in USD.
    width, height
        In pixels; it is drawn higher where the names need it, and shrinks with the page.
    """
    height = max(height, math.ceil(_TOP + _LINE * (len(data) - 1) + _BOTTOM))
    plot = _Plot(data, budget if data[0]["unit"] == "USD" else None, width, height)
    title = "cost against expected score of every candidate"
    return (
        "<div style='overflow-x:auto' tabindex='0' role='region' aria-label='chart'>"
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{title}' "
        f"style='display:block;width:100%;min-width:{width - 60}px;max-width:{width}px' font-family='sans-serif' "
        f"font-size='{SMALL}' fill='currentColor'>{plot.axes()}{plot.marks()}{plot.legend()}</svg></div>"
    )


class _Plot:
    def __init__(self, data: Sequence[dict[str, Any]], budget: float | None, width: int, height: int) -> None:
        self._data, self._budget, self._height = data, budget, height
        self._right = width - _BESIDE - _LETTER * max(len(row["name"]) for row in data)
        ends = [row[k] for row in data for k in ("low", "high")] + ([budget] if budget else [])
        self._from, self._to = math.log10(min(ends)) - 0.06, math.log10(max(ends)) + 0.06
        scores = [row["score"] for row in data]
        pad = max(2.0, 0.15 * (max(scores) - min(scores)))
        self._low, self._high = max(0.0, min(scores) - pad), min(100.0, max(scores) + pad)

    def _x(self, cost: float) -> float:
        span: float = (math.log10(cost) - self._from) / max(1e-9, self._to - self._from)
        return _LEFT + span * (self._right - _LEFT)

    def _y(self, score: float) -> float:
        span: float = (score - self._low) / max(1e-9, self._high - self._low)
        return self._height - _BOTTOM - span * (self._height - _TOP - _BOTTOM)

    def axes(self) -> str:
        bottom, right = self._height - _BOTTOM, self._right
        parts = [f"<path d='M{_LEFT},{_TOP}V{bottom}H{right:.1f}' fill='none' stroke='{_INK}' stroke-opacity='.6'/>"]
        for value in _ticks(self._low, self._high):
            y = self._y(value)
            parts.append(f"<path d='M{_LEFT},{y:.1f}H{right:.1f}' stroke='{_INK}' stroke-opacity='.2'/>")
            parts.append(f"<text x='{_LEFT - 5}' y='{y + 3:.1f}' text-anchor='end'>{value:g}</text>")
        unit = self._data[0]["unit"]
        for cost in _decades(self._from, self._to):
            label = f"${cost:,.4g}" if unit == "USD" else f"{cost:,.0f}"
            parts.append(f"<text x='{self._x(cost):.1f}' y='{bottom + 13}' text-anchor='middle'>{label}</text>")
        label = f"{'cost' if unit == 'USD' else 'calls made'}, expected with 80% interval"
        parts.append(f"<text x='{(_LEFT + right) / 2:.1f}' y='{bottom + 28}' text-anchor='middle'>{label}</text>")
        turned = f"translate(11,{(_TOP + bottom) / 2}) rotate(-90)"
        parts.append(f"<text transform='{turned}' text-anchor='middle'>expected score (points)</text>")
        if self._budget:
            x = self._x(self._budget)
            parts.append(f"<path d='M{x:.1f},{_TOP}V{bottom}' stroke='{VERMILION}' stroke-dasharray='4 3'/>")
            parts.append(f"<text x='{x - 3:.1f}' y='{_TOP + 8}' text-anchor='end'>budget</text>")
        return "".join(parts)

    def marks(self) -> str:
        parts = []
        rows = sorted(self._data, key=lambda r: -float(r["score"]))
        beside = self._right + _BESIDE
        for row, name_y in zip(rows, _apart([self._y(r["score"]) for r in rows], self._height - _BOTTOM), strict=True):
            x, y, colour = self._x(row["cost"]), self._y(row["score"]), _COLOURS[row["kind"]]
            low, high = self._x(row["low"]), self._x(row["high"])
            hint = f"{row['name']}: {row['score']:.0f} points ({row['worst']:.0f} to {row['best']:.0f})"
            joined = f"M{max(high, x + 6):.1f},{y:.1f}L{beside - 10:.1f},{name_y:.1f}h7"
            weight = " font-weight='600'" if row["kind"] == "recommended" else ""
            parts.append(
                f"<g fill='{colour}' stroke='{colour}'><title>{escape(hint)}</title>"
                f"<path d='{joined}' fill='none' stroke-opacity='.3'/>"
                f"<path d='M{low:.1f},{y:.1f}H{high:.1f}' stroke-opacity='.6' stroke-width='1.5'/>"
                f"{_symbol(row['kind'], x, y)}"
                f"<text x='{beside:.1f}' y='{name_y + 3:.1f}' stroke='none' fill='currentColor'{weight}>"
                f"{escape(row['name'])}</text></g>"
            )
        return "".join(parts)

    def legend(self) -> str:
        y, parts = self._height - 4, []
        for place, kind in enumerate(_COLOURS):
            x = _LEFT + 110 * place
            parts.append(f"<g fill='{_COLOURS[kind]}' stroke='{_COLOURS[kind]}'>{_symbol(kind, x + 5, y - 3)}</g>"
                         f"<text x='{x + 14}' y='{y}'>{kind}</text>")  # fmt: skip
        return "".join(parts)


def _apart(heights: Sequence[float], bottom: float) -> list[float]:
    """Move sorted heights apart to a line each, and no more than that; the last ends above `bottom` if all fit."""
    moved: list[float] = []
    for y in heights:
        moved.append(max(y, moved[-1] + _LINE) if moved else y)
    below = bottom
    for place in reversed(range(len(moved))):
        moved[place] = min(moved[place], below)
        below = moved[place] - _LINE
    return moved


def _symbol(kind: str, x: float, y: float) -> str:
    if kind == "recommended":
        return f"<path d='M{x:.1f},{y - 6:.1f}l6,6l-6,6l-6,-6z'/>"
    if kind == "possible":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4'/>"
    return f"<path d='M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8' fill='none' stroke-width='2'/>"


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (high - low) / s <= 6 or s == 50)  # noqa: PLR2004  six lines
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    every = (1, 2, 5) if high - low < 2 else (1,)  # noqa: PLR2004  two powers of ten
    values = [s * 10.0**n for n in range(math.floor(low), math.ceil(high) + 1) for s in every]
    return [v for v in values if low <= math.log10(v) <= high]
