from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

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


def tables(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every public relation, in an order that does not depend on the database."""
    names = ("jobs", "events", "trials", "scores", "lm_calls", "programs")
    return {
        name: sorted(map(repr, store.frame(f"from {name}").itertuples(index=False, name=None)))  # type: ignore[misc]
        for name in names
    }


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that runs some code."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
