"""What a job's events come to: pure, the same for whoever reads them.

The relation ``jobs`` says the same in SQL; a test holds the two together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from skillfleet_nb.events import (
    Curated,
    IndividualTold,
    JobCreated,
    JobState,
    MemberTold,
    Paced,
    Paused,
    Phase,
    Placed,
    ProgramSaved,
    Result,
    Resumed,
    ReviewAnswered,
    ReviewAsked,
    ShareTold,
    SkillCard,
    SkillCreated,
    StateChanged,
    StopKind,
    ToolCalled,
    Trial,
    Trying,
    Unread,
    Warned,
)
from skillfleet_nb.job_clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.events import Outcome, Payload

_ERROR: Final = 5  # its place in an `Outcome`
PROCESS_GONE = "its process is gone"
"""Why a job stopped that has neither an owner nor a final state."""


@dataclass
class Totals:
    """What calls of models came to; `cost_usd` is None once the cost of a bought call was not known.

    `full_cost_usd` is what they would have cost if DSPy's cache had held none; `unmetered` bought calls were answered
    without their usage.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    lm_seconds: float = 0.0
    retries: int = 0
    full_cost_usd: float | None = 0.0
    unmetered: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of bought calls, sent and answered."""
        return self.input_tokens + self.output_tokens

    def add(self, call: Outcome, n: int = 1) -> None:
        """Count a call for `n` completions."""
        cached, input_tokens, output_tokens, cost_usd, latency_s, error, attempts, full_cost_usd = call
        if error is not None:
            self.failed += 1
        if self.full_cost_usd is not None:
            full = full_cost_usd if cached else cost_usd
            self.full_cost_usd = None if full is None else self.full_cost_usd + full
        if cached:
            self.cached += n
            return
        self.calls += n
        self.retries += attempts - 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.lm_seconds += latency_s
        if error is None and not input_tokens + output_tokens:
            self.unmetered += n
        if self.cost_usd is not None:
            self.cost_usd = None if cost_usd is None else self.cost_usd + cost_usd

    def copy(self) -> Totals:
        """Return these totals as they are now."""
        return replace(self)


@dataclass
class LaneRecord:
    """Where one of several searches of a job is: what was told of it, its trials, its best on validation, its share."""

    told: MemberTold | None = None
    trials: int = 0
    best: float | None = None
    share: ShareTold | None = None

    @property
    def state(self) -> str:
        """Say in a word where it is; in a portfolio who got nothing waits."""
        state = "waits" if self.told is None else str(self.told.state)
        return "waits" if state == "running" and self.share is not None and not self.share.requests else state


class PhaseBegun(NamedTuple):
    """What a job told that it does now, and the calls and cost until then; calls from the cache count."""

    text: str
    calls: int
    cost_usd: float | None


@dataclass
class JobRecord:
    """A job as its events tell it; :meth:`apply` takes in one after the other.  Scores are in [0, 1].

    Attributes
    ----------
    attempts
        How often it was begun; `heard` counts what had been asked of the job before the latest attempt.
    started_at
        When it first ran.
    worker
        Of an executor, which has the job or had it last.
    note, archived
        What a person made of it; `name` and `tags` are theirs too, where they changed them.
    totals
        What all attempts bought; `failures` counts failed calls by the kind of error,
        `unread` answers that could not be read by the role of who asked.
    tools, failed_tools
        How often programs called each tool, and how many of these calls failed.
    limit, waited_s
        What of a provider's limits calls wait for now, and how many seconds they have waited.
    calls_before, ran_before_s
        Calls, cached ones too, and seconds of the attempts before the latest.
    trials
        Number of the newest trial, those on the test split aside; `tried` is that trial, without its rows.
    trying
        The candidate that is being scored.
    programs
        Ids of the candidates that were kept.
    lanes
        Of a job of several searches, where each is.
    individuals
        Of a job that breeds programs, each of every generation, by generation, search and program.
    result
        What the latest attempt came to.
    question
        What the run asks a person and nobody has answered.
    reviews
        What was answered: question, choice and text; `answers` are by the question's id.
    warnings
        Of the latest attempt.
    """

    name: str = ""
    optimizer: str = ""
    engine: str = "thread"
    worker: str = ""
    tags: tuple[str, ...] = ()
    domain: str | None = None
    note: str = ""
    archived: bool = False
    spec: dict[str, Any] = field(default_factory=dict)
    state: JobState = JobState.PENDING
    stop_kind: StopKind | None = None
    stop_reason: str | None = None
    error: str | None = None
    phase: str = ""
    phases: list[PhaseBegun] = field(default_factory=list)
    """Of this attempt, in order."""
    attempts: int = 0
    heard: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    last_at: datetime | None = None
    clock: Clock = field(default_factory=Clock)
    totals: Totals = field(default_factory=Totals)
    failures: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    failed_tools: Counter[str] = field(default_factory=Counter)
    limit: str = ""
    waited_s: float = 0.0
    calls_before: int = 0
    ran_before_s: float = 0.0
    trials: int = 0
    tried: Trial | None = None
    trying: Trying | None = None
    programs: set[str] = field(default_factory=set)
    first_program: str | None = None
    lanes: dict[str, LaneRecord] = field(default_factory=dict)
    individuals: dict[tuple[int, str | None, str], IndividualTold] = field(default_factory=dict)
    cards: list[SkillCard] = field(default_factory=list)
    created: SkillCreated | None = None
    result: Result | None = None
    question: ReviewAsked | None = None
    reviews: list[tuple[str, str, str]] = field(default_factory=list)
    answers: dict[str, ReviewAnswered] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seen: int = 0
    """Events taken in."""
    _waited_before_s: float = 0.0
    _given_score: float | None = None
    _top_score: float | None = None
    _top_program: str | None = None

    def apply(self, event: Event) -> None:
        """Take in the next event of the job's stream."""
        if (call := event.call) is not None:
            self.totals.add(call)
            if (error := call[_ERROR]) is not None:
                self.failures[error.partition(":")[0]] += 1
        elif (handler := self._HANDLERS.get(type(event.payload))) is not None:
            handler(self, event.payload, event.at)
        self.seen += 1
        self.last_at = event.at

    def mark(self, text: str) -> PhaseBegun:
        """Return where the counts stand now, as the beginning of a phase."""
        return PhaseBegun(text, self.totals.calls + self.totals.cached, self.totals.cost_usd)

    def curate(self, p: Curated) -> None:
        """Take in what a person made of the job; these events are not of its stream."""
        self.name = self.name if p.name is None else p.name
        self.note = self.note if p.note is None else p.note
        self.tags = self.tags if p.tags is None else p.tags
        self.archived = self.archived if p.archived is None else p.archived

    def interrupt(self) -> None:
        """Take in that the job's process is gone without having said how it ended."""
        self.state, self.stop_kind, self.stop_reason = JobState.INTERRUPTED, StopKind.INTERRUPTED, PROCESS_GONE
        self.finished_at = self.last_at
        self.clock.restart(self.last_at)

    def wall_s(self, now: datetime | None = None) -> float:
        """Seconds the job ran, over all attempts, without pauses and without waiting for a person.

        Parameters
        ----------
        now
            Of a job that runs, up to when; up to its last event by default.
        """
        until = now or self.last_at
        return self.clock.ran_s if until is None else self.clock.seconds(until)

    @property
    def paused(self) -> bool:
        """Whether it makes no call until it is told to go on."""
        return self.clock.paused

    @property
    def baseline(self) -> float | None:
        """Score of the given program on validation."""
        score = self.result.baseline_score if self.result else None
        return self._given_score if score is None else score

    @property
    def best(self) -> float | None:
        """Score of the best program on validation; while it runs, of the best full evaluation so far."""
        score = self.result.best_score if self.result else None
        return self._top_score if score is None else score

    @property
    def best_program(self) -> str | None:
        """Id of that program."""
        return (self.result.best_program_id if self.result else None) or self._top_program

    def _created(self, p: JobCreated, at: datetime) -> None:
        del at
        self.name, self.optimizer, self.engine, self.spec = p.name, p.optimizer, p.engine, p.spec
        self.tags, self.domain = p.tags, p.domain
        self.attempts, self.heard = 1, 0

    def _resumed(self, p: Resumed, at: datetime) -> None:
        del at
        self.clock.restart(self.last_at)
        self.calls_before, self.ran_before_s = self.totals.calls + self.totals.cached, self.clock.ran_s
        self.attempts, self.heard, self.spec = p.attempt, p.heard, {**self.spec, "budget": p.budget}
        self.warnings, self.phase, self.phases, self.question = [], "", [], None
        self.cards = []
        self.limit, self._waited_before_s = "", self.waited_s

    def _entered(self, p: StateChanged, at: datetime) -> None:
        self.clock.enter(p.state, at, self.last_at)
        self.state, self.stop_kind, self.stop_reason, self.error = p.state, p.stop_kind, p.stop_reason, p.error
        self.trying = None
        self.finished_at = at if p.state.is_finished() else None
        if p.state is JobState.RUNNING:
            self.started_at = self.started_at or at
        elif p.state is JobState.PENDING:
            self.result = None
        elif p.state.is_finished():
            self.question, self.limit = None, ""

    def _paused(self, p: Paused, at: datetime) -> None:
        self.clock.pause(at, on=p.paused)

    def _paced(self, p: Paced, at: datetime) -> None:
        del at
        self.limit, self.waited_s = p.limit if p.waiting else "", self._waited_before_s + p.waited_s

    def _placed(self, p: Placed, at: datetime) -> None:
        del at
        self.worker = p.worker

    def _phase(self, p: Phase, at: datetime) -> None:
        del at
        self.phase = p.text
        self.phases.append(self.mark(p.text))

    def _warned(self, p: Warned, at: datetime) -> None:
        del at
        self.warnings.append(p.text)

    def _trying(self, p: Trying, at: datetime) -> None:
        del at
        self.trying = p

    def _tried(self, p: Trial, at: datetime) -> None:
        del at
        self.trying = None
        if p.split == "test":  # of an evaluation the first is the given program's
            self.first_program = self.first_program or p.program_id
            return
        self.trials, self.tried = p.trial, p.model_copy(update={"scores": ()})
        if p.member is not None:
            lane = self._lane(p.member)
            lane.trials += 1
            if p.split == "val" and p.full_eval:
                lane.best = p.score if lane.best is None else max(lane.best, p.score)
        if p.split != "val" or not p.full_eval:
            return
        if p.trial == 0 and self._given_score is None:
            self._given_score, self.first_program = p.score, p.program_id
        if self._top_score is None or p.score > self._top_score:
            self._top_score, self._top_program = p.score, p.program_id

    def _unread(self, p: Unread, at: datetime) -> None:
        del at
        self.unread[p.role] += 1

    def _tool(self, p: ToolCalled, at: datetime) -> None:
        del at
        self.tools[p.tool] += 1
        self.failed_tools[p.tool] += p.error is not None

    def _kept(self, p: ProgramSaved, at: datetime) -> None:
        del at
        self.programs.add(p.program_id)

    def _member(self, p: MemberTold, at: datetime) -> None:
        del at
        self._lane(p.member).told = p

    def _shared(self, p: ShareTold, at: datetime) -> None:
        del at
        self._lane(p.member).share = p

    def _bred(self, p: IndividualTold, at: datetime) -> None:
        del at
        self.individuals.setdefault((p.generation, p.member, p.program_id), p)

    def _lane(self, member: str) -> LaneRecord:
        return self.lanes.setdefault(member, LaneRecord())

    def _card(self, p: SkillCard, at: datetime) -> None:
        del at
        if p.card in {"writing", "section", "draft"}:  # what was written by then is in it
            self.cards = [one for one in self.cards if one.card != "writing"]
        self.cards.append(p)

    def _made(self, p: SkillCreated, at: datetime) -> None:
        del at
        self.created = p

    def _ended(self, p: Result, at: datetime) -> None:
        del at
        self.result = p

    def _asked(self, p: ReviewAsked, at: datetime) -> None:
        del at
        self.question = p

    def _answered(self, p: ReviewAnswered, at: datetime) -> None:
        del at
        self.answers[p.review_id] = p
        if self.question is not None:
            self.reviews.append((self.question.question, p.choice, p.text))
            self.question = None

    _HANDLERS: ClassVar[dict[type[Payload], Callable[[JobRecord, Any, datetime], None]]] = {
        JobCreated: _created,
        Resumed: _resumed,
        StateChanged: _entered,
        Paused: _paused,
        Paced: _paced,
        Placed: _placed,
        Phase: _phase,
        Warned: _warned,
        Trying: _trying,
        Trial: _tried,
        Unread: _unread,
        ToolCalled: _tool,
        ProgramSaved: _kept,
        MemberTold: _member,
        ShareTold: _shared,
        IndividualTold: _bred,
        SkillCard: _card,
        SkillCreated: _made,
        Result: _ended,
        ReviewAsked: _asked,
        ReviewAnswered: _answered,
    }
