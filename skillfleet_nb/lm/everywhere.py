"""Wherever a program or a metric calls a model from, the call is its run's: on its own threads, and of its own models.

DSPy hands its settings to its own workers alone: on any other thread a program would fall back on whatever model is
configured, unseen.  While a run is on, a thread that is started from within it, and what is given to an executor from
within it, go on in the context it was in; and a model that is no tap becomes one for the call.  Both are stand-ins for
the functions that all roads lead through, and go by the gate among DSPy's settings: nothing else notices them.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import Context, copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.answer_cache import GATE, keeping_apart
from skillfleet_nb.lm.calls import current
from skillfleet_nb.lm.direct import direct_calls
from skillfleet_nb.lm.run_log import route_again
from skillfleet_nb.lm.stand_ins import replaced
from skillfleet_nb.lm.tap import adopted
from skillfleet_nb.lm.tool_calls import tool_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.lm.gate import Gate


@contextmanager
def everywhere(gate: Gate) -> Iterator[None]:
    """Have the body's calls go through `gate`, on whichever threads it starts and of whichever models."""
    import dspy

    with standing_in(), dspy.context(**{GATE: gate}):
        yield


@contextmanager
def standing_in() -> Iterator[None]:
    """Let what a gate's body started go on so in this body too: a worker that is left behind still asks and starts."""
    import dspy
    from dspy.clients import execution

    with ExitStack() as stack:
        stack.enter_context(replaced(threading.Thread, "start", _inheriting))
        stack.enter_context(replaced(ThreadPoolExecutor, "submit", _in_context))
        stack.enter_context(replaced(dspy.BaseLM, "__call__", _metered))
        stack.enter_context(replaced(dspy.BaseLM, "acall", _metered_async))
        # between DSPy's cache and the request
        stack.enter_context(replaced(execution, "_attempt", _paced))
        stack.enter_context(replaced(execution, "_aattempt", _paced_async))
        stack.enter_context(direct_calls(here))
        stack.enter_context(keeping_apart())
        stack.enter_context(tool_calls(here))
        yield


def here() -> Gate | None:
    """Return the gate of the run that this thread works for."""
    import dspy

    gate: Gate | None = dspy.settings.get(GATE)
    return gate


def _inheriting(original: Callable[..., None]) -> Any:
    @wraps(original)
    def start(thread: threading.Thread) -> None:
        if here() is not None:
            context, run = copy_context(), thread.run

            def run_in_context() -> None:
                del thread.run  # or the thread would hold itself
                context.run(run)

            thread.run = run_in_context  # type: ignore[method-assign]
        original(thread)

    return start


def _in_context(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def submit(executor: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
        if here() is None:
            return original(executor, fn, *args, **kwargs)
        route_again()
        # a worker that this starts may outlive the run, and serve others
        return Context().run(original, executor, copy_context().run, fn, *args, **kwargs)

    return submit


def _metered(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def call(lm: Any, *args: Any, **kwargs: Any) -> Any:
        if current.get() is not None or (gate := here()) is None:
            return original(lm, *args, **kwargs)
        return adopted(gate, lm, original)(*args, **kwargs)

    return call


def _metered_async(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def acall(lm: Any, *args: Any, **kwargs: Any) -> Any:
        if current.get() is not None or (gate := here()) is None:
            return await original(lm, *args, **kwargs)
        return await adopted(gate, lm, original).acall(*args, **kwargs)

    return acall


def _paced(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def attempt(lm: Any, *details: Any) -> Any:
        if (gate := getattr(lm, "_sf_gate", None)) is not None and (call := current.get()) is not None:
            gate.pace(lm, call)
        return original(lm, *details)

    return attempt


def _paced_async(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def attempt(lm: Any, *details: Any) -> Any:
        if (gate := getattr(lm, "_sf_gate", None)) is not None and (call := current.get()) is not None:
            await gate.pace_async(lm, call)
        return await original(lm, *details)

    return attempt
