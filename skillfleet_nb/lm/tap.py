"""Taps: how a model's calls reach the meter.

A tap is a copy of the user's model, of a subclass that adds two things, admission before a call and the
reading of its usage after it, so that every copy an optimizer makes is metered too, on any thread,
and DSPy's cache keeps working.  A model the program makes for itself, which no tap can see, is found
by the first call it answers and metered by callback from then on.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.calls import current, entry_of
from skillfleet_nb.lm.fallback import steps
from skillfleet_nb.lm.retry import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from dspy.utils.callback import BaseCallback

    from skillfleet_nb.events import Role
    from skillfleet_nb.lm.calls import Call
    from skillfleet_nb.lm.fallback import Step
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.typing import Model, Program


def tapped(gate: Gate, lm: Model, role: Role) -> Model:
    """Copy `lm` so that every call of the copy, and of copies of it, is metered at `gate` as `role`."""
    copied = _tapped(gate, lm, role)
    copied._sf_others = tuple(_tapped(gate, f, role) for f in gate.ledger.fallbacks.lms)  # noqa: SLF001  the mixin's
    return copied


def own_models(program: Program) -> list[Model]:
    """List the models that predictors of `program` carry of their own, mostly none."""
    return [p.lm for p in program.predictors() if getattr(p, "lm", None) is not None]


def tapped_program(gate: Gate, program: Program) -> Program:
    """Meter the models that predictors of `program` carry of their own; return it."""
    for predictor in program.predictors():
        if getattr(predictor, "lm", None) is not None:
            predictor.lm = tapped(gate, predictor.lm, "task")
    return program


def _tapped(gate: Gate, lm: Model, role: Role) -> Any:
    cls: Any = _tapped_class(_original_class(type(lm)))
    copied = cls.__new__(cls)
    vars(copied).update(vars(lm.copy()))
    copied._sf_gate, copied._sf_role, copied._sf_given = gate, role, dict(lm.kwargs)  # noqa: SLF001  the mixin's
    return copied


class _Tap:
    """Mixed in before a model's own class."""

    _sf_gate: Gate
    _sf_role: Role
    _sf_given: dict[str, Any]
    _sf_others: tuple[Any, ...] = ()
    model: str
    kwargs: dict[str, Any]

    @property
    def num_retries(self) -> int:
        """Attempts DSPy makes beyond the first: none of its own where they are made here."""
        call = current.get()
        return 0 if call is not None and call.retried_here else int(self.__dict__.get("num_retries") or 0)

    @num_retries.setter
    def num_retries(self, value: int) -> None:
        self.__dict__["num_retries"] = value

    def _sf_call(self, step: Step, of: str) -> Call:
        prompt, messages, kwargs = step.sent
        n = kwargs.get("n") or self.kwargs.get("n") or 1
        call = self._sf_gate.call(self, kwargs.get("request") or messages or prompt, int(n))
        call.of, call.step = of, step
        call.key = hash((self.model, call.prompt, repr(self.kwargs), repr(kwargs)))
        return call

    def _sf_of(self) -> str:
        return f"{self.model} ({self._sf_role})"

    def __call__(self, prompt: object = None, *, messages: object = None, **kwargs: Any) -> Any:
        answer = None
        for step in steps(self, prompt, messages, kwargs):
            try:
                answer = step.lm._sf_ask(step, self._sf_of())  # noqa: SLF001  same class
            except Exception as exc:  # noqa: BLE001  raised again where nobody takes over
                step.failure = exc
        return answer

    async def acall(self, prompt: object = None, *, messages: object = None, **kwargs: Any) -> Any:
        answer = None
        for step in steps(self, prompt, messages, kwargs):
            try:
                answer = await step.lm._sf_ask_async(step, self._sf_of())  # noqa: SLF001  same class
            except Exception as exc:  # noqa: BLE001  raised again where nobody takes over
                step.failure = exc
        return answer

    def _sf_ask(self, step: Step, of: str) -> Any:
        gate, call = self._sf_gate, self._sf_call(step, of)
        attempts = Attempts(self, gate, call, step.sent)
        gate.admit(call)
        prompt, messages, kwargs = step.sent
        ask = super().__call__  # type: ignore[misc]  # a mixin
        with gate.ledger.flight(call, self, self._sf_role), step.as_asked():
            return attempts.run(lambda: ask(prompt, messages=messages, **kwargs))

    async def _sf_ask_async(self, step: Step, of: str) -> Any:
        gate, call = self._sf_gate, self._sf_call(step, of)
        attempts = Attempts(self, gate, call, step.sent)
        await gate.admit_async(call)
        prompt, messages, kwargs = step.sent
        ask = super().acall  # type: ignore[misc]  # a mixin
        with gate.ledger.flight(call, self, self._sf_role), step.as_asked():
            return await attempts.arun(lambda: ask(prompt, messages=messages, **kwargs))

    def update_history(self, entry: dict[str, Any]) -> None:
        call = current.get()
        if call is not None:
            call.entry = entry
        super().update_history(entry)  # type: ignore[misc]  # a mixin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # A program's deepcopy must not clone the engine: its own counters and connections are one.
        return self.copy()  # type: ignore[attr-defined]  # a mixin


