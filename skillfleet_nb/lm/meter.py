"""The meter: counts every call of a language model and enforces the budget of a run.

A :class:`Ledger` counts for one job; models reach it through taps (see ``tap``).  Admission belongs
to a :class:`Gate`.  A gate closes for good when its limits are reached or the job is stopped, and
refuses every later call with :class:`RunStopped`, a ``BaseException`` because MIPROv2, SIMBA and GEPA
swallow ordinary ones and go on with zero scores.  The run opens one gate for the search and another
for the final scoring, whose share is set aside beforehand.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from skillfleet_nb.events import LMCall, Role
from skillfleet_nb.lm.calls import Call, completions, current, digest, from_cache, text_of
from skillfleet_nb.lm.fallback import Fallbacks
from skillfleet_nb.lm.faults import Circuit, Patience, is_of_the_request
from skillfleet_nb.lm.prices import Price, price_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


StopKind = Literal["budget", "cancelled", "lm_failing", "metric", "home"]

_CHARS_PER_TOKEN = 3.5
_LOOK_S = 0.5  # how often a wait looks whether it should go on
_TURN_S = 0.02  # how often a coroutine that must wait for its turn looks
_FIRST_OUTPUT_TOKENS = 256.0  # assumed of a model that has not answered yet, to reserve its cost


class RunStopped(BaseException):
    """Ends a run at its next call of a language model."""

    def __init__(self, kind: StopKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: StopKind = kind
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """Upper bounds of a run; None means unbounded.

    Attributes
    ----------
    usd
        Money in USD.
    calls
        Bought calls (a cached one costs nothing and is not counted).
    tokens
        Input and output tokens of bought calls together.
    seconds
        Wall time, over all attempts.
    """

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def less(self, share: Limits) -> Limits:
        """Return these limits with `share` set aside, never below zero."""
        kept = {}
        for f in fields(self):
            bound, aside = getattr(self, f.name), getattr(share, f.name)
            kept[f.name] = bound if bound is None or aside is None else max(0, bound - aside)
        return Limits(**kept)


class Came(NamedTuple):
    """What a call came to, as far as a budget goes by it."""

    cached: bool
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_s: float
    error: str | None
    attempts: int


@dataclass
class Totals:
    """What a run has used so far; `cost_usd` is None once a bought call had no known price."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    lm_seconds: float = 0.0
    retries: int = 0

    def add(self, call: Came | LMCall, n: int = 1) -> None:
        """Count a call for `n` completions."""
        self.failed += call.error is not None
        if call.cached:
            self.cached += n
            return
        self.calls += n
        self.retries += call.attempts - 1
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.lm_seconds += call.latency_s
        known = self.cost_usd is not None and call.cost_usd is not None
        self.cost_usd = (self.cost_usd or 0.0) + (call.cost_usd or 0.0) if known else None

    def copy(self) -> Totals:
        """Return these totals as they are now."""
        return replace(self)


