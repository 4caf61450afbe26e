"""Slots of a shared limit: no minute holds more than the limit, whoever takes them, and whoever dies over it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.store import Home, Schedule, locks

if TYPE_CHECKING:
    from pathlib import Path

MINUTE_S = 60.0 - 1e-5  # the clock is not more exact
A_SLOT_S = 60.6  # over the limit: a hundredth of it may come at once


class Clock:
    def __init__(self, now: float = 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def most_in_a_minute(slots: list[float]) -> int:
    slots = sorted(slots)
    return max(sum(first <= at < first + MINUTE_S for at in slots) for first in slots)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.find(tmp_path_factory.mktemp("rates") / "home").ensure()


@given(limit=st.integers(1, 90), gaps=st.lists(st.sampled_from([0.0, 0.0, 0.05, 1.0, 20.0, 90.0]), max_size=200))
def test_no_minute_holds_more_requests_than_the_limit(home: Home, limit: int, gaps: list[float]) -> None:
    clock = Clock()
    schedule = Schedule(home, os.urandom(8).hex(), requests=limit, clock=clock)
    slots = [clock.now + schedule.take()]
    for gap in gaps:
        clock.now += gap
        slots.append(clock.now + schedule.take())
    assert slots == sorted(slots), "first come, first served"
    assert most_in_a_minute(slots) <= limit


@given(limit=st.integers(100, 5000), sizes=st.lists(st.integers(1, 100), min_size=1, max_size=80))
def test_no_minute_holds_more_tokens_than_the_limit_and_the_last_request(
    home: Home, limit: int, sizes: list[int]
) -> None:
    clock = Clock()
    schedule = Schedule(home, os.urandom(8).hex(), tokens=limit, clock=clock)
    slots = [(clock.now + schedule.take(size), size) for size in sizes]
    for first, _ in slots:
        within = [size for at, size in slots if first <= at < first + MINUTE_S]
        assert sum(within[:-1]) <= limit


def test_a_limit_is_used_up(home: Home) -> None:
    clock = Clock()
    schedule = Schedule(home, "busy", requests=500, clock=clock)
    assert max(schedule.take() for _ in range(5001)) == pytest.approx(10 * A_SLOT_S - 0.6)


def test_what_was_reckoned_wrongly_is_corrected(home: Home) -> None:
    clock = Clock()
    schedule = Schedule(home, "tokens", tokens=6060, clock=clock)
    schedule.take(100)
    assert schedule.take(1000) == pytest.approx(0.4)
    schedule.correct(-900)
    assert schedule.take(1) == pytest.approx(1.4)
    schedule.correct(600)
    assert schedule.take(1) == pytest.approx(7.41)


def test_a_provider_that_says_wait_is_waited_for_by_all(home: Home) -> None:
    clock = Clock()
    one, other = (Schedule(home, "openai/m", clock=clock) for _ in range(2))
    assert one.is_open
    one.hold(30)
    one.hold(10)
    assert (other.is_open, other.take(), other.take()) == (False, 30.0, 30.0)
    clock.now += 31
    assert other.take() == 0.0


def test_what_another_process_is_told_is_seen_soon_by_whoever_has_looked_before(home: Home) -> None:
    one, other = Schedule(home, "openai/looked"), Schedule(home, "openai/looked")
    assert other.is_open
    one.hold(30)
    until = time.monotonic() + 60
    while other.is_open and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert not other.is_open


@pytest.mark.parametrize("back", [6, 3600])
def test_a_clock_that_is_set_back_makes_nobody_wait_for_longer(home: Home, back: int) -> None:
    clock = Clock()
    schedule = Schedule(home, f"set back {back}", requests=60, clock=clock)
    schedule.take()
    schedule.take()
    clock.now -= back
    assert schedule.take() == pytest.approx(2 * A_SLOT_S / 60 - 0.6)


def test_a_file_that_a_power_cut_tore_begins_anew(home: Home) -> None:
    schedule = Schedule(home, "torn", requests=1)
    schedule.take()
    (file,) = [f for f in (home.root / "rates").iterdir() if f == schedule._file]
    file.write_bytes(b"torn")
    assert schedule.take() == 0.0


TAKER = """
import sys, time
from skillfleet_nb.store import Home, Schedule
schedule = Schedule(Home.find(sys.argv[1]), "shared", requests=600, clock=lambda: 1e9)
print("ready", flush=True)
sys.stdin.readline()
print([1e9 + schedule.take() for _ in range(300)], flush=True)
time.sleep(1e6)
"""


def test_processes_share_a_limit_and_none_stops_the_others_by_dying(home: Home) -> None:
    takers = [
        subprocess.Popen([sys.executable, "-c", TAKER, home.root], text=True, stdin=-1, stdout=-1) for _ in range(2)
    ]
    try:
        for taker in takers:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "ready\n"
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write("go\n")
            taker.stdin.flush()
        slots = [at for taker in takers if taker.stdout for at in json.loads(taker.stdout.readline())]
    finally:
        for taker in takers:
            os.kill(taker.pid, signal.SIGKILL)
            taker.communicate()
    assert most_in_a_minute(slots) <= 600
    mine = Schedule(home, "shared", requests=600, clock=lambda: 1e9)
    slots.append(1e9 + mine.take())
    gaps = {round(later - earlier, 4) for earlier, later in pairwise(sorted(slots)[7:])}
    assert gaps == {A_SLOT_S / 600}, "none was given twice, none left out but those of the burst"


def test_one_that_is_halted_with_the_lock_halts_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skillfleet_nb.store.rates._WAIT_S", 0.01)
    schedule = Schedule(home, "halted", requests=1)
    schedule.take()
    with locks.locked(schedule._file):
        assert schedule.take() == 0.0


def test_the_file_is_small(home: Home) -> None:
    schedule = Schedule(home, "small", requests=1)
    schedule.take()
    assert _size(schedule._file) <= 64


def _size(file: Path) -> int:
    return file.stat().st_size
