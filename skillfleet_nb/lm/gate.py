"""Gates: the doors through which a run's calls are admitted.

A gate closes for good when its limits are reached or the run is stopped, and refuses every later call
with :class:`~skillfleet_nb.lm.meter.RunStopped`.  A run opens one gate for the search and another for the
final scoring, whose share is reserved beforehand.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError
from skillfleet_nb.events import StopKind
from skillfleet_nb.format import counted, duration
from skillfleet_nb.lm.calls import Call, text_of
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.media import NO_MEDIA, contents, media_sent, text_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.lm.limits import Limits
    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.lm.pacing import Lane, Pacer
    from skillfleet_nb.projection import Totals
    from skillfleet_nb.typing import Model

_CHARS_PER_TOKEN = 3.5
_LOOK_S = 0.5  # how often a wait looks whether it should go on
_TURN_S = 0.02  # how often a coroutine that must wait for its turn looks


class Gate:
    """The door that one phase of a run makes its calls through; it closes once, for good.

    Parameters
    ----------
    ledger
        Counts the calls; its limits hold here too.
    reserve
        What of them is left for later gates.

    Examples
    --------
    >>> from skillfleet_nb.lm.limits import Limits
    >>> from skillfleet_nb.lm.meter import Ledger
    >>> Gate(Ledger(Limits(calls=100)), reserve=Limits(calls=30)).limits.calls
    70
    """

    def __init__(self, ledger: Ledger, reserve: Limits | None = None) -> None:
        self.ledger = ledger
        self.limits = ledger.limits.less(reserve) if reserve else ledger.limits
        self._closed: tuple[StopKind, str] | None = None
        ledger.on_stop(self.close)

    def __deepcopy__(self, memo: dict[int, object]) -> Gate:
        return self

    @property
    def closed(self) -> tuple[StopKind, str] | None:
        """Why no further call is admitted, as kind and words; None while it is open."""
        return self._closed

    def close(self, kind: StopKind, reason: str) -> None:
        """Refuse every later call; the first reason given stays."""
        with self.ledger.turn:
            if self._closed is None:
                self._closed = (kind, reason)
            self.ledger.turn.notify_all()

    def check(self, cause: BaseException | None = None) -> None:
        """Raise ``RunStopped`` if the gate is closed; `cause` is what would have been tried again."""
        if self._closed is not None:
            raise RunStopped(*self._closed) from cause

    def look(self) -> None:
        """Close the gate if its time is up; see whether a stop was asked for."""
        seconds = self.limits.seconds
        if seconds is not None and self.ledger.elapsed_s >= seconds:
            self.close(StopKind.BUDGET, f"budget: {(self.ledger.limits.seconds or 0) / 60:g} minutes")
        if self.ledger.on_wait is not None:
            self.ledger.on_wait()

    def wait(self, call: Call, seconds: float, cause: BaseException | None = None) -> None:
        """Wait before an attempt at a call, maybe after `cause`; raise ``RunStopped`` if the gate closes meanwhile."""
        until = time.monotonic() + seconds
        turn = self.ledger.turn
        self.check(cause)
        self.ledger.wait_for_attempt(call)
        while (left := until - time.monotonic()) > 0 or not self.ledger.may_go_on(call):
            with turn:
                if left > 0:
                    turn.wait_for(lambda: self._closed is not None, min(left, _LOOK_S))
                else:
                    turn.wait_for(lambda: self._closed is not None or not self.ledger.is_held, _LOOK_S)
            self.look()
            self.check(cause)

    async def wait_async(self, call: Call, seconds: float, cause: BaseException | None = None) -> None:
        """Wait as :meth:`wait` does, without blocking the event loop."""
        import asyncio

        until = time.monotonic() + seconds
        self.ledger.wait_for_attempt(call)
        while (left := until - time.monotonic()) > 0 or not self.ledger.may_go_on(call):
            self.look()
            self.check(cause)
            await asyncio.sleep(min(left, _LOOK_S) if left > 0 else _LOOK_S)

    def pace(self, lm: Model, call: Call) -> None:
        """Wait for the slot of a request that is about to leave, where its provider sets a limit.

        Raises
        ------
        RunStopped
            If the gate closes meanwhile.
        LMRateLimitError
            If the wait is longer than the ledger's `most_wait_s`.
        """
        pacer = self.ledger.pacer
        if pacer is None or (lane := pacer.lane(lm)) is None:
            return
        self._refuse_long_wait(lm, lane)
        began = time.monotonic()
        if on_event_loop():  # of a call that LiteLLM is about to make there: waiting would stop all others
            self._slot(pacer, lane, call, began)
            return
        self.ledger.wait_for_attempt(call)
        with lane.turn:
            self.check()
            self.wait(call, self._slot(pacer, lane, call, began))
        pacer.leave(lane, call, began)

    async def pace_async(self, lm: Model, call: Call) -> None:
        """Wait as :meth:`pace` does, without blocking the event loop."""
        import asyncio

        pacer = self.ledger.pacer
        if pacer is None or (lane := pacer.lane(lm)) is None:
            return
        self._refuse_long_wait(lm, lane)
        began = time.monotonic()
        self.ledger.wait_for_attempt(call)
        while not lane.turn.acquire(blocking=False):
            self.look()
            self.check()
            await asyncio.sleep(_TURN_S)
        try:
            await self.wait_async(call, self._slot(pacer, lane, call, began))
        finally:
            lane.turn.release()
        pacer.leave(lane, call, began)

    def _refuse_long_wait(self, lm: Model, lane: Lane) -> None:
        """Raise what the provider would answer, where it has asked to wait for longer than is waited here."""
        if self.ledger.most_wait_s < math.inf and (seconds := lane.schedule.held_s()) > self.ledger.most_wait_s:
            from dspy.utils.exceptions import LMRateLimitError

            said = f"the provider has asked to wait, for another {duration(seconds)}"
            raise LMRateLimitError(said, model=lm.model, retry_after=seconds)

    def _slot(self, pacer: Pacer, lane: Lane, call: Call, began: float) -> float:
        """Take a slot; return in how many seconds it comes."""
        try:
            seconds = pacer.take(lane, call, began)
        except HomeError as exc:
            self.ledger.stop(StopKind.HOME, str(exc))
            raise RunStopped(StopKind.HOME, str(exc)) from exc
        if seconds:  # DSPy asks once more for what takes long: the second waits for the answer to the first
            self.ledger.shares_answers = True
        return seconds

    def call(self, lm: Model, sent: object, n: int) -> Call:
        """Reckon what `n` completions of `lm` will take; close the gate where a limit in money cannot be kept."""
        price, bound = self.ledger.price(lm), self._usd
        if price is None and bound is not None:
            model = getattr(lm, "model", type(lm).__name__)
            self.close(StopKind.BUDGET, f"budget: ${bound:g} cannot be kept: {model!r} has no known price")
        prompt = text_of(sent)
        media = media_sent(sent, str(getattr(lm, "model", "")))
        letters = len(prompt) if media is NO_MEDIA else sum(len(text_in(content)) for content in contents(sent))
        tokens, output = int(letters / _CHARS_PER_TOKEN) + media.tokens, int(self.ledger.mean_output_tokens)
        if media.unknown:
            tokens = max(tokens, int(self.ledger.mean_input_tokens))
        return Call(
            reserved_calls=n,
            reserved_usd=n * price.cost(tokens, output, media=media) if price else 0.0,
            reserved_tokens=n * (tokens + output),
            prompt=prompt,
            price=price,
            is_billed=isinstance(getattr(lm, "engine", None), str),
            answers=self.ledger.answers,
        )

    @property
    def _usd(self) -> float | None:
        """What USD are held to: the limit, or the next sum that is asked about."""
        return self.ledger.limits.usd if self.limits.usd is not None else self.ledger.checkpoint_usd

    def admit(self, call: Call) -> None:
        """Wait for the call's turn; raise ``RunStopped`` if the gate closes."""
        # On an event loop, waiting would stop the very calls that are waited for.
        may_wait = not on_event_loop()
        while not self._admitted(call, may_wait=may_wait):
            if (ask := self._question(call, may_wait=may_wait)) is not None:
                ask()
                continue
            with self.ledger.turn:
                self.ledger.turn.wait(timeout=_LOOK_S)
            if self.ledger.is_held:
                self.look()

    async def admit_async(self, call: Call) -> None:
        """Await the call's turn; raises as :meth:`admit` does."""
        import asyncio

        while not self._admitted(call):
            if (ask := self._question(call)) is not None:
                await asyncio.to_thread(ask)
                continue
            await asyncio.sleep(_TURN_S)
            if self.ledger.is_held:
                self.look()

    def _admitted(self, call: Call, *, may_wait: bool = True) -> bool:
        """Admit a call, or tell that it has to wait: what is in flight may turn out cached or cheaper."""
        ledger = self.ledger
        with ledger.turn:
            self.check()
            if ledger.is_held:
                call.was_held = True
                return False
            if not ledger.shares.admits(call):
                return False
            # DSPy asks again for what takes long: after a hold the second one waits for the answer to the first.
            # So do several searches that ask the same at the same time.
            if (call.was_held or ledger.shares_answers) and may_wait and ledger.is_in_flight(call.key):
                return False
            reason = self._refusal(call)
            if reason is None and self._is_beyond_checkpoint(call):
                return False
            if reason is None:
                ledger.reserve(call)
                ledger.shares.take(call)
                return True
            late = self.limits.seconds is not None and ledger.elapsed_s >= self.limits.seconds
            if late or not may_wait or ledger.in_flight.reserved_calls == 0:
                self.close(StopKind.BUDGET, reason)
                self.check()
            return False

    def _refusal(self, call: Call) -> str | None:
        """Say which limit a call would break, counting what is in flight as spent."""
        limits, whole, used = self.limits, self.ledger.limits, self.ledger.totals
        in_flight, broken = self.ledger.in_flight, None
        if limits.calls is not None and used.calls + in_flight.reserved_calls + call.reserved_calls > limits.calls:
            broken = counted(whole.calls or 0, "call")
        elif used.cost_usd is None and (usd := self._usd) is not None:
            broken = f"${usd:g} cannot be kept: what {self._unknown(used)}"
        elif limits.usd is not None and used.cost_usd is not None and (
            used.cost_usd >= limits.usd or used.cost_usd + in_flight.reserved_usd + call.reserved_usd > limits.usd
        ):  # fmt: skip
            broken = f"${whole.usd:g}"
        elif limits.tokens is not None and used.unmetered:
            broken = f"{counted(whole.tokens or 0, 'token')} cannot be kept: how many {self._unknown(used)}"
        elif limits.tokens is not None and (
            used.tokens + in_flight.reserved_tokens + call.reserved_tokens > limits.tokens
        ):
            broken = counted(whole.tokens or 0, "token")
        elif limits.seconds is not None and self.ledger.elapsed_s >= limits.seconds:
            broken = f"{(whole.seconds or 0) / 60:g} minutes"
        return None if broken is None else f"budget: {broken}"

    def _unknown(self, used: Totals) -> str:
        calls = "the first call" if used.calls == 1 else counted(used.calls, "call")
        silent = f"{used.unmetered:,} answered without usage: " if used.unmetered else ""
        return f"{calls} took is not known ({silent}{self.ledger.way_out})"

    def _is_beyond_checkpoint(self, call: Call) -> bool:
        """Tell whether a call may take the spending beyond the checkpoint."""
        ledger = self.ledger
        if ledger.checkpoint_usd is None or ledger.on_checkpoint is None:
            return False
        spent = (ledger.totals.cost_usd or 0.0) + ledger.in_flight.reserved_usd
        return spent + call.reserved_usd > ledger.checkpoint_usd

    def _question(self, call: Call, *, may_wait: bool = True) -> Callable[[], None] | None:
        """Return what asks whether to pass the checkpoint, where that is what a call waits for.

        While others are in flight, which may turn out cached or cheaper, they are waited for.
        """
        ledger = self.ledger
        with ledger.turn:
            ask, limit = ledger.on_checkpoint, ledger.checkpoint_usd
            others = may_wait and ledger.in_flight.reserved_calls > 0
            if ask is None or limit is None or ledger.is_asking or others or not self._is_beyond_checkpoint(call):
                return None
            return partial(ask, limit)


def on_event_loop() -> bool:
    """Tell whether an event loop runs on this thread."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
