from __future__ import annotations

import multiprocessing
import operator
import os
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import DupFd
from typing import IO, TYPE_CHECKING, Any

from skillfleet_nb.envelope import seal, unsealed
from skillfleet_nb.events import (
    JobCreated,
    JobState,
    LMCall,
    Payload,
    Phase,
    ProgramSaved,
    Result,
    StateChanged,
    Trial,
    Warned,
)
from skillfleet_nb.store.segments import place, seed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb.store import Store

CREATED = JobCreated(
    name="triage", optimizer="gepa", program="triage:Triage", metric="accuracy", engine="thread", seed=7, budget_usd=2.5
)


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Change each line of a journal as if it had been written so."""
    written = b""
    for line in file.read_bytes().splitlines(keepends=True):
        written += seal(change(unsealed(line)[0])[1:], place(seed(file), len(written)))
    file.write_bytes(written)


def call(number: int = 0, **changes: object) -> LMCall:
    fields: dict[str, object] = {
        "call_id": f"c{number}",
        "model": "skillfleet/offline-1",
        "role": "task",
        "cached": False,
        "input_tokens": 10,
        "output_tokens": 2,
        "cost_usd": 0.25,
        "latency_s": 0.5,
        "prompt": "Which team?",
        "response": "billing",
    }
    return LMCall.model_validate(fields | changes)


def trial(number: int = 0, score: float = 0.5, **changes: object) -> Trial:
    fields: dict[str, object] = {
        "trial": number,
        "split": "val",
        "full_eval": True,
        "n_examples": 2,
        "score": score,
        "program_id": f"p{number}",
        "scores": (("a", score, None, '{"team":"billing"}'), ("b", None, "wrong team")),
    }
    return Trial.model_validate(fields | changes)


def random_payload(rng: random.Random) -> Payload:
    number = rng.randrange(1000)
    return rng.choice(
        [
            lambda: CREATED,
            lambda: StateChanged(state=rng.choice(list(JobState)), stop_reason=rng.choice([None, "budget"])),
            lambda: Phase(text=f"phase {number} ☃"),
            lambda: Warned(text="a\nb"),
            lambda: trial(number % 5, rng.random(), split=rng.choice(["train", "val", "test"])),
            lambda: call(number, cached=rng.random() < 0.3, cost_usd=rng.choice([None, 0.1, 0.7, rng.random()])),
            lambda: ProgramSaved(program_id=f"p{number}", state={"n": number}, instructions="Do.", n_demos=number % 3),
            lambda: Result(best_score=rng.random(), verdict="improved"),
        ]
    )()


def tables(store: Store) -> dict[str, list[str]]:
    """Every row of every public relation as text, in an order of its own; but the audit trail's."""
    names = ("jobs", "events", "trials", "scores", "lm_calls", "programs")
    rows: dict[str, list[str]] = {name: [] for name in names}
    # One query: a question of its own for each takes longer than all of them together.
    lines = (f"select '{name}' as relation, job_id, {name}::varchar as line from {name}" for name in names)  # noqa: S608
    everything = f"select relation, line from ({' union all '.join(lines)}) where job_id is distinct from 'audit'"  # noqa: S608
    for relation, line in store.frame(everything).itertuples(index=False, name=None):
        rows[relation].append(line)
    return {name: sorted(lines) for name, lines in rows.items()}


class Pipe:
    """A descriptor that a process is started with, there to be detached."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.itemgetter(0), ((DupFd(self._fd),),)


class Started:
    """A process that runs some code, as `subprocess.Popen` shows one.

    It is forked from a process that has the store imported: most of a short life would go into that.
    """

    def __init__(self, code: str, arguments: list[str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["skillfleet_nb.store", "duckdb", "pandas", "pyarrow", __name__])
        reads, out = os.pipe()
        hears, err = os.pipe()
        self._process = context.Process(target=_run, args=(code, arguments, Pipe(out), Pipe(err)), daemon=True)
        self._process.start()
        os.close(out)
        os.close(err)
        self.stdout: IO[str] = os.fdopen(reads)
        self._stderr: IO[str] = os.fdopen(hears)

    @property
    def returncode(self) -> int | None:
        """How it ended; the negative number of the signal that killed it."""
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end no longer than so many seconds."""
        self._process.join(seconds)
        return self.returncode is not None

    def communicate(self) -> tuple[str, str]:
        """Return what it printed that nobody has read yet, when it has ended."""
        with self.stdout, self._stderr, ThreadPoolExecutor(1) as beside:
            errors = beside.submit(self._stderr.read)
            printed = self.stdout.read()
            self._process.join()
            return printed, errors.result()


def _run(code: str, arguments: list[str], out: Any, err: Any) -> None:
    os.dup2(out.detach(), 1)
    os.dup2(err.detach(), 2)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})  # noqa: S102  as `python -c` does


def start(code: str, *arguments: object) -> Started:
    """Start a process that runs some code."""
    return Started(textwrap.dedent(code), [*map(str, arguments)])