class Ledger:
    """Counts the calls of one job and holds it to its limits.

    Parameters
    ----------
    limits
        The budget of the whole job.
    on_call
        Called for every call, on its thread, with what makes its :class:`~skillfleet_nb.events.LMCall` events, one
        for each completion.  They may be made later and on another thread, so that nobody waits for that.
    record_prompts
        Whether `on_call` gets the texts, or only their SHA-256.
    prices
        Prices the user states, per million tokens (see :func:`~skillfleet_nb.lm.prices.price_of`).
    patience
        How long to bear with a model that fails: a dead one must not be searched on.
    fallbacks
        Models that take over from one that fails; they are metered like it.
    on_wait
        Called now and then while a call takes long.
    checkpoint_usd, on_checkpoint
        Attributes: before a call that may take what was spent beyond so much, the callback is called with
        it, on the calling thread; it raises the checkpoint, or stops the run.  Several threads may call it.
    spent, spent_s
        What earlier attempts at the same job bought, and the seconds they took: both count against the limits.

    Examples
    --------
    >>> ledger = Ledger(Limits(calls=100))
    >>> gate = ledger.gate()
    >>> ledger.totals.calls
    0
    """

    def __init__(
        self,
        limits: Limits | None = None,
        on_call: Callable[[Callable[[], Sequence[LMCall]]], None] | None = None,
        *,
        record_prompts: bool = True,
        prices: Mapping[str, tuple[float, float]] | None = None,
        patience: Patience | None = None,
        fallbacks: Fallbacks | None = None,
        on_wait: Callable[[], None] | None = None,
        spent: Totals | None = None,
        spent_s: float = 0.0,
    ) -> None:
        self.limits = limits or Limits()
        self.totals = spent.copy() if spent else Totals()
        self.record_prompts = record_prompts
        self._on_call = on_call
        self._stated = dict(prices or {})
        self.patience = patience or Patience()
        self.fallbacks = fallbacks or Fallbacks((), self.patience)
        self.unanswered = 0
        self.last_failure: BaseException | None = None
        self.last_failed = ""
        self.doubled = 0
        self._on_wait = on_wait
        self._circuit = Circuit(self.patience)
        self._flying: Counter[int] = Counter()
        self._in_flight = Call(0, 0.0, 0)
        self._unsettled = 0
        self._stopped: tuple[StopKind, str] | None = None
        self._mean_output = _FIRST_OUTPUT_TOKENS
        self._answered = 0
        self._turn = threading.Condition()
        self._gates: list[Gate] = []
        self._started = time.monotonic() - spent_s
        self._paused = False
        self._holds = 0
        self._held_since: float | None = None
        self._held_s = 0.0
        self.checkpoint_usd: float | None = None
        self.on_checkpoint: Callable[[float], None] | None = None
        # Random bytes for every call would be a system call each, at which threads queue for the interpreter.
        self._prefix, self._number = secrets.token_hex(4), itertools.count(1)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ledger:
        return self  # programs are copied with their models; the ledger is one

    @property
    def elapsed_s(self) -> float:
        """Seconds since the ledger was made, and those of earlier attempts, without those it was held."""
        now = self._held_since
        return (time.monotonic() if now is None else now) - self._started - self._held_s

    @property
    def is_held(self) -> bool:
        """Whether no call is admitted for now: it is paused, or a person is asked."""
        return self._paused or self._holds > 0

    @property
    def held_s(self) -> float:
        """Seconds it was held so far."""
        since = self._held_since
        return self._held_s + (0.0 if since is None else time.monotonic() - since)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Admit no call while the body runs, which takes none of the run's time; calls in flight finish."""
        with self._turn:
            self._holds += 1
            self._keep_time()
        try:
            yield
        finally:
            with self._turn:
                self._holds -= 1
                self._keep_time()

    def pause(self) -> bool:
        """Hold every further call until :meth:`unpause`, as :meth:`held` does.

        Returns
        -------
        bool
            False where that changes nothing: it is paused or stopped already.
        """
        with self._turn:
            if self._paused or self._stopped is not None:
                return False
            self._paused = True
            self._keep_time()
            return True

    def unpause(self) -> bool:
        """Let calls go on; return False where they were not paused."""
        with self._turn:
            if not self._paused:
                return False
            self._paused = False
            self._keep_time()
            return True

    def _keep_time(self) -> None:
        """Stop the clock with the first hold, and let it run on after the last."""
        if self.is_held:
            self._held_since = self._held_since or time.monotonic()
        else:
            self._held_s, self._held_since = self.held_s, None
            self._turn.notify_all()

    @property
    def stopped(self) -> tuple[StopKind, str] | None:
        """Why the run was stopped, as kind and words; None while it was not."""
        return self._stopped

    def gate(self, aside: Limits | None = None) -> Gate:
        """Open a gate under the job's limits, less what is set `aside` for later."""
        gate = Gate(self, self.limits.less(aside) if aside else self.limits)
        with self._turn:
            self._gates.append(gate)
            if self._stopped is not None:
                gate.close(*self._stopped)
        return gate

    def stop(self, kind: StopKind, reason: str) -> None:
        """Close every gate, those still to be opened too: calls in flight finish, no further one starts."""
        with self._turn:
            self._stopped = self._stopped or (kind, reason)
            for gate in self._gates:
                gate.close(kind, reason)

    def drain(self, timeout_s: float) -> bool:
        """Wait until every call in flight is counted and told; return whether all were in time."""
        with self._turn:
            return self._turn.wait_for(lambda: self._unsettled == 0, timeout_s)

    def price(self, lm: Any) -> Price | None:
        """Price of a token of `lm`, or None where it is not known."""
        return price_of(lm, self._stated)

    def _refusal(self, limits: Limits, need: Call) -> str | None:
        """Say which limit the next call would break, counting what is in flight as spent."""
        flying, used = self._in_flight, self.totals
        if limits.calls is not None and used.calls + flying.reserved_calls + need.reserved_calls > limits.calls:
            return f"budget: {self.limits.calls} calls"
        if limits.usd is not None:
            spent = (used.cost_usd or 0.0) + flying.reserved_usd
            if spent + need.reserved_usd > limits.usd or spent >= limits.usd:
                return f"budget: ${self.limits.usd:g}"
        if limits.tokens is not None:
            tokens = used.input_tokens + used.output_tokens + flying.reserved_tokens
            if tokens + need.reserved_tokens > limits.tokens:
                return f"budget: {self.limits.tokens:,} tokens"
        if limits.seconds is not None and self.elapsed_s >= limits.seconds:
            return f"budget: {(self.limits.seconds or 0) / 60:g} minutes"
        return None

    def _admitted(self, gate: Gate, need: Call, *, may_wait: bool = True) -> bool:
        """Admit a call, or tell that it has to wait: what is in flight may turn out cached or cheaper.

        Raises
        ------
        RunStopped
            If the gate is closed, or waiting cannot help.
        """
        with self._turn:
            gate.check()
            if self.is_held:
                need.held = True
                return False
            # DSPy asks again for what takes long: after a hold the second one waits for the answer to the first.
            if need.held and may_wait and need.key is not None and self._flying[need.key]:
                return False
            reason = self._refusal(gate.limits, need)
            if reason is None and self._is_beyond(need):
                return False
            if reason is None:
                self._reserve(need)
                return True
            late = gate.limits.seconds is not None and self.elapsed_s >= gate.limits.seconds
            if late or not may_wait or self._in_flight.reserved_calls == 0:
                gate.close("budget", reason)
                gate.check()
            return False

    def _is_beyond(self, need: Call) -> bool:
        """Tell whether a call may take the spending beyond the checkpoint."""
        if self.checkpoint_usd is None or self.on_checkpoint is None:
            return False
        spent = (self.totals.cost_usd or 0.0) + self._in_flight.reserved_usd
        return spent + need.reserved_usd > self.checkpoint_usd

    def _ask(self, need: Call, *, may_wait: bool = True) -> Callable[[], None] | None:
        """Return what asks whether to pass the checkpoint, where that is what a call waits for.

        While others are in flight, which may turn out cached or cheaper, they are waited for.
        """
        with self._turn:
            ask, limit = self.on_checkpoint, self.checkpoint_usd
            others = may_wait and self._in_flight.reserved_calls > 0
            if ask is None or limit is None or self._holds or others or not self._is_beyond(need):
                return None
            return partial(ask, limit)

    def _reserve(self, need: Call) -> None:
        self._unsettled += 1
        if need.key is not None:
            need.twin = self._flying[need.key] > 0
            self._flying[need.key] += 1
        self._in_flight.reserved_calls += need.reserved_calls
        self._in_flight.reserved_usd += need.reserved_usd
        self._in_flight.reserved_tokens += need.reserved_tokens

    def admit(self, gate: Gate, need: Call) -> None:
        """Wait for the call's turn; raise :class:`RunStopped` if the gate closes."""
        # On an event loop, waiting would stop the very calls that are waited for.
        may_wait = not _on_event_loop()
        while not self._admitted(gate, need, may_wait=may_wait):
            if (ask := self._ask(need, may_wait=may_wait)) is not None:
                ask()
                continue
            with self._turn:
                self._turn.wait(timeout=_LOOK_S)
            if self.is_held:
                gate.look()

    async def admit_later(self, gate: Gate, need: Call) -> None:
        """Await the call's turn; raises as :meth:`admit` does."""
        import asyncio

        while not self._admitted(gate, need):
            if (ask := self._ask(need)) is not None:
                await asyncio.to_thread(ask)
                continue
            await asyncio.sleep(_TURN_S)
            if self.is_held:
                gate.look()

    def _settle(self, call: Call, lm: Any, role: Role, failure: BaseException | None) -> None:
        calls, model = call.reserved_calls, str(getattr(lm, "model", type(lm).__name__))
        came, why = _came(call, failure), None
        with self._turn:
            self._in_flight.reserved_calls -= call.reserved_calls
            self._in_flight.reserved_usd -= call.reserved_usd
            self._in_flight.reserved_tokens -= call.reserved_tokens
            self.totals.add(came, calls)
            if call.key is not None:
                self._flying[call.key] -= 1
                if not self._flying[call.key]:
                    del self._flying[call.key]
            self.doubled += call.twin and not came.cached
            # A request that another model still answers is not lost, and a stop is nobody's failure.
            if isinstance(failure, Exception) and not is_of_the_request(failure) and (not call.step or call.step.last):
                self.unanswered += 1
                self.last_failure, self.last_failed = failure, call.of or model
                why = self._circuit.record(self.last_failed, failure)
            elif failure is None and not came.cached:
                self._circuit.record(call.of or model, None)
            if not (came.cached or came.error):
                self._answered += 1
                self._mean_output += (came.output_tokens - self._mean_output) / self._answered
        if why is not None:
            self.stop("lm_failing", why)
        if self._on_call is not None:
            call_id = f"{self._prefix}{next(self._number):08x}"
            self._on_call(partial(_events, call, came, call_id, model, role, self.record_prompts))

    def need(self, gate: Gate, lm: Any, sent: Any, n: int) -> Call:
        """Reckon what `n` completions of `lm` will take."""
        price = self.price(lm)
        bound = self.limits.usd if gate.limits.usd is not None else self.checkpoint_usd
        if price is None and bound is not None:
            model = getattr(lm, "model", type(lm).__name__)
            gate.close("budget", f"budget: ${bound:g} cannot be kept: {model!r} has no known price")
        prompt = text_of(sent)
        tokens = int(len(prompt) / _CHARS_PER_TOKEN)
        return Call(
            reserved_calls=n,
            reserved_usd=n * price.cost(tokens, int(self._mean_output)) if price else 0.0,
            reserved_tokens=n * (tokens + int(self._mean_output)),
            prompt=prompt,
            price=price,
        )

    @contextmanager
    def flight(self, call: Call, lm: Any, role: Role) -> Iterator[None]:
        """Run an admitted call in the body, and count it by what DSPy recorded of it."""
        call.started = time.perf_counter()
        token = current.set(call)
        failure: BaseException | None = None
        try:
            yield
        except BaseException as exc:
            failure = exc
            raise
        finally:
            current.reset(token)
            try:
                self._settle(call, lm, role, failure)
            finally:
                with self._turn:
                    self._unsettled -= 1
                    self._turn.notify_all()

    def count(self, gate: Gate, entry: dict[str, Any]) -> None:
        """Count a call that nobody admitted, and go no further where it would have been refused."""
        lm = SimpleNamespace(model=entry["model"])
        call = self.need(gate, lm, entry.get("messages") or entry.get("prompt"), len(entry["outputs"]))
        call.entry = entry
        with self._turn:
            refused = self._refusal(gate.limits, call)
            self._reserve(call)
        with self.flight(call, lm, "task"):
            pass
        if refused is not None:
            gate.close("budget", refused)
        gate.check()


