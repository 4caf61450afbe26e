"""The versions of a registered program as a timeline: scores with their intervals, aliases as flags."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from skillfleet_nb.format import ago, one_line, points, shortened
from skillfleet_nb.html import fill, join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from skillfleet_nb.programs.registry import ProgramVersion

SHOWN = 40
"""Versions that a timeline shows."""

BLUE, ORANGE = "#0072b2", "#e69f00"  # Okabe and Ito: told apart by colour-blind readers
_LEFT, _RIGHT, _STEP_LEAST, _WIDTH = 40, 24, 26, 640
_PLOT, _BELOW, _FLAG = 110, 34, 20  # heights: of the scores, of the numbers, of a flag
_LONGEST = 16  # characters of an alias on its flag
_CHAR = 6.3  # pixels of a character of 11, on average
_MOST_FLAGS = 5


def timeline(
    versions: Sequence[ProgramVersion], aliases: Mapping[str, int], chosen: int | None = None, *, live: bool = False
) -> Markup:
    """Draw versions from the oldest to the newest, as SVG that needs no script.

    Parameters
    ----------
    versions
        Those to show, :data:`SHOWN` at most, oldest first.
    aliases
        The version that each alias stands for.
    chosen
        The version that is marked.
    live
        Whether a page listens to clicks: each version is a button then.
    """
    step = max(_STEP_LEAST, min(90, (_WIDTH - _LEFT - _RIGHT) / max(1, len(versions))))
    width = round(_LEFT + _RIGHT + step * len(versions))
    x = {v.version: round(_LEFT + step * (i + 0.5), 1) for i, v in enumerate(versions)}
    flags, rows = _flags(x, aliases, width)
    top = rows * _FLAG + 8
    scale = _Scale([s for v in versions for s in _scores(v)], top)
    parts = [_grid(scale, width), *_poles(flags, x, top), *(_flag(*one) for one in flags)]
    parts += [_version(v, x[v.version], scale, aliases, chosen=chosen, live=live) for v in versions]
    height = top + _PLOT + _BELOW
    label = f"versions {versions[0].version} to {versions[-1].version} of {versions[0].name}, by their scores"
    return fill(
        "<svg viewBox='0 0 {w} {h}' width='{w}' height='{h}' role='group' aria-label='{label}' "
        "style='display:block;max-width:none;font-size:11px'>{parts}</svg>",
        w=width, h=height, label=label, parts=join(parts),
    )  # fmt: skip


def legend(versions: Sequence[ProgramVersion]) -> Markup:
    """Say what the marks of a timeline are, those that are there."""
    kinds = {_kind(v) for v in versions}
    marks = {
        "test": ("●", BLUE, "sealed test, with its 95% interval"),
        "val": ("◆", ORANGE, "validation alone"),
        "none": ("□", "inherit", "not scored"),
    }
    shown = [
        fill("<span><span style='color:{}'>{}</span> {}</span>", colour, mark, what)
        for kind, (mark, colour, what) in marks.items()
        if kind in kinds
    ]
    style = "display:flex;flex-wrap:wrap;gap:0 14px;font-size:12px;opacity:.85"
    return fill("<div style='{}'>{}</div>", style, join(shown))


class _Scale:
    """From scores to heights, with round numbers at the lines."""

    def __init__(self, scores: Sequence[float], top: float) -> None:
        low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
        self.step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) <= 4 * s or s == 0.5)  # noqa: PLR2004
        self.low = max(0.0, math.floor(low / self.step + 1e-9) * self.step)
        self.high = max(self.low + self.step, min(1.0, math.ceil(high / self.step - 1e-9) * self.step))
        self.is_empty = not scores
        self._top = top

    def y(self, score: float) -> float:
        return round(self._top + _PLOT * (self.high - score) / (self.high - self.low), 1)

    @property
    def bottom(self) -> float:
        return self.y(self.low)

    @property
    def lines(self) -> list[float]:
        return [] if self.is_empty else [
            round(self.low + n * self.step, 4) for n in range(round((self.high - self.low) / self.step) + 1)
        ]  # fmt: skip


def _kind(version: ProgramVersion) -> str:
    return next((kind for kind in ("test", "val") if version.scores.get(kind) is not None), "none")


def _scores(version: ProgramVersion) -> list[float]:
    names = ("test", "test_low", "test_high") if _kind(version) == "test" else ("val",)
    return [float(version.scores[name]) for name in names if version.scores.get(name) is not None]


def _grid(scale: _Scale, width: float) -> Markup:
    line = "<path d='M{} {}H{}' fill='none' stroke='currentColor' stroke-opacity='.15'/>"
    number = "<text x='{}' y='{}' text-anchor='end' fill='currentColor'>{:.0f}</text>"
    lines = [
        join([fill(line, _LEFT, scale.y(s), width - 8), fill(number, _LEFT - 6, scale.y(s) + 4, 100 * s)])
        for s in scale.lines
    ]
    return join(lines or [fill(line, _LEFT, scale.bottom, width - 8)])


def _flags(
    x: Mapping[int, float], aliases: Mapping[str, int], width: float
) -> tuple[list[tuple[str, float, float, float, int]], int]:
    """Lay the flags of the versions that are shown into rows where none covers another."""
    ends: list[float] = []
    laid: list[tuple[str, float, float, float, int]] = []
    shown = sorted((version, alias) for alias, version in aliases.items() if version in x)
    for version, alias in shown[:_MOST_FLAGS] if len(shown) > 2 * _MOST_FLAGS else shown:
        wide = len(shortened(alias, _LONGEST)) * _CHAR + 12
        left = min(x[version], width - wide - 2)
        row = next((i for i, end in enumerate(ends) if end < left), len(ends))
        ends[row : row + 1] = [left + wide + 4]
        laid.append((alias, left, wide, float(row), version))
    rows = max(1, len(ends))
    return [(alias, left, wide, (rows - 1 - row) * _FLAG + 4, v) for alias, left, wide, row, v in laid], rows


def _poles(flags: Sequence[tuple[str, float, float, float, int]], x: Mapping[int, float], top: float) -> list[Markup]:
    pole = "<path d='M{} {}V{}' fill='none' stroke='currentColor' stroke-opacity='.5' stroke-dasharray='2 3'/>"
    return [fill(pole, x[version], y, top + _PLOT) for _, _, _, y, version in flags]


def _flag(alias: str, left: float, wide: float, y: float, version: int) -> Markup:
    return fill(
        "<g><title>{title}</title><rect x='{x:.1f}' y='{y}' width='{w:.1f}' height='16' rx='3' fill='#0072b2' "
        "fill-opacity='.2' stroke='#0072b2' stroke-opacity='.8'/><text x='{tx:.1f}' y='{ty}' fill='currentColor'>{text}"
        "</text></g>",
        title=f"{alias} is version {version}", x=left, y=y, w=wide, tx=left + 6, ty=y + 12,
        text=shortened(alias, _LONGEST),
    )  # fmt: skip


def _version(
    v: ProgramVersion, x: float, scale: _Scale, aliases: Mapping[str, int], *, chosen: int | None, live: bool
) -> Markup:
    kind, named = _kind(v), [alias for alias, version in aliases.items() if version == v.version]
    y = scale.bottom if kind == "none" else scale.y(_scores(v)[0])
    parts = [fill("<title>{}</title>", _told(v, named))]
    if kind == "test" and len(ends := _scores(v)) > 1:
        bar = "<path d='M{0} {1}V{2}' fill='none' stroke='{3}' stroke-width='2' stroke-opacity='.5'/>"
        parts.append(fill(bar, x, scale.y(ends[1]), scale.y(ends[-1]), BLUE))
    marks: dict[str, Any] = {
        "test": fill("<circle cx='{}' cy='{}' r='5' fill='{}'/>", x, y, BLUE),
        "val": fill("<path d='M{} {}l5 5-5 5-5-5z' fill='{}'/>", x, y - 5, ORANGE),
        "none": fill(
            "<rect x='{}' y='{}' width='8' height='8' fill='none' stroke='currentColor' stroke-opacity='.8'/>",
            x - 4, y - 4,
        ),
    }  # fmt: skip
    parts.append(marks[kind])
    if v.version == chosen:
        ring = "<circle cx='{}' cy='{}' r='9' fill='none' stroke='currentColor' stroke-width='1.5'/>"
        parts.append(fill(ring, x, y))
    weight = "700" if v.version == chosen else "400"
    number = "<text x='{}' y='{}' text-anchor='middle' font-weight='{}' fill='currentColor'>{}</text>"
    parts.append(fill(number, x, scale.bottom + 22, weight, v.version))
    if not live:
        return fill("<g>{}</g>", join(parts))
    target = "<rect x='{}' y='{}' width='24' height='{}' fill='transparent'/>"
    parts.append(fill(target, x - 12, scale.bottom - _PLOT - 4, _PLOT + 30))
    return fill(
        "<g role='button' tabindex='0' data-do='select' data-version='{0}' data-key='version {0}' aria-pressed='{1}' "
        "aria-label='{2}' style='cursor:pointer'>{3}</g>",
        v.version, "true" if v.version == chosen else "false", _told(v, named), join(parts),
    )  # fmt: skip


def _told(v: ProgramVersion, aliases: Sequence[str]) -> str:
    test, val = points(v.scores.get("test")), points(v.scores.get("val"))
    score = f"test {test}" if test else f"validation {val}" if val else "not scored"
    said = [f"version {v.version}", score, *aliases, f"registered {ago(v.at)}", one_line(v.note)]
    return ", ".join(part for part in said if part)
