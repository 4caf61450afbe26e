"""How far a job is, read off its journal as it grows: the same for any job, of any process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import JobState, ReviewAsked, StopKind
from skillfleet_nb.format import duration, money, points
from skillfleet_nb.runs.jobs.curve import Curve
from skillfleet_nb.store import follow, is_alive

if TYPE_CHECKING:
    from skillfleet_nb.store import Home


@dataclass
class Progress:
    """Follows one job; :meth:`update` reads what is new.  Scores are in [0, 1], on validation.

    `cost_usd` is None once a bought call had no known price; `eta_s` is an interval, in seconds.
    `failures` counts failed calls by kind, `repeats` the attempts that failed before an answer.
    `tried` is the newest trial, without its rows, `trying` the candidate being scored now.  `question` is
    what the run asks a person and nobody has answered, `reviews` what was answered: question, choice and
    text; `answered_at` when, by the question's id.
    """

    home: Home
    job_id: str
    name: str = ""
    optimizer: str = ""
    state: JobState = JobState.PENDING
    stop_kind: StopKind | None = None
    stop_reason: str | None = None
    error: str | None = None
    phase: str = ""
    paused: bool = False
    baseline: float | None = None
    best: float | None = None
    trials: int = 0
    calls: int = 0
    cached: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    curve: Curve = field(default_factory=Curve)
    tried: dict[str, Any] | None = None
    trying: dict[str, Any] | None = None
    first_program: str | None = None
    best_program: str | None = None
    expected_calls: tuple[int, int] = (0, 0)
    result: dict[str, Any] | None = None
    splits: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    engine: str = "thread"
    tags: tuple[str, ...] = ()
    domain: str | None = None
    attempts: int = 0
    warnings: list[str] = field(default_factory=list)
    question: ReviewAsked | None = None
    reviews: list[tuple[str, str, str]] = field(default_factory=list)
    answered_at: dict[str, datetime] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def __post_init__(self) -> None:
        self._follower = follow(self.home, self.job_id)
        self._before = 0  # calls of earlier attempts
        self._asked = False  # a person is waited for
        self._still_s = 0.0
        self._still_at: datetime | None = None  # since when the clock stands still
        self._seen_at: datetime | None = None
        self.seen = 0  # events taken in

    def update(self) -> Progress:
        """Take in the events written since the last time; an orphan reads as interrupted."""
        while True:
            alive, news = is_alive(self.home, self.job_id), False
            for event in self._follower.read():
                news, self._seen_at = True, event.at
                self.seen += 1
                handler = getattr(self, f"_on_{event.kind}", None)
                if handler is not None:
                    handler(event.payload, event.at)
            if alive or self.state.is_finished():
                return self
            if not news:  # nobody was there, and nobody has come since
                self.state, self.stop_kind = JobState.INTERRUPTED, StopKind.INTERRUPTED
                self.stop_reason = "its process is gone"
                self.finished_at = self._seen_at
                self._stand(self._seen_at or datetime.now(UTC), asked=False, paused=False)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job started to run, without pauses and without those it waited for a person."""
        if self.started_at is None:
            return 0.0
        until = self._still_at or self.finished_at or datetime.now(UTC)
        return (until - self.started_at).total_seconds() - self._still_s

    @property
    def eta_s(self) -> tuple[float, float] | None:
        """Seconds left, from the calls expected and the rate so far; None while that says nothing."""
        done, (low, high) = self._done, self.expected_calls
        if done < 5 or self.elapsed_s <= 0 or high == 0:  # noqa: PLR2004  too few to know a rate
            return None
        rate = done / self.elapsed_s
        return max(0.0, low - done) / rate, max(0.0, high - done) / rate

    @property
    def share_done(self) -> float | None:
        """Share of the calls expected at most, in [0, 1]; None while that number is not known."""
        if self.state is JobState.COMPLETED:
            return 1.0
        most = self.expected_calls[1]
        return min(1.0, self._done / most) if most else None

    @property
    def _done(self) -> int:
        return self.calls + self.cached - self._before

    @property
    def state_in_words(self) -> str:
        """The state, and why it was entered where that says more."""
        if self.paused:
            return f"{self.state}, paused"
        if self.state is JobState.PENDING_HITL:
            return f"{self.state}: waits for your answer"
        told = "" if self.stop_reason in {None, str(self.state)} else f": {self.stop_reason}"
        return f"{self.state}{told}"

    def line(self) -> str:
        """Say in one line where the job is."""
        parts = [self.name or self.job_id, self.optimizer, f"trial {self.trials}"]
        if self.best is not None and self.baseline is not None:
            parts.append(f"best {points(self.best)} (baseline {points(self.baseline)})")
        calls = f"{self.calls:,} calls" + (f" + {self.cached:,} cached" if self.cached else "")
        parts += [calls, money(self.cost_usd), duration(self.elapsed_s)]
        if self.state.is_finished():
            parts.append(self.state_in_words)
        else:
            if (eta := self.eta_s) is not None and eta[1] > 0:
                parts.append(f"at most {duration(eta[1])} left")
            parts += [f"asks: {self.question.question}" if self.question else self.phase]
            parts += ["paused" if self.paused else ""]
        return " · ".join(p for p in parts if p)

    def _on_job_created(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.name, self.optimizer, self.engine, self.spec = p["name"], p["optimizer"], p["engine"], p["spec"]
        self.tags, self.domain = tuple(p.get("tags") or ()), p.get("domain")
        low, high = p["spec"].get("expected_calls", (0, 0))
        sizes = p["spec"].get("sizes", {})
        self.splits = p["spec"].get("splits", "")
        around = sizes.get("val", 0) + 2 * sizes.get("test", 0)
        self.attempts = 1
        self.expected_calls = (low + around, high + around + sizes.get("val", 0))

    def _on_state(self, p: dict[str, Any], at: datetime) -> None:
        goes_on = self._asked  # after a question, or another one
        self.state, self.stop_reason, self.error = JobState(p["state"]), p["stop_reason"], p["error"]
        self.stop_kind = StopKind(p["stop_kind"]) if p["stop_kind"] else None
        self.trying = None
        if self.state is JobState.PENDING_HITL:
            self._stand(at, asked=True)
        elif self.state is JobState.RUNNING and self._asked:
            self._stand(at, asked=False)
        else:
            self._stand(at, asked=False, paused=False)
        if self.state is JobState.RUNNING and not goes_on:
            self.started_at, self.finished_at, self._still_s = at, None, 0.0
        elif self.state.is_finished():
            self.finished_at, self.question = at, None

    def _on_resumed(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.state, self.stop_reason, self.error, self.result = JobState.PENDING, None, None, None
        self.stop_kind = None
        self.question = None
        self.spec = {**self.spec, "budget": p["budget"]}
        self.attempts, self.warnings, self.phase, self._before = p["attempt"], [], "", self.calls + self.cached

    def _on_paused(self, p: dict[str, Any], at: datetime) -> None:
        self._stand(at, paused=p["paused"])

    def _stand(self, at: datetime, *, asked: bool | None = None, paused: bool | None = None) -> None:
        """Stop the clock where a person is asked or has paused the job, and let it run on after both."""
        self._asked = self._asked if asked is None else asked
        self.paused = self.paused if paused is None else paused
        if self._asked or self.paused:
            self._still_at = self._still_at or at
        elif self._still_at is not None:
            self._still_s += (at - self._still_at).total_seconds()
            self._still_at = None

    def _on_review_asked(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.question = ReviewAsked.model_validate({"kind": "review_asked", **p})

    def _on_review_answered(self, p: dict[str, Any], at: datetime) -> None:
        self.answered_at[p["review_id"]] = at
        if self.question is not None:
            self.reviews.append((self.question.question, p["choice"], p["text"]))
            self.question = None

    def _on_phase(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.phase = p["text"]

    def _on_warning(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.warnings.append(p["text"])

    def _on_trying(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.trying = p

    def _on_trial(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.trying = None
        if p["split"] == "test":
            return
        self.trials = p["trial"]
        self.tried = {key: p[key] for key in ("trial", "split", "full_eval", "n_examples", "score", "program_id")}
        full = p["split"] == "val" and p["full_eval"]
        self.curve.add(p["trial"], p["score"], full=full)
        if full:
            if self.baseline is None:
                self.baseline, self.first_program = p["score"], p["program_id"]
            if self.best is None or p["score"] > self.best:
                self.best_program = p["program_id"]
            self.best = p["best_so_far"]

    def _on_lm_call(self, p: dict[str, Any], at: datetime) -> None:
        del at
        if p["error"] is not None:
            self.failed += 1
            self.failures[p["error"].partition(":")[0]] += 1
        if p["cached"]:
            self.cached += 1
            return
        self.calls += 1
        self.tokens += p["input_tokens"] + p["output_tokens"]
        self.repeats += p.get("attempts", 1) - 1  # older journals do not tell
        if p["cost_usd"] is None:
            self.cost_usd = None
        elif self.cost_usd is not None:
            self.cost_usd += p["cost_usd"]

    def _on_result(self, p: dict[str, Any], at: datetime) -> None:
        del at
        self.result = p
        self.best_program = p["best_program_id"] or self.best_program
