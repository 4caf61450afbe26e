"""Events: every fact the product records, before it is anything else.

A running job appends one JSON line per event to a segment of its stream (see ``store``); everything
a person can query is folded from these lines.  An event has an envelope (see ``envelope``) and a payload.
The payloads below are the contract between whoever writes (``runs``, ``lm``) and whoever reads
(``store``'s fold, live views).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import AfterValidator, Field

from skillfleet_nb.events.audit import AUDIT as AUDIT
from skillfleet_nb.events.audit import AuditPayload
from skillfleet_nb.events.curation import CURATION as CURATION
from skillfleet_nb.events.curation import Curated as Curated
from skillfleet_nb.events.insights import InsightPayload
from skillfleet_nb.events.members import IndividualTold as IndividualTold
from skillfleet_nb.events.members import MemberTold as MemberTold
from skillfleet_nb.events.members import ShareTold as ShareTold
from skillfleet_nb.events.monitoring import AB_TESTS as AB_TESTS
from skillfleet_nb.events.monitoring import MonitoringPayload
from skillfleet_nb.events.payload import JobState as JobState
from skillfleet_nb.events.payload import Payload as Payload
from skillfleet_nb.events.payload import StopKind as StopKind
from skillfleet_nb.events.placing import Paced as Paced
from skillfleet_nb.events.placing import Paused as Paused
from skillfleet_nb.events.placing import Placed as Placed
from skillfleet_nb.events.registry import AliasMoved as AliasMoved
from skillfleet_nb.events.registry import Answered as Answered
from skillfleet_nb.events.registry import SignatureMigrated as SignatureMigrated
from skillfleet_nb.events.registry import VersionRegistered as VersionRegistered
from skillfleet_nb.events.skills import SkillCard as SkillCard
from skillfleet_nb.events.skills import SkillCreated as SkillCreated
from skillfleet_nb.events.tracing import ToolCalled as ToolCalled
from skillfleet_nb.events.tracing import Traced as Traced
from skillfleet_nb.events.tracing import TracingPayload

Role = Literal["task", "prompt", "reflection", "judge"]
READ: dict[str, str] = {"task": "answers", "prompt": "proposals", "reflection": "proposals", "judge": "grades"}
"""What is read of a model in each role."""
Split = Literal["train", "val", "test"]
Asks = Literal["confirm", "clarify", "preview", "validate"]
Choice = Literal["proceed", "revise", "cancel"]


class JobCreated(Payload):
    """A job was accepted: all checks have passed and nothing has been spent."""

    kind: Literal["job_created"] = "job_created"
    name: str
    optimizer: str
    program: str
    metric: str
    engine: str
    seed: int
    budget_usd: float | None = None
    tags: tuple[str, ...] = ()
    domain: str | None = None
    spec: dict[str, Any] = Field(default_factory=dict)


class Resumed(Payload):
    """A further attempt at the job begins, from what the earlier ones bought; `budget` as of now.

    `heard` counts what had been asked of the job before: that is over.
    """

    kind: Literal["resumed"] = "resumed"
    attempt: int
    budget: dict[str, Any] = Field(default_factory=dict)
    heard: int = 0


Line: TypeAlias = Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]
"""A text that is told in one line, whatever it quotes."""


class StateChanged(Payload):
    """The job entered `state`; `stop_reason` says in words why it stopped, `error` what broke it."""

    kind: Literal["state"] = "state"
    state: JobState
    stop_kind: StopKind | None = None
    stop_reason: Line | None = None
    error: str | None = None


class Phase(Payload):
    """What the job does now, in words for a person: ``"scoring the baseline"``."""

    kind: Literal["phase"] = "phase"
    text: str


class Warned(Payload):
    """Something the person should know that did not stop the job."""

    kind: Literal["warning"] = "warning"
    text: str


class ExampleScore(NamedTuple):
    """One example's score in one trial; `score` in [0, 1], None where the program failed on it.

    `output` is what the program answered, as JSON of its fields, where all of validation or of the test
    split was scored; with ``--no-prompts`` it is ``sha256:…`` of it.
    """

    example_id: str
    score: float | None
    feedback: str | None = None
    output: str | None = None


class Trying(Payload):
    """A candidate program begins to be scored on `n_examples` of `split`; a trial tells how it went."""

    kind: Literal["trying"] = "trying"
    program_id: str
    split: Split
    full_eval: bool
    n_examples: int


class Trial(Payload):
    """A candidate program was scored.  Trial 0 is the unoptimised program on the validation split.

    `lm_calls` and `cost_usd` are what the job has bought up to this trial, `full_cost_usd` what that would have cost
    without DSPy's cache; None where a price is unknown.  `best_so_far` is the best full evaluation on `split` up to
    this trial.  `bound` is told of one that was pruned, for it could no longer win: the mean it had at most on all
    examples, where `n_examples` and `score` are of those it got to.  `member` is the search it is of, where a job makes
    several.
    """

    kind: Literal["trial"] = "trial"
    trial: int
    split: Split
    full_eval: bool
    n_examples: int
    score: float
    best_so_far: float | None = None
    bound: float | None = None
    member: str | None = None
    program_id: str | None = None
    parent_ids: tuple[str, ...] = ()
    lm_calls: int = 0
    cost_usd: float | None = None
    full_cost_usd: float | None = None
    scores: tuple[ExampleScore, ...] = ()


class CallOutcome(NamedTuple):
    """What a call took: that which budgets and totals go by; see :class:`LMCall`."""

    cached: bool
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_s: float
    error: str | None
    attempts: int
    full_cost_usd: float | None


Outcome: TypeAlias = tuple[bool, int, int, float | None, float, str | None, int, float | None]
"""The same as it is read off a journal: without names, which cost more than all the rest."""


class LMCall(Payload):
    """One call of a language model, bought or served from the cache.

    `cost_usd` is 0 for a cached call and None where it is not known: the model has no price, or the answer did not
    say what it used.  `full_cost_usd` is what the call costs where DSPy's cache does not hold it.  Of `input_tokens`,
    `cached_input_tokens` were read from the provider's prompt cache and `cache_write_tokens` written to it; of
    `output_tokens`, `reasoning_tokens` were thought.  `attempts` counts those that failed before this answer too;
    `asked` is the digest of a request that a fallback took over.
    With ``--no-prompts``, `prompt` and `response` hold ``sha256:…`` of the text.
    """

    kind: Literal["lm_call"] = "lm_call"
    model: str
    cached: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float = 0.0
    error: str | None = None
    attempts: int = 1
    asked: str | None = None
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    full_cost_usd: float | None = None
    call_id: str
    role: Role
    prompt: str | None = None
    response: str | None = None


class Unread(Payload):
    """An answer could not be read by the adapter that asked for it; `reason` says why, in a line."""

    kind: Literal["unread"] = "unread"
    call_id: str
    role: Role
    reason: str


class ProgramSaved(Payload):
    """A candidate's state was written to ``programs/``; `program_id` is its content hash."""

    kind: Literal["program"] = "program"
    program_id: str
    state: dict[str, Any]
    instructions: str
    n_demos: int


