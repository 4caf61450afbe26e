"""Cards of a skill that a job creates, as HTML that needs no script: what its live view shows, and all that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.design import BLUE, LINE
from skillfleet_nb.format import counted
from skillfleet_nb.html import fill, items, join

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from markupsafe import Markup

_TEXT: Final = (
    f"flex:3 1 22em;min-width:0;max-height:24em;margin:0;overflow:auto;padding:4px 8px;border:1px solid {LINE};"
    "border-radius:4px;white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-family:var(--jp-code-font-family,monospace)"
)
_FACTS: Final = "display:grid;grid-template-columns:max-content minmax(0,1fr);gap:1px 14px;margin:2px 0"
_BAR: Final = f"height:5px;border-radius:3px;overflow:hidden;background:{LINE}"


def cards_html(cards: Sequence[Mapping[str, Any]], opened: Collection[str] = ()) -> Markup:
    """Return the cards of a picture of a job; those of the names `opened` are open.

    Examples
    --------
    >>> card = {"name": "plan", "title": "Plan", "facts": [["plan", "a <b>"]], "text": "", "score": None}
    >>> "a &lt;b&gt;" in cards_html([card | {"findings": None}])
    True
    """
    return join(_card(card, is_open=card["name"] in opened) for card in cards)


def beside(cards: Sequence[Mapping[str, Any]], details: Mapping[str, str]) -> dict[str, str]:
    """Return what a question says that no card shows."""
    shown = {label for card in cards for label in (card["name"], *(word for word, _ in card["facts"]))}
    if any(card["score"] is not None for card in cards):
        shown |= {"quality", "findings"}
    return {label: text for label, text in details.items() if label not in shown}


def _card(card: Mapping[str, Any], *, is_open: bool) -> Markup:
    facts = join(
        fill("<dt style='opacity:.8'>{}</dt><dd style='margin:0;white-space:pre-wrap'>{}</dd>", word, text)
        for word, text in card["facts"]
    )
    parts = [
        fill("<dl style='{}'>{}</dl>", _FACTS, facts) if card["facts"] else "",
        fill("<div style='display:flex;flex-wrap:wrap;gap:8px 16px'>{}{}</div>", _text(card), _judgement(card))
        if card["text"] or card["score"] is not None
        else "",
    ]
    details = fill("<details style='margin:4px 0'{}>", join([fill(" open" if is_open else "")]))
    return join([details, fill("<summary>{}</summary>", card["title"]), *parts, fill("</details>")])


def _text(card: Mapping[str, Any]) -> Markup:
    if not card["text"]:
        return fill("")
    return fill("<pre style='{}' tabindex='0' aria-label='{}'>{}</pre>", _TEXT, card["title"], card["text"])


def _judgement(card: Mapping[str, Any]) -> Markup:
    if card["score"] is None:
        return fill("")
    bar = fill("<div style='{}'><div style='height:5px;width:{}%;background:{}'></div></div>",
               _BAR, round(card["score"]), BLUE)  # fmt: skip
    findings = card["findings"]
    said = items(findings, title=counted(findings, "finding")) if findings else fill("<div>nothing found wrong</div>")
    return fill("<div style='flex:1 1 14em;min-width:0'><div>quality {}</div>{}{}</div>",
                f"{card['score']:.1f}", bar, said)  # fmt: skip
