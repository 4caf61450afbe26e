"""Programs that leave word of which of their copies ran last.

A callback of DSPy's would tell the same, at several times the cost: callbacks are run, with the inputs
looked up by name, around every module, adapter and model.  DSPy's instance-level callbacks are lost when a
program is copied.  So the searched program is of a subclass of its own class, which all copies that an
optimizer makes of it share.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillfleet_nb.typing import Program

_SOURCE = ("__name__", "__qualname__", "__module__", "__doc__", "__firstlineno__")  # by these its code is found

_ran: ContextVar[Program | None] = ContextVar("skillfleet_program_that_ran", default=None)


def last_run() -> Program | None:
    """Return the tracked program that ran last in this context, which is a thread's or a task's own."""
    return _ran.get()


def tracked(program: Program) -> Program:
    """Return `program` as one whose runs, and those of its copies, :func:`last_run` tells; it takes over its state."""
    return mixed_with(_Tracked, program)


def mixed_with(mixin: type[Searched], program: Program) -> Program:
    """Return `program` as an instance of a subclass of its own class that begins with `mixin`."""
    cls = type(program)

    class Mixed(mixin, cls):  # type: ignore[misc, valid-type]  # of whatever class the program is
        pass

    for name in _SOURCE:  # proposers show the code of a program to their model
        if hasattr(cls, name):
            setattr(Mixed, name, getattr(cls, name))
    return _with_state_of(program, Mixed)


def untracked(program: Program) -> Program:
    """Return `program`, and the candidates that an optimizer left on it, as instances of their own class."""
    for candidate in getattr(program, "candidate_programs", None) or ():
        if isinstance(candidate, dict) and "program" in candidate:
            candidate["program"] = _plain(candidate["program"])
    return _plain(program)


class Searched:
    """Base of what is mixed in before the class of a searched program."""


class _Tracked(Searched):
    """Mixed in before a program's own class."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        try:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # a mixin
        finally:
            _ran.set(self)

    async def acall(self, *args: object, **kwargs: object) -> Any:
        try:
            return await super().acall(*args, **kwargs)  # type: ignore[misc]  # a mixin
        finally:
            _ran.set(self)


def _plain(program: Program) -> Program:
    return _with_state_of(program, type(program).__bases__[1]) if isinstance(program, Searched) else program


def _with_state_of(program: Program, cls: type) -> Program:
    """Make an instance of `cls` with the state of `program`, as DSPy copies a program that cannot be deep-copied."""
    made: Program = object.__new__(cls)
    vars(made).update(vars(program))
    return made
