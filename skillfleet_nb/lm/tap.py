"""Taps: how a model's calls reach the meter.

A tap is a copy of the user's model, of a subclass that adds two things, admission before a call and the
reading of its usage after it, so that every copy an optimizer makes is metered too, on any thread,
and DSPy's cache keeps working.  A model the program makes for itself is tapped as it is called (see
``everywhere``).
"""

from __future__ import annotations

import threading
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.calls import acting, current
from skillfleet_nb.lm.fallback import Falling, fallbacks_of, steps
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.retry import Attempts
from skillfleet_nb.lm.run_log import route_again
from skillfleet_nb.lm.streams import on_a_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skillfleet_nb.events import Role
    from skillfleet_nb.lm.calls import Call
    from skillfleet_nb.lm.fallback import Step
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.typing import Model, Program


def tapped(gate: Gate, lm: Model, role: Role) -> Model:
    """Copy `lm` so that every call of the copy, and of copies of it, is metered at `gate` as `role`."""
    copied = _tapped(gate, lm, role)
    others = (*fallbacks_of(lm), *gate.ledger.fallbacks.lms)
    copied._sf_others = tuple(_tapped(gate, f, role) for f in others)  # noqa: SLF001  the mixin's
    return copied


def own_models(program: Program) -> list[Model]:
    """List the models that predictors of `program` carry of their own, mostly none."""
    return with_their_fallbacks(p.lm for p in program.predictors() if getattr(p, "lm", None) is not None)


def with_their_fallbacks(lms: Iterable[Model]) -> list[Model]:
    """List models, each before those that take over from it."""
    return [one for lm in lms for one in (lm, *fallbacks_of(lm))]


def tapped_program(gate: Gate, program: Program) -> Program:
    """Meter the models that predictors of `program` carry of their own; return it."""
    for predictor in program.predictors():
        if getattr(predictor, "lm", None) is not None:
            predictor.lm = tapped(gate, predictor.lm, "task")
    return program


def adopted(gate: Gate, lm: Model, ask: Callable[..., Any]) -> Any:
    """Tap a model for a call that has begun already, which `ask` goes on with; the history is the model's own."""
    made = tapped(gate, lm, "task")
    made._sf_ask_of, made.history = partial(ask, made), lm.history  # noqa: SLF001  the mixin's
    made._sf_others = made._sf_others[len(fallbacks_of(lm)) :]  # noqa: SLF001  of its own it asks the next itself
    return made


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
    _sf_ask_of: Callable[..., Any] | None = None
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
        route_again()
        prompt, messages, kwargs = step.sent
        n = kwargs.get("n") or self.kwargs.get("n") or 1
        call = self._sf_gate.call(self, kwargs.get("request") or messages or prompt, int(n))
        call.of, call.step = of, step
        call.key = hash((self.model, call.prompt, repr(self.kwargs), repr(kwargs)))
        return call

    @property
    def _sf_acting(self) -> Role:
        return acting.get() or self._sf_role

    def _sf_of(self) -> str:
        return f"{self.model} ({self._sf_acting})"

    def __call__(self, prompt: object = None, *, messages: object = None, **kwargs: Any) -> Any:
        answer = None
        for step in steps(self, prompt, messages, kwargs):
            try:
                answer = step.lm._sf_ask(step, self._sf_of())  # noqa: SLF001  same class
            except Exception as exc:  # noqa: BLE001  raised again where nobody takes over
                step.failure = exc
            except RunStopped as stop:
                raise _as_survived(stop) from stop.__cause__
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
        ask = self._sf_ask_of or super().__call__  # type: ignore[misc]  # a mixin
        with gate.ledger.flight(call, self, self._sf_acting), step.as_asked():
            return attempts.run(lambda: on_a_loop(self, lambda: ask(prompt, messages=messages, **kwargs)))

    async def _sf_ask_async(self, step: Step, of: str) -> Any:
        gate, call = self._sf_gate, self._sf_call(step, of)
        attempts = Attempts(self, gate, call, step.sent)
        await gate.admit_async(call)
        prompt, messages, kwargs = step.sent
        ask = self._sf_ask_of or super().acall  # type: ignore[misc]  # a mixin
        with gate.ledger.flight(call, self, self._sf_acting), step.as_asked():
            return await attempts.arun(lambda: ask(prompt, messages=messages, **kwargs))

    def update_history(self, entry: dict[str, Any]) -> None:
        call = current.get()
        if call is not None:
            call.entry = entry
        super().update_history(entry)  # type: ignore[misc]  # a mixin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # A program's deepcopy must not clone the engine: its own counters and connections are one.
        return self.copy()  # type: ignore[attr-defined]  # a mixin


def _as_survived(stop: RunStopped) -> BaseException:
    """Turn a stop into an ordinary error where it is on a worker of a ``ThreadPool``.

    It would die of the stop, and whoever waits for its answer wait for good.
    """
    from multiprocessing.dummy import DummyProcess

    in_pool = isinstance(threading.current_thread(), DummyProcess)
    return RuntimeError(f"the run stopped: {stop.reason}") if in_pool else stop


def _original_class(cls: type) -> type:
    return next(c for c in cls.__mro__ if not issubclass(c, (_Tap, Falling)))


@lru_cache(maxsize=64)
def _tapped_class(cls: type) -> type:
    return type(cls.__name__, (_Tap, cls), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})
