"""Calls are made on threads that are kept, and that a caller can leave behind."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
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


def test_a_thread_without_a_call_ends_and_another_takes_the_next() -> None:
    threads = CallThreads(idle_s=0.01)
    one = threads.run(threading.current_thread, LONG_S, look)
    one.join(LONG_S)
    assert not one.is_alive()
    assert threads.run(lambda: 6 * 7, LONG_S, look) == 42


def test_every_call_is_made_though_threads_end_as_they_are_taken() -> None:
    threads = CallThreads(idle_s=0.0002)
    with ThreadPoolExecutor(4) as callers:
        answers = callers.map(lambda n: threads.run(lambda: n, LONG_S, look), range(1000))
        assert list(answers) == list(range(1000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_process_makes_calls_on_threads_of_its_own() -> None:
    threads = CallThreads()
    threads.run(lambda: None, LONG_S, look)
    child = os.fork()
    if not child:
        os._exit(threads.run(lambda: 42, LONG_S, lambda: os._exit(1)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
