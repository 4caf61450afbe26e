"""What Python reads off the events of a job and what SQL says of it are the same, whatever happened to the job."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import CREATED, call, trial

from skillfleet_nb.events import (
    READ,
    JobState,
    Paused,
    Payload,
    Phase,
    ProgramSaved,
    Result,
    Resumed,
    ReviewAnswered,
    ReviewAsked,
    StateChanged,
    StopKind,
    Trying,
    Unread,
    Warned,
)
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import Home, Journal, Store
from skillfleet_nb.store.segments import format_line

if TYPE_CHECKING:
    from pathlib import Path

CALLS = ("call", "cached", "failed", "unpriced", "unread", "ask", "answer")
STEPS = (*CALLS, "trial", "minibatch", "train", "test", "pause", "say")
ENDS = {
    "finished": (JobState.COMPLETED, StopKind.FINISHED),
    "budget": (JobState.COMPLETED, StopKind.BUDGET),
    "cancelled": (JobState.CANCELLED, StopKind.CANCELLED),
    "error": (JobState.FAILED, StopKind.ERROR),
}
Begin = Literal["at once", "waits", "never runs"]
End = Literal["finished", "budget", "cancelled", "error", "killed", "torn"]
Steps = list[tuple[str, int, float]]
Attempt = tuple[Begin, Steps, End, bool]

steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9_000), st.floats(0, 1)), max_size=14)
attempts = st.lists(
    st.tuples(
        st.sampled_from(["at once", "at once", "waits", "never runs"]),
        steps,
        st.sampled_from([*ENDS, "killed", "torn"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@dataclass
class Story:
    """Writes the journal of a job as its writers would, at times of its own, and knows how long the job ran."""

    folder: Path
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    seq: int = 0
    segment: int = 0
    trials: int = 0
    ran: timedelta = timedelta()
    running: bool = False
    paused: bool = False
    asked: int = 0
    open_question: bool = False
    lines: list[bytes] = field(default_factory=list)

    def write(self, *payloads: Payload, after_ms: int = 0) -> None:
        step = timedelta(milliseconds=after_ms)
        self.now += step
        if self.running and not (self.paused or self.open_question):
            self.ran += step
        for payload in payloads:
            self.seq += 1
            body = payload.model_dump_json(exclude={"kind"}).encode()
            self.lines.append(format_line(self.seq, self.now, payload.kind, body))

    def close(self, tail: bytes = b"") -> None:
        """End a segment: whoever wrote it is gone."""
        self.segment += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.segment:06d}.jsonl").write_bytes(b"".join(self.lines) + tail)
        self.lines = []

    def attempt(
        self, number: int, begin: Begin, happens: list[tuple[str, int, float]], end: End, *, done: bool
    ) -> None:
        if number == 1:
            self.write(CREATED)
        else:
            self.write(Resumed(attempt=number, budget={"calls": 9}), StateChanged(state="pending"), after_ms=60_000)
        if begin == "waits":  # for a process of its own, which writes on
            self.close()
            self.write(Phase(text="waiting"), after_ms=700)
        if begin != "never runs":
            self.write(StateChanged(state="running"), after_ms=300)
            self.running = True
            for what, after_ms, score in happens:
                self.happen(what, after_ms, score)
        if done and begin != "never runs":
            self.write(Result(baseline_score=0.25, best_score=0.875, best_program_id=f"best-{number}"), after_ms=40)
        if end in ENDS:
            state, kind = ENDS[end]
            error = "it broke" if kind is StopKind.ERROR else None
            self.write(StateChanged(state=state, stop_kind=kind, stop_reason=f"{kind}: why", error=error), after_ms=20)
        self.running = self.paused = self.open_question = False
        torn = format_line(self.seq + 1, self.now + timedelta(hours=1), "state", b'{"state":"completed"}')
        self.close(torn[: len(torn) // 2] if end == "torn" else b"")

    def happen(self, what: str, after_ms: int, score: float) -> None:
        if what == "pause":
            self.write(Paused(paused=not self.paused), after_ms=after_ms)
            self.paused = not self.paused
        elif what == "ask" and not self.open_question:
            self.asked += 1
            asked = ReviewAsked(review_id=f"r{self.asked}", asks="confirm", about="step", question="Go on?")
            self.write(asked, StateChanged(state="pending_hitl"), after_ms=after_ms)
            self.open_question = True
        elif what == "answer" and self.open_question:
            told = ReviewAnswered(review_id=f"r{self.asked}", choice="proceed")
            self.write(told, StateChanged(state="running"), after_ms=after_ms)
            self.open_question = False
        else:
            self.write(*self.facts(what, score), after_ms=after_ms)

    def facts(self, what: str, score: float) -> list[Payload]:
        if what in CALLS:
            taken = {
                "cached": {"cached": True, "cost_usd": 0.0},
                "failed": {"error": "TimeoutError: slow", "cost_usd": 0.0},
                "unpriced": {"cost_usd": None},
            }.get(what, {"cost_usd": score, "attempts": 2})
            unread = [Unread(call_id=f"c{self.seq}", role="reflection", reason="why")] * (what == "unread")
            return [call(self.seq, **taken), *unread]
        if what == "say":
            return [Warned(text="mind"), Phase(text="searching")]
        number, self.trials = self.trials, self.trials + 1
        split = what if what in {"train", "test"} else "val"
        whole = what != "minibatch"
        made = trial(number, score, split=split, full_eval=whole)
        saved = ProgramSaved(program_id=f"p{number}", state={}, instructions="", n_demos=0)
        return [saved, Trying(program_id=f"p{number}", split=made.split, full_eval=whole, n_examples=2), made]


def same(ours: Any, theirs: Any) -> bool:
    missing = theirs is None or theirs != theirs  # NaN, NaT  # noqa: PLR0124
    if ours is None or missing:
        return ours is None and bool(missing)
    if isinstance(ours, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
    return bool(ours == theirs)


@settings(max_examples=30)
@given(jobs=st.lists(st.tuples(attempts, st.booleans()), min_size=1, max_size=3))
def test_the_projection_and_sql_say_the_same_of_any_job(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[tuple[list[Attempt], bool]]
) -> None:
    home = Home.find(tmp_path_factory.mktemp("home") / ".skillfleet").ensure()
    stories = {}
    with ExitStack() as alive:
        for job, (tries, lives) in enumerate(jobs):
            story = stories[f"job-{job}"] = Story(home.journal_dir(f"job-{job}"))
            for number, (begin, happens, end, done) in enumerate(tries, 1):
                story.attempt(number, begin, happens, end, done=done)
            if lives:
                alive.enter_context(Journal(home, f"job-{job}"))
        rows = Store(home).frame("FROM jobs").set_index("job_id")
        newest = (
            Store(home)
            .frame(
                "SELECT job_id, count(*) FILTER (split <> 'test') AS n, max(trial) + 1 AS next, "
                "max(trial) FILTER (split <> 'test') AS newest FROM trials GROUP BY job_id"
            )
            .set_index("job_id")
        )
        for job, story in stories.items():
            p, row = Progress(home, job).update(), rows.loc[job]
            told = {
                "state": str(p.state), "stop_kind": p.stop_kind, "stop_reason": p.stop_reason, "error": p.error,
                "started_at": p.started_at, "finished_at": p.finished_at, "baseline_score": p.baseline,
                "best_score": p.best, "best_program_id": p.best_program, "lm_calls": p.totals.calls,
                "cached_calls": p.totals.cached, "input_tokens": p.totals.input_tokens,
                "output_tokens": p.totals.output_tokens, "cost_usd": p.totals.cost_usd,
                "unread": {role: p.unread[role] for role in READ}, "wall_s": p.wall_s() if p.started_at else None,
            }  # fmt: skip
            assert {k: (v, row[k]) for k, v in told.items() if not same(v, row[k])} == {}
            assert p.wall_s() == pytest.approx(story.ran.total_seconds(), abs=1e-6)
            assert EarlierAttempts.of(home, job).seconds == pytest.approx(story.ran.total_seconds(), abs=1e-6)
            assert EarlierAttempts.of(home, job).next_trial == (newest.next[job] if job in newest.index else 0)
            if job in newest.index and newest.n[job]:
                assert p.trials == newest.newest[job]
