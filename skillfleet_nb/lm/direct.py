"""Calls that code makes of LiteLLM itself: LiteLLM tells of each before it is sent, on the thread that makes it.

That is its input callback, which may end the call by raising.  Its success callbacks come later, on threads of its own,
or, where an event loop ends with the call, never: so what such a call used is not known, and it has no known cost.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.calls import acting, current
from skillfleet_nb.lm.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.lm.gate import Gate

_KINDS = ("completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses")


@contextmanager
def direct_calls(here: Callable[[], Gate | None]) -> Iterator[None]:
    """Have calls of LiteLLM's own functions go by the gate of `here`, if LiteLLM is there."""
    with ExitStack() as stack:
        litellm = sys.modules.get("litellm")
        if type(litellm) is ModuleType:  # until it is used, DSPy's import of it is of another type
            stack.enter_context(replaced(litellm, "input_callback", lambda before: _Callbacks(before, here)))
        yield


def load_litellm() -> None:
    """Import LiteLLM, which takes seconds: who names it would import it within the run, too late to be heard."""
    if importlib.util.find_spec("litellm") is not None:
        import litellm

        _ = litellm.completion  # now, though DSPy may have put it off


class _Callbacks(list[Any]):
    """LiteLLM's callbacks, and one that counts and admits calls."""

    def __init__(self, before: list[Any], here: Callable[[], Gate | None]) -> None:
        from litellm.integrations.custom_logger import CustomLogger

        class Meter(CustomLogger):  # type: ignore[misc]  # LiteLLM is untyped
            def log_pre_api_call(self, model: str, messages: object, kwargs: dict[str, Any]) -> None:
                if kwargs.get("call_type") in _KINDS and current.get() is None and (gate := here()) is not None:
                    _count(gate, model, messages, kwargs)

        super().__init__([*before, Meter()])


def _count(gate: Gate, model: str, messages: object, details: dict[str, Any]) -> None:
    provider = (details.get("litellm_params") or {}).get("custom_llm_provider")
    name = model if not provider or model.startswith(f"{provider}/") else f"{provider}/{model}"
    lm = SimpleNamespace(model=name, kwargs={})
    asked = (details.get("optional_params") or {}).get("n")
    call = gate.call(lm, messages, asked if isinstance(asked, int) and asked > 0 else 1)
    call.of, call.was_bought, call.entry = f"{lm.model} (LiteLLM)", True, {"outputs": (), "usage": {}}
    gate.admit(call)
    gate.pace(lm, call)
    with gate.ledger.flight(call, lm, acting.get() or "task"):
        pass  # its answer is told to nobody
