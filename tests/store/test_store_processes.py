"""Real processes, really killed."""

from __future__ import annotations

import fcntl
import random
import signal
from typing import TYPE_CHECKING

import pytest
from store_samples import start, tables
from store_stress import stress

from skillfleet_nb.store import Home, Journal, Store, follow, is_alive

if TYPE_CHECKING:
    from pathlib import Path

    from store_samples import Started

WRITER = """
    import os, sys
    from skillfleet_nb.events import JobCreated, LMCall, Phase
    from skillfleet_nb.store import Home, Journal

    home, stream, events = Home.find(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with Journal(home, stream) as journal:
        if not journal.append(Phase(text="started")) > 1:
            journal.append(JobCreated(name="n", optimizer="o", program="p", metric="m", engine="process", seed=1))
        for number in range(events):
            seq = journal.append(LMCall(call_id=str(number), model="m", role="task", cached=False, cost_usd=0.5))
            os.write(1, b"%d\\n" % seq)  # the event is acknowledged: it must never be lost
"""

FOLDER = """
    import sys
    from skillfleet_nb.store import Home, Store

    store = Store(Home.find(sys.argv[1]))
    print("ready", flush=True)
    while True:
        store.rebuild() if sys.argv[2] == "rebuild" else store.fold()
"""

READER = """
    import sys
    from skillfleet_nb.store import Home, Store

    store, highest = Store(Home.find(sys.argv[1])), 0
    for _ in range(int(sys.argv[2])):
        calls = int(store.sql("select count(*) as n from lm_calls").n[0])
        assert calls >= highest, (calls, highest)
        highest = calls
    print(highest)
"""


def endless(home: Home) -> Started:
    """Start a writer that is killed some time; it is some hundred events ahead of who reads, not a pipe of 64 KiB."""
    writer = start(WRITER, home.root, "job-1", 10**9)
    fcntl.fcntl(writer.stdout, fcntl.F_SETPIPE_SZ, 4096)
    return writer


def acknowledgements(writer: Started, count: int) -> list[int]:
    """Wait until a writer has acknowledged so many more events."""
    return [int(writer.stdout.readline()) for _ in range(count)]


def kill(writer: Started) -> list[int]:
    """Kill a writer with SIGKILL, and return what it had acknowledged beyond what was waited for."""
    writer.kill()
    rest = [int(line) for line in writer.communicate()[0].splitlines()]
    assert writer.returncode == -signal.SIGKILL
    return rest


def finish(process: Started) -> str:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def test_twenty_kills_of_a_writer_lose_no_acknowledged_event(home: Home, store: Store) -> None:
    rng = random.Random(0)
    acknowledged: list[int] = []
    for round_ in range(20):
        writer = endless(home)
        acknowledged += acknowledgements(writer, rng.randrange(1, 400))
        assert is_alive(home, "job-1")
        if round_ % 4 == 0:
            assert store.frame("select state from jobs").state.tolist() == ["pending"]
        acknowledged += kill(writer)
        assert not is_alive(home, "job-1")
        if round_ % 4 == 0:
            assert store.frame("select state from jobs").state.tolist() == ["interrupted"]
    seqs = store.frame("select seq from events").seq.tolist()
    assert len(seqs) == len(set(seqs))
    assert set(acknowledged) <= set(seqs)
    assert len(acknowledged) == len(set(acknowledged)) > 2000
    assert len(follow(home, "job-1").poll()) == len(seqs)
    folded = tables(store)
    store.rebuild()
    assert tables(store) == folded


@pytest.mark.parametrize("what", ["fold", "rebuild"])
def test_kills_of_a_folding_process_lose_and_double_nothing(home: Home, store: Store, what: str) -> None:
    rng = random.Random(1)
    writer = endless(home)
    acknowledged = acknowledgements(writer, 1)
    for _ in range(4):
        folder = start(FOLDER, home.root, what)
        folder.stdout.readline()
        acknowledged += acknowledgements(writer, rng.randrange(200, 4000))  # to some moment of its folding
        kill(folder)
    acknowledged += kill(writer)
    seqs = store.frame("select seq from events").seq.tolist()
    assert len(seqs) == len(set(seqs))
    assert set(acknowledged) <= set(seqs)
    folded = tables(store)
    store.rebuild()
    assert tables(store) == folded


def test_many_processes_write_fold_and_read_one_home_without_a_lock_error(home: Home, store: Store) -> None:
    writers = [start(WRITER, home.root, f"job-{n}", 3000) for n in range(3)]
    readers = [start(READER, home.root, 12) for _ in range(3)]
    for writer in writers:
        assert len(finish(writer).split()) == 3000
    for reader in readers:
        assert int(finish(reader)) <= 9000
    told = store.sql("select job_id, lm_calls, cost_usd, state from jobs order by job_id")
    assert told.lm_calls.tolist() == [3000] * 3
    assert told.cost_usd.tolist() == [1500.0] * 3
    assert told.state.tolist() == ["interrupted"] * 3


def test_a_job_of_another_process_can_be_followed_but_not_written(home: Home, tmp_path: Path) -> None:
    from skillfleet_nb.errors import JobError

    writer = endless(home)
    acknowledgements(writer, 1)
    follower = follow(home, "job-1")
    seen = [event.seq for event in follower.poll()]
    with pytest.raises(JobError, match="live process"):
        Journal(home, "job-1")
    last = acknowledgements(writer, 500)[-1]
    while not seen or seen[-1] < last:
        seen += [event.seq for event in follower.poll()]
    kill(writer)
    assert seen == list(range(1, len(seen) + 1))
    Journal(home, "job-1").close()


@pytest.mark.slow
def test_processes_that_are_killed_all_the_time_lose_nothing_and_every_query_is_answered(tmp_path: Path) -> None:
    """Eight append, four ask and one compacts; the benchmark runs the same for a minute."""
    outcome = stress(tmp_path, rounds=6, steps=5, events_per_s=3000)
    assert outcome.errors == []
    assert outcome.kills >= 8
    assert outcome.acknowledged > 2000
    assert (outcome.lost, outcome.doubled, outcome.unanswered) == (0, 0, 0)
    assert outcome.seconds  # how many queries there was time for is the machine's matter
    assert outcome.compacted > 0
