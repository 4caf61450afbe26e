"""A question of a run as a panel: what to decide by, a text box, and Proceed, Revise and Cancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from skillfleet_nb.commands.review import QuestionView, question_html
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.html import NO_MATH, Readable, fill, join
from skillfleet_nb.widgets.clicks import let_in
from skillfleet_nb.widgets.face import Face

if TYPE_CHECKING:
    from skillfleet_nb.events import Choice, ReviewAsked
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.jobs.picture import Picture

_LABELS: dict[Choice, str] = {"proceed": "Proceed", "revise": "Revise", "cancel": "Cancel"}
_STYLES: dict[Choice, str] = {"proceed": "primary", "revise": "", "cancel": ""}


@dataclass(frozen=True)
class _AsAsked(Readable):
    """A question as it was when the panel was made: it stays on the page once it is answered."""

    words: str
    page: str

    def text(self) -> str:
        return self.words

    def html(self) -> str:
        return self.page


class ReviewPanel(Face):
    """What a job asks, to be answered by a click.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    job
        The job, of this process or another.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.asked: ReviewAsked | None = job.question
        asks = QuestionView(job)
        self.answer = _AsAsked(str(asks), str(asks.html()))
        self.text = w.Textarea(
            value=self.asked.draft if self.asked else "",
            placeholder="your answer" if self._takes_text else "your text, for Revise",
            layout=w.Layout(width="100%", max_width="60em", height="5em"),
        )
        self.buttons = {choice: self._button(choice) for choice in _LABELS}
        self.told = w.HTML()
        self.box = self._laid_out()
        job.feed.subscribe(self._look)

    @property
    def _takes_text(self) -> bool:
        return self.asked is not None and self.asked.asks == "clarify"

    def proceed(self, text: str = "") -> None:
        """Go on; `text` is the answer where the question wants one."""
        self._give("proceed", text)

    def revise(self, text: str) -> None:
        """Answer with a text of your own."""
        self._give("revise", text)

    def cancel(self) -> None:
        """Decline."""
        self._give("cancel", "")

    def _give(self, choice: Choice, text: str) -> None:
        self.job.answer(text, choice)
        self._close(f"{choice}: {self._next()}")

    def _next(self) -> str:
        return f"%skillfleet watch {self.job.name} follows the job" if not self.job.state.is_finished() else "kept"

    def _button(self, choice: Choice) -> Any:
        does = (self.asked.options if self.asked else {}).get(choice, "")
        button = w.Button(
            description=_LABELS[choice], tooltip=does, button_style=_STYLES[choice], layout=w.Layout(width="8em")
        )
        let_in(button.comm)
        button.on_click(lambda _: self._clicked(choice))
        return button

    def _clicked(self, choice: Choice) -> None:
        if self.text.disabled:
            return  # the second click of a double one, which is no answer to what the job asks next
        text = self.text.value.strip()
        draft = self.asked.draft if self.asked else ""
        if choice != "revise" and draft and text not in {"", draft}:
            self._say("you changed the text: Revise has it scored; to leave it, clear the box")
            return
        try:
            self._give(choice, text if choice == "revise" or self._takes_text else "")
        except SkillfleetError as exc:
            self._say(str(exc))

    def _look(self, picture: Picture) -> None:
        """Close where the question was answered elsewhere, or is asked no more; on the follower's thread."""
        now = self.job.question
        if self.asked is not None and (now is None or now.review_id != self.asked.review_id):
            self._close(f"no question any more: {picture['told']}")

    def _close(self, why: str) -> None:
        self.job.feed.unsubscribe(self._look)
        if self.text.disabled:
            return
        for one in (self.text, *self.buttons.values()):
            one.disabled = True
        self._say(why)

    def _say(self, text: str) -> None:
        self.told.value = fill("<div class='{}' role='status'>{}</div>", NO_MATH, text)

    def _laid_out(self) -> Any:
        if self.asked is None:
            return w.HTML(self.answer.html())
        does = join(
            fill("<li><b>{}</b>: {}</li>", _LABELS[choice], text) for choice, text in self.asked.options.items()
        )
        return w.VBox(
            [
                w.HTML(question_html(self.job, self.asked)),
                self.text,
                w.HBox(list(self.buttons.values())),
                w.HTML(f"<ul style='margin:4px 0'>{does}</ul>"),
                self.told,
            ]
        )
