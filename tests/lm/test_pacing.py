"""Calls wait for the limits of their provider, which all jobs of a home share; what waits hears a stop at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Data, counted_lm, exact, program, until

from skillfleet_nb import Fleet
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.events import Paced
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.session import Session
from skillfleet_nb.store import Home, Journal, follow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE_A_MINUTE = '[rates."skillfleet/*"]\nrequests_per_minute = 1\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.find(tmp_path / "home").ensure()
    made.config.write_text(ONE_A_MINUTE, "utf-8")
    return made


@contextmanager
def session(home: Home, lm: Any, name: str = "job", **limits: Any) -> Iterator[tuple[Session, Any]]:
    with ExitStack() as inside:
        journal = inside.enter_context(Journal(home, name))
        made = inside.enter_context(Session(journal, Settings.load(home.config), [lm], limits=Limits(**limits)))
        yield made, inside.enter_context(made.models(made.gate(), lm))


def waits(made: Session) -> bool:
    return made.ledger._waiting > 0


class Asking(threading.Thread):
    """Asks in the background; `came` is the answer, or what was raised."""

    def __init__(self, lm: Any, text: str) -> None:
        super().__init__(daemon=True)
        self.lm, self.text = lm, text
        self.came: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.came = self.lm(self.text)
        except BaseException as exc:  # noqa: BLE001  looked at by the test
            self.came = exc


def test_what_the_cache_answers_takes_no_slot_and_what_leaves_waits_for_one(home: Home) -> None:
    lm, engine = counted_lm()
    with session(home, lm) as (made, metered):
        for _ in range(3):
            assert metered("hello")
        asking = Asking(metered, "something else")
        until(lambda: waits(made))
        assert metered("hello"), "while others wait, too"
        assert engine.calls == 1
        made.ledger.stop("cancelled", "enough")
        asking.join()
        assert isinstance(asking.came, RunStopped)
        assert engine.calls == 1
    told = [e.payload for e in follow(home, "job").poll() if isinstance(e.payload, Paced)]
    assert [p.waiting for p in told] == [True, False]
    assert told[0].limit == "1 request a minute of skillfleet/*"


def test_a_limit_in_minutes_ends_a_wait(home: Home) -> None:
    lm, _ = counted_lm()
    with session(home, lm, seconds=0.3) as (_, metered):
        metered("one")
        with pytest.raises(RunStopped, match=r"budget: 0\.005 minutes"):
            metered("two")


def test_jobs_of_a_home_share_a_limit_and_other_models_have_their_own(home: Home) -> None:
    lm, engine = counted_lm()
    other, free = counted_lm()
    other.model = "elsewhere/m"
    with session(home, lm, "one") as (_, first), session(home, lm, "two") as (made, second):
        first("one")
        asking = Asking(second, "two")
        until(lambda: waits(made))
        with made.models(made.gate(), other) as unlimited:
            for n in range(3):
                unlimited(f"call {n}")
        made.ledger.stop("cancelled", "enough")
        asking.join()
    assert (engine.calls, free.calls) == (1, 3)


def test_what_waits_can_be_paused_and_holds_no_turn_of_others(home: Home) -> None:
    lm, _ = counted_lm()
    with session(home, lm) as (made, metered):
        metered("one")
        asking = [Asking(metered, f"call {n}") for n in range(3)]
        until(lambda: made.ledger._waiting == 3)
        made.ledger.pause()
        until(lambda: made.ledger.is_paused)
        made.ledger.stop("cancelled", "enough")
        for one in asking:
            one.join()
            assert isinstance(one.came, RunStopped)


def test_coroutines_wait_without_stopping_their_loop(home: Home) -> None:
    lm, engine = counted_lm()

    async def ask() -> list[Any]:
        with session(home, lm) as (made, metered):
            await metered.acall("one")
            asking = [asyncio.ensure_future(metered.acall(f"call {n}")) for n in range(2)]
            await asyncio.to_thread(until, lambda: made.ledger._waiting == 2)
            made.ledger.stop("cancelled", "enough")
            return await asyncio.gather(*asking, return_exceptions=True)

    assert [type(came) for came in asyncio.run(ask())] == [RunStopped, RunStopped]
    assert engine.calls == 1


def test_time_spent_waiting_is_no_time_of_the_model(home: Home) -> None:
    home.config.write_text(ONE_A_MINUTE.replace("= 1", "= 120"), "utf-8")
    lm, _ = counted_lm()
    with session(home, lm) as (made, metered):
        for n in range(4):
            metered(f"call {n}")
        assert made.ledger.pacer is not None
    calls = [e.payload for e in follow(home, "job").poll() if e.payload.kind == "lm_call"]
    (last,) = [e.payload for e in follow(home, "job").poll() if isinstance(e.payload, Paced)][1:]
    assert sum(c.latency_s for c in calls) < last.waited_s


def test_tokens_are_corrected_by_what_calls_really_used(home: Home) -> None:
    home.config.write_text('[rates."skillfleet/*"]\ntokens_per_minute = 6060\n', "utf-8")
    lm, _ = counted_lm()
    with session(home, lm) as (made, metered):
        assert made.ledger.pacer is not None
        schedule = made.ledger.pacer._lane(metered).schedule
        schedule._clock = lambda: 0.0
        metered("hello")
        assert schedule.take() == pytest.approx(max(0.0, made.ledger.totals.tokens / 100 - 0.6))
        metered("hello")
        schedule.correct(100)
        assert schedule.take() == pytest.approx(made.ledger.totals.tokens / 100 + 0.4)


def test_a_job_says_that_it_waits_and_can_be_cancelled(home: Home) -> None:
    fleet, data = Fleet(home.root), Data()
    lm, engine = counted_lm()
    job = fleet.optimize(
        program(), train=data.train, val=data.val, test=data.test, metric=exact, optimizer="labeled_fewshot", lm=lm
    )
    until(lambda: job.progress.limit)
    assert "waiting for the provider's limit (1 request a minute of skillfleet/*)" in job.progress.line()
    assert job.picture()["phase"].endswith("waiting for the provider's limit (1 request a minute of skillfleet/*)")
    job.cancel()
    with pytest.raises(JobError, match="stopped before"):
        job.result()
    assert engine.calls == 1
    assert job.progress.limit == ""


def test_a_limit_that_limits_nothing_or_is_misspelt_is_refused(home: Home) -> None:
    for text, says in (
        ("{}", "it limits nothing: give requests_per_minute, tokens_per_minute, or both"),
        ("{requests = 5}", "did you mean 'rates.openai/.requests_per_minute'"),
        ("{requests_per_minute = 0}", "greater than or equal to 1"),
    ):
        home.config.write_text(f'[rates]\n"openai/*" = {text}\n', "utf-8")
        with pytest.raises(InputError, match=says.replace("/", "/.")):
            Settings.load(home.config)
