"""Calls are made on threads that are kept, and that a caller can leave behind."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import NoReturn

import pytest

from skillfleet_nb.lm.threads import CallThreads

LONG_S = 60.0  # nothing a test waits for
here: ContextVar[str] = ContextVar("here", default="nobody's")


def look() -> NoReturn:
    raise InterruptedError("look")


def test_the_next_call_is_made_on_the_same_thread_and_in_its_callers_context() -> None:
    threads = CallThreads()
    first = threads.run(threading.current_thread, LONG_S, look)
    token = here.set("mine")
    second = threads.run(lambda: (threading.current_thread(), here.get()), LONG_S, look)
    here.reset(token)
    assert second == (first, "mine")
    assert first is not threading.current_thread()
    threads.close()
    first.join(LONG_S)
    assert not first.is_alive()


def test_what_a_call_raises_is_raised_and_the_thread_serves_on() -> None:
    threads = CallThreads()
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda: 1 / 0, LONG_S, look)
    assert threads.run(lambda: 1, LONG_S, look) == 1


def test_a_call_left_behind_keeps_its_thread_to_its_end_alone() -> None:
    threads, entered, held = CallThreads(), threading.Event(), threading.Event()
    left: list[threading.Thread] = []

    def hangs() -> None:
        left.append(threading.current_thread())
        entered.set()
        held.wait(LONG_S)

    with pytest.raises(InterruptedError):
        threads.run(hangs, 0.001, lambda: look() if entered.is_set() else None)
    assert threads.run(threading.current_thread, LONG_S, look) is not left[0]
    held.set()
    left[0].join(LONG_S)
    assert not left[0].is_alive()


def test_no_thread_outlives_what_it_is_kept_for() -> None:
    threads = CallThreads()
    one = threads.run(threading.current_thread, LONG_S, look)
    del threads
    one.join(LONG_S)
    assert not one.is_alive()
