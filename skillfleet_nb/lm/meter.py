"""The meter: a :class:`Ledger` counts every call of a language model, for one job or one question.

Models reach it through taps (see ``tap``), each through a gate (see ``gate``), which admits calls
within limits.  What is in flight counts as spent, so that threads do not overshoot together.
"""

from __future__ import annotations

import itertools
import math
import secrets
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import CallOutcome, LMCall, Role, StopKind
from skillfleet_nb.lm.calls import Call, answered, completions, current, digest, in_part, text_of
from skillfleet_nb.lm.fallback import Fallbacks
from skillfleet_nb.lm.faults import Circuit, RetryPolicy, is_of_the_request, is_refusal
from skillfleet_nb.lm.limits import Limits
from skillfleet_nb.lm.outcome import outcome_of
from skillfleet_nb.lm.prices import Price, price_of, stated_rates
from skillfleet_nb.lm.seen import Seen
from skillfleet_nb.lm.shares import Shares
from skillfleet_nb.lm.threads import call_threads
from skillfleet_nb.projection import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from skillfleet_nb.events import ToolCalled
    from skillfleet_nb.lm.pacing import Pacer


_FIRST_OUTPUT_TOKENS = 256.0  # assumed of a model that has not answered yet, to reserve its cost


class Ledger:
    """Counts the calls of one job and holds it to its limits.

    Parameters
    ----------
    limits
        The budget of the whole job.
    on_call
        Called for every call, on its thread, with what makes its :class:`~skillfleet_nb.events.LMCall` events, one
        for each completion, and whether a model was asked, not a cache alone.  The events may be made later and on
        another thread, so that nobody waits for that.
    record_prompts
        Whether `on_call` gets the texts, or only their SHA-256.
    prices
        Prices the user states, per million tokens (see :func:`~skillfleet_nb.lm.prices.price_of`).
    retry_policy
        How a failing model is tried again, and when it is given up: a dead one must not be searched on.
    fallbacks
        Models that take over from one that fails; they are metered like it.
    on_wait
        Called now and then while a call takes long.
    on_pause
        Called when it is paused: :meth:`pause` was called, and no call is under way any more.
    clean
        Takes keys out of an error before anybody sees it, in place, or returns another to be raised.
    checkpoint_usd, on_checkpoint
        Attributes: before a call that may take what was spent beyond so much, the callback is called with
        it, on the calling thread; it raises the checkpoint, or stops the run.  Several threads may call it.
    most_wait_s
        Attribute: a call that would have to wait longer for its provider fails instead.
    way_out
        Attribute: what to do in place of a limit that cannot be kept, for answers do not say what they used.
    answers
        Attribute: the cache that answers its calls, of an encrypted home; None for DSPy's.
    on_tool
        Attribute: called for every call of a tool, on its thread; None where nobody asks.
    spent, spent_s
        What earlier attempts at the same job bought, and the seconds they took: both count against the limits.

    Examples
    --------
    >>> ledger = Ledger(Limits(calls=100))
    >>> ledger.totals.calls
    0
    """

    def __init__(
        self,
        limits: Limits | None = None,
        on_call: Callable[[Callable[[], Sequence[LMCall]], bool], None] | None = None,
        *,
        record_prompts: bool = True,
        prices: Mapping[str, tuple[float, float]] | None = None,
        retry_policy: RetryPolicy | None = None,
        fallbacks: Fallbacks | None = None,
        on_wait: Callable[[], None] | None = None,
        on_pause: Callable[[], None] | None = None,
        clean: Callable[[BaseException], BaseException] | None = None,
        spent: Totals | None = None,
        spent_s: float = 0.0,
    ) -> None:
        self.limits = limits or Limits()
        self.totals = spent.copy() if spent else Totals()
        self.record_prompts = record_prompts
        self._on_call = on_call
        self._prices = dict(prices or {})
        self._price_of: dict[tuple[object, ...], Price | None] = {}
        self.retry_policy = retry_policy or RetryPolicy()
        self.fallbacks = fallbacks or Fallbacks((), self.retry_policy)
        self.threads = call_threads()
        self._seen, self._replays = Seen(), self.totals.calls  # of its own earlier attempts, as many are replayed
        self.unanswered = self.refused = 0
        self.last_failure: BaseException | None = None
        self.last_failed = ""
        self.duplicates = 0
        self.on_wait = on_wait
        self.answers: object = None
        self.most_wait_s = math.inf
        self.way_out = "bound the run with max_calls"
        self.on_tool: Callable[[ToolCalled], None] | None = None
        self._on_pause = on_pause
        self._clean = clean
        self._circuit = Circuit(self.retry_policy)
        self._requests: Counter[int] = Counter()
        self.in_flight = Call(0, 0.0, 0)
        self._unsettled = self._waiting = 0
        self._stopped: tuple[StopKind, str] | None = None
        self.mean_output_tokens, self.mean_input_tokens = _FIRST_OUTPUT_TOKENS, 0.0
        self._answered = 0
        self.turn = threading.Condition()
        self._on_stop: list[Callable[[StopKind, str], None]] = []
        self._started = time.monotonic() - spent_s
        self._pausing = self._paused = False
        self.shares_answers = False  # of requests that several searches make at the same time
        self.shares = Shares(self.turn)
        self.pacer: Pacer | None = None  # lets calls wait for limits of their providers
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
        """Whether no call is admitted for now: it is paused or about to be, or a person is asked."""
        return self._pausing or self._holds > 0

    @property
    def is_paused(self) -> bool:
        """Whether it is paused: no call is admitted, and those under way have ended or wait to be tried again."""
        return self._paused

    @property
    def is_asking(self) -> bool:
        """Whether a person is asked."""
        return self._holds > 0

    @property
    def held_s(self) -> float:
        """Seconds it was held so far."""
        since = self._held_since
        return self._held_s + (0.0 if since is None else time.monotonic() - since)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Admit no call while the body runs, which takes none of the run's time; calls in flight finish."""
        with self.turn:
            self._holds += 1
            self._keep_time()
        try:
            yield
        finally:
            with self.turn:
                self._holds -= 1
                self._keep_time()

    def pause(self) -> bool:
        """Hold every further call until :meth:`unpause`; the clock stops once those under way have ended.

        Returns
        -------
        bool
            False where that changes nothing: it is paused, about to be, or stopped already.
        """
        with self.turn:
            if self._pausing or self._stopped is not None:
                return False
            self._pausing = True
        self._pause_if_idle()
        return True

    def _pause_if_idle(self) -> None:
        with self.turn:
            if self._paused or not self._pausing or self._stopped is not None or self._unsettled > self._waiting:
                return
            self._paused = True
            self._keep_time()
        if self._on_pause is not None:
            self._on_pause()

    def unpause(self) -> bool:
        """Let calls go on; return False where they were not paused."""
        with self.turn:
            if not self._pausing:
                return False
            self._pausing = self._paused = False
            self._keep_time()
            return True

    def _keep_time(self) -> None:
        """Stop the clock with the first hold, and let it run on after the last."""
        if self._paused or self._holds:
            self._held_since = self._held_since or time.monotonic()
        else:
            self._held_s, self._held_since = self.held_s, None
            self.turn.notify_all()

    @property
    def stopped(self) -> tuple[StopKind, str] | None:
        """Why the run was stopped, as kind and words; None while it was not."""
        return self._stopped

    def stop(self, kind: StopKind, reason: str) -> None:
        """Close every gate, those still to be opened too: calls in flight finish, no further one starts."""
        with self.turn:
            self._stopped = self._stopped or (kind, reason)
            for close in self._on_stop:
                close(kind, reason)

    def on_stop(self, close: Callable[[StopKind, str], None]) -> None:
        """Have `close` called with why, when the ledger is stopped; at once where it is."""
        with self.turn:
            self._on_stop.append(close)
            if self._stopped is not None:
                close(*self._stopped)

    def drain(self, timeout_s: float) -> bool:
        """Wait until every call in flight is counted and told; return whether all were in time."""
        with self.turn:
            return self.turn.wait_for(lambda: self._unsettled == 0, timeout_s)

    def price(self, lm: object) -> Price | None:
        """Price of a token of `lm`, or None where it is not known."""
        key = (getattr(lm, "model", None), getattr(lm, "engine", None), stated_rates(lm))
        try:
            return self._price_of[key]
        except KeyError:
            return self._price_of.setdefault(key, price_of(lm, self._prices))

    def is_in_flight(self, key: int | None) -> bool:
        """Tell whether the same request is being made."""
        return key is not None and self._requests[key] > 0

    def reserve(self, call: Call) -> None:
        """Count an admitted call as spent until :meth:`flight` ends; with `turn` held."""
        self._unsettled += 1
        if call.key is not None:
            call.is_duplicate = self._requests[call.key] > 0
            self._requests[call.key] += 1
        self.in_flight.reserved_calls += call.reserved_calls
        self.in_flight.reserved_usd += call.reserved_usd
        self.in_flight.reserved_tokens += call.reserved_tokens

    def wait_for_attempt(self, call: Call) -> None:
        """Count a call that waits for its next attempt as not under way, until it :meth:`may_go_on`."""
        with self.turn:
            self._waiting += not call.is_waiting
            call.is_waiting = True
        self._pause_if_idle()

    def may_go_on(self, call: Call) -> bool:
        """Count a waiting call as under way again, where none is held; tell whether so."""
        with self.turn:
            if self.is_held:
                return False
            self._waiting -= call.is_waiting
            call.is_waiting = False
            return True

    def _with_full_cost(self, call: Call, outcome: CallOutcome) -> CallOutcome:
        """Leave out of what a call would cost without a cache what the run has asked itself: no run pays it twice."""
        is_own = call.key is not None and self._seen.add(call.key)
        if not is_own and outcome.cached and self._replays > 0:
            self._replays, is_own = self._replays - 1, True
        return outcome._replace(full_cost_usd=0.0) if is_own and outcome.cached else outcome

    def _settle(self, call: Call, outcome: CallOutcome, model: str, failure: BaseException | None) -> str | None:
        """Count an ended call, with `turn` held; return why to stop, if that is now."""
        self._unsettled -= 1
        self._waiting -= call.is_waiting
        self.in_flight.reserved_calls -= call.reserved_calls
        self.in_flight.reserved_usd -= call.reserved_usd
        self.in_flight.reserved_tokens -= call.reserved_tokens
        self.totals.add(outcome, call.reserved_calls)
        if call.key is not None:
            self._requests[call.key] -= 1
            if not self._requests[call.key]:
                del self._requests[call.key]
        self.duplicates += call.is_duplicate and not outcome.cached
        if outcome.output_tokens and not (outcome.cached or outcome.error):
            self._answered += 1
            self.mean_output_tokens += (outcome.output_tokens - self.mean_output_tokens) / self._answered
            self.mean_input_tokens += (outcome.input_tokens - self.mean_input_tokens) / self._answered
        # A request that another model still answers is not lost, and a stop is nobody's failure.
        if isinstance(failure, Exception) and not is_of_the_request(failure) and (not call.step or call.step.last):
            self.unanswered += 1
            self.refused += is_refusal(failure)
            self.last_failure, self.last_failed = failure, call.of or model
            return self._circuit.record(self.last_failed, failure)
        if failure is None and not outcome.cached:
            self._circuit.record(call.of or model, None)
        return None

    def _tell(self, call: Call, outcome: CallOutcome, model: str, role: Role) -> None:
        if self._on_call is not None:
            call.role, call.call_id = role, f"{self._prefix}{next(self._number):08x}"
            # cut now: what waits to be written must not hold on to answers that fill the memory
            keep = in_part if self.record_prompts else digest
            answers = [keep(text_of(o)) for o in (call.entry or {}).get("outputs") or ()]
            self._on_call(partial(self._events, call, outcome, model, keep(call.prompt), answers), not outcome.cached)

    def _events(self, call: Call, outcome: CallOutcome, model: str, prompt: str, answers: list[str]) -> list[LMCall]:
        """Make what is recorded of a call."""
        event = LMCall(
            call_id=call.call_id,
            model=model,
            role=call.role,
            **outcome._asdict(),
            cached_input_tokens=call.used.cached_input,
            cache_write_tokens=call.used.cache_write,
            reasoning_tokens=call.used.reasoning,
            asked=call.step.request if call.step else None,
            prompt=prompt,
            response="\n\n".join(answers) or ("" if self.record_prompts else digest("")),
        )
        return completions(event, call.reserved_calls, answers)

    @contextmanager
    def flight(self, call: Call, lm: object, role: Role) -> Iterator[None]:
        """Run an admitted call in the body, and count it by what DSPy recorded of it."""
        call.started = time.perf_counter()
        token = current.set(call)
        failure: BaseException | None = None
        try:
            yield
            answered.set(call)
        except BaseException as exc:
            failure = exc if self._clean is None else self._clean(exc)
            if failure is not exc:
                raise failure from None
            raise
        finally:
            current.reset(token)
            model = str(getattr(lm, "model", type(lm).__name__))
            outcome, why = self._with_full_cost(call, outcome_of(call, failure)), None
            if self.pacer is not None:
                self.pacer.settle(call, outcome)
            try:
                self._tell(call, outcome, model, role)  # first: what totals tell was bought has been recorded
            finally:
                with self.turn:
                    why = self._settle(call, outcome, model, failure)
                    self.turn.notify_all()
                if why is not None:
                    self.stop(StopKind.LM_FAILING, why)
                if self._pausing:
                    self._pause_if_idle()
