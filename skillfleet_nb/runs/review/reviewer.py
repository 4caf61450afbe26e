"""A person in the loop: a run asks, nothing is bought until somebody answers, and the answer is kept.

A question is an event, and so is its answer, so both survive whatever becomes of the process: a run that
is resumed does not ask again what was answered.  An answer reaches the run through its control file, from
any process, a widget and a command alike.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, get_args

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.events import Asks, JobState, ReviewAnswered, ReviewAsked, StateChanged, StopKind
from skillfleet_nb.format import money
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.runs.review.answers import CHOICES, Answer, checked_choice, read_answer
from skillfleet_nb.store import clear_text, read_requests, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.events import Choice
    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.runs.jobs.progress import Progress
    from skillfleet_nb.runs.reporter import Reporter
    from skillfleet_nb.runs.spec import Review
    from skillfleet_nb.store import Home

REVIEWER = "skillfleet_review"  # the name of the DSPy setting that holds a run's reviewer
_POLL_S = 0.2
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_STEP_OPTIONS: dict[Choice, str] = {
    "proceed": "go on",
    "revise": "hand your text to the program",
    "cancel": "stop the run, and keep the best program so far",
}
_COST_OPTIONS: dict[Choice, str] = {
    "proceed": "go on",
    "revise": "go on up to another limit, in USD, and ask again there",
    "cancel": "stop the run, and keep the best program so far",
}


def ask(
    question: str,
    kind: Asks = "confirm",
    details: Mapping[str, Any] | None = None,
    options: Mapping[Choice, str] | None = None,
) -> Answer:
    """Ask the person who watches the run, from within a program or a metric, and wait for the answer.

    The job is `pending_hitl` meanwhile, and nothing is bought.  The same question, with the same details,
    is asked once in a job, however often and by however many threads; put what differs into it.

    Parameters
    ----------
    question
        What to decide, in words.
    kind
        ``"confirm"`` (go on or not), ``"preview"`` (is this what you want?), ``"validate"`` (is this
        right?), or ``"clarify"``, which takes any text as an answer.
    details
        Facts to decide by, label to value.
    options
        What a choice does, where it does something else than to go on, to hand over a text, or to stop the run.

    Returns
    -------
    Answer
        True for proceed; its `choice` tells ``"proceed"`` from ``"revise"``, its `text` what was said.
        On cancel, the run stops, and this does not return.

    Raises
    ------
    JobError
        Outside of a run.
    InputError, NotFoundError
        If the question is empty, or there is no such kind or choice.

    Examples
    --------
    >>> def metric(example, pred, trace=None):
    ...     if example.answer == pred.answer:
    ...         return True
    ...     return bool(ask("Is this answer as good?", details={"wanted": example.answer, "got": pred.answer}))
    """
    from dspy.dsp.utils.settings import thread_local_overrides

    if kind not in get_args(Asks):
        raise unknown("kind of question", kind, get_args(Asks))
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"question = {question!r}: say in words what to decide")
    for choice in options or {}:
        if choice not in CHOICES:
            raise unknown("choice", choice, CHOICES)
    reviewer = thread_local_overrides.get().get(REVIEWER)
    if reviewer is None:
        raise JobError(
            "ask() was called outside of a run: it asks whoever watches a job, from a program or metric of that job"
        )
    shown = {str(label): str(value) for label, value in (details or {}).items()}
    answer: Answer = reviewer.step(question.strip(), kind, shown, options)
    return answer


def answer(home: Home, p: Progress, said: str, choice: str | None, keywords: Mapping[Choice, Sequence[str]]) -> Answer:
    """Answer what a job asks, whose progress is `p`; see :meth:`skillfleet_nb.Fleet.answer`.

    Raises
    ------
    JobError
        If it asks nothing, or was answered already.
    InputError, NotFoundError
        If the answer cannot be read, or lacks what the question needs.
    """
    if p.question is None:
        raise JobError(f"job {p.name!r} asks nothing: it is {p.state_in_words}")
    asked = p.question
    if not isinstance(said, str):
        raise InputError(f"answer {said!r}: give it in words, such as 'proceed'")
    if choice is None:
        reply = read_answer(said, keywords, asked.asks)
        literal = reply.text != said.strip()
        if reply.choice == "revise" and len(said.split()) == 1:  # the word alone is no text to revise by
            reply = Answer(reply.choice)
    else:
        reply, literal = Answer(checked_choice(choice), said.strip()), True
    _refuse_empty(reply, asked, literal=literal)
    before = p.answers.get(asked.review_id)
    if _given(home, p.job_id, asked.review_id, before.heard if before else 0) is not None:
        raise JobError(f"job {p.name!r}: its question was answered already; the first answer counts")
    request(home, p.job_id, "answer", review=asked.review_id, choice=reply.choice, text=reply.text)
    return reply


def _given(home: Home, stream: str, review_id: str, heard: int) -> Answer | None:
    """Find the first answer to a question beyond what was `heard` when the last one counted.

    Clocks are set back; the place of a request is not.
    """
    for r in read_requests(home, stream)[heard:]:
        is_it = r.command == "answer" and r.body.get("review") == review_id and r.body.get("choice") in CHOICES
        if is_it:
            return Answer(checked_choice(r.body["choice"]), r.body.get("text", ""))
    return None


def _refuse_empty(reply: Answer, asked: ReviewAsked, *, literal: bool) -> None:
    if asked.asks == "clarify" and reply.choice == "proceed" and not reply.text:
        raise InputError("the question wants an answer in words")
    if reply.choice != "revise":
        return
    if asked.about == "cost" and not _NUMBER.search(reply.text):
        raise InputError("revise: name the new limit in USD, in the box or as 'revise: 2.50'")
    if asked.about == "accept" and not (literal and reply.text):
        raise InputError("revise: write the new instruction, in the box or as 'revise: Classify by intent.'")


def _usd(limit: float) -> str:
    """Write a limit as a person would."""
    return f"${limit:.2f}" if round(limit, 2) == limit else f"${limit:g}"


class Reviewer:
    """Puts the questions of one run, one at a time.

    Parameters
    ----------
    review
        When to ask.
    home, stream
        Where answers come from.
    reporter
        Takes down questions and answers.
    ledger
        Buys nothing while a question is open.
    known, declined
        What was answered in earlier attempts, and how much had been asked when a person said no, by question.
    look
        Sees whether a stop was asked for.
    """

    def __init__(
        self,
        review: Review,
        home: Home,
        stream: str,
        reporter: Reporter,
        ledger: Ledger,
        answers: Mapping[str, Answer],
        declined: Mapping[str, int],
        look: Callable[[], None],
    ) -> None:
        self.review = review
        self._home, self._stream, self._reporter, self._ledger, self._look = home, stream, reporter, ledger, look
        self._known, self._declined = dict(answers), declined
        self._turn = threading.RLock()
        if review.cost_usd:
            ledger.checkpoint_usd, ledger.on_checkpoint = review.cost_usd[0], self._before_paying

    def __deepcopy__(self, memo: dict[int, Any]) -> Reviewer:
        return self  # settings of DSPy are copied; the run is one

    def ask(self, question: ReviewAsked) -> Answer:
        """Put a question and wait for its answer; one that was answered before is not put again.

        Raises
        ------
        RunStopped
            If the run is stopped meanwhile.
        """
        with self._turn:
            answer = self._known.get(question.review_id)
            if answer is None:
                self._refuse_stopped()
                with self._ledger.held():
                    self._reporter.emit(question, StateChanged(state=JobState.PENDING_HITL), sync=True)
                    answer = self._wait(question.review_id)
                    heard = len(read_requests(self._home, self._stream))
                    event = ReviewAnswered(
                        review_id=question.review_id, choice=answer.choice, text=answer.text, heard=heard
                    )
                    self._reporter.emit(event, StateChanged(state=JobState.RUNNING), sync=True)
                    clear_text(self._home, self._stream)
                self._known[question.review_id] = answer
        return answer

    def step(
        self, question: str, asks: Asks, details: dict[str, str], does: Mapping[Choice, str] | None = None
    ) -> Answer:
        """Put a question of the program's own; raises as :meth:`ask` does, on cancel as well."""
        from skillfleet_nb.data.identity import content_hash

        review_id = f"step-{content_hash([question, asks, details])[:16]}"
        options = dict(_STEP_OPTIONS)
        if asks == "clarify":
            options["proceed"] = "hand your text to the program"
        options |= does or {}
        asked = ReviewAsked(
            review_id=review_id, asks=asks, about="step", question=question, details=details, options=options
        )
        answer = self.ask(asked)
        if answer.choice == "cancel":
            self.stop(f"cancelled in answer to: {question}"[:200])
        return answer

    def stop(self, reason: str) -> None:
        """Stop the run; the best program so far is kept."""
        self._ledger.stop(StopKind.CANCELLED, reason)
        self._refuse_stopped()

    def _before_paying(self, limit: float) -> None:
        """Ask before more than `limit` USD are spent."""
        again, note = 0, ""
        while True:
            with self._turn:
                if self._ledger.checkpoint_usd != limit:
                    return  # another thread has asked
                totals = self._ledger.totals
                asked = ReviewAsked(
                    review_id=f"cost-{limit:g}" + (f"-{again}" if again else ""),
                    asks="confirm",
                    about="cost",
                    question=f"The next call may take the cost beyond {_usd(limit)}. Go on?",
                    details={"spent": money(totals.cost_usd), "calls": f"{totals.calls:,}"},
                    options=_COST_OPTIONS,
                    note=note,
                )
                answer = self.ask(asked)
                if answer.choice == "cancel":
                    self.stop(f"cancelled at {_usd(limit)}")
                if answer.choice == "proceed":
                    later = [usd for usd in self.review.cost_usd if usd > limit]
                    self._ledger.checkpoint_usd = min(later, default=None)
                    return
                match = _NUMBER.search(answer.text)
                to = float(match[0]) if match else 0.0
                if to > limit:
                    self._ledger.checkpoint_usd = to
                    return
                again, note = again + 1, f"{answer.text!r} is not above {_usd(limit)}"

    def _wait(self, review_id: str) -> Answer:
        nap = threading.Event()
        while True:
            reply = _given(self._home, self._stream, review_id, self._declined.get(review_id, 0))
            if reply is not None:
                return reply
            self._look()
            self._refuse_stopped()
            nap.wait(_POLL_S)

    def _refuse_stopped(self) -> None:
        if (stopped := self._ledger.stopped) is not None:
            raise RunStopped(*stopped)
