"""Programs that tell which of their copies runs on a thread.

A callback of DSPy's would tell the same, at several times the cost: callbacks are run, with the inputs
looked up by name, around every module, adapter and model.  Here the class of the searched program has a
``__call__`` of its own, which all copies that an optimizer makes of it share.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE = ("__module__", "__qualname__", "__doc__", "__firstlineno__")  # by these a proposer finds the code


class Watch:
    """What runs, by thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def program(self) -> Any:
        """The program that was called last on this thread; None where there was none."""
        return getattr(self._local, "program", None)

    def over(self, program: Any) -> Any:
        """Watch `program`, which is returned, and every copy made of it; :func:`unwatched` ends that."""
        cls = type(program)
        body = {name: vars(cls)[name] for name in _SOURCE if name in vars(cls)}
        program.__class__ = type(cls.__name__, (_Watched, cls), {**body, "_sf_watch": self})
        return program

    @contextmanager
    def running(self, program: Any) -> Iterator[None]:
        """Note that `program` is called, unless it is a part of one that is at work already."""
        if getattr(self._local, "busy", False):
            yield
            return
        self._local.busy, self._local.program = True, program
        try:
            yield
        finally:
            self._local.busy = False


class _Watched:
    """Mixed in before a program's own class."""

    _sf_watch: Watch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._sf_watch.running(self):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # a mixin

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        with self._sf_watch.running(self):
            return await super().acall(*args, **kwargs)  # type: ignore[misc]  # a mixin


def unwatched(program: Any) -> Any:
    """Give `program`, and the candidates that an optimizer left on it, their own classes back."""
    left = getattr(program, "candidate_programs", None) or ()
    for one in (program, *(c.get("program") if isinstance(c, dict) else c for c in left)):
        if isinstance(one, _Watched):
            one.__class__ = type(one).__mro__[2]
    return program
