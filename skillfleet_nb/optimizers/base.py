"""The optimizer interface: what a plugin declares, and what it is given to work with.

An optimizer adapts one DSPy teleprompter.  It declares what it changes and needs, its parameters
(named as DSPy names them), and how many model calls it will make; it checks a task before anything
is spent; and it builds and runs the teleprompter.  It never touches the journal, the budget or the
test split: those belong to the run around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.optimizers.rehearsal.calls import Calls
from skillfleet_nb.plugins import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from skillfleet_nb.events import Role
    from skillfleet_nb.optimizers.rehearsal import Shape
    from skillfleet_nb.typing import Adapter, Example, Model, Prediction, Program

    Named = Program | dict[str, str]  # a candidate: itself, or its instructions by predictor

Changes = Literal["instructions", "demos", "weights", "decisions"]
Auto = Literal["light", "medium", "heavy"]
AUTO_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}
"""How many candidates MIPROv2 and GEPA of DSPy 3.4.1 take each size of search for."""


class TaskMetric(Protocol):
    """The user's metric, adapted: scores in [0, 1], higher is better."""

    def __call__(self, example: Example, pred: Prediction, trace: object = None) -> float:
        """Score one prediction; `trace` is given while demos are bootstrapped."""
        ...

    def feedback(
        self,
        example: Example,
        pred: Prediction,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> Prediction:
        """Score one prediction as ``dspy.Prediction(score, feedback)``, for optimizers that read feedback."""
        ...


@dataclass(frozen=True)
class Proposals:
    """Tokens of a call that proposes: of the template, per training example shown, and of the answer.

    `instruction` is what a proposed instruction has more than the given one.  An answer, and with it an
    instruction, is a `label` times the number of categories longer: proposers tell of each.  `reply_label` is what
    the program's own answers have more for each category, where its prompt was changed.  All hold until runs of the
    home tell better.
    """

    template: float = 0.0
    per_example: float = 1.0
    answer: float = 0.0
    answer_label: float = 0.0
    instruction: float = 0.0
    instruction_label: float = 0.0
    reply_label: float = 0.0


class Tier(IntEnum):
    """From which limits on the house rules allow a preset; runs of a home that speak for it overrule them."""

    MINIMAL = 0
    """Any, even less than a dollar or two minutes."""
    SMALL = 1
    """A dollar and two minutes."""
    LIGHT = 2
    """Five dollars, or a hundred examples."""
    MEDIUM = 3
    """Twenty dollars."""
    HEAVY = 4
    """More than a hundred dollars."""
    FINETUNE = 5
    """More than a hundred dollars, and a quality target of 0.95 or more."""


@dataclass(frozen=True)
class Preset:
    """One way to run an optimizer, which advice forecasts and compares with all others.

    Attributes
    ----------
    size
        What tells it from the optimizer's other presets, in a word, such as ``"light"``; empty where it has one.
    params
        Parameters that differ from the defaults.
    prior_gain
        Share of what is left to gain that a run is expected to win, in [0, 1], until runs of a home tell.
    tier
        From which limits on the house rules allow it.
    few_shot
        Whether it fills prompts with examples from the start, rather than change instructions first: runs of one
        optimizer tell more of those that work as it does.
    by_likeness
        Whether each input is answered beside the examples that are most like it: worth a try where these tell more
        than the program does.
    """

    size: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    prior_gain: float = 0.1
    tier: Tier = Tier.SMALL
    few_shot: bool = True
    by_likeness: bool = False


@dataclass(frozen=True)
class Decision:
    """What an optimizer that judges candidates by a rule of its own came to on one.

    Attributes
    ----------
    program, parent
        The candidate, and the program that it is to replace.
    accepted
        Whether it is taken.
    reasons
        Why it was proposed.
    evidence
        Why it is taken or not, in a sentence.
    """

    program: Program
    parent: Program
    accepted: bool
    reasons: str
    evidence: str


@dataclass(frozen=True)
class MemberResult:
    """What one of several searches of a run found.

    Attributes
    ----------
    name, program
        The member, and its program.
    score
        On validation, in [0, 1].
    chosen
        Whether it is what the run returns.
    optimism
        By how much the best of several is flattered by being chosen, where it was.
    """

    name: str
    program: Program
    score: float
    chosen: bool
    optimism: float | None = None


@dataclass(frozen=True)
class Scoring:
    """A candidate that one of several searches scored on all of validation.

    Attributes
    ----------
    program
        Where it is the search's best so far, else None.
    score
        Its mean in [0, 1]; of an evaluation that a race ended, what it is at most.
    rows
        Score of each example.
    used
        Requests that the search had made by then.
    """

    program: Program
    score: float
    rows: tuple[float, ...]
    used: int


@dataclass(frozen=True)
class ShareDecision:
    """What one of several searches gets of the budget next, and why.

    Attributes
    ----------
    round, member, requests
        In which round who gets how many; none where it has to wait.
    used, best
        Requests it has made, and its best score on validation so far.
    tail
        The score that it may reach with the share: the upper end of what its learning curve is forecast to be.
    reason
        In words.
    """

    round: int
    member: str
    requests: int
    used: int
    best: float | None
    tail: float | None
    reason: str


@dataclass(frozen=True)
class Bred:
    """A program as it stands in a generation of an evolution.

    Attributes
    ----------
    generation, program
        In which generation, counted from 0, which program.
    operator, parents
        What made it, and of which programs.
    score, screened
        On all of validation, None where that was not worth it; and on the part that it was screened on, if it was.
    tokens, length
        Tokens that it sends with each answer, about, and words of its instructions.
    front
        0 where none of its generation dominates it, 1 where only those do, and so on; None without a score.
    survives
        Whether it goes on to the next generation.
    """

    generation: int
    program: Program
    operator: str
    parents: Sequence[Program]
    score: float | None
    screened: float | None
    tokens: int
    length: int
    front: int | None
    survives: bool


class SideBySide(Protocol):
    """What a run offers an optimizer that makes several searches at the same time."""

    @property
    def baseline(self) -> float:
        """The given program's score on validation."""
        ...

    def open(self, member: str, *, start: Program | None = None) -> AbstractContextManager[None]:
        """Count the body's calls for a member, which starts from the given program, or from another one."""
        ...

    def over(self, member: str) -> None:
        """Note that a member's search has come to its end."""
        ...

    def judging(self) -> AbstractContextManager[None]:
        """Race nothing in the body: what a search found is scored to the end."""
        ...

    def told(self, result: MemberResult) -> None:
        """Take in what a member came to."""
        ...

    def scorings(self, member: str) -> Sequence[Scoring]:
        """Return what a member has scored on all of validation so far, other than what it started from."""
        ...

    def give(self, member: str, requests: float) -> None:
        """Let a member make so many requests more: beyond them it waits."""
        ...

    def end(self, member: str) -> None:
        """Refuse a member every further request: its search ends."""
        ...

    def settle(self, members: Sequence[str]) -> None:
        """Wait until each of these members has used up its share, or has come to its end."""
        ...

    def used(self, member: str) -> int:
        """Return how many requests a member has made, counting nothing twice."""
        ...

    def shared(self, decision: ShareDecision) -> None:
        """Record who gets what, and why."""
        ...


@dataclass(frozen=True)
class Task:
    """What an optimizer is given.

    Attributes
    ----------
    program
        A private copy of the user's program.
    train, val
        Lists of ``dspy.Example``; the test split is never given.
    metric
        The adapted metric.
    lm, prompt_lm
        Metered models: for the program's own calls, and for proposing or reflecting.
    seed
        The run's seed.
    num_threads
        Threads of an evaluation.
    say
        Tells the person what happens now, in a few words.
    lineage
        Tells that a candidate descends from those parents: each a program, or its instructions by predictor.
    decided
        Tells what an optimizer that `decides` came to on a candidate.
    bred
        Tells how a program stands in a generation, of an optimizer that breeds them.
    lanes
        Of an optimizer with `has_members`: counts, shares and records its searches; None while a task is checked.
    reading
        Makes of an adapter one whose unreadable answers are counted and told, and that takes more forms of a
        proposal; for adapters an optimizer sets itself, for DSPy's setting is one already.
    """

    program: Program
    train: Sequence[Example]
    val: Sequence[Example]
    metric: TaskMetric
    lm: Model
    prompt_lm: Model
    seed: int
    num_threads: int
    say: Callable[[str], None] = field(default=lambda _: None)
    lineage: Callable[[Named, Sequence[Named]], None] = field(default=lambda *_: None)
    decided: Callable[[Decision], None] = field(default=lambda _: None)
    bred: Callable[[Bred], None] = field(default=lambda _: None)
    lanes: SideBySide | None = None
    reading: Callable[[Adapter], Adapter] = field(default=lambda adapter: adapter)


class OptimizerParams(BaseModel):
    """Base of an optimizer's parameters: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Optimizer(ABC):
    """Base of all optimizers; a plugin subclasses it and registers the class as an entry point.

    Parameters
    ----------
    params
        An instance of the class's own `Params`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    changes: ClassVar[frozenset[Changes]]
    needs: ClassVar[str] = ""
    """What it needs beyond examples and a metric, in words."""
    min_train: ClassVar[int] = 1
    has_members: ClassVar[bool] = False
    """Whether it runs several searches at the same time, each for a member of its own."""
    builds_on: ClassVar[frozenset[Changes]] = frozenset()
    """What of a given program it builds upon rather than replaces: from such a program of another it goes on."""
    takes_maximum: ClassVar[bool] = False
    """Whether it keeps the candidate with the highest mean of ``dspy.Evaluate`` on `val`, of equals the first, and
    reads scores for nothing else: then an evaluation that can no longer win may end early and changes nothing."""
    prompt_role: ClassVar[Role] = "prompt"
    """What its calls of the prompt LM are recorded as."""
    proposals: ClassVar[Proposals] = Proposals()
    """How long its proposing calls and the instructions it writes are."""
    presets: ClassVar[tuple[Preset, ...]] = (Preset(),)
    """The ways to run it that advice compares; none keeps it out of recommendations."""
    decides: ClassVar[bool] = False
    """Whether it takes candidates by a rule of its own, told with ``task.decided``: the run returns no other."""
    Params: ClassVar[type[OptimizerParams]] = OptimizerParams

    def __init__(self, params: OptimizerParams) -> None:
        self.params: Any = params

    @property
    def maximum_members(self) -> frozenset[str]:
        """Of several searches those that only take a maximum (see `takes_maximum`)."""
        return frozenset()

    def check(self, task: Task) -> None:
        """Refuse a task this optimizer cannot do; overriding methods call this one first.

        Raises
        ------
        InputError
            Naming what was given and what is needed.
        """
        if len(task.train) < self.min_train:
            raise InputError(
                f"{self.name} needs at least {counted(self.min_train, 'training example')} and was given "
                f"{len(task.train)}: give more, or choose bootstrap_fewshot"
            )

    def try_check(self, task: Task) -> None:
        """Refuse a task as :meth:`check` does; anything else that it raises is told as the plugin's fault."""
        with guarded(f"{self.name} cannot check the task"):
            self.check(task)

    @abstractmethod
    def calls(self, shape: Shape) -> Calls:
        """Count the model calls of :meth:`compile`, by playing its loop on ``rehearsed(shape, …)``."""

    def expected_calls(self, shape: Shape) -> Calls:
        """Return what :meth:`calls` counts, played once in a process for the same parameters and shape."""
        with guarded(f"{self.name} cannot tell its calls"):
            calls = _played(type(self), self.params.model_dump_json(), shape)
            if not (isinstance(calls, Calls) and 0 <= calls.low <= calls.high):
                raise TypeError(f"{calls!r} is not Calls(least, most)")
        return calls

    def least_calls(self, shape: Shape) -> int:
        """Return how many calls it needs to do anything at all: a smaller budget is refused."""
        del shape
        return 0

    def trial_size(self, n_train: int) -> int | None:
        """Tell how many scores make a trial where candidates are not scored with ``dspy.Evaluate``."""
        del n_train
        return None

    @abstractmethod
    def build(self, task: Task) -> Any:
        """Make the DSPy teleprompter."""

    def compile_args(self, task: Task) -> dict[str, Any]:
        """Return the keyword arguments of the teleprompter's ``compile``; by default both splits."""
        return {"trainset": list(task.train), "valset": list(task.val)}

    def compile(self, task: Task) -> Program:
        """Optimize `task.program` and return the program the teleprompter chose."""
        return self.build(task).compile(task.program, **self.compile_args(task))


@lru_cache(maxsize=256)
def _played(kind: type[Optimizer], params: str, shape: Shape) -> Calls:
    return kind(kind.Params.model_validate_json(params)).calls(shape)
