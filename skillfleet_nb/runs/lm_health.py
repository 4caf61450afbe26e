"""What a run makes of failing models: whether a scoring says anything, and the truth about them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.lm.faults import in_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.events import ExampleScore
    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.lm.session import Session
    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.runs.recorder import Recorder
    from skillfleet_nb.typing import Model

_QUESTION = "Reply with the word ready."
_MANY = 0.5  # share of failed predictions that is told at once


def ask_prompt_lm(session: Session, lm: Model) -> None:
    """See that the model that proposes answers at all; a search would go on without it, on nothing."""
    from dspy.utils.exceptions import DSPyError

    try:
        session.first_answer(lambda: lm(_QUESTION))
    except DSPyError:
        return  # alive, if not fond of the question


def lost(rows: Sequence[ExampleScore], ledger: Ledger, unanswered_before: int) -> str | None:
    """Say why a scoring says nothing: every prediction of it failed with the model."""
    missing = ledger.unanswered - unanswered_before
    if not rows or missing < len(rows) or any(r.score is not None for r in rows) or ledger.last_failure is None:
        return None
    return f"all {len(rows)} predictions failed with {ledger.last_failed}: {in_short(ledger.last_failure)}"


def many_failed(rows: Sequence[ExampleScore], last: BaseException | None) -> str | None:
    """Say that most predictions of a scoring failed, as they do where no answer can be read."""
    failed = sum(r.score is None for r in rows)
    if failed < _MANY * len(rows):
        return None
    cause = f", the last with {in_short(last)}" if last is not None else ""
    return f"{failed} of {len(rows)} predictions on validation failed, each counted as 0{cause}"


def told_at_the_end(ledger: Ledger, recorder: Recorder, metric: RunMetric) -> list[str]:
    """List what the person should know of failures that did not stop the run."""
    told = []
    if metric.failures and metric.last_failure is not None:
        text = f"metric {metric.name!r} raised {metric.failures} times, each counted as 0, the last"
        told.append(f"{text}: {type(metric.last_failure).__name__}: {metric.last_failure}"[:1000])
    if ledger.unanswered and ledger.last_failure is not None:
        text = f"{ledger.unanswered} requests to a model failed for good; predictions that needed them counted as 0"
        told.append(f"{text}; the last, to {ledger.last_failed}: {in_short(ledger.last_failure)}")
    unread = recorder.failed - ledger.unanswered - metric.failures
    if unread > 0:
        told.append(
            f"{unread} of {recorder.predictions} predictions failed though the model answered, each counted as 0: "
            "its answer could not be read, or the program raised; the job's log names each"
        )
    if ledger.totals.retries:
        told.append(f"{ledger.totals.retries} attempts at calls failed and were repeated")
    if ledger.fallbacks.answers:
        told.append(f"{ledger.fallbacks.answers} requests were answered by a fallback")
    if ledger.duplicates:
        told.append(
            f"{ledger.duplicates} requests were bought while the same one was in flight: DSPy asks again for a "
            "prediction that takes more than 120 s, and equal examples are asked at once"
        )
    return told
