"""What a run makes of failing models: a first call before all others, and the truth about them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.faults import advice, in_short, is_dead
from skillfleet_nb.lm.meter import RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.runs.recorder import Recorder

_QUESTION = "Reply with the word ready."
_MANY = 0.5  # share of failed predictions that is told at once


def first_answer(ledger: Ledger, ask: Callable[[], Any]) -> Any:
    """Return what `ask` does: the first call of a run, which finds a dead model before anything else is bought.

    Raises
    ------
    RunStopped
        If the model is dead, naming the cause and what to do.  Any other error is raised as it is.
    """
    from dspy.utils.exceptions import LMError

    try:
        return ask()
    except LMError as exc:
        if not is_dead(exc):
            raise
        others = " and its fallbacks" * bool(ledger.fallbacks.lms)
        told = f"{ledger.last_failed}{others} failed on the first call: {in_short(exc)}; {advice(exc)}"
        ledger.stop(StopKind.LM_FAILING, told)
        raise RunStopped(StopKind.LM_FAILING, told) from exc


def ask_prompt_lm(ledger: Ledger, lm: Any) -> None:
    """See that the model that proposes answers at all; a search would go on without it, on nothing."""
    from dspy.utils.exceptions import DSPyError

    try:
        first_answer(ledger, lambda: lm(_QUESTION))
    except DSPyError:
        return  # alive, if not fond of the question


def lost(rows: list[Any], ledger: Ledger, unanswered_before: int) -> str | None:
    """Say why a scoring says nothing: every prediction of it failed with the model."""
    missing = ledger.unanswered - unanswered_before
    if not rows or missing < len(rows) or any(r.score is not None for r in rows) or ledger.last_failure is None:
        return None
    return f"all {len(rows)} predictions failed with {ledger.last_failed}: {in_short(ledger.last_failure)}"


def many_failed(rows: list[Any], last: BaseException | None) -> str | None:
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
