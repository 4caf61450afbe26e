"""The scale of all faces: sizes of type, spacing, lines and colours, for styles in line, style sheets and charts.

Text has the page's own colour, which its theme chose to be read on its ground; what is quiet is mixed with that
ground and keeps a contrast of 4.5 : 1 in JupyterLab's light and dark theme.  Series of a chart are of Okabe and
Ito's palette, which colour-blind readers tell apart, and differ in shape or dash as well.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SMALL, TEXT, TITLE = 12, 13, 15  # pixels of type: what marks a chart, what is read, what heads it
LEADING: Final = 1.45
GAP: Final = 4  # pixels; spaces are this, or two or three of it
WIDE: Final = 960  # pixels of the widest face but those that use the whole page

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
"""Of the palette, those with contrast to both white and black first."""

GREY: Final = "#7a7a7a"  # of marks that stand for what is plain: 4.3 : 1 on white, as on black
LINE: Final = "rgba(128,128,128,.35)"  # between rows, around boxes
EDGE: Final = "rgba(128,128,128,.75)"  # of what can be clicked or typed into
SOFT: Final = "rgba(128,128,128,.12)"  # a ground that sets off
QUIET: Final = ".8"  # opacity of text that is not looked for first
INK: Final = "#767676"  # of pictures that know nothing of their page: 4.5 : 1 on white, 4.2 : 1 on JupyterLab's dark
LIVE_INK: Final = "var(--jp-content-font-color1, var(--vscode-foreground, CanvasText))"  # of charts that do


@cache
def _scale() -> str:
    names = {
        "text": f"{TEXT}px", "small": f"{SMALL}px", "title": f"{TITLE}px", "leading": LEADING, "wide": f"{WIDE}px",
        "gap": f"{GAP}px", "line": LINE, "edge": EDGE, "soft": f"var(--jp-layout-color2, {SOFT})", "quiet": QUIET,
        "ink": "var(--jp-ui-font-color1, CanvasText)", "ground": "var(--jp-layout-color1, Canvas)", "focus": "#3b8eea",
        "blue": BLUE, "red": VERMILION, "green": GREEN, "orange": ORANGE,
    }  # fmt: skip
    return "".join(f"--sf-{name}:{value};" for name, value in names.items())


def stylesheet(file: Path) -> str:
    """Read the style sheet of a face, below the scale and what all faces share (``static/face.css``)."""
    shared = file.with_name("face.css").read_text("utf-8")
    return f".sf-face{{{_scale()}}}\n{shared}\n{file.read_text('utf-8')}"


def script(file: Path) -> str:
    """Read the module of a face, behind what all faces draw with (``static/dom.js``)."""
    return f"{file.with_name('dom.js').read_text('utf-8')}\n{file.read_text('utf-8')}"
