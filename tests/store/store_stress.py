"""Many processes on one home, some of them killed all the time: what the stress test and the benchmark run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from skillfleet_nb.events import JobCreated, LMCall, StateChanged, Trial
from skillfleet_nb.store import Home, Journal, Store

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

LISTING = "select * from jobs order by created_at desc"
_BEAT_S = 0.05  # an appender writes a batch this often
_THINK_S = 0.05  # a querier's pause between two questions


@dataclass
class Outcome:
    """What a stress run came to.

    `acknowledged` and `lost` count events; `seconds` are the durations of the answered queries,
    `unanswered` the questions that were neither answered nor asked by a process that was killed,
    `compacted` the segments that became Parquet meanwhile.
    """

    kills: int = 0
    acknowledged: int = 0
    folded: int = 0
    lost: int = 0
    doubled: int = 0
    unanswered: int = 0
    compacted: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def stress(
    folder: Path, *, seconds: float, events_per_s: int, appenders: int = 8, queriers: int = 4, compactors: int = 1
) -> Outcome:
    """Let processes append, query and compact for a while, kill two of them each second, and count."""
    home = Home.find(folder / ".skillfleet").ensure()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skillfleet_nb.store", "duckdb", "pandas", "pyarrow", __name__])
    first = context.Process(target=time.time)  # once it has run, the next ones start at once
    first.start()
    first.join()
    outcome, rng, numbers = Outcome(), random.Random(0), count()
    deadline = time.time() + seconds

    def begin(role: str, number: int) -> ForkServerProcess:
        life = next(numbers)
        log = folder / f"{life}.log"
        # every other time the job that was killed is written on; else it stays dead, for the compaction
        stream = f"job-{number}-{life % 2 and life}"
        target = {"append": _append, "query": _query, "compact": _compact}[role]
        process = context.Process(target=_guarded, args=(target, home, stream, events_per_s / appenders, deadline, log))
        process.start()
        return process

    roles = [("append", n) for n in range(appenders)] + [("query", n) for n in range(queriers)]
    roles += [("compact", n) for n in range(compactors)]
    running = {role: begin(*role) for role in roles}
    while time.time() < deadline - 1:
        time.sleep(1)
        for role in rng.sample(roles, 2):
            os.kill(running[role].pid or 0, signal.SIGKILL)
            running[role].join()
            outcome.kills += 1
            (folder / f"killed-{running[role].pid}").touch()
            running[role] = begin(*role)
    for process in running.values():
        process.join()
    _count(folder, home, outcome)
    return outcome


def _guarded(target: object, home: Home, stream: str, rate: float, deadline: float, log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        try:
            target(home, stream, rate, deadline, file)  # type: ignore[operator]
        except BaseException as error:
            file.write(f"error {type(error).__name__}: {error}\n".encode())
            raise


def _append(home: Home, stream: str, rate: float, deadline: float, log: object) -> None:
    with Journal(home, stream) as journal:
        if journal.append(StateChanged(state="running")) == 1:
            journal.append(JobCreated(name=stream, optimizer="o", program="p", metric="m", engine="process", seed=1))
        batch = max(1, round(rate * _BEAT_S))
        due = time.time()
        for trial in count():
            calls = [
                LMCall(call_id=f"c{n}", model="m", role="task", cached=False, cost_usd=0.001, prompt="context " * 30)
                for n in range(batch - 1)
            ]
            scored = Trial(trial=trial, split="val", full_eval=True, n_examples=20, score=0.5)
            last = journal.append_many([*calls, scored])
            log.write(b"ack %s %d %d\n" % (stream.encode(), last - batch + 1, last))  # type: ignore[attr-defined]
            due += _BEAT_S
            if due > deadline:
                return
            time.sleep(max(0.0, due - time.time()))


def _query(home: Home, stream: str, rate: float, deadline: float, log: object) -> None:
    del stream, rate
    store = Store(home)
    while time.time() < deadline:
        log.write(b"ask %d\n" % os.getpid())  # type: ignore[attr-defined]
        started = time.perf_counter()
        store.sql(LISTING)
        log.write(b"answer %f\n" % (time.perf_counter() - started))  # type: ignore[attr-defined]
        time.sleep(_THINK_S)


def _compact(home: Home, stream: str, rate: float, deadline: float, log: object) -> None:
    del stream, rate, log
    while time.time() < deadline:
        Store(home).compact(everything=True)
        time.sleep(1)


def _count(folder: Path, home: Home, outcome: Outcome) -> None:
    acknowledged: set[tuple[str, int]] = set()
    for log in folder.glob("*.log"):
        asked: list[int] = []
        for line in log.read_text().splitlines():
            kind, *words = line.split(" ")
            if kind == "ack":
                acknowledged |= {(words[0], seq) for seq in range(int(words[1]), int(words[2]) + 1)}
            elif kind == "ask":
                asked.append(int(words[0]))
            elif kind == "answer":
                asked.pop()
                outcome.seconds.append(float(words[0]))
            else:
                outcome.errors.append(line)
        outcome.unanswered += sum(not (folder / f"killed-{pid}").exists() for pid in asked)
    outcome.compacted = len(list(home.journal.glob("*/*.parquet")))
    found = Store(home).frame("select job_id, seq from events")
    folded = list(zip(found.job_id, found.seq, strict=True))
    outcome.acknowledged, outcome.folded = len(acknowledged), len(folded)
    outcome.lost = len(acknowledged - set(folded))
    outcome.doubled = len(folded) - len(set(folded))
