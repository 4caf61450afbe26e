"""Forms of asking: where answers cannot be read, another one may win more than any optimizer, and is tried first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.answers import answers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.lm.session import Session
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.typing import Adapter, Example, Model

MANY_UNREAD = 0.2  # share of the answers from which their form is looked at
_TRIED = 8  # examples that a form is tried on
_ENOUGH = 0.5  # share of these that a form must make readable
_LONGER = 4


@dataclass(frozen=True)
class Form:
    """Another form of asking.

    Attributes
    ----------
    line
        What a person types to have it.
    adapter, lm
        What asks so.
    """

    line: str
    adapter: Adapter
    lm: Model


def better_form(session: Session, gate: Gate, task: CheckedTask, unread: Sequence[Example]) -> str | None:
    """Try other forms on examples whose answers could not be read; say in a sentence which could, None where none."""
    import dspy

    some = list(unread[:_TRIED])
    best, most = None, 0
    for form in _forms(task.lm):
        if gate.closed:
            break
        with dspy.context(adapter=form.adapter):
            answers = answers_of(session, gate, replace(task, lm=form.lm), task.program, some)
        read = sum(answer.prediction is not None for answer in answers)
        if read > most:
            best, most = form, read
        if read == len(some):
            break
    if best is None or most < _ENOUGH * len(some):
        return None
    return f"with {best.line} {most} of {len(some)} that could not be read were: it is worth more than any optimizer"


def _forms(lm: Model) -> Iterator[Form]:
    """List the forms that differ from the present one, the cheapest to have first."""
    import dspy

    from skillfleet_nb.local.engine import LocalEngine

    adapter: Any = dspy.settings.adapter or dspy.ChatAdapter()
    is_json = isinstance(adapter, dspy.JSONAdapter)
    if not is_json and not getattr(adapter, "use_json_adapter_fallback", False):  # which has asked so already
        yield Form("dspy.configure(adapter=dspy.JSONAdapter())", dspy.JSONAdapter(), lm)
    engine = getattr(lm, "engine", None)
    if isinstance(engine, LocalEngine) and not engine.supports_response_schema:
        held = LocalEngine.load_state({**engine.dump_state(), "constrained": True})
        line = "dspy.configure(lm=sf.local_lm(constrained=True), adapter=dspy.JSONAdapter())"
        yield Form(line, dspy.JSONAdapter(), lm.copy(engine=held))
    if (limit := lm.kwargs.get("max_tokens")) is not None:
        longer = _LONGER * int(limit)
        yield Form(f"max_tokens={longer} in the model", adapter, lm.copy(max_tokens=longer))
