"""What is known of a skill while a job creates it, as cards that every face shows: intent, plan, draft and the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from skillfleet_nb.format import counted, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.events import SkillCard
    from skillfleet_nb.projection import JobRecord

_TITLES: Final = {
    "research": "What the documents say",
    "similar": "Skills that are there",
    "intent": "What it is for",
    "template": "Template",
    "plan": "Plan",
    "draft": "Draft",
}
_SHOWN_IN_TEXT: Final = ("intent", "similar", "template", "plan")


class Card(NamedTuple):
    """A card, of plain values: `score` in points, `findings` None where nothing was judged yet."""

    name: str
    title: str
    facts: list[tuple[str, str]]
    text: str = ""
    score: float | None = None
    findings: list[str] | None = None


def cards(p: JobRecord) -> list[Card]:
    """Tell what is known of the skill that a job creates, in the order in which it comes to be known.

    Parameters
    ----------
    p
        Of the job.
    """
    newest: dict[str, SkillCard] = {one.card: one for one in p.cards}
    drawn: list[Card] = []
    for name, title in _TITLES.items():
        if name == "draft":
            drawn += _draft(p.cards, is_over=p.state.is_finished())
        elif (card := newest.get(name)) is not None:
            path = newest.get("path") if name == "plan" else None
            facts = {**card.facts, **(path.facts if path is not None else {})}
            drawn.append(Card(name, title, list(facts.items()), card.text))
    return drawn


def card_rows(p: JobRecord) -> list[tuple[str, str]]:
    """Tell the cards in a line each, as pairs of a word and its value."""
    rows: list[tuple[str, str]] = []
    for card in cards(p):
        facts = dict(card.facts)
        if card.name in _SHOWN_IN_TEXT:
            rows.append((card.name, "; ".join(facts.get(card.name, "").splitlines())))
        elif card.name == "draft":
            quality = f"quality {points(card.score / 100)}, " if card.score is not None else ""
            findings = counted(card.findings, "finding") if card.findings is not None else facts.get("written", "")
            rows.append(("draft", f"{quality}{findings}"))
    return rows


def _draft(events: Sequence[SkillCard], *, is_over: bool) -> list[Card]:
    """Return the draft that is looked at, or as much as is written of the first, or of a revision till all is over."""
    drafts = [one for one in events if one.card == "draft"]
    if drafts:
        last, newest = drafts[-1], events[-1]
        quality = {one.facts["draft"]: points(one.score) for one in drafts if one.score is not None}
        if newest.card == "writing" and not is_over:
            title = f"Draft {newest.facts['draft']}, being written"
            return [Card("draft", title, [("quality of each draft", ", ".join(quality.values()))], newest.text)]
        n, of = last.facts["draft"], last.facts["drafts"]
        title = "Draft" if of == "1" else f"Draft {n}" if n == of else f"Draft {n}, the best of {of}"
        facts = [("quality of each draft", ", ".join(quality.values()))] if len(quality) > 1 else []
        facts += [("closeness to the task", last.facts["closeness"])] if "closeness" in last.facts else []
        score = None if last.score is None else round(100 * last.score, 1)
        return [Card("draft", title, facts, last.text, score, list(last.findings))]
    sections = [one for one in events if one.card in {"section", "writing"}]
    if not sections:
        return []
    text = "\n\n".join(one.text for one in sections)
    return [Card("draft", "Draft, being written", list(sections[-1].facts.items()), text)]
