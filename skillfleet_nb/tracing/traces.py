"""Traces as a person reads them: trees of calls, with time, tokens and cost, in text and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skillfleet_nb.design import LINE, QUIET
from skillfleet_nb.example import answer_fields, example_html, response_fields
from skillfleet_nb.format import counted, duration, is_missing, money, one_line
from skillfleet_nb.html import NO_MATH, Readable, breakable, fill, join

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.example import Read

_MOST_CHILDREN = 20  # of a call, that are shown one by one
_MOST_PAGE_NODES = 400
_LEAST_CHILDREN = 2  # of a call that are shown on a page, however many traces there are
_NONE = "nothing is recorded yet: no trial has ended, and no model was called"
_CALLS = {"chat", "text_completion"}
_TOOL = "execute_tool"


@dataclass
class Node:
    """A call in a tree: a row of ``spans``, and the calls it made."""

    row: Mapping[str, Any]
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield it and all calls below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def title(self) -> str:
        """What was called."""
        kind = (self.row["attributes"] or {}).get("dspy.module")
        prefix = "tool " if self.row["operation"] == _TOOL else ""
        prefix = "unreadable: " if self.row["operation"] == "parse" else prefix
        return f"{prefix}{self.row['name']}" + (f" ({kind})" if kind and kind != self.row["name"] else "")

    def figures(self) -> str:
        """Say in a line how long it took, and what it and all below it used."""
        models = [one.row for one in self.walk() if one.row["operation"] in _CALLS]
        parts = [brief_seconds(self.row["latency_s"])]
        if models:
            tokens = [int(sum(r[k] or 0 for r in models)) for k in ("input_tokens", "output_tokens")]
            costs = [r["cost_usd"] for r in models]
            cached = sum(bool(r["cached"]) for r in models)
            own = self.row["operation"] in _CALLS
            parts += [] if own else [counted(len(models), "call")]
            parts += ["cached" if own else f"{cached} cached"] if cached else []
            parts += [f"{tokens[0]:,} + {tokens[1]:,} tokens"]
            parts += [money(None if any(is_missing(c) for c in costs) else sum(costs))]
        if not is_missing(self.row["error"]):
            parts.append(one_line(str(self.row["error"])))
        return " · ".join(parts)


@dataclass(frozen=True, eq=False, repr=False)
class Traces(Readable):
    """Trees of calls, of a monitored program's predictions or of a job.

    Attributes
    ----------
    of
        The program or job.
    frame
        All calls, columns as in the relation ``spans``.
    note
        What else can be asked.
    """

    of: str
    frame: pd.DataFrame
    note: str = ""
    read: Read | None = None

    @cached_property
    def trees(self) -> list[Node]:
        """The first call of each trace, with those below it."""
        nodes = {}
        for one in self.frame.to_dict("records"):
            row = {str(k): None if not isinstance(v, dict) and is_missing(v) else v for k, v in one.items()}
            nodes[row["trace_id"], row["span_id"]] = Node(row)
        roots: list[Node] = []
        for (trace, _), node in nodes.items():
            parent = nodes.get((trace, node.row["parent_id"]))
            (roots if parent is None else parent.children).append(node)
        return roots

    def __len__(self) -> int:
        return len(self.trees)

    def text(self) -> str:
        """Show the trees as plain text."""
        if not len(self):
            return f"{self.of}: {_NONE}"
        head = f"{self.of}: {counted(len(self), 'trace')}, {counted(len(self.frame), 'span')}"
        return "\n".join([head, "", *self.tree_lines(), *(["", self.note] if self.note else [])])

    def tree_lines(self) -> list[str]:
        """Show each tree as lines, an empty one between two."""
        lines: list[str] = []
        for root in self.trees:
            lines += ["", f"{root.title}  {root.figures()}", *_lines(root, "")]
        return lines[1:]

    def html(self) -> Markup:
        """Show the trees, each call to be opened."""
        if not len(self):
            return fill("<div>{}: {}</div>", self.of, _NONE)
        head = fill("<div style='font-weight:600'>{}: {}</div>", breakable(self.of), counted(len(self), "trace"))
        trees = join(self.pages())
        note = fill("<div style='opacity:{}'>{}</div>", QUIET, self.note) if self.note else ""
        return fill("<div class='{}' style='line-height:1.45'>{}{}{}</div>", NO_MATH, head, trees, note)

    def pages(self, titles: Sequence[str] = ()) -> list[Markup]:
        """Show each tree as what can be opened, under `titles`; without them under its own, open where it is alone."""
        is_open = not titles and len(self) == 1 and len(self.frame) <= _MOST_PAGE_NODES
        titles = titles or [root.title for root in self.trees]
        return [self._page(root, is_open=is_open, title=title) for root, title in zip(self.trees, titles, strict=True)]

    def _page(self, node: Node, *, is_open: bool, title: str) -> Markup:
        from markupsafe import Markup

        most = max(_LEAST_CHILDREN, min(_MOST_CHILDREN, _MOST_PAGE_NODES // len(self)))
        shown = node.children[:most]
        inner = join(self._page(child, is_open=is_open, title=child.title) for child in shown)
        if rest := len(node.children) - len(shown):
            inner += fill("<div style='opacity:{}'>… and {} more</div>", QUIET, rest)
        texts = _texts(node, self.read)
        line = fill(
            "{} <span style='opacity:{};font-variant-numeric:tabular-nums'>{}</span>",
            breakable(title), QUIET, node.figures(),
        )  # fmt: skip
        if not texts and not inner:  # there is nothing to open
            return fill("<div style='padding-left:1.2em'>{}</div>", line)
        body = fill("<div style='padding-left:1.2em;border-left:1px solid {}'>{}{}</div>", LINE, texts, inner)
        return fill(
            "<details{} data-key='{}'><summary>{}</summary>{}</details>",
            Markup(" open") if is_open else "", node.row["span_id"], line, body,
        )  # fmt: skip


def _texts(node: Node, read: Read | None) -> Markup:
    """Show what went in and came out, as every example is shown; nothing where neither was recorded."""
    from markupsafe import Markup

    sent, answer = node.row["input"], node.row["output"]
    is_model = node.row["operation"] in _CALLS
    fields: list[tuple[str, object]] = []
    if sent is not None:
        fields += [("prompt", sent)] if is_model else list(answer_fields(sent).items())
    if answer is not None:
        came = response_fields(str(answer)) if is_model else answer_fields(answer)
        fields += [(f"→ {name}", value) for name, value in came.items()]
    return example_html(fields, read) if fields else Markup()


def _lines(node: Node, indent: str) -> list[str]:
    lines, shown = [], node.children[:_MOST_CHILDREN]
    rest = len(node.children) - len(shown)
    for place, child in enumerate(shown):
        last = place == len(shown) - 1 and not rest
        lines.append(f"{indent}{'└─' if last else '├─'} {child.title}  {child.figures()}")
        lines += _lines(child, indent + ("   " if last else "│  "))
    return lines + ([f"{indent}└─ … and {rest:,} more"] if rest else [])


def brief_seconds(seconds: float) -> str:
    """Write a time of a call.

    Examples
    --------
    >>> brief_seconds(0.0123), brief_seconds(2.345), brief_seconds(75)
    ('12.3 ms', '2.3 s', '1 min 15 s')
    """
    if seconds >= 10:  # noqa: PLR2004  seconds say enough
        return duration(seconds)
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
