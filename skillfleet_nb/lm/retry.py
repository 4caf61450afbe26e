"""One call of a model, tried until it is answered, given up where it never will be.

DSPy retries what is transient with a fixed back-off, honours ``Retry-After``, and tells nobody; while it
waits, nothing can stop it.  A metered call does its own: as many attempts (``num_retries``), with jitter,
counted, and ended by a stop of the run.  Each attempt runs on a thread that can be left behind (see
``threads``), for a call that hangs would otherwise hold its caller, the run and the process for good.

Tenacity's loop takes 26 to 43 µs a call where this one takes under 1, and leaves all of that to be written.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.faults import delay_s, forget, is_empty, is_transient, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from skillfleet_nb.lm.calls import Call
    from skillfleet_nb.lm.gate import Gate

_LOOK_S = 0.5  # how often a call that takes long looks whether it should go on
_JITTER = random.SystemRandom()  # not the global one: optimizers seed it


class Attempts:
    """The attempts at one admitted call.

    Parameters
    ----------
    lm
        The metered model.
    gate
        The gate the call came through.
    call
        The call, whose `attempts` are counted.
    sent
        Prompt, messages and keyword arguments of the call.
    """

    def __init__(self, lm: Any, gate: Gate, call: Call, sent: tuple[Any, Any, dict[str, Any]]) -> None:
        self._lm, self._gate, self._call, self._sent = lm, gate, call, sent
        self._policy = gate.ledger.retry_policy
        # Several completions are several requests inside DSPy, which repeats the failed one alone.
        self._left = lm.num_retries or 0 if call.reserved_calls == 1 else 0
        call.retried_here = call.reserved_calls == 1

    def run(self, once: Callable[[], Any]) -> Any:
        """Return what `once` returns, from the first attempt that is answered."""
        while True:
            try:
                answer = self._bounded(once)
                self._check(answer, asynchronous=False)
            except Exception as exc:  # noqa: BLE001  told apart below
                self._gate.wait(self._call, self._delay(exc), exc)
            else:
                return answer

    async def arun(self, once: Callable[[], Awaitable[Any]]) -> Any:
        """Do the same on an event loop."""
        while True:
            try:
                answer = await self._abounded(once)
                self._check(answer, asynchronous=True)
            except Exception as exc:  # noqa: BLE001  told apart below
                await self._gate.wait_async(self._call, self._delay(exc), exc)
            else:
                return answer

    def _delay(self, exc: Exception) -> float:
        """Count a failed attempt, and say how long to wait for the next; raise `exc` where there is none."""
        if (pacer := self._gate.ledger.pacer) is not None:
            pacer.heed(self._lm, exc)
        if self._left <= 0 or not is_transient(exc):
            raise exc
        delay = delay_s(exc, self._call.attempts, self._policy.retry_delay_s, _JITTER.random)
        if delay > self._gate.ledger.most_wait_s:
            raise exc
        self._left -= 1
        self._call.attempts += 1
        return delay

    def _check(self, answer: object, *, asynchronous: bool) -> None:
        if (withheld := refusal(self._lm, answer, self._call.entry)) is not None:
            raise withheld  # it stays in the cache: asked again, the provider would withhold it again
        if not self._call.retried_here or not is_empty(answer, self._call.entry):
            return
        from dspy.utils.exceptions import LMProviderError

        forget(self._lm, *self._sent, asynchronous=asynchronous)
        self._call.discard()
        raise LMProviderError("the answer is empty: it has no choice with a text", model=self._lm.model)

    def _bounded(self, once: Callable[[], Any]) -> Any:
        engine = getattr(self._lm, "engine", None)
        if getattr(engine, "answers_here", False) and not getattr(engine, "latency_s", 0.0):
            return once()  # it waits for nothing
        # the deadline is made before the call starts, or its time would be cut short
        return self._gate.ledger.threads.run(once, _LOOK_S, _Deadline(self._lm, self._gate, self._call).look)

    async def _abounded(self, once: Callable[[], Awaitable[Any]]) -> Any:
        task = asyncio.ensure_future(once())
        watch = _Deadline(self._lm, self._gate, self._call)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                watch.look()
        except BaseException:
            task.cancel()
            raise
        return task.result()


class _Deadline:
    """Waits with a call in flight: up to its time limit, and not long past a stop of the run."""

    def __init__(self, lm: Any, gate: Gate, call: Call) -> None:
        self._lm, self._gate, self._call = lm, gate, call
        self._waited_before_s = call.waited_s
        policy = gate.ledger.retry_policy
        timeout = lm.kwargs.get("timeout")
        self._limit_s = policy.timeout_s
        if isinstance(timeout, int | float):
            self._limit_s = max(self._limit_s, timeout + _LOOK_S)  # the provider's own ends first, and says more
        self._grace_s = policy.grace_s
        self._started = time.monotonic()
        self._stopped: float | None = None

    def look(self) -> None:
        now = time.monotonic()
        self._gate.look()
        if self._gate.closed is not None:
            self._stopped = self._stopped or now
            if now - self._stopped >= self._grace_s:
                self._gate.check(self._late(now - self._started, "left behind by a stop"))
        elif not self._call.is_waiting and now - self._started - self._waited_s >= self._limit_s:
            raise self._late(now - self._started - self._waited_s, "setting lm_timeout_s")

    @property
    def _waited_s(self) -> float:
        """How long this attempt waited for a limit of its provider, which is no time of the provider's."""
        return self._call.waited_s - self._waited_before_s

    def _late(self, waited_s: float, why: str) -> Exception:
        from dspy.utils.exceptions import LMTimeoutError

        late: Exception = LMTimeoutError(f"no answer in {waited_s:.3g} s ({why})", model=self._lm.model)
        return late
