"""A model whose answers a test writes, and changes: the same name, other weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dspy

if TYPE_CHECKING:
    from collections.abc import Callable


class Scripted:
    """An engine that answers each request by `write(prompt, system)`, which tests replace."""

    def __init__(self, write: Callable[[str, str], str]) -> None:
        self.write, self.calls = write, 0

    def complete(self, request: Any) -> Any:
        """Answer one request."""
        from dspy.lm15 import Message, Response, TextPart, Usage

        self.calls += 1
        system = request.system if isinstance(request.system, str) else "".join(p.text for p in request.system)
        names = re.findall(r"^\d+\. `(\w+)`", system.partition("Your output fields are:")[2], re.MULTILINE)
        answer = self.write(request.messages[-1].text, system)
        text = "\n\n".join([*(f"[[ ## {name} ## ]]\n{answer}" for name in names), "[[ ## completed ## ]]"])
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
        )

    def close(self) -> None:
        """Release nothing."""


def scripted(write: Callable[[str, str], str]) -> tuple[dspy.LM, Scripted]:
    """Make a model, and the engine to change its answers by."""
    engine = Scripted(write)
    return dspy.LM("acme/support-1", engine=engine), engine
