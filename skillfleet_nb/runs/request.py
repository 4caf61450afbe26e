"""What a person asks of a run, in one record: whoever starts, keeps or repeats a run hands it on whole.

Its fields are the options of ``Fleet.optimize`` and ``Fleet.resume``, which take their signatures and texts
from here: a new option is a field here and an argument of the command.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sized
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from skillfleet_nb.data.splits import check_seed
from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.runs.racing import RACES
from skillfleet_nb.runs.spec import LIMITS, Budget, Review, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.runs.racing import Mode
    from skillfleet_nb.typing import Metric, Model, Program, Rows

ENGINES = ("thread", "process")
EXECUTOR = "executor"
"""How it is recorded that a job runs on the workers of an executor that was given."""
AUTO = "auto"


class Cluster(Protocol):
    """Has an executor, as a ``dask.distributed.Client``."""

    def get_executor(self) -> Executor:
        """Return what runs functions on its workers."""
        ...


Engine: TypeAlias = str | Executor | Cluster
"""Where a run goes."""

_Options = ParamSpec("_Options")
_Self = TypeVar("_Self")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, eq=False, repr=False)
class TaskRequest:
    """A program, the examples and the metric it is judged by, and the models that answer, as they were given.

    Parameters
    ----------
    program
        A ``dspy.Module`` with at least one predictor.  It is not changed.
    train, val, test
        Examples: lists of ``dspy.Example`` or mappings, or a data frame.  What is not given is
        cut from `train`, stratified and seeded.
    metric
        ``metric(example, pred, trace=None)`` returning a bool, a number in [0, 1], or
        ``dspy.Prediction(score=…, feedback=…)``; higher is better.
    lm, prompt_lm
        Models for the program's calls (default: DSPy's configured one) and for proposing or
        reflecting (default: `lm`).
    seed
        Decides the split and the optimizer's random choices.
    num_threads
        Threads of an evaluation.
    """

    program: Program
    _: KW_ONLY
    train: Rows
    val: Rows | None = None
    test: Rows | None = None
    metric: Metric | None = None
    lm: Model | None = None
    prompt_lm: Model | None = None
    seed: int = 0
    num_threads: int | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        positive_int(self.num_threads, "num_threads")

    def run(self, **options: Any) -> RunRequest:
        """Return the request for a run on this task, with further options."""
        return RunRequest(**{f.name: getattr(self, f.name) for f in fields(TaskRequest)} | options)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RunRequest(TaskRequest):
    """A run to be started: a task, and how it is to go.

    Parameters
    ----------
    optimizer
        Name of an optimizer; ``fleet.optimizers()`` lists them.  ``"auto"`` takes what
        ``fleet.advice.recommend`` says for the limits given here.
    params
        The optimizer's own parameters.
    fallback_lm
        A model, or several in order, that answers a request where the one asked fails for good.
        Its calls are recorded, priced and counted as its own.
    budget_usd, max_calls, max_tokens, max_minutes
        Hard limits on everything the job buys, the final test included.  Cached calls are free.
    race
        Whether an evaluation ends that can no longer win: ``"exact"`` where its best possible mean is below the best
        so far, ``"on"`` where a test says so too, which may err on one in twenty, ``"off"`` never.  By default exact
        for optimizers that only take a maximum, which is then unchanged, and off for others: their search reads
        scores.
    target
        Score in [0, 1] to hope for: a line in the learning curve, which stops nothing.
    review
        When to ask a person, and wait for ``fleet.answer``: ``"accept"`` before the best program is tested
        and kept, ``"cost=0.50"`` before more USD are spent, or several of them.
    engine
        Where it runs: ``"thread"`` in this process, ``"process"`` in one of its own, which
        outlives this one; what the notebook defined travels to it by value.  A Dask ``Client``, or another
        ``concurrent.futures.Executor``, runs it on its workers, which share the home.
    max_parallel
        A process waits until fewer than so many of the home's run; by default as the settings say.
    runs_per_worker
        With how many runs at most, itself counted, it may share such a process; by default as the settings say.
    name
        What to call the job; where another has the name, it gets a number: ``intents-2``.
    tags, domain
        Words to find it by, in the dashboard and in the relation ``jobs``.
    record_prompts
        Whether prompts, responses and outputs are kept as text; by default as the settings say.
    select
        Train on so many examples of the train split, chosen by the scores of ``fleet.data.analyse``; by
        default on all.  Validation and the sealed test split stay whole and are not looked at.
    strategy
        How they are chosen: ``"balanced"`` (the default where there are categories), ``"top"``,
        ``"coverage"``, ``"hard"``, or a mixture such as ``"balanced+coverage"``.
    recommendation
        The recommendation that is followed, or overridden, with this job: it is recorded which.
    """

    metric: Metric = field()  # must be given here
    optimizer: str
    params: Mapping[str, object] | None = None
    fallback_lm: Model | Sequence[Model] | None = None
    budget_usd: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None
    race: Mode | None = None
    target: float | None = None
    review: str | Sequence[str] | Review = ()
    engine: Engine = "thread"
    max_parallel: int | None = None
    runs_per_worker: int | None = None
    name: str | None = None
    tags: str | Sequence[str] = ()
    domain: str | None = None
    record_prompts: bool | None = None
    select: int | None = None
    strategy: str | None = None
    recommendation: object = None  # of a higher layer, which alone reads it

    def __post_init__(self) -> None:
        super().__post_init__()
        _take_limits(self)
        _check_kinds(self)
        check_engine(self.engine, max_parallel=self.max_parallel, runs_per_worker=self.runs_per_worker)
        if self.name is not None and not self.name.strip():
            raise InputError(f"name = {self.name!r}: give the job a name with a letter in it, or none")
        if self.optimizer == AUTO and self.params:
            raise InputError("optimizer = 'auto' chooses its parameters itself: leave params (--set) out")
        if self.race is not None and self.race not in RACES:
            raise unknown("race", self.race, RACES)
        if self.target is not None and not (isinstance(self.target, float | int) and 0 <= self.target <= 1):
            raise InputError(f"target = {self.target!r}: it must be a score in [0, 1], for example 0.9")
        if self.select is None and self.strategy is not None:
            raise InputError(f"strategy = {self.strategy!r} is given without select: say how many examples to train on")
        object.__setattr__(self, "tags", tags_of(self.tags))
        object.__setattr__(self, "review", Review.of(self.review))

    @property
    def budget(self) -> Budget:
        """Its limits together."""
        return Budget(**{name: getattr(self, option) for name, option in LIMITS.items()})

    @property
    def reviews(self) -> Review:
        """When it asks a person."""
        return Review.of(self.review)


@dataclass(frozen=True, eq=False, repr=False)
class ResumeRequest:
    """A job to go on with, and what is to be different.

    Parameters
    ----------
    name_or_id
        The job.
    program, train, val, test, metric, lm, prompt_lm, seed
        What it was started with; by default what was kept with the job.  A job that holds on to
        what cannot travel, such as a connection, keeps nothing: give program, train and metric.
    fallback_lm
        Models that take over from here on; by default those it had.
    budget_usd, max_calls, max_tokens, max_minutes
        New limits, over all attempts; by default the old ones.
    review
        When to ask from here on; by default as before, and not what was answered already.
    engine, max_parallel, runs_per_worker
        Where to run; by default where it ran.
    as_new
        Start a fresh job of this set-up instead, under its name with a number; what is given may differ.
    """

    name_or_id: str
    _: KW_ONLY
    program: Program | None = None
    train: Rows | None = None
    val: Rows | None = None
    test: Rows | None = None
    metric: Metric | None = None
    lm: Model | None = None
    prompt_lm: Model | None = None
    fallback_lm: Model | Sequence[Model] | None = None
    seed: int | None = None
    budget_usd: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None
    review: str | Sequence[str] | Review | None = None
    engine: Engine | None = None
    max_parallel: int | None = None
    runs_per_worker: int | None = None
    as_new: bool = False

    def __post_init__(self) -> None:
        _take_limits(self)
        if self.train is None and (self.val is not None or self.test is not None):
            raise InputError("val or test is given without train: give all that the job was started with, or none")

    @property
    def limits(self) -> dict[str, float]:
        """The new limits, by their names in a :class:`~skillfleet_nb.runs.spec.Budget`."""
        asked = {name: getattr(self, option) for name, option in LIMITS.items()}
        return {name: limit for name, limit in asked.items() if limit is not None}

    def changes(self) -> dict[str, Any]:
        """Return the fields of the :class:`RunRequest` that are to be different."""
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"name_or_id", "as_new"}}
        changed = {name: value for name, value in options.items() if value is not None}
        if self.train is not None:
            changed |= {"val": self.val, "test": self.test}  # the old ones do not go with new training data
        return {**changed, "max_parallel": self.max_parallel, "runs_per_worker": self.runs_per_worker}


@dataclass(frozen=True, eq=False, repr=False)
class TuneRequest:
    """A program whose signatures are to be tuned, with what is known of its task.

    Parameters
    ----------
    source
        What is registered (``name``, ``name@3``, ``name@production``), a job or its name, or a program.
    train, val, test, metric, lm, prompt_lm, seed, num_threads
        As for ``fleet.optimize``; by default what was kept with the job that the program comes from.
    rounds
        Proposals at most; by default 3.
    min_gain
        Least gain on validation, in [0, 1], of what is accepted; by default 0.05.
    budget_usd, max_calls, max_tokens, max_minutes
        Hard limits on everything the job buys, the final test included.
    engine
        ``"thread"`` in this process, ``"process"`` in one of its own, or a Dask client or an executor.
    name
        What to call the job; by default after the program.
    """

    source: object
    _: KW_ONLY
    train: Rows | None = None
    val: Rows | None = None
    test: Rows | None = None
    metric: Metric | None = None
    lm: Model | None = None
    prompt_lm: Model | None = None
    seed: int | None = None
    num_threads: int | None = None
    rounds: int | None = None
    min_gain: float | None = None
    budget_usd: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None
    engine: Engine = "thread"
    name: str | None = None

    def __post_init__(self) -> None:
        if self.train is None and (self.val is not None or self.test is not None):
            raise InputError("val or test is given without train: give train as well, or none of them")

    def run(self, program: Program, name: str, kept: RunRequest | None) -> RunRequest:
        """Return the request for the run, on what is given and, for the rest, what was `kept`.

        Raises
        ------
        InputError
            If data and metric are neither given nor kept; a job that only scored kept none to learn from.
        """
        own = {"source", "rounds", "min_gain"}
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}
        options = {key: value for key, value in options.items() if value is not None}
        params = {key: value for key in ("rounds", "min_gain") if (value := getattr(self, key)) is not None}
        options = {"name": name, **options, "program": program, "optimizer": "tune_signature", "params": params}
        if kept is None:
            if missing := [f"--{key}" for key in ("train", "metric") if key not in options]:
                raise InputError(f"{name}: no data or metric was kept with it: give {' and '.join(missing)}")
            return RunRequest(**options)
        if self.train is None and isinstance(kept.train, Sized) and not len(kept.train):
            raise InputError(
                f"{name}: what its job kept holds no rows to learn from, for it had no train: give --train"
            )
        if self.train is not None:
            options |= {"val": self.val, "test": self.test}  # the old ones do not go with new training data
        limits: dict[str, Any] = dict.fromkeys(
            ("budget_usd", "max_calls", "max_tokens", "max_minutes", "target", "max_parallel", "runs_per_worker")
        )
        return replace(kept, **limits | {"review": (), "tags": (), "domain": None} | options)


def takes(
    request: Callable[_Options, object],
) -> Callable[[Callable[Concatenate[_Self, ...], _Answer]], Callable[Concatenate[_Self, _Options], _Answer]]:
    """Give a method the signature of a request, and the text on its parameters, before ``Returns`` or ``Raises``."""

    def documented(
        method: Callable[Concatenate[_Self, ...], _Answer],
    ) -> Callable[Concatenate[_Self, _Options], _Answer]:
        own = inspect.signature(method)
        me = next(iter(own.parameters.values()))
        options = inspect.signature(request).parameters.values()
        text = inspect.cleandoc(method.__doc__ or "")
        end = min(end for end in (text.find("Returns\n---"), text.find("Raises\n---")) if end >= 0)
        method.__doc__ = f"{text[:end]}Parameters\n----------\n{_parameters(request)}\n\n{text[end:]}"
        method.__signature__ = own.replace(parameters=[me, *options])  # type: ignore[attr-defined]  # read by inspect
        return method

    return documented


def _parameters(request: Callable[..., object]) -> str:
    """Return what the docstrings of a request and of its bases say of its fields."""
    texts = [inspect.cleandoc(cls.__doc__ or "") for cls in reversed(inspect.getmro(cast("type", request)))]
    return "\n".join(text.partition("\n----------\n")[2] for text in texts if "\n----------\n" in text)


def _take_limits(request: RunRequest | ResumeRequest) -> None:
    """Read the limits of a request as the numbers that they are; raises `InputError` for what is none."""
    budget = Budget.of(**{name: getattr(request, option) for name, option in LIMITS.items()})
    for name, option in LIMITS.items():
        object.__setattr__(request, option, getattr(budget, name))


def _check_kinds(request: RunRequest) -> None:
    """Refuse an optimizer, its parameters or a name that is of another kind than these are."""
    optimizer: object = request.optimizer
    params: object = request.params
    name: object = request.name
    if not isinstance(optimizer, str):
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        what = "None" if optimizer is None else f"a {kind.__name__}"
        raise InputError(f"optimizer is {what}: give its name, such as 'gepa', and its parameters as params={{...}}")
    if params is not None and not isinstance(params, Mapping):
        raise InputError(f"params = {params!r}: give the optimizer's parameters by name, such as {{'k': 4}}")
    if name is not None and not isinstance(name, str):
        raise InputError(f"name = {name!r}: give the job a name in words, or none")


def check_engine(engine: Engine, **limits: int | None) -> None:
    """Refuse an unknown engine, and limits, by their names, that it does not keep."""
    if engine == EXECUTOR:
        raise InputError(
            "the job ran on an executor: give that again, such as engine=client (--on client), or "
            "engine='process' (--detach) to go on in a process of this machine"
        )
    if isinstance(engine, str) and engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if not isinstance(engine, str | Executor) and not hasattr(engine, "get_executor"):
        raise InputError(
            f"engine = {engine!r}: give 'thread', 'process', a dask.distributed.Client or a concurrent.futures.Executor"
        )
    for name, limit in limits.items():
        positive_int(limit, name)
        if limit is not None and engine != "process":
            raise InputError(f"{name} is for jobs in processes of their own: give engine='process' (--detach) as well")


def engine_name(engine: Engine) -> str:
    """Name an engine as it is recorded."""
    return engine if isinstance(engine, str) else EXECUTOR


def positive_int(value: object, name: str) -> None:
    """Refuse what is no whole number from 1; None passes."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InputError(f"{name} = {value!r}: it must be a whole number from 1")
