"""Agents that are functions: what they are told is optimised, what they do with it is theirs."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import dspy

from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.targets.text import Text, Untouched, as_prediction, checked_signature, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CallableTarget(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """A function and the texts that it works by.

    Parameters
    ----------
    function
        Called with the texts, by name, and with the inputs, by name.  It may be a coroutine function.
    components
        The texts, by name.
    signature
        What it takes and answers.
    """

    def __init__(self, function: Callable[..., Any], components: Mapping[str, str], signature: Any) -> None:
        super().__init__()
        named(list(components), CallableTarget)
        self.signature = signature = checked_signature(signature)
        self.function = Untouched(function)
        self.names = tuple(components)
        for name, text in components.items():
            setattr(self, name, Text(signature, text, name))

    @property
    def texts(self) -> dict[str, str]:
        """The texts as the function is given them."""
        return {name: getattr(self, name).text for name in self.names}

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Ask the function."""
        answer = self._asked(inputs)
        if inspect.isawaitable(answer):
            answer = off_loop(asyncio.run)(_awaited(answer))
        return self._noted(inputs, answer)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Ask the function in async code; one that is not a coroutine is given a thread."""
        if inspect.iscoroutinefunction(self.function.function):
            return self._noted(inputs, await self._asked(inputs))
        answer = await asyncio.to_thread(partial(self._asked, inputs))
        return self._noted(inputs, await answer if inspect.isawaitable(answer) else answer)

    def _asked(self, inputs: Mapping[str, Any]) -> Any:
        return self.function(self.texts, dict(inputs))

    def _noted(self, inputs: Mapping[str, Any], answer: object) -> dspy.Prediction:
        who = getattr(self.function.function, "__name__", "the agent")
        prediction = as_prediction(answer, self.signature, who)
        for name in self.names:
            getattr(self, name).note(inputs, prediction)
        return prediction


class AgentTarget(CallableTarget):
    """A function that works by one text, its system prompt, which it is given first.

    Parameters
    ----------
    function
        Called with the system prompt, and with the inputs, by name.
    system
        The system prompt.
    signature
        What it takes and answers.
    """

    def __init__(self, function: Callable[..., Any], system: str, signature: Any) -> None:
        super().__init__(function, {"system": system}, signature)

    def _asked(self, inputs: Mapping[str, Any]) -> Any:
        return self.function(self.system.text, dict(inputs))


async def _awaited(answer: Any) -> Any:
    return await answer