def _came(call: Call, failure: BaseException | None) -> Came:
    """Read what a call came to from what DSPy recorded of it, or from its failure."""
    told = failure.__cause__ if isinstance(failure, RunStopped) and failure.__cause__ else failure
    error = None if told is None else f"{type(told).__name__}: {told}"[:500]
    entry, price = call.entry or {}, call.price
    usage = {k: v for k, v in (entry.get("usage") or {}).items() if isinstance(v, int) and v > 0}
    for name, n in call.wasted.items():
        usage[name] = usage.get(name, 0) + n
    cached = error is None and not usage and from_cache(entry.get("response"))
    spent_in, spent_out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    cost: float | None
    if cached or (error is not None and not usage):
        cost = 0.0
    elif price is not None:
        cost = price.cost(spent_in, spent_out)
    else:
        cost = entry.get("cost")
    return Came(cached, spent_in, spent_out, cost, time.perf_counter() - call.started, error, call.attempts)


def _events(call: Call, came: Came, call_id: str, model: str, role: Role, record_prompts: bool) -> list[LMCall]:  # noqa: FBT001
    """Make what is recorded of a call."""
    outputs = (call.entry or {}).get("outputs") or ()
    prompt, response = call.prompt, "\n\n".join(text_of(o) for o in outputs)
    event = LMCall(
        call_id=call_id,
        model=model,
        role=role,
        **came._asdict(),
        asked=call.step.request if call.step else None,
        prompt=prompt if record_prompts else digest(prompt),
        response=response if record_prompts else digest(response),
    )
    return completions(event, call.reserved_calls, outputs)


