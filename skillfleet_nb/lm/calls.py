"""One call of a language model: what is known of it while it is made, and what its traces say."""

from __future__ import annotations

import hashlib
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from skillfleet_nb.blobs import referred
from skillfleet_nb.lm.prices import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.events import LMCall, Role
    from skillfleet_nb.lm.fallback import Step
    from skillfleet_nb.lm.prices import Price
    from skillfleet_nb.store import Schedule

MOST_RECORDED = 200_000
"""Characters of a prompt, or of an answer, that are recorded; longer than any model writes."""

_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_COSTS = ("cost_usd", "full_cost_usd")


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
    role: Role = "task"
    schedule: Schedule | None = None  # of the limit that it waited for, where it took so many tokens
    taken_tokens: float = 0.0
    waited_s: float = 0.0
    call_id: str = ""  # as it is recorded, once it is
    used: Tokens = field(default_factory=Tokens)  # all in all, once it is over
    wasted: Tokens = field(default_factory=Tokens)  # by answers that were thrown away
    was_bought: bool = False  # as DSPy told `Purchases`
    answers: Any = None  # the cache of an encrypted home, in the place of DSPy's
    is_billed: bool = False  # by a provider that DSPy knows: it and LiteLLM reckon from all that is told of the usage

    def discard(self) -> None:
        """Throw the answer away that DSPy recorded, but not what it used."""
        self.wasted = self.wasted.plus(Tokens.of((self.entry or {}).get("usage")))
        self.entry = None


class Purchases:
    """Stands for DSPy's usage tracker, which is told of every answer that did not come from its cache."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Purchases:
        return self

    def add_usage(self, lm: str, usage: object) -> None:
        """Note that the call on this thread was bought."""
        del lm, usage
        if (call := current.get()) is not None:
            call.was_bought = True


current: ContextVar[Call | None] = ContextVar("skillfleet_lm_call", default=None)
"""The call in flight."""

acting: ContextVar[Role | None] = ContextVar("skillfleet_role", default=None)
"""Whom calls are made for, whatever the model's own role: ``"judge"`` within a metric."""

answered: ContextVar[Call | None] = ContextVar("skillfleet_lm_answer", default=None)
"""The call that was answered last, whose answer is about to be read."""


def completions(event: LMCall, n: int, answers: Sequence[str]) -> list[LMCall]:
    """Tell a call for `n` completions as the n calls it costs."""
    if n == 1:
        return [event]
    parts = []
    for i in range(n):
        share = {name: getattr(event, name) // n + (i < getattr(event, name) % n) for name in _TOKENS}
        costs = {name: None if (usd := getattr(event, name)) is None else usd / n for name in _COSTS}
        response = answers[i] if i < len(answers) else None
        changed = {**share, **costs, "latency_s": event.latency_s / n, "response": response}
        parts.append(event.model_copy(update={**changed, "call_id": f"{event.call_id}-{i}"}))
    return parts


def is_cached(call: Call) -> bool:
    """Tell whether an answered call whose answer used nothing came from DSPy's cache; an engine may tell no usage."""
    import dspy

    if isinstance(dspy.settings.usage_tracker, Purchases):
        return not call.was_bought
    return _says_usage((call.entry or {}).get("response"))


def usage_of(response: object) -> Tokens:
    """Read from a response what it used, or once did: a cached one still says so."""
    parts = response if isinstance(response, tuple | list) else (response,)
    return reduce(Tokens.plus, (_usage(getattr(part, "usage", None)) for part in parts), Tokens())


def _usage(usage: Any) -> Tokens:
    if usage is None or isinstance(usage, dict):
        return Tokens.of(usage)
    if hasattr(usage, "model_dump"):
        return Tokens.of(usage.model_dump())
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return Tokens(*(getattr(usage, name, None) or 0 for name in names))


def _says_usage(response: object) -> bool:
    parts = response if isinstance(response, tuple | list) else (response,)
    return any(usage_of(response)) or any(getattr(part, "cache_hit", False) for part in parts)


def text_of(sent: object) -> str:
    """Render what was sent, or one output, as text a person can read."""
    if sent is None:
        return ""
    if isinstance(sent, str):
        return sent
    if isinstance(sent, dict):
        return str(sent.get("text") or sent)
    if isinstance(sent, list):
        return "\n\n".join([f"[{m.get('role')}]\n{_content(m)}" if isinstance(m, dict) else str(m) for m in sent])
    return str(sent)


def in_part(text: str) -> str:
    """Return a text as it is recorded: of one that is too long the beginning, its length and its SHA-256.

    Examples
    --------
    >>> in_part("as it is"), in_part("x" * 10**6).partition("[")[2].partition(":")[0]
    ('as it is', 'cut')
    """
    if len(text) <= MOST_RECORDED or len(read := referred(text)) <= MOST_RECORDED:
        return text  # with its images, which the journal's writer keeps beside it
    return f"{read[:MOST_RECORDED]}\n[cut: {len(text):,} characters in all, {digest(text)}]"


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, list):
        return str(content)
    return "\n".join(p["text"] if isinstance(p, dict) and isinstance(p.get("text"), str) else str(p) for p in content)


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in place of the text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
