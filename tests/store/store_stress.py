"""Many processes on one home, some of them killed all the time: what the stress test and the benchmark run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import warnings
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from skillfleet_nb.events import JobCreated, LMCall, Phase, StateChanged, Trial
from skillfleet_nb.store import Home, Journal, StaleWarning, Store

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

LISTING = "select * from jobs order by created_at desc"
_BEAT_S = 0.05  # an appender writes a batch this often
_THINK_S = 0.05  # a querier's pause between two questions
_ROUND_S, _LOOK_S = 1.0, 0.05
_WAIT = "wait"  # while this file is there, nobody appends


@dataclass
class Outcome:
    """What a stress run came to.

    `acknowledged` and `lost` count events; `seconds` are the durations of the answered queries,
    `unanswered` the questions that were neither answered nor asked by a process that was killed,
    `compacted` the segments that became Parquet meanwhile, `late` the answers that lacked what the asker had just
    written, and said so.
    """

    kills: int = 0
    acknowledged: int = 0
    folded: int = 0
    lost: int = 0
    doubled: int = 0
    unanswered: int = 0
    compacted: int = 0
    late: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def stress(
    folder: Path,
    *,
    events_per_s: int,
    seconds: float = 0.0,
    rounds: int = 0,
    steps: int = 0,
    appenders: int = 8,
    queriers: int = 4,
    compactors: int = 1,
) -> Outcome:
    """Let processes append, query and compact, kill two of them each round, and count.

    It goes on for `seconds`, for `rounds`, and until something was compacted; a round lasts a second, and
    until each process has taken `steps` of its work.  Who appends waits for the others then: on a busy machine they
    would have more and more to read, and never come to an end.
    """
    home = Home.find(folder / ".skillfleet").ensure()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skillfleet_nb.store", "duckdb", "pandas", "pyarrow", __name__])
    first = context.Process(target=time.time)  # once it has run, the next ones start at once
    first.start()
    first.join()
    outcome, rng, numbers = Outcome(), random.Random(0), count()
    stop, ends = folder / "stop", time.monotonic() + seconds
    wait = stop.with_name(_WAIT)

    def begin(role: str, number: int) -> ForkServerProcess:
        life = next(numbers)
        log = folder / f"{life}.log"
        # every other time the job that was killed is written on; else it stays dead, for the compaction
        stream = f"job-{number}-{life % 2 and life}"
        target = {"append": _append, "query": _query, "compact": _compact}[role]
        process = context.Process(target=_guarded, args=(target, home, stream, events_per_s / appenders, stop, log))
        process.start()
        logs[role, number] = log
        return process

    def stepped(before: dict[tuple[str, int], int], who: list[tuple[str, int]]) -> bool:
        want = {"append": steps, "query": steps, "compact": min(steps, 1)}
        return all(_lines(logs[role]) >= before[role] + want[role[0]] or not running[role].is_alive() for role in who)

    roles = [("append", n) for n in range(appenders)] + [("query", n) for n in range(queriers)]
    roles += [("compact", n) for n in range(compactors)]
    logs: dict[tuple[str, int], Path] = {}
    running = {role: begin(*role) for role in roles}
    done = 0
    try:
        while time.monotonic() < ends or done < rounds or (compactors and not _compacted(home)):
            due = time.monotonic() + _ROUND_S
            before = {role: _lines(log) for role, log in logs.items()}
            while time.monotonic() < due or not stepped(before, roles):
                if time.monotonic() >= due and stepped(before, roles[:appenders]):
                    wait.touch()
                time.sleep(_LOOK_S)
            wait.unlink(missing_ok=True)
            done += 1
            for role in rng.sample(roles, 2):
                os.kill(running[role].pid or 0, signal.SIGKILL)
                running[role].join()
                outcome.kills += 1
                (folder / f"killed-{running[role].pid}").touch()
                running[role] = begin(*role)
        stop.touch()
        for process in running.values():
            process.join()
    finally:
        for process in running.values():
            process.kill()
    _count(folder, home, outcome)
    return outcome


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _compacted(home: Home) -> int:
    return len(list(home.journal.glob("*/*.parquet")))


def _guarded(target: object, home: Home, stream: str, rate: float, stop: Path, log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        try:
            target(home, stream, rate, stop, file)  # type: ignore[operator]
        except BaseException as error:
            file.write(f"error {type(error).__name__}: {error}\n".encode())
            raise


def _append(home: Home, stream: str, rate: float, stop: Path, log: object) -> None:
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
            while stop.with_name(_WAIT).exists() and not stop.exists():
                time.sleep(_BEAT_S)
                due = time.time()
            if stop.exists():
                return
            time.sleep(max(0.0, due - time.time()))


def _query(home: Home, stream: str, rate: float, stop: Path, log: object) -> None:
    del stream, rate
    store = Store(home)
    with Journal(home, f"asker-{os.getpid()}") as journal:
        while not stop.exists():
            log.write(b"ask %d\n" % os.getpid())  # type: ignore[attr-defined]
            started = time.perf_counter()
            store.sql(LISTING)
            log.write(b"answer %f\n" % (time.perf_counter() - started))  # type: ignore[attr-defined]
            last = journal.append(Phase(text="asked"))
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", StaleWarning)
                asked = f"select coalesce(max(seq), 0) as n from events where job_id = '{journal.stream}'"  # noqa: S608  ours
                seen = store.sql(asked).n[0]
            if seen != last:  # what lags has to say so
                log.write(b"late\n" if told else b"error stale: %d of %d\n" % (seen, last))  # type: ignore[attr-defined]
            time.sleep(_THINK_S)


def _compact(home: Home, stream: str, rate: float, stop: Path, log: object) -> None:
    del stream, rate
    while not stop.exists():
        Store(home).compact(everything=True)
        log.write(b"compact\n")  # type: ignore[attr-defined]
        time.sleep(_ROUND_S / 2)


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
            elif kind == "late":
                outcome.late += 1
            elif kind != "compact":
                outcome.errors.append(line)
        outcome.unanswered += sum(not (folder / f"killed-{pid}").exists() for pid in asked)
    outcome.compacted = _compacted(home)
    found = Store(home).frame("select job_id, seq from events")
    folded = list(zip(found.job_id, found.seq, strict=True))
    outcome.acknowledged, outcome.folded = len(acknowledged), len(folded)
    outcome.lost = len(acknowledged - set(folded))
    outcome.doubled = len(folded) - len(set(folded))
