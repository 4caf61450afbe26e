"""Models for the creator: one that writes a skill as a good one would, and others that fail in a way of their own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import dspy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = "Rotate API keys of a service without downtime. Use when a key may have leaked, or is older than policy allows."
HEADINGS = ["Overview", "When to Use", "Quick Start", "Rotation steps", "Common mistakes", "Red flags"]
TEXTS = {
    "Overview": "Rotate API keys of a service while it runs: no caller may lose access.\n\n"
    "Core principle: a key is never revoked before every caller uses its successor.",
    "When to Use": "- A key may have leaked, or is older than the policy allows.\n- Never use it for people.",
    "Quick Start": "Issue a second key:\n\n```bash\nkeys issue --service billing\n```",
    "Rotation steps": "1. Issue the second key.\n2. Always deploy it to every caller.\n3. Watch the first."
    "\n4. You must revoke the first only after a day without a call.",
    "Common mistakes": "Common mistakes are to revoke too early: avoid that, read the log of calls first.",
    "Red flags": "Red flags: a caller nobody knows. Stop and ask its owner; do not revoke.",
}
BODY = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in TEXTS.items())


class Engine:
    """Answers every request by the names of the outputs it asks for; `asked` keeps the prompts by output."""

    repeats_itself = True

    def __init__(self, write: Callable[[str, str], Any]) -> None:
        self.write = write
        self.asked: list[tuple[str, str]] = []
        self.systems: list[str] = []

    def complete(self, request: Any) -> Any:
        """Answer one request."""
        from dspy.lm15 import Message, Response, TextPart, Usage

        system = request.system if isinstance(request.system, str) else "".join(p.text for p in request.system)
        prompt = request.messages[-1].text
        outputs = re.findall(r"^\d+\. `(\w+)`", system.partition("Your output fields are:")[2], re.MULTILINE)
        self.asked.append((outputs[-1], prompt))
        self.systems.append(system)
        said = {name: self.write(name, prompt) for name in outputs}
        parts = (f"[[ ## {n} ## ]]\n{v if isinstance(v, str) else json.dumps(v)}" for n, v in said.items())
        text = "\n\n".join([*parts, "[[ ## completed ## ]]"])
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="stop",
            usage=Usage(input_tokens=len(prompt) // 4, output_tokens=len(text) // 4),
        )

    def stream(self, request: Any) -> Iterator[Any]:
        """Answer one request as a stream of events."""
        from dspy.lm15 import response_to_events

        return iter(response_to_events(self.complete(request)))

    def close(self) -> None:
        """Release nothing."""


def writer(**answers: Any) -> dspy.LM:
    """Make a model that writes a good skill on :data:`KEYS`, but for the `answers` given."""
    known = {
        "domain": "security", "level": "intermediate", "kind": "workflow", "intent": "Keys change unseen.",
        "taxonomy_path": "security/rotate-api-keys", "name": "rotate-api-keys", "skill_style": "comprehensive",
        "keywords": ["api keys", "rotation"], "description": KEYS, "decision": "new", "reason": "It is so.",
        "template": "workflow", "is_simple": False, "complexity": 0.5, "sections": HEADINGS, "problems": [],
        "body": BODY, "revised": BODY,
    } | answers  # fmt: skip

    def write(name: str, prompt: str) -> Any:
        if name == "content" and name not in answers:
            heading = prompt.partition("[[ ## heading ## ]]\n")[2].partition("\n")[0]
            return TEXTS.get(heading, "")
        said = known[name]
        return said(prompt) if callable(said) else said

    return model(write)


def nonsense() -> dspy.LM:
    """Make a model that answers nonsense of the right type."""
    typed = {"domain": "other", "level": "beginner", "kind": "guide", "skill_style": "minimal", "decision": "new",
             "is_simple": "False", "complexity": 0.5, "template": "none"}  # fmt: skip
    lists = {"keywords", "sections", "problems"}

    def write(name: str, prompt: str) -> Any:
        words = ["blorp", "zint", "quux", "vlam", "drob"]
        n = len(prompt) % 5
        return typed.get(name, words[n:] if name in lists else " ".join([*words[n:], *words[:n]]))

    return model(write)


def model(write: Callable[[str, str], Any]) -> dspy.LM:
    """Make a model of a function from the name of an output, and the prompt, to its value."""
    return dspy.LM("test/writer", engine=Engine(write), cache=False)
