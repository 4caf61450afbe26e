"""Answers that many ask for at the same time are made for all of them, and are never older than a question."""

from __future__ import annotations

import asyncio

import pytest

from skillfleet_nb.server.caching import ANEW_S, FRESH_S, RUSH, Made, Rush, Shared


def test_many_who_ask_at_once_wait_for_two_answers_at_most() -> None:
    async def story() -> tuple[list[int], int]:
        shared, made, goes_on = Shared(), 0, asyncio.Event()

        async def make() -> int:
            nonlocal made
            made += 1
            number = made
            await goes_on.wait()
            return number

        first = asyncio.create_task(shared.once("jobs", make))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(shared.once("jobs", make)) for _ in range(50)]
        await asyncio.sleep(0)
        goes_on.set()
        return [await first, *await asyncio.gather(*others)], len(shared._turns) + len(shared._next)

    assert asyncio.run(story()) == ([1] + [2] * 50, 0)


def test_an_error_reaches_all_who_asked_and_the_next_one_is_answered() -> None:
    async def story() -> int:
        shared = Shared()

        async def fail() -> int:
            raise ValueError("no")

        async def answer() -> int:
            return 7

        for told in await asyncio.gather(*(shared.once("a", fail) for _ in range(3)), return_exceptions=True):
            assert isinstance(told, ValueError)
        return await shared.once("a", answer)

    assert asyncio.run(story()) == 7


def test_a_client_that_goes_away_takes_no_answer_from_others() -> None:
    async def story() -> int:
        shared, goes_on = Shared(), asyncio.Event()

        async def make() -> int:
            await goes_on.wait()
            return 3

        one, other = (asyncio.create_task(shared.once("a", make)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await one
        return await other

    assert asyncio.run(story()) == 3


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_asked_many_times_a_second_is_kept_for_a_while() -> None:
    clock = Clock()
    rush, made = Rush(clock), Made(b"1", None, "no-cache")
    for number in range(RUSH - 1):
        assert rush.get("jobs") == (None, False), number
        rush.put("jobs", clock.now, made)
    assert rush.get("jobs") == (made, False)
    assert rush.get("others") == (None, False)
    clock.now += ANEW_S + 0.01
    assert rush.get("jobs") == (made, True), "it is time for the next"
    rush.forget()
    assert rush.get("jobs") == (None, False), "somebody has learned of something newer"
    rush.put("jobs", clock.now, made)
    assert rush.get("jobs") == (None, False), "its making began before that"
    clock.now += 0.01
    rush.put("jobs", clock.now, made)
    assert rush.get("jobs") == (made, False)


def test_who_asks_seldom_gets_what_is_true_now() -> None:
    clock = Clock()
    rush, made = Rush(clock), Made(b"1", None, "no-cache")
    for _ in range(3 * RUSH):
        assert rush.get("jobs") == (None, False)
        rush.put("jobs", clock.now, made)
        clock.now += 1.01 / (RUSH - 1)


def test_an_answer_that_takes_long_is_made_less_often_and_is_never_too_old() -> None:
    clock = Clock()
    rush, made = Rush(clock), Made(b"1", None, "no-cache")
    for _ in range(RUSH):
        rush.get("jobs")
    began = clock.now
    clock.now += 0.2
    rush.put("jobs", began, made)
    ages = []
    while clock.now - began < 2 * FRESH_S:
        clock.now += 0.05
        ages.append((clock.now - began, *rush.get("jobs")))
    due = min(age for age, kept, is_old in ages if is_old)
    assert 10 * ANEW_S > due > 2.0, "a tenth of the time goes into it"
    assert max(age for age, kept, _ in ages if kept is not None) <= FRESH_S
    assert ages[-1][1:] == (None, False)
