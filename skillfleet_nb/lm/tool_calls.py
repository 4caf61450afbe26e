"""Calls of tools that a run's programs make, told as steps of their own beside those of models.

A DSPy callback would hear of them too, and make every call of a model a third slower; what stands for
``dspy.Tool`` while a run is on costs the calls of tools alone.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

from skillfleet_nb.events.tracing import ToolCalled
from skillfleet_nb.format import shortened
from skillfleet_nb.lm.calls import digest
from skillfleet_nb.lm.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.lm.gate import Gate

_LONGEST = 2_000  # characters of what a tool was given, or returned, that are recorded


@contextmanager
def tool_calls(here: Callable[[], Gate | None]) -> Iterator[None]:
    """Have calls of tools told to the ledger of the run that they are made for, by the gate of `here`."""
    import dspy

    def noted(original: Callable[..., Any]) -> Any:
        @wraps(original)
        def call(tool: Any, *args: Any, **kwargs: Any) -> Any:
            if (tell := _teller(here)) is None:
                return original(tool, *args, **kwargs)
            with _Step(tool, kwargs, tell) as step:
                step.result = original(tool, *args, **kwargs)
            return step.result

        return call

    def noted_async(original: Callable[..., Any]) -> Any:
        @wraps(original)
        async def acall(tool: Any, *args: Any, **kwargs: Any) -> Any:
            if (tell := _teller(here)) is None:
                return await original(tool, *args, **kwargs)
            with _Step(tool, kwargs, tell) as step:
                step.result = await original(tool, *args, **kwargs)
            return step.result

        return acall

    with ExitStack() as stack:
        stack.enter_context(replaced(dspy.Tool, "__call__", noted))
        stack.enter_context(replaced(dspy.Tool, "acall", noted_async))
        yield


def _teller(here: Callable[[], Gate | None]) -> Callable[[ToolCalled], None] | None:
    gate = here()
    return None if gate is None else gate.ledger.on_tool


class _Step:
    """One call of a tool: what it was given, and what came of it."""

    def __init__(self, tool: Any, arguments: dict[str, Any], tell: Callable[[ToolCalled], None]) -> None:
        self._name, self._tell = str(getattr(tool, "name", None) or type(tool).__name__), tell
        self._input, self.result = _text(arguments), None
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        seconds = time.perf_counter() - self._began
        self._tell(
            ToolCalled(
                tool=self._name,
                latency_s=seconds,
                input=self._input,
                output=None if error is not None else _text(self.result),
                error=None if error is None else f"{type(error).__name__}: {error}",
            )
        )


def without_texts(step: ToolCalled) -> ToolCalled:
    """Return what is recorded of a step where prompts are not: digests in the place of texts."""
    hidden = {
        name: None if text is None else digest(text) for name, text in (("input", step.input), ("output", step.output))
    }
    kind = None if step.error is None else step.error.partition(":")[0]
    return step.model_copy(update={**hidden, "error": kind})


def _text(value: object) -> str:
    """Write what a tool was given or returned, at once: it may be changed afterwards."""
    import json

    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):  # keys of any kind, or a circle
        text = str(value)
    return shortened(text, _LONGEST)
