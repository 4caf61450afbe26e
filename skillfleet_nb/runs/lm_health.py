"""What a run makes of failing models: whether a scoring says anything, and the truth about them at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from skillfleet_nb.format import counted
from skillfleet_nb.lm.faults import in_short, is_unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.events import ExampleScore
    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.lm.session import Session
    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.runs.recorder import Recorder
    from skillfleet_nb.typing import Example, Model, Prediction, Program

_QUESTION = "Reply with the word ready."
_MANY = 0.5  # share of failed predictions from which on scores are told to say little, or say nothing


def ask_prompt_lm(session: Session, lm: Model) -> None:
    """See that the model that proposes answers at all; a search would go on without it, on nothing."""
    from dspy.utils.exceptions import DSPyError

    try:
        session.first_answer(lambda: lm(_QUESTION))
    except DSPyError:
        return  # alive, if not fond of the question


class Asked:
    """A program as it is scored, which remembers the inputs that no model answered."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._unanswered: set[tuple[tuple[str, int], ...]] = set()

    def __call__(self, **inputs: object) -> Prediction:
        """Predict."""
        try:
            return self._program(**inputs)
        except Exception as exc:
            if is_unanswered(exc):
                self._unanswered.add(_identity(inputs))
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)  # for callbacks that are shown the program

    def went_unanswered(self, example: Example) -> bool:
        """Tell whether no model answered for this example."""
        return _identity(example.inputs()) in self._unanswered


def _identity(inputs: Mapping[str, object]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, id(value)) for name, value in inputs.items()))


@dataclass
class Scoring:
    """One scoring of a program: its rows, and which of them failed for want of an answer.

    Those are no wrong answers: they are left out of scores.
    """

    rows: list[ExampleScore]
    unanswered: list[bool]

    @classmethod
    def empty(cls) -> Self:
        """Start one that is made in parts."""
        return cls([], [])

    def add(self, part: Scoring) -> None:
        """Take in a further part."""
        self.rows += part.rows
        self.unanswered += part.unanswered

    @property
    def missing(self) -> int:
        """Number of rows that went unanswered."""
        return sum(self.unanswered)

    @property
    def failed(self) -> int:
        """Number of rows without a score, whatever the cause."""
        return sum(r.score is None for r in self.rows)

    def without(self, others: Sequence[bool]) -> list[ExampleScore]:
        """Return the rows that neither went unanswered here nor are marked in `others`."""
        return [r for r, here, there in zip(self.rows, self.unanswered, others, strict=True) if not (here or there)]


def lost(scoring: Scoring, ledger: Ledger) -> str | None:
    """Say why a scoring says nothing: most of its predictions went unanswered."""
    if not scoring.rows or scoring.missing <= _MANY * len(scoring.rows) or ledger.last_failure is None:
        return None
    part = "all " if scoring.missing == len(scoring.rows) else f"{scoring.missing} of "
    failed = f"{part}{counted(scoring.rows, 'prediction')} failed with"
    return f"{failed} {ledger.last_failed}: {in_short(ledger.last_failure)}"


def broken(what: str, rows: Sequence[ExampleScore], failed_before: float) -> str | None:
    """Say why scores of a program on the test split are no result: too few of its answers could be read.

    Parameters
    ----------
    what
        Whose scores they are.
    failed_before
        Share of its predictions that failed on validation: as many on test are the program's way.
    """
    failed = sum(r.score is None for r in rows)
    share = failed / len(rows) if rows else 1.0
    if failed < len(rows) and (share < _MANY or share < 2 * failed_before):
        return None
    before = f", on validation {failed_before:.0%} did" if failed_before < 1 else ""
    return (
        f"{failed} of {len(rows)} predictions of {what} on test failed{before}: "
        "the model's answers cannot be read any more, or the program raises; the job's log names each"
    )


def many_failed(rows: Sequence[ExampleScore], last: BaseException | None) -> str | None:
    """Say that most predictions of a scoring failed, as they do where no answer can be read."""
    failed = sum(r.score is None for r in rows)
    if failed < _MANY * len(rows):
        return None
    cause = f", the last with {in_short(last)}" if last is not None else ""
    return f"{failed} of {len(rows)} predictions on validation failed, each counted as 0{cause}"


def told_at_the_end(session: Session, recorder: Recorder, metric: RunMetric) -> list[str]:
    """List what the person should know of failures that did not stop the run."""
    ledger, sentences = session.ledger, session.readings.told()
    if metric.failures and metric.last_failure is not None:
        text = f"metric {metric.name!r} raised {metric.failures} times, each counted as 0, the last"
        sentences.append(f"{text}: {type(metric.last_failure).__name__}: {metric.last_failure}"[:1000])
    if ledger.unanswered and ledger.last_failure is not None:
        text = f"{ledger.unanswered} requests to a model failed for good"
        text += f", {ledger.refused} of them withheld by the provider" * bool(ledger.refused)
        text += "; predictions that needed them are left out of scores"
        sentences.append(f"{text}; the last, to {ledger.last_failed}: {in_short(ledger.last_failure)}")
    unread = recorder.failed - ledger.unanswered - metric.failures
    if unread > 0:
        sentences.append(
            f"{unread} of {recorder.predictions} predictions failed though the model answered, each counted as 0: "
            "its answer could not be read, or the program raised; the job's log names each"
        )
    if ledger.totals.retries:
        was = "was" if ledger.totals.retries == 1 else "were"
        sentences.append(f"{counted(ledger.totals.retries, 'attempt')} at calls failed and {was} repeated")
    if ledger.fallbacks.answers:
        was = "was" if ledger.fallbacks.answers == 1 else "were"
        sentences.append(f"{counted(ledger.fallbacks.answers, 'request')} {was} answered by a fallback")
    if ledger.duplicates:
        sentences.append(
            f"{ledger.duplicates} requests were sent while the same one was in flight: DSPy asks again for a "
            "prediction that takes more than 120 s, and equal examples are asked at once"
        )
    return sentences
