"""Small pieces of HTML that read well on a light and on a dark page, with everything escaped.

Colours are the page's own or half transparent, so both themes work without a style sheet.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CELL = "padding:2px 8px;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.3)"
NUMBER = CELL.replace("text-align:left", "text-align:right;font-variant-numeric:tabular-nums")
SEVERITY = {"error": "rgba(220,60,60,.25)", "warning": "rgba(220,160,40,.25)", "info": "rgba(80,140,220,.2)"}
NO_MATH = "mathjax_ignore tex2jax_ignore"  # class: pages read what stands between two $ as a formula
PASSAGE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:.3em 0;padding:.4em .6em;"
    "border-left:3px solid var(--jp-border-color1,#8c8c8c);font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);line-height:1.3"
)
_SHORT = 24  # characters that stay on one line
_LONG = ";overflow-wrap:anywhere;min-width:8em"
_WRAP = "overflow-wrap:break-word;max-width:48em"


class Readable:
    """Shows itself as its ``text()`` wherever a page's HTML is not shown: in IPython, on diffs, in exports."""

    def text(self) -> str:
        """Return what there is to read."""
        raise NotImplementedError

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  IPython's protocol
        del cycle
        printer.text(self.text())


def seen_from_here(folder: str | Path) -> str:
    """Name a folder as a person in the working folder would.

    Examples
    --------
    >>> seen_from_here(Path.cwd() / "skills"), seen_from_here("/opt/skills")
    ('skills', '/opt/skills')
    """
    place, here = Path(folder), Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    numeric: Sequence[int] = (),
    colours: Mapping[str, str] | None = None,
) -> str:
    """Return a table.

    Parameters
    ----------
    header, rows
        Texts; an empty header leaves the head out and makes each row's first cell its header.
    title
        Shown above.
    numeric
        Columns aligned to the right.
    colours
        Background of the cells that hold exactly this text.

    Examples
    --------
    >>> "<b>" in table(["name"], [["<b>"]])
    False
    """
    tint = colours or {}

    def cell(at: int, text: str) -> str:
        style = NUMBER if at in numeric else f"{CELL};{'white-space:nowrap' if len(text) <= _SHORT else _WRAP}"
        style += f";background:{tint[text]}" if text in tint else ""
        tag = "td"
        if not header and at == 0:
            tag, style = "th scope='row'", f"{CELL};white-space:nowrap"
        return f"<{tag} style='{style}'>{escape(text)}</{tag.split(maxsplit=1)[0]}>"

    head = "".join(
        f"<th scope='col' style='{NUMBER if at in numeric else CELL}{_LONG * (len(name) > _SHORT)}'>{escape(name)}</th>"
        for at, name in enumerate(header)
    )
    body = "".join("<tr>" + "".join(cell(at, text) for at, text in enumerate(row)) + "</tr>" for row in rows)
    shown_head = f"<thead><tr>{head}</tr></thead>" if header else ""
    return (
        f"<div class='{NO_MATH}' style='overflow-x:auto'>{_title(title)}<table style='border-collapse:collapse'>"
        f"{shown_head}<tbody>{body}</tbody></table></div>"
    )


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[int] = ()) -> str:
    r"""Return the same table as plain text, columns aligned.

    Examples
    --------
    >>> print(text_table(["name", "n"], [["a", "10"]], numeric=[1]))
    name   n
    a     10
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(
            t.rjust(w) if at in numeric else t.ljust(w) for at, (t, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def progress_bar(text: str, share: float | None) -> str:
    """Return `text` under a bar that is `share` full, in [0, 1]; no bar where that is not known.

    Examples
    --------
    >>> "width:25%" in progress_bar("a quarter", 0.25)
    True
    """
    bar = ""
    if share is not None:
        percent = f"{100 * share:.0f}"
        bar = (
            f"<div role='progressbar' aria-valuenow='{percent}' aria-valuemin='0' aria-valuemax='100' "
            "style='height:4px;max-width:60em;margin:6px 0;border-radius:2px;background:rgba(128,128,128,.3)'>"
            f"<div style='width:{percent}%;height:4px;border-radius:2px;background:#0072b2'></div></div>"
        )
    line = f"<div style='font-variant-numeric:tabular-nums;overflow-wrap:anywhere'>{escape(text)}</div>"
    return f"<div class='{NO_MATH}'>{bar}{line}</div>"


def preformatted(text: str, *, title: str = "") -> str:
    """Return `text` as it is, in the page's monospaced font, under a title if there is one."""
    style = "overflow-x:auto;margin:4px 0;font-family:var(--jp-code-font-family,monospace)"
    return f"{_title(title)}<pre style='{style}'>{escape(text)}</pre>"


def items(texts: Iterable[str], *, title: str, fold: bool = False) -> str:
    """Return a list of texts that opens and closes under its title; `fold` shows it closed."""
    listed = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<details{'' if fold else ' open'}><summary>{escape(title)}</summary><ul>{listed}</ul></details>"


def _title(text: str) -> str:
    return f"<div style='font-weight:600;margin:4px 0'>{escape(text)}</div>" if text else ""