class CandidateDecided(Payload):
    """An optimizer with a rule of its own took a candidate in place of its parent, or did not.

    `reasons` say why the candidate was proposed, `evidence` why it was taken or not.
    """

    kind: Literal["decision"] = "decision"
    program_id: str
    parent_id: str
    accepted: bool
    reasons: str = ""
    evidence: str = ""


class Result(Payload):
    """What the job came to: scores in [0, 1] on validation and on the sealed test split.

    `failed_share` is the share of test predictions, of both programs, that failed; `unread` says what the
    verdict suffers from: that no proposal of the search could be read, or test rows without a value.
    `test_low` and `test_high` bound the test score of a program that was evaluated alone.
    """

    kind: Literal["result"] = "result"
    baseline_score: float | None = None
    best_score: float | None = None
    test_baseline: float | None = None
    test_score: float | None = None
    test_low: float | None = None
    test_high: float | None = None
    test_delta: float | None = None
    test_delta_low: float | None = None
    test_delta_high: float | None = None
    p_value: float | None = None
    verdict: str | None = None
    failed_share: float | None = None
    best_program_id: str | None = None
    summary: str = ""
    unread: str = ""


class ReviewAsked(Payload):
    """The run asks a person, and waits.  The same question has the same `review_id` in every attempt.

    `asks` is the kind of the question, `about` what asks it: a cost to be exceeded, a program to be
    accepted, or a step of the program.  `details` are facts to decide by, label to text; `programs` the
    ids of two programs to compare, before and after; `draft` a text that a revision may start
    from; `options` what each choice does; `note` says why it is asked again.
    """

    kind: Literal["review_asked"] = "review_asked"
    review_id: str
    asks: Asks
    about: Literal["cost", "accept", "step"]
    question: str
    details: dict[str, str] = Field(default_factory=dict)
    programs: tuple[str, str] | None = None
    draft: str = ""
    options: dict[Choice, str] = Field(default_factory=dict)
    note: str = ""


class ReviewAnswered(Payload):
    """A person answered; `text` is what they said, or the text they gave with their choice.

    `heard` counts what had been asked of the job by then, answers among it.
    """

    kind: Literal["review_answered"] = "review_answered"
    review_id: str
    choice: Choice
    text: str = ""
    heard: int = 0


