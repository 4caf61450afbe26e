"""Answers that many ask for at the same time are made for all of them, and are never older than a question."""

from __future__ import annotations

import asyncio

import pytest

from skillfleet_nb.server.caching import Shared


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
