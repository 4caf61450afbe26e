"""Creations killed with `kill -9` in each of their steps, and while they ask a person, then resumed.

Each kill comes at another moment of its step.  What was bought in all is compared with an undisturbed creation of the
same task by a model of its own name, of which nothing is in the cache; answers that a person gave before have to be
there afterwards.  The model is the offline one, which takes a tenth of a second for a call.

Run: ``python tests/benchmarks creator_kills``.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.events import JobState

DOCS = Path(__file__).resolve().parents[2] / "docs"
KILLS, ANSWERS = 10, 2
STEPS = ("research", "understand", "plan", "write", "check and revise", "save", "waiting")
LATENCY_S = 0.1  # so that a process can be killed between two calls


def kills(top: Path) -> list[dict[str, Any]]:
    """Kill a creation in each of its steps, ten times each at another moment, and go on; count what became of it."""
    seen = [killed(top, step, n) for step in STEPS for n in range(KILLS)]
    there = sum(one["there"] for one in seen)
    what = f"{len(seen)} kill -9, {KILLS} in each of {len(STEPS)} steps"
    return [
        row(f"{what}: of them before the job had ended", there, "kills"),
        row(f"{what}: calls bought twice at most", max(one["over"] for one in seen), "calls", "≤ 1"),
        row(f"{what}: skills missing, doubled or half written", sum(one["lost"] for one in seen), "skills", "≤ 0"),
        row(f"{what}: answers of a person forgotten", sum(one["forgotten"] for one in seen), "answers", "≤ 0"),
    ]


def killed(top: Path, step: str, n: int) -> dict[str, int]:
    """Kill a creation in a step, `n` tenths of a call after it began, and let it go on."""
    fleet, name = Fleet(top / "killed"), f"{step.replace(' ', '-')}-{n}"
    task = f"Rotate API keys of service {name} without downtime. Use when a key may have leaked."
    said = f"revise: name it rotate-{name}"
    options: dict[str, Any] = {"lm": sf.offline_lm(latency_s=LATENCY_S), "path": "expert", "docs": str(DOCS)}
    job = fleet.create_skill(task, root=top / name, review="plan", engine="process", name=name, **options)
    answered: set[str] = set()
    while not job.state.is_finished():
        if step == "save" and len(answered) == ANSWERS:
            while not (top / name).exists() and not job.state.is_finished():
                pass  # it takes some thousandths of a second from here on
            time.sleep(n / 1_000)
            break
        if step == now_in(job) if step != "waiting" else job.question is not None:
            time.sleep(n * LATENCY_S / KILLS)
            break
        answer(job, said, answered)
        job.wait(0.002)
    there = not job.state.is_finished()
    if job.pid is not None:
        os.kill(job.pid, signal.SIGKILL)
    while not job.state.is_finished():
        job.wait(0.05)
    before = list(job.progress.reviews)
    if job.state is not JobState.COMPLETED:
        to_its_end(fleet.resume(name, engine="thread"), said)
    end = fleet.job(name).progress
    made = list((top / name).glob("*"))
    whole = len(made) == 1 and (made[0] / "SKILL.md").is_file() and fleet.job(name).result().skill.validate("v2").ok
    options["lm"] = sf.offline_lm(name="offline-whole")  # of which nothing is in the cache
    bare = Fleet(top / "whole").create_skill(task, root=top / f"{name}-whole", review="plan", name=name, **options)
    to_its_end(bare, said)
    forgotten = sum(one not in end.reviews for one in before) + (len(end.reviews) != len(bare.progress.reviews))
    return {"there": there, "over": end.calls - bare.progress.calls, "lost": not whole, "forgotten": forgotten}


def answer(job: Any, said: str, answered: set[str]) -> None:
    """Answer what a job asks: with a wish the first time, then with a yes; once each."""
    asked = job.question
    if asked is not None and asked.review_id not in answered:
        answered.add(asked.review_id)
        job.answer("yes" if "version" in asked.details else said)


def to_its_end(job: Any, said: str) -> None:
    """Let a job run to its end, with answers where it asks."""
    answered: set[str] = set()
    while not job.state.is_finished():
        answer(job, said, answered)
        job.wait(0.02)


def now_in(job: Any) -> str:
    """Return the step that a job is in."""
    return next((name for name, state, *_ in job.picture()["steps"] if state in {"now", "asks you"}), "")


def row(what: str, value: float, unit: str, target: str = "") -> dict[str, Any]:
    """Make a row of the table."""
    return {"what": what, "value": value, "unit": unit, "target": target}


def run() -> list[dict[str, Any]]:
    """Measure all."""
    with tempfile.TemporaryDirectory() as folder:
        return kills(Path(folder))
