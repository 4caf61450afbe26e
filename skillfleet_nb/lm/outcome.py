"""What a call came to: tokens, cost and time, of what DSPy recorded of it or of its failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skillfleet_nb.events import CallOutcome
from skillfleet_nb.lm.calls import is_cached, usage_of
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.prices import Tokens

if TYPE_CHECKING:
    from skillfleet_nb.lm.calls import Call


def outcome_of(call: Call, failure: BaseException | None) -> CallOutcome:
    """Read what a call took from what DSPy recorded of it, or from its failure."""
    cause = failure.__cause__ if isinstance(failure, RunStopped) and failure.__cause__ else failure
    error = None if cause is None else f"{type(cause).__name__}: {cause}"[:500]
    entry, seconds = call.entry or {}, time.perf_counter() - call.started - call.waited_s
    used = Tokens.of(entry.get("usage")).plus(call.wasted)
    call.used = used
    cached = bool(entry) and not any(used) and is_cached(call)
    if error is not None and not (cached or any(used)):
        full: float | None = 0.0
    else:
        full = _cost(call, usage_of(entry["response"]) if cached else used)
    return CallOutcome(
        cached, used.input, used.output, 0.0 if cached else full, seconds, error, call.attempts, full_cost_usd=full
    )


def _cost(call: Call, used: Tokens) -> float | None:
    """Reckon what an answer costs: by the price the user or the engine states, else as DSPy and LiteLLM bill it.

    An answer that does not say what it used has no known cost, unless its model is free.
    """
    billed, price = (call.entry or {}).get("cost"), call.price
    if price is not None and price.is_free:
        return 0.0
    if price is not None and (call.entry is None or not (price.is_listed and call.is_billed)):  # without one: no bill
        return price.cost(*used[:4]) if any(used) else None
    if billed is None or not (billed or any(used)):  # LiteLLM reckons 0 where there is no usage
        return None
    return float(billed) + (price.cost(*call.wasted[:4]) if price else 0.0)