class ExamplesAnalysed(Payload):
    """A data set was analysed; analyses with the same outcome have the same `key`.

    Each row has `example_id`, `row` (its number in the set), `category`, in [0, 1] `quality`,
    `relevance`, `diversity`, `suspicion` and `judged`, and in [-1, 1] `influence`, `influence_low` and
    `influence_high`; None where one does not apply.
    """

    kind: Literal["examples"] = "examples"
    dataset: str
    key: str
    rows: tuple[dict[str, Any], ...]


class ExampleRated(Payload):
    """A person rated an example, in [0, 1]; None takes a rating back."""

    kind: Literal["rating"] = "rating"
    example_id: str
    rating: float | None


class ExampleJudged(Payload):
    """A model graded an example, in [0, 1]; grades of one `judge`, a model and its questions, compare."""

    kind: Literal["judged"] = "judged"
    example_id: str
    judge: str
    model: str
    grade: float
    reason: str = ""


class Recommended(Payload):
    """An optimizer was recommended; intervals are (low, expected, high), of 80%.

    `features` tells the task: sizes, categories, predictors, baseline score, program, model.
    """

    kind: Literal["recommendation"] = "recommendation"
    recommendation_id: str
    features: dict[str, Any]
    optimizer: str
    params: dict[str, Any]
    expected_score: float | None
    confidence: float
    budget_usd: float | None
    quality_target: float
    max_minutes: float | None
    calls: tuple[float, float, float]
    cost_usd: tuple[float, float, float] | None
    wall_s: tuple[float, float, float]


class Chosen(Payload):
    """Which optimizer a job runs, how it was chosen, and what was forecast of it when the job began."""

    kind: Literal["choice"] = "choice"
    how: Literal["accepted", "overridden", "manual"]
    recommendation_id: str | None
    features: dict[str, Any]
    optimizer: str
    params: dict[str, Any]
    calls: tuple[float, float, float] | None
    cost_usd: tuple[float, float, float] | None
    wall_s: tuple[float, float, float] | None


class Probed(Payload):
    """A program was run on a few examples to size its calls; `key` names the set-up the sizes hold for."""

    kind: Literal["probed"] = "probed"
    key: str
    sizing: dict[str, Any]


class Landmarked(Payload):
    """Simple learners were tried on a task's examples; shares of labels found, in [0, 1], None where not known."""

    kind: Literal["landmarks"] = "landmarks"
    key: str
    nearest: float | None
    words: float | None
    named: float | None


class HeadroomFound(Payload):
    """What optimising may win on a task was looked at; scores in [0, 1], None where no call was made."""

    kind: Literal["headroom"] = "headroom"
    key: str
    verdict: str
    baseline: float | None
    n: int
    best_of_k: float | None
    evidence: tuple[str, ...]


class NoiseFound(Payload):
    """A task's program was run twice with nothing changed; variances are of an example's difference of scores.

    `differing` of `n` examples scored differently, asked by so many `threads`; `judge_variance` is that of scoring the
    same answers twice, None where the metric asks no model.
    """

    kind: Literal["noise"] = "noise"
    key: str
    n: int
    differing: int
    variance: float
    judge_variance: float | None
    threads: int


class ProgramTried(Payload):
    """A person tried a program by hand, in a stream of its own that holds its calls too.

    `job_id` is the job the program is of; `inputs` and `output` are JSON of the fields, or ``sha256:…``
    of it where prompts are not recorded.
    """

    kind: Literal["tried"] = "tried"
    program_id: str
    job_id: str
    inputs: str
    output: str | None = None
    error: str | None = None


AnyPayload = Annotated[
    JobCreated | Resumed | StateChanged | Paused | Paced | Placed | Phase | Warned | Trying | Trial | LMCall | Unread
    | ProgramSaved | CandidateDecided | MemberTold | ShareTold | IndividualTold | SkillCard | SkillCreated | Result
    | ReviewAsked | ReviewAnswered | ExamplesAnalysed | ExampleRated | ExampleJudged | Probed | Landmarked | Recommended
    | Chosen | HeadroomFound | NoiseFound | ProgramTried | VersionRegistered | AliasMoved | SignatureMigrated | Answered
    | TracingPayload | Curated | AuditPayload | InsightPayload | MonitoringPayload,
    Field(discriminator="kind"),
]  # fmt: skip
"""Every kind of fact there is: what is not in it cannot be written."""

PAYLOADS: dict[str, type[Payload]] = {p.model_fields["kind"].default: p for p in get_args(get_args(AnyPayload)[0])}
"""The payload of each kind."""


def check_kind(payload: Payload) -> None:
    """Refuse a payload that nobody could read.

    Raises
    ------
    TypeError
        If its class is not in `AnyPayload`.
    """
    if PAYLOADS.get(payload.kind) is not type(payload):
        raise TypeError(f"{type(payload).__name__} is no kind of event: add it to AnyPayload in skillfleet_nb/events")
