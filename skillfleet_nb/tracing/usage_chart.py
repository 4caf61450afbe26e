"""The course of a program's use, as SVG that needs no script: calls and failures, and latency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from skillfleet_nb.design import BLUE, ORANGE, SMALL, VERMILION
from skillfleet_nb.html import fill, join, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from skillfleet_nb.tracing.usage import Stretch

Place: TypeAlias = "Callable[[float], float]"
_W, _H, _LEFT, _RIGHT, _TOP, _BOTTOM = 440, 110, 46, 8, 8, 20
_GRID = "<path d='M{left} {y}H{right}' fill='none' stroke='currentColor' stroke-opacity='.15'/>"
_TEXT = "<text x='{}' y='{}' text-anchor='{}' fill='currentColor' font-size='{}'>{}</text>"


def usage_svg(times: Sequence[Stretch], step_s: float, since: str) -> Markup:
    """Draw calls a minute, those that failed set off, and the latency; `since` names the moment at the left."""
    a_minute = 60 / step_s
    most = max(s.calls for s in times) * a_minute
    slowest_s = max((s.p95_s for s in times if s.p95_s is not None), default=0.0)
    unit, scale = ("s", 1.0) if slowest_s >= 1 else ("ms", 1000.0)
    failed = sum(s.failed for s in times)
    calls = render(
        "curve.html", width=_W, height=_H, parts=_bars(times, since, a_minute, most),
        label=f"calls a minute over time: {most:.3g} at most, {failed:,.0f} calls failed",
        key=[("■", BLUE, "calls a minute"), *([("□", VERMILION, "failed")] if failed else [])],
    )  # fmt: skip
    latency = render(
        "curve.html", width=_W, height=_H, parts=_lines(times, since, scale, slowest_s * scale),
        label=f"latency over time: p95 up to {slowest_s * scale:.3g} {unit}",
        key=[("●", BLUE, f"latency p50, {unit}"), ("◆", ORANGE, f"p95, {unit}")],
    )  # fmt: skip
    style = "display:flex;flex-wrap:wrap;gap:8px 24px;margin:8px 0"
    return fill("<div style='{}'>{}{}</div>", style, *(fill("<div style='flex:1 1 300px;min-width:0'>{}</div>", one)
                                                       for one in (calls, latency)))  # fmt: skip


def _axes(
    most: float, n: int, since: str
) -> tuple[Callable[[float], float], Callable[[float], float], list[str], float]:
    """Return where a part of the time stands, and a value; the axes; and the width of a part."""
    step = _round(most / 2 or 0.5)
    top = step * math.ceil(most / step - 1e-9) if most else step
    width = (_W - _LEFT - _RIGHT) / n

    def x(number: float) -> float:
        return round(_LEFT + width * number, 1)

    def y(value: float) -> float:
        return round(_TOP + (_H - _TOP - _BOTTOM) * (1 - value / top), 1)

    lines = [step * k for k in range(round(top / step) + 1)]
    parts = [fill(_GRID, left=_LEFT, right=_W - _RIGHT, y=y(v)) for v in lines]
    parts += [fill(_TEXT, _LEFT - 6, y(v) + 4, "end", SMALL, f"{v:g}") for v in lines]
    parts += [
        fill(_TEXT, _LEFT, _H - 4, "start", SMALL, since),
        fill(_TEXT, _W - _RIGHT, _H - 4, "end", SMALL, "now"),
    ]
    return x, y, [str(join(parts))], width


def _round(value: float) -> float:
    """Return the least of 1, 2, 5, 10, … times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{k * power:.6g}") for k in (1, 2, 5, 10) if k * power >= value * (1 - 1e-9))


def _bars(times: Sequence[Stretch], since: str, a_minute: float, most: float) -> list[str]:
    x, y, parts, width = _axes(most, len(times), since)

    def bar(number: int, low: float, high: float) -> str:
        return f"M{x(number + 0.1)} {y(low)}V{y(high)}h{width * 0.8:.1f}V{y(low)}z" if high > low else ""

    answered = "".join(bar(n, s.failed * a_minute, s.calls * a_minute) for n, s in enumerate(times))
    failed = "".join(bar(n, 0, s.failed * a_minute) for n, s in enumerate(times))
    hollow = f"<path d='{failed}' fill='{VERMILION}' fill-opacity='.25' stroke='{VERMILION}' stroke-width='1.5'/>"
    return [*parts, f"<path d='{answered}' fill='{BLUE}'/>", *([hollow] if failed else [])]


def _lines(times: Sequence[Stretch], since: str, scale: float, most: float) -> list[str]:
    x, y, parts, _ = _axes(most, len(times), since)
    p50 = [(x(n + 0.5), y(s.p50_s * scale)) for n, s in enumerate(times) if s.p50_s is not None]
    p95 = [(x(n + 0.5), y(s.p95_s * scale)) for n, s in enumerate(times) if s.p95_s is not None]
    dots = "".join(f"M{a - 3} {b}a3 3 0 1 0 6 0a3 3 0 1 0-6 0z" for a, b in p50)
    diamonds = "".join(f"M{a} {b - 3.5}l3.5 3.5-3.5 3.5-3.5-3.5z" for a, b in p95)
    joined = [f"M{'L'.join(f'{a} {b}' for a, b in line)}" for line in (p50, p95)]
    return [
        *parts,
        f"<path d='{joined[1]}' fill='none' stroke='{ORANGE}' stroke-opacity='.7' stroke-dasharray='4 3'/>",
        f"<path d='{joined[0]}' fill='none' stroke='{BLUE}' stroke-opacity='.7'/>",
        f"<path d='{diamonds}' fill='{ORANGE}'/><path d='{dots}' fill='{BLUE}'/>",
    ]
