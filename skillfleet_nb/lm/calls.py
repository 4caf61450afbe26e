"""One call of a language model: what is known of it while it is made, and what its traces say."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.events import LMCall, Role
    from skillfleet_nb.lm.fallback import Step
    from skillfleet_nb.lm.prices import Price

_HISTORY_SEARCHED = 64  # entries of a shared history looked through: more threads than a run has
_TOKENS = ("input_tokens", "output_tokens")


@dataclass
class Call:
    """One call in flight: what was reserved for it, and the history entry DSPy made of it."""

    reserved_calls: int
    reserved_usd: float
    reserved_tokens: int
    prompt: str = ""
    price: Price | None = None
    entry: dict[str, Any] | None = None
    started: float = field(default_factory=time.perf_counter)
    of: str = ""  # the model asked and its role, which the circuit goes by
    step: Step | None = None
    attempts: int = 1
    retried_here: bool = False
    key: int | None = None
    is_duplicate: bool = False  # the same request was in flight already
    was_held: bool = False  # it waited while nothing was admitted
    is_waiting: bool = False  # for its next attempt
    wasted: Counter[str] = field(default_factory=Counter)  # tokens of answers that were thrown away
    role: Role = "task"
    call_id: str = ""  # as it is recorded, once it is

    def discard(self) -> None:
        """Throw the answer away that DSPy recorded, but not what it used."""
        self.wasted.update({k: v for k, v in ((self.entry or {}).get("usage") or {}).items() if isinstance(v, int)})
        self.entry = None


current: ContextVar[Call | None] = ContextVar("skillfleet_lm_call", default=None)
"""The call in flight."""

answered: ContextVar[Call | None] = ContextVar("skillfleet_lm_answer", default=None)
"""The call that was answered last, whose answer is about to be read."""


def completions(event: LMCall, n: int, outputs: Sequence[object]) -> list[LMCall]:
    """Tell a call for `n` completions as the n calls it costs."""
    if n == 1:
        return [event]
    parts = []
    for i in range(n):
        share = {name: getattr(event, name) // n + (i < getattr(event, name) % n) for name in _TOKENS}
        cost = None if event.cost_usd is None else event.cost_usd / n
        text = text_of(outputs[i]) if i < len(outputs) else None
        response = digest(text) if text and str(event.response).startswith("sha256:") else text
        changed = {**share, "cost_usd": cost, "latency_s": event.latency_s / n, "response": response}
        parts.append(event.model_copy(update={**changed, "call_id": f"{event.call_id}-{i}"}))
    return parts


def from_cache(response: object) -> bool:
    """Tell whether a response whose call used nothing came from DSPy's cache.

    A cached response still says what it once cost; an engine that reports no usage says nothing, and
    its calls count as bought.
    """
    for part in response if isinstance(response, tuple | list) else (response,):
        usage = getattr(part, "usage", None)
        told = usage if isinstance(usage, dict) else getattr(usage, "__dict__", {})
        tokens = (getattr(usage, name, None) for name in ("input_tokens", "output_tokens", "total_tokens"))
        if getattr(part, "cache_hit", False) or any(told.values()) or any(tokens):
            return True
    return False


def entry_of(prompt: str, history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Find the newest entry of this prompt: threads that share a model share its history."""
    recent = list(history[-_HISTORY_SEARCHED:])
    same = (e for e in reversed(recent) if text_of(e.get("messages") or e.get("prompt")) == prompt)
    return next(same, recent[-1] if recent else None)


def text_of(sent: object) -> str:
    """Render what was sent, or one output, as text a person can read."""
    if sent is None:
        return ""
    if isinstance(sent, str):
        return sent
    if isinstance(sent, dict):
        return str(sent.get("text") or sent)
    if isinstance(sent, list):
        return "\n\n".join([f"[{m.get('role')}]\n{m.get('content')}" if isinstance(m, dict) else str(m) for m in sent])
    return str(sent)


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in place of the text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
