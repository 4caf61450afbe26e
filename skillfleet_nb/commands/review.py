"""What a run asks a person: how the question looks, and the command that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note
from skillfleet_nb.html import NO_MATH, Readable, fill, join, table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.reports.skill_cards import beside, cards_html
from skillfleet_nb.runs.review.answers import CHOICES

if TYPE_CHECKING:
    import argparse

    from markupsafe import Markup

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.events import ReviewAsked
    from skillfleet_nb.runs.jobs.job import Job

_ABOUT = """Answer what a job asks, from any process; without an answer, show the question.

The answer is read by whole words: yes ok okay continue approve accept save y, revise change edit modify fix
update, or cancel abort stop quit no n (settings answer_proceed, answer_revise, answer_cancel). A text of your
own stands behind a colon, 'revise: TEXT', or in the cell under %%skillfleet answer JOB --as revise."""


@command(
    "answer",
    "answer what a job asks, in words or by a choice",
    argument("name", metavar="JOB", help="name or id"),
    argument("text", nargs="*", metavar="ANSWER", help="in words; none shows the question"),
    argument("--as", dest="choice", choices=CHOICES, help="take the text as it is, for this choice"),
    about=_ABOUT,
    examples=(
        "answer intents yes",
        'answer intents "revise: Classify the message by intent."',
        "%%skillfleet answer intents --as revise",
    ),
    task="Optimise",
    place=2,
)
def _answer(c: Context, a: argparse.Namespace) -> object:
    job = c.fleet.job(a.name)
    text = " ".join(a.text) or (c.cell or "").strip()
    if not (text or a.choice):
        return QuestionView(job) if job.question else Note(f"{job.name} asks nothing: it is {job.state}")
    waits = not job.state.is_finished()
    answer = c.fleet.answer(a.name, text, a.choice)
    way = "watch" if waits else "resume"
    then = "it goes on" if waits else "the answer is kept"
    return Note(f"{job.name}: {answer.choice}; {then}: {as_typed(f'{way} {quote(job.name)}')}")


@dataclass(frozen=True)
class QuestionView(Readable):
    """The open question of a job, and how to answer it; nothing where there is none."""

    job: Job

    def _rows(self, asked: ReviewAsked) -> list[list[str]]:
        return [*([k, v] for k, v in asked.details.items()), *([f"→ {c}", does] for c, does in asked.options.items())]

    def text(self) -> str:
        """Return the question, what can be answered, and how."""
        asked = self.job.question
        if asked is None:
            return ""
        rows = self._rows(asked)
        width = max((len(word) for word, _ in rows), default=0)
        diff = self.job.proposed()
        parts = [
            f"{self.job.name} asks: {asked.question}" + (f" ({asked.note})" if asked.note else ""),
            "\n".join(f"  {word:<{width}}  {text}" for word, text in rows),
            str(diff) if diff is not None else "",
            how_to_answer(self.job.name, asked),
        ]
        return "\n".join(part for part in parts if part)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        asked = self.job.question
        if asked is None:
            return ""
        return fill(
            "{}<div style='overflow-wrap:anywhere'>{}</div>",
            question_html(self.job, asked),
            how_to_answer(self.job.name, asked),
        )


def question_html(job: Job, asked: ReviewAsked) -> Markup:
    """Return a question with what to decide by, without the ways to answer it."""
    note = fill("<div style='margin:2px 0'><i>{}</i></div>", asked.note) if asked.note else ""
    cards = job.picture()["cards"]
    beside_cards = beside(cards, asked.details)
    details = table([], list(beside_cards.items())) if beside_cards else ""
    diff = job.proposed()
    changes = fill("<details open><summary>What would change</summary>{}</details>", diff.html()) if diff else ""
    heading = fill("<div style='margin:4px 0'><b>{}</b> asks: <b>{}</b></div>", job.name, asked.question)
    asked_about = [card for card in cards if card["name"] in asked.details]
    body = join([heading, note, cards_html(asked_about, asked.details), details, changes])
    return fill("<div class='{}' style='max-width:60em;overflow-wrap:anywhere'>{}</div>", NO_MATH, body)


def how_to_answer(name: str, asked: ReviewAsked) -> str:
    """Say in one line how to answer without a widget."""
    way = as_typed(f"answer {quote(name)}")
    words = "ANSWER" if asked.asks == "clarify" else "yes"
    return f"answer with: {way} {words}, or 'revise: TEXT', or no"
