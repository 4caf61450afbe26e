"""A held ledger admits nothing and takes no time; a checkpoint asks before it is passed."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from dspy.utils.exceptions import LMServerError

from skillfleet_nb.lm.calls import Call
from skillfleet_nb.lm.faults import RetryPolicy
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.prices import Price
from skillfleet_nb.lm.tap import tapped
from skillfleet_nb.offline.engine import AsyncOfflineEngine, OfflineEngine

if TYPE_CHECKING:
    from skillfleet_nb.events import LMCall

PER_CALL = 0.01


class Priced(OfflineEngine):
    """Answers at a cent a call, and tells how many calls reached it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls, self.failing, self.entered = 0, 0, threading.Event()
        self.wait_for: threading.Event | None = None
        self._count = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Priced:
        return self

    def complete(self, request: Any) -> Any:
        with self._count:
            self.calls += 1
            fails = self.calls <= self.failing
        self.entered.set()
        if self.wait_for is not None:
            assert self.wait_for.wait(300)
        if fails:
            raise LMServerError("busy", model="held")
        return super().complete(request)


def metered(ledger: Ledger, engine: Priced, **given: Any) -> Any:
    import dspy

    name = f"skillfleet/held-{id(engine)}"
    lm = dspy.LM(name, engine=engine, async_engine=AsyncOfflineEngine(engine), **{"cache": False, **given})
    return tapped((Gate if ledger.price(lm) is None else _CentGate)(ledger), lm, "task")


def priced(engine: Priced, **given: Any) -> Ledger:
    return Ledger(prices={f"skillfleet/held-{id(engine)}": (1.0, 1.0)}, **given)


class _CentGate(Gate):
    """Takes every call to cost a cent, whatever is said."""

    def call(self, lm: Any, sent: object, n: int) -> Call:
        return Call(n, n * PER_CALL, 0, price=_Cent(1.0, 1.0))


class _Cent(Price):
    def cost(self, *tokens: float) -> float:
        return PER_CALL


def threads(n: int, work: Any) -> list[threading.Thread]:
    started = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(n)]
    for one in started:
        one.start()
    return started


def test_nothing_is_bought_while_held_and_all_of_it_afterwards() -> None:
    engine = Priced()
    ledger = Ledger()
    lm = metered(ledger, engine)
    done: list[Any] = []
    with ledger.held(), ledger.held():
        assert ledger.is_held
        working = threads(4, lambda i: done.append(lm(f"question {i}")))
        before = ledger.elapsed_s
        assert not engine.entered.wait(0.3)
        assert ledger.elapsed_s == before, "the clock stands still"
    for one in working:
        one.join(300)
    assert (len(done), engine.calls, ledger.totals.calls) == (4, 4, 4)
    assert not ledger.is_held
    assert ledger.elapsed_s < time.monotonic() - ledger._started + 1e-6


def test_a_call_under_way_is_finished_and_its_retry_waits() -> None:
    engine = Priced()
    engine.failing, engine.wait_for = 1, threading.Event()
    told: list[LMCall] = []
    ledger = Ledger(on_call=lambda make, _: told.extend(make()), retry_policy=RetryPolicy(retry_delay_s=0.0))
    lm = metered(ledger, engine, num_retries=2)
    working = threads(1, lambda _: lm("question"))
    assert engine.entered.wait(300)
    with ledger.held():
        engine.entered.clear()
        engine.wait_for.set()
        assert not engine.entered.wait(1.2), "its retry would be bought"
        assert engine.calls == 1
    working[0].join(300)
    assert engine.calls == 2
    assert [call.error for call in told] == [None]


def test_a_stop_ends_those_that_wait() -> None:
    ledger = Ledger()
    lm = metered(ledger, Priced())
    ended: list[BaseException] = []

    def work(i: int) -> None:
        try:
            lm(f"question {i}")
        except RunStopped as exc:
            ended.append(exc)

    with ledger.held():
        working = threads(3, work)
        ledger.stop("cancelled", "enough")
        for one in working:
            one.join(300)
    assert [e.reason for e in ended] == ["enough"] * 3  # type: ignore[attr-defined]
    assert ledger.stopped == ("cancelled", "enough")


def test_coroutines_wait_as_well() -> None:
    engine = Priced()
    ledger = Ledger()
    lm = metered(ledger, engine)

    async def ask() -> int:
        with ledger.held():
            asked = [asyncio.create_task(lm.acall(f"question {i}")) for i in range(3)]
            done, _ = await asyncio.wait(asked, timeout=0.2)
            assert not done
        await asyncio.gather(*asked)
        return engine.calls

    assert asyncio.run(ask()) == 3


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_checkpoint_is_asked_about_once_before_it_is_passed(at_once: int) -> None:
    engine = Priced()
    ledger = priced(engine)
    lm = metered(ledger, engine)
    asked: list[tuple[int, float]] = []
    lock = threading.Lock()

    def ask(limit: float) -> None:
        with lock:
            if ledger.checkpoint_usd != limit:
                return
            with ledger.held():
                asked.append((engine.calls, ledger.totals.cost_usd or 0.0))
            ledger.checkpoint_usd = None

    ledger.checkpoint_usd, ledger.on_checkpoint = 0.05, ask
    for one in threads(at_once, lambda i: [lm(f"question {i} {n}") for n in range(12 // at_once)]):
        one.join(300)
    assert engine.calls == 12
    assert len(asked) == 1
    assert asked[0] == (5, pytest.approx(0.05)), "five cents are within it, and nothing was in flight"


def test_a_checkpoint_is_asked_about_on_an_event_loop_without_stopping_it() -> None:
    engine = Priced()
    ledger = priced(engine)
    lm = metered(ledger, engine)
    loop_went_on = threading.Event()
    asked: list[int] = []

    def ask(_: float) -> None:
        if not asked:
            asked.append(engine.calls)
            with ledger.held():
                assert loop_went_on.wait(300)
            ledger.checkpoint_usd = None

    ledger.checkpoint_usd, ledger.on_checkpoint = 0.02, ask

    async def work() -> None:
        calls = asyncio.gather(*(lm.acall(f"question {i}") for i in range(5)))
        while not asked:  # noqa: ASYNC110  another thread asks
            await asyncio.sleep(0.01)
        loop_went_on.set()
        await calls

    asyncio.run(work())
    assert (asked, engine.calls) == ([2], 5)


def test_limits_come_before_the_checkpoint() -> None:
    engine = Priced()
    ledger = priced(engine, limits=Limits(calls=2))
    lm = metered(ledger, engine)
    ledger.checkpoint_usd, ledger.on_checkpoint = 0.02, lambda _: pytest.fail("nothing more can be bought anyway")
    lm("one"), lm("two")
    with pytest.raises(RunStopped, match="budget: 2 calls"):
        lm("three")