class Gate:
    """The door one phase of a run makes its calls through; it closes once, for good."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self.ledger = ledger
        self.limits = limits
        self._closed: tuple[StopKind, str] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Gate:
        return self

    @property
    def closed(self) -> tuple[StopKind, str] | None:
        """Why no further call is admitted, as kind and words; None while it is open."""
        return self._closed

    def close(self, kind: StopKind, reason: str) -> None:
        """Refuse every later call; the first reason given stays."""
        with self.ledger._turn:  # noqa: SLF001  same module
            if self._closed is None:
                self._closed = (kind, reason)
            self.ledger._turn.notify_all()  # noqa: SLF001

    def check(self, cause: BaseException | None = None) -> None:
        """Raise :class:`RunStopped` if the gate is closed; `cause` is what would have been tried again."""
        if self._closed is not None:
            raise RunStopped(*self._closed) from cause

    def look(self) -> None:
        """Close the gate if its time is up; see whether a stop was asked for."""
        seconds = self.limits.seconds
        if seconds is not None and self.ledger.elapsed_s >= seconds:
            self.close("budget", f"budget: {(self.ledger.limits.seconds or 0) / 60:g} minutes")
        if self.ledger._on_wait is not None:  # noqa: SLF001  same module
            self.ledger._on_wait()  # noqa: SLF001

    def pause(self, seconds: float, cause: BaseException) -> None:
        """Wait before another attempt, after `cause`; raise :class:`RunStopped` if the gate closes meanwhile."""
        until = time.monotonic() + seconds
        turn = self.ledger._turn  # noqa: SLF001  same module
        self.check(cause)
        while (left := until - time.monotonic()) > 0 or self.ledger.is_held:
            with turn:
                if left > 0:
                    turn.wait_for(lambda: self._closed is not None, min(left, _LOOK_S))
                else:
                    turn.wait_for(lambda: self._closed is not None or not self.ledger.is_held, _LOOK_S)
            self.look()
            self.check(cause)

    def tap(self, lm: Any, role: Role) -> Any:
        """Copy `lm` so that every call of the copy, and of copies of it, is metered here as `role`."""
        from skillfleet_nb.lm.tap import tapped

        return tapped(self, lm, role)


def _on_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
