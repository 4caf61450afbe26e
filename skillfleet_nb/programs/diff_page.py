"""A program diff as HTML: changes one after the other, or both programs in two columns.

Changes are marked with ``<ins>`` and ``<del>``, in columns with ``<mark>``: screen readers tell these, and
they are underlined or struck through, not only coloured.  Colours follow JupyterLab's theme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.example import example_html
from skillfleet_nb.format import counted
from skillfleet_nb.html import NO_MATH, fill, join, passage
from skillfleet_nb.programs.changes import LONG, outside_space, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from skillfleet_nb.programs.changes import Demo, Piece, PredictorDiff, TextChange

_SAME = "identical: same instructions, same demos"
# Transparent colours over the page's own background read in light and dark themes alike.
_INS = "background:rgba(46,160,67,.22);text-decoration:underline;color:inherit"
_DEL = "background:rgba(218,54,51,.22);text-decoration:line-through;color:inherit"
_MARK = "background:rgba(230,159,0,.25);text-decoration:underline;color:inherit"
_COLUMNS = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22em),1fr));gap:8px 16px;margin:6px 0"
_COLUMN = "min-width:0;max-height:26em;overflow:auto"


def page(predictors: Sequence[PredictorDiff]) -> Markup:
    """Return the changes, one after the other."""
    if all(p.identical for p in predictors):
        return fill("<p>{}</p>", _SAME)
    return fill('<div class="skillfleet-diff {}">{}</div>', NO_MATH, join(map(_predictor, predictors)))


def columns(predictors: Sequence[PredictorDiff], left: str, right: str) -> Markup:
    """Return both programs in two columns under these titles; on a narrow page one above the other."""
    if all(p.identical for p in predictors):
        return fill("<p>{}</p>", _SAME)
    parts = join(_predictor_columns(p, left, right) for p in predictors)
    return fill('<div class="skillfleet-diff {}">{}</div>', NO_MATH, parts)


def _section(diff: PredictorDiff, body: Markup) -> Markup:
    title = "" if diff.name == "self" else fill("<h4>{}</h4>", diff.name)
    label = f"changes of {'the program' if diff.name == 'self' else diff.name}"
    return fill('<section aria-label="{}">{}{}</section>', label, title, body)


def _predictor(diff: PredictorDiff) -> Markup:
    changes = join(map(_change, (diff.instructions, *diff.fields)))
    demos = join(
        _demos(word, tag, some)
        for word, tag, some in (("added", "ins", diff.added), ("removed", "del", diff.removed), ("kept", "", diff.kept))
    )
    return _section(diff, join([changes, demos or _no_demos()]))


def _change(change: TextChange) -> Markup:
    what = fill("<strong>{}</strong>", change.what)
    if not change.changed:
        return fill("<p>{}: unchanged</p>", what)
    if change.before is None or change.after is None:
        parts: list[Piece] = [("+", change.after or "")] if change.before is None else [("-", change.before)]
    else:
        parts = pieces(change.before, change.after)
    between = "" if any(op == "=" for op, _ in parts) else "\n"
    length = sum(len(text) for _, text in parts)
    return _folded(what, passage(_drawn(parts, between)), fold=length > LONG)


def _predictor_columns(diff: PredictorDiff, left: str, right: str) -> Markup:
    changes = join(_change_columns(c, left, right) for c in (diff.instructions, *diff.fields))
    sides = [
        join(_demos(word, "", some) for word, some in ((alone, own), ("in both", diff.kept))) or _no_demos()
        for alone, own in (("only here", diff.removed), ("only here", diff.added))
    ]
    return _section(diff, join([changes, _two(*sides, left=f"demos of {left}", right=f"demos of {right}")]))


def _change_columns(change: TextChange, left: str, right: str) -> Markup:
    what = fill("<strong>{}</strong>", change.what)
    if not change.changed:
        return _folded(fill("{}: the same in both", what), passage(change.after or ""), fold=True)
    if change.before is None or change.after is None:
        sides = [passage(text) if text is not None else fill("<p>none</p>") for text in (change.before, change.after)]
    else:
        parts = pieces(change.before, change.after)
        sides = []
        for text, own in ((change.before, "-"), (change.after, "+")):
            mine = [("=" if op == "=" else "*", piece) for op, piece in parts if op in {"=", own}]
            # With nothing in common, marking all of both would only make them hard to read.
            sides.append(passage(_drawn(mine, "") if any(op == "=" for op, _ in mine) else text))
    return fill("<p>{}</p>{}", what, _two(*sides, left=left, right=right))


def _two(*sides: Markup, left: str, right: str) -> Markup:
    boxes = join(
        fill(
            '<div style="min-width:0"><div style="opacity:.75;overflow-wrap:anywhere">{title}</div>'
            '<div style="{style}" tabindex="0" role="region" aria-label="{title}">{body}</div></div>',
            title=title, style=_COLUMN, body=body,
        )
        for title, body in zip((left, right), sides, strict=True)
    )  # fmt: skip
    return fill('<div style="{}">{}</div>', _COLUMNS, boxes)


def _drawn(parts: Sequence[tuple[str, str]], between: str) -> Markup:
    """Draw pieces, marked as their operation says: ``+``, ``-``, ``*`` for what is on this side alone."""
    marks: dict[str, Callable[[str], str]] = {
        "=": lambda text: fill("{}", text),
        "+": lambda text: _marked("ins", text),
        "-": lambda text: _marked("del", text),
        "*": lambda text: _marked("mark", text),
    }
    return fill("{}", between).join(outside_space(text, marks[op]) for op, text in parts)


def _demos(word: str, tag: str, demos: Sequence[Demo]) -> Markup:
    if not demos:
        return join([])
    listed = []
    for demo in demos:
        body = example_html(demo)
        listed.append(fill("<li>{}</li>", _marked(tag, body) if tag else body))
    count = fill("<strong>{} {}</strong>", counted(demos, "demo"), word)
    return _folded(count, fill("<ol>{}</ol>", join(listed)), fold=True)


def _no_demos() -> Markup:
    return fill("<p>no demos</p>")


def _marked(tag: str, text: str | Markup) -> Markup:
    style = {"ins": _INS, "del": _DEL, "mark": _MARK}[tag]
    return fill('<{tag} style="{style}">{text}</{tag}>', tag=tag, style=style, text=text)


def _folded(title: Markup, body: Markup, *, fold: bool) -> Markup:
    if fold:
        return fill("<details><summary>{}</summary>{}</details>", title, body)
    return fill("<p>{}</p>{}", title, body)