def callback(gate: Gate) -> BaseCallback:
    """Make a DSPy callback that meters models the program makes for itself.

    They cannot be tapped; their admission happens as their call starts, and their usage is read
    from the history they keep.
    """
    from dspy.utils.callback import BaseCallback

    made: BaseCallback = type("Callback", (_UntappedCallback, BaseCallback), {})(gate)
    return made


class _UntappedCallback:
    """DSPy's callback; mixed in before ``BaseCallback`` when DSPy is loaded."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: dict[str, tuple[AbstractContextManager[None], Call, Any]] = {}

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if isinstance(instance, _Tap):
            return
        n = (inputs.get("kwargs") or {}).get("n") or getattr(instance, "kwargs", {}).get("n") or 1
        call = self._gate.call(instance, inputs.get("messages") or inputs.get("prompt"), int(n))
        self._gate.admit(call)
        flight = self._gate.ledger.flight(call, instance, "task")
        flight.__enter__()
        self._open[call_id] = (flight, call, instance)

    def on_lm_end(self, call_id: str, outputs: object, exception: BaseException | None = None) -> None:
        del outputs
        if call_id not in self._open:
            return
        flight, call, instance = self._open.pop(call_id)
        if exception is None:
            call.entry = call.entry or entry_of(call.prompt, getattr(instance, "history", None) or [])
            flight.__exit__(None, None, None)
        else:
            with suppress(type(exception), RuntimeError):  # counted; DSPy raises it itself
                flight.__exit__(type(exception), exception, exception.__traceback__)


class _History(list[dict[str, Any]]):
    """A history that hands on what is appended and keeps nothing."""

    def __init__(self, take_in: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._take_in = take_in

    def append(self, entry: dict[str, Any]) -> None:
        self._take_in(entry)


class UntappedCalls:
    """Stands first in DSPy's setting ``caller_modules`` and takes in every answered call.

    DSPy runs callbacks around every module, adapter and model, which costs as much as all the rest
    of the meter, so :func:`callback` is put into `callbacks`, the list DSPy works with, only once a
    call has come through no tap.  That call is counted afterwards, for it cannot be refused any more.
    """

    def __init__(self, gate: Gate, callbacks: list[BaseCallback]) -> None:
        self._gate, self._callbacks = gate, callbacks
        self._lock = threading.Lock()
        self.history = _History(self._take_in)  # DSPy appends to the history of each calling module

    def __deepcopy__(self, memo: dict[int, object]) -> UntappedCalls:
        return self

    def _take_in(self, entry: dict[str, Any]) -> None:
        call = current.get()
        if call is not None:
            call.entry = entry
            return
        with self._lock:
            if not any(isinstance(c, _UntappedCallback) for c in self._callbacks):
                self._callbacks.append(callback(self._gate))
        self._gate.count(entry)


def _original_class(cls: type) -> type:
    return cls.__mro__[2] if issubclass(cls, _Tap) else cls


def _tapped_class(cls: type) -> type:
    return type(cls.__name__, (_Tap, cls), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})
