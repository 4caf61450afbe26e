"""Jobs as their journals may tell them: every state a job can reach, without running one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import strategies as st
from store_samples import CREATED, call, trial

from skillfleet_nb.events import (
    JobState,
    Paused,
    Payload,
    Phase,
    Placed,
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
from skillfleet_nb.store.segments import format_line

if TYPE_CHECKING:
    from pathlib import Path

CALLS = ("call", "cached", "failed", "unpriced", "unread", "ask", "answer")
STEPS = (*CALLS, "trial", "minibatch", "train", "test", "pause", "say", "place")
ENDS = {
    "finished": (JobState.COMPLETED, StopKind.FINISHED),
    "budget": (JobState.COMPLETED, StopKind.BUDGET),
    "budget before a score": (JobState.FAILED, StopKind.BUDGET),
    "cancelled": (JobState.CANCELLED, StopKind.CANCELLED),
    "error": (JobState.FAILED, StopKind.ERROR),
}
RESULTS: dict[str, dict[str, Any]] = {
    "unscored": {"summary": "budget: 5 calls, best of 0 trials; not tested"},
    "scored": {"baseline_score": 0.25, "best_score": 0.875},
    "tested": {
        "baseline_score": 0.25, "best_score": 0.875, "test_baseline": 0.25, "test_score": 0.75, "test_delta": 0.5,
        "test_delta_low": 0.1, "test_delta_high": 0.9, "p_value": 0.01, "verdict": "improved", "failed_share": 0.25,
    },
}  # fmt: skip
Begin = Literal["at once", "waits", "never runs"]
End = Literal["finished", "budget", "budget before a score", "cancelled", "error", "killed", "torn"]
Done = Literal["", "unscored", "scored", "tested"]
Steps = list[tuple[str, int, float]]
Attempt = tuple[Begin, Steps, End, Done]

steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9_000), st.floats(0, 1)), max_size=14)
attempts = st.lists(
    st.tuples(
        st.sampled_from(["at once", "at once", "waits", "never runs"]),
        steps,
        st.sampled_from([*ENDS, "killed", "torn"]),
        st.sampled_from(["", *RESULTS]),
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

    def attempt(self, number: int, begin: Begin, happens: list[tuple[str, int, float]], end: End, done: Done) -> None:
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
            self.write(Result(best_program_id=f"best-{number}", **RESULTS[done]), after_ms=40)
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
        if what == "place":
            return [Placed(worker=f"tls://node:{self.seq}")]
        number, self.trials = self.trials, self.trials + 1
        split = what if what in {"train", "test"} else "val"
        whole = what != "minibatch"
        made = trial(number, score, split=split, full_eval=whole)
        saved = ProgramSaved(program_id=f"p{number}", state={}, instructions="", n_demos=0)
        return [saved, Trying(program_id=f"p{number}", split=made.split, full_eval=whole, n_examples=2), made]
