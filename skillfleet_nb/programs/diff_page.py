"""A program diff as HTML: changes one after the other, or both programs in two columns.

Changes are marked with ``<ins>`` and ``<del>``, in columns with ``<mark>``: screen readers tell these, and
they are underlined or struck through, not only coloured.  Colours follow JupyterLab's theme.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skillfleet_nb.html import NO_MATH, PASSAGE
from skillfleet_nb.programs.diff import LONG, outside_space, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.programs.diff import Demo, Piece, PredictorDiff, ProgramDiff, TextChange

_SAME = "identical: same instructions, same demos"
# Transparent colours over the page's own background read in light and dark themes alike.
_INS = "background:rgba(46,160,67,.22);text-decoration:underline;color:inherit"
_DEL = "background:rgba(218,54,51,.22);text-decoration:line-through;color:inherit"
_MARK = "background:rgba(230,159,0,.25);text-decoration:underline;color:inherit"
_COLUMNS = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22em),1fr));gap:8px 16px;margin:6px 0"
_COLUMN = "min-width:0;max-height:26em;overflow:auto"


def page(diff: ProgramDiff) -> str:
    """Return the changes, one after the other."""
    if diff.identical:
        return f"<p>{_SAME}</p>"
    return f'<div class="skillfleet-diff {NO_MATH}">{"".join(map(_predictor, diff.predictors))}</div>'


def columns(diff: ProgramDiff, left: str, right: str) -> str:
    """Return both programs in two columns under these titles; on a narrow page one above the other."""
    if diff.identical:
        return f"<p>{_SAME}</p>"
    parts = "".join(_predictor_columns(p, left, right) for p in diff.predictors)
    return f'<div class="skillfleet-diff {NO_MATH}">{parts}</div>'


def _section(diff: PredictorDiff, body: str) -> str:
    title = "" if diff.name == "self" else f"<h4>{escape(diff.name)}</h4>"
    label = escape(f"changes of {'the program' if diff.name == 'self' else diff.name}")
    return f'<section aria-label="{label}">{title}{body}</section>'


def _predictor(diff: PredictorDiff) -> str:
    changes = "".join(map(_change, (diff.instructions, *diff.fields)))
    demos = "".join(
        _demos(word, tag, some)
        for word, tag, some in (("added", "ins", diff.added), ("removed", "del", diff.removed), ("kept", "", diff.kept))
    )
    return _section(diff, f"{changes}{demos or '<p>no demos</p>'}")


def _change(change: TextChange) -> str:
    what = escape(change.what)
    if not change.changed:
        return f"<p><strong>{what}</strong>: unchanged</p>"
    if change.before is None or change.after is None:
        found: list[Piece] = [("+", change.after or "")] if change.before is None else [("-", change.before)]
    else:
        found = pieces(change.before, change.after)
    between = "" if any(op == "=" for op, _ in found) else "\n"
    length = sum(len(text) for _, text in found)
    return _folded(f"<strong>{what}</strong>", _passage(_drawn(found, between)), fold=length > LONG)


def _predictor_columns(diff: PredictorDiff, left: str, right: str) -> str:
    changes = "".join(_change_columns(c, left, right) for c in (diff.instructions, *diff.fields))
    sides = [
        "".join(_demos(word, "", some) for word, some in ((alone, own), ("in both", diff.kept))) or "<p>no demos</p>"
        for alone, own in (("only here", diff.removed), ("only here", diff.added))
    ]
    return _section(diff, changes + _two(*sides, left=f"demos of {left}", right=f"demos of {right}"))


def _change_columns(change: TextChange, left: str, right: str) -> str:
    what = f"<strong>{escape(change.what)}</strong>"
    if not change.changed:
        return _folded(f"{what}: the same in both", _passage(escape(change.after or "")), fold=True)
    if change.before is None or change.after is None:
        sides = [
            _passage(escape(text)) if text is not None else "<p>none</p>" for text in (change.before, change.after)
        ]
    else:
        found = pieces(change.before, change.after)
        sides = []
        for text, own in ((change.before, "-"), (change.after, "+")):
            mine = [("=" if op == "=" else "*", piece) for op, piece in found if op in {"=", own}]
            # With nothing in common, marking all of both would only make them hard to read.
            sides.append(_passage(_drawn(mine, "") if any(op == "=" for op, _ in mine) else escape(text)))
    return f"<p>{what}</p>{_two(*sides, left=left, right=right)}"


def _two(*sides: str, left: str, right: str) -> str:
    boxes = "".join(
        f'<div style="min-width:0"><div style="opacity:.75;overflow-wrap:anywhere">{escape(title)}</div>'
        f'<div style="{_COLUMN}" tabindex="0" role="region" aria-label="{escape(title)}">{body}</div></div>'
        for title, body in zip((left, right), sides, strict=True)
    )
    return f'<div style="{_COLUMNS}">{boxes}</div>'


def _drawn(found: Sequence[tuple[str, str]], between: str) -> str:
    """Draw pieces, marked as their operation says: ``+``, ``-``, ``*`` for what is on this side alone."""
    marks: dict[str, Callable[[str], str]] = {
        "=": str,
        "+": lambda text: _marked("ins", text),
        "-": lambda text: _marked("del", text),
        "*": lambda text: _marked("mark", text),
    }
    return between.join(outside_space(escape(text), marks[op]) for op, text in found)


def _demos(word: str, tag: str, demos: Sequence[Demo]) -> str:
    if not demos:
        return ""
    listed = []
    for demo in demos:
        body = "\n".join(f"{escape(name)}: {escape(value)}" for name, value in demo)
        listed.append(f"<li>{_passage(_marked(tag, body) if tag else body)}</li>")
    count = f"<strong>{len(demos)} demo{'s' * (len(demos) > 1)} {word}</strong>"
    return _folded(count, f"<ol>{''.join(listed)}</ol>", fold=True)


def _passage(body: str) -> str:
    return f'<div style="{PASSAGE}">{body}</div>'


def _marked(tag: str, escaped: str) -> str:
    style = {"ins": _INS, "del": _DEL, "mark": _MARK}[tag]
    return f'<{tag} style="{style}">{escaped}</{tag}>'


def _folded(title: str, body: str, *, fold: bool) -> str:
    return f"<details><summary>{title}</summary>{body}</details>" if fold else f"<p>{title}</p>{body}"
