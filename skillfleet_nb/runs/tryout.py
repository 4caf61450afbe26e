"""Asking a program of the home once, by hand: metered and recorded as the calls of a run are."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.design import QUIET
from skillfleet_nb.errors import InputError, JobError, LMError, unknown
from skillfleet_nb.events import ProgramTried
from skillfleet_nb.example import example_html
from skillfleet_nb.format import counted, duration, money
from skillfleet_nb.html import Readable, fill, join, text_table
from skillfleet_nb.lm.calls import digest
from skillfleet_nb.lm.faults import advice, in_one_line, in_short
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import own_models, tapped_program
from skillfleet_nb.runs.outputs import output_json
from skillfleet_nb.runs.task import checked_lm, input_fields
from skillfleet_nb.store.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup

    from skillfleet_nb.config import Settings
    from skillfleet_nb.example import Read
    from skillfleet_nb.lm.limits import Limits
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model, Program


@dataclass(frozen=True)
class Tryout(Readable):
    """What a program answered, and what that took.

    Attributes
    ----------
    prediction
        What the program returned.
    model
        The model that was asked.
    calls, cached
        Calls bought, and calls served from the cache.
    cost_usd
        USD; None where a price is unknown.
    seconds
        Wall time.
    read
        Finds the images and sounds that it holds.
    """

    prediction: Any
    model: str
    calls: int
    cached: int
    cost_usd: float | None
    seconds: float
    read: Read | None = field(default=None, repr=False)

    def _rows(self) -> list[list[str]]:
        items = self.prediction.items() if hasattr(self.prediction, "items") else [("output", self.prediction)]
        return [[str(name), value if isinstance(value, str) else str(value)] for name, value in items]

    def cost(self) -> str:
        """Say in one line what it took."""
        calls = counted(self.calls, "call") + (f" + {self.cached:,} cached" if self.cached else "")
        return f"{self.model} · {calls} · {money(self.cost_usd)} · {duration(self.seconds)}"

    def text(self) -> str:
        """Show the answer's fields and its cost."""
        return f"{text_table(['field', 'answer'], self._rows())}\n{self.cost()}"

    __repr__ = Readable.__str__

    def html(self) -> Markup:
        """Show it as HTML."""
        fields = self.prediction.items() if hasattr(self.prediction, "items") else [("output", self.prediction)]
        took = fill("<div style='opacity:{}'>{}</div>", QUIET, self.cost())
        return join([example_html([(str(name), value) for name, value in fields], self.read), took])


def ask(
    home: Home,
    settings: Settings,
    program: Program,
    inputs: Mapping[str, Any],
    *,
    lm: Model,
    program_id: str,
    job_id: str,
    limits: Limits | None = None,
) -> Tryout:
    """Run a program once on some inputs; its calls go into a stream of their own, and no job.

    Parameters
    ----------
    program
        The program, which is not changed.
    inputs
        Its inputs by name; texts, and what JSON has of models and conversations, become what their fields are
        declared to be.
    lm
        The model for predictors without one of their own.
    program_id, job_id
        What it is recorded as.
    limits
        No call starts beyond them.

    Raises
    ------
    InputError, NotFoundError
        If an input is missing, unknown or of another type.
    LMError
        If there is no model, or it does not answer.
    JobError
        If the program fails on these inputs.
    """
    values = typed_inputs(program, inputs)
    lm = checked_lm(lm)
    started = time.perf_counter()
    with Session.opened(home, settings, "try", [lm, *own_models(program)], limits=limits) as session:
        tried = ProgramTried(program_id=program_id, job_id=job_id, inputs=_recorded(values, settings) or "{}")
        gate = session.gate()
        try:
            with session.models(gate, lm):
                metered = tapped_program(gate, program.deepcopy())
                prediction = session.first_answer(partial(off_loop(metered), **values))
        except (Exception, RunStopped) as raised:  # noqa: BLE001  whatever a program raises is told in one line
            exc = session.redactor.error(raised)
            session.emit(tried.model_copy(update={"error": in_one_line(exc)}), sync=True)
            raise _refusal(exc) from exc
        session.emit(tried.model_copy(update={"output": _recorded(prediction, settings)}), sync=True)
    totals = session.ledger.totals
    seconds = time.perf_counter() - started
    return Tryout(prediction, str(lm.model), totals.calls, totals.cached, totals.cost_usd, seconds, Blobs(home).read)


def typed_inputs(program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Check the inputs of a program, and read texts, objects and lists as what their fields are declared to be.

    Raises
    ------
    InputError, NotFoundError
        If one is missing, unknown, or does not read as its type.

    Examples
    --------
    >>> import dspy
    >>> typed_inputs(dspy.Predict("text, n: int -> label"), {"text": "2", "n": "2"})
    {'text': '2', 'n': 2}
    """
    from pydantic import TypeAdapter, ValidationError

    named = input_fields(program)
    declared = {n: f.annotation for p in program.predictors() for n, f in p.signature.input_fields.items()}
    for name in inputs:
        if name not in {*named, *declared}:
            raise unknown("input", name, named)
    if missing := [name for name in named if name not in inputs]:
        raise InputError(f"the program takes {', '.join(named)}, and {', '.join(missing)} is missing: give all of them")
    typed = {}
    for name, value in inputs.items():
        kind = declared.get(name, str)
        typed[name] = value
        if not isinstance(value, str | dict | list) or kind is str:
            continue
        reader: Any = TypeAdapter(kind)
        if not isinstance(value, str):  # a conversation or a model, as JSON has it
            with suppress(ValidationError):
                read = reader.validate_python(value)
                typed[name] = value if read == value else read
            continue
        try:
            typed[name] = reader.validate_json(value)
        except ValidationError:
            try:
                typed[name] = reader.validate_python(value)
            except ValidationError as exc:
                why = exc.errors()[0]["msg"]
                raise InputError(f"input {name} = {value!r}: {why}; lists and objects are written as JSON") from None
    return typed


def _recorded(value: object, settings: Settings) -> str | None:
    text = output_json(value)
    return text if text is None or settings.record_prompts else digest(text)


def _refusal(exc: BaseException) -> JobError | LMError:
    from dspy.utils.exceptions import LMError as NotAnswered

    if isinstance(exc, RunStopped):
        return LMError(exc.reason)
    if isinstance(exc, NotAnswered):
        return LMError(f"the model did not answer: {in_short(exc)}; {advice(exc)}")
    return JobError(f"the program failed on this input: {in_one_line(exc)}")
