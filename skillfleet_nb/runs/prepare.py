"""Checks everything a run needs before anything is spent."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args, get_origin

from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.lm.meter import Limits
from skillfleet_nb.lm.prices import how_to_state_a_price, price_of, stay_offline
from skillfleet_nb.optimizers import Optimizer, Shape, Task, create
from skillfleet_nb.runs.fingerprint import environment, metric_content, program_content
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.review.reviewer import REVIEWER, read_review
from skillfleet_nb.runs.spec import Spec, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Issue, Splits
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.runs.spec import Budget, Review
    from skillfleet_nb.typing import Example, Model, Program, Rows

OFFLINE_SETUP = "dspy.configure(lm=sf.offline_lm())"
LM_SETUP = 'dspy.configure(lm=dspy.LM("openai/gpt-4o-mini"))'
"""What a person without a configured model pastes."""

_CACHE_WARNING = "the cache of DSPy or of an LM is off: an interrupted run cannot be replayed without paying again"


@dataclass(frozen=True)
class Prepared:
    """A run that has passed every check.

    Attributes
    ----------
    request
        What was asked, with every default filled in: another process that prepares it comes to the same.
    program
        The run's own copy.
    metric_is_proven
        Whether the metric was seen to score; otherwise the first real prediction tells.
    notes
        What the person should know of the data.
    """

    request: RunRequest
    program: Program
    splits: Splits[Example]
    metric: RunMetric
    metric_is_proven: bool
    optimizer: Optimizer
    lm: Model
    prompt_lm: Model
    fallback_lms: tuple[Model, ...]
    notes: tuple[str, ...]

    @property
    def lms(self) -> tuple[Model, ...]:
        """Every model that may be called, those included that predictors of the program bring along."""
        return (self.lm, self.prompt_lm, *self.fallback_lms, *_brought(self.program))

    @property
    def limits(self) -> Limits:
        """The bounds that the meter keeps."""
        budget = self.request.budget
        return Limits(budget.usd, budget.calls, budget.tokens, budget.minutes * 60 if budget.minutes else None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person should know of the run."""
        return self.notes if self.spec.cached else (*self.notes, _CACHE_WARNING)

    @cached_property
    def spec(self) -> Spec:
        """What defines the run, as it is recorded."""
        request = self.request
        rows = {name: getattr(self.splits, name) for name in ("train", "val", "test")}
        sizes = {name: len(part) for name, part in rows.items()}
        shape = Shape(sizes["train"], sizes["val"], len(self.program.predictors()))
        return Spec(
            program=label(request.program),
            program_hash=_hash(program_content(self.program)),
            metric=self.metric.name,
            metric_hash=_hash(metric_content(request.metric)),
            data_hashes={name: _hash([dict(e) for e in part]) for name, part in rows.items()},
            sizes=sizes,
            origins=dict(self.splits.origins),
            splits=self.splits.describe(),
            optimizer=request.optimizer,
            params=self.optimizer.params.model_dump(mode="json"),
            lm=str(self.lm.model),
            prompt_lm=str(self.prompt_lm.model),
            fallback_lms=tuple(str(f.model) for f in self.fallback_lms),
            budget=request.budget,
            target=request.target,
            review=read_review(request.review),
            seed=request.seed,
            num_threads=request.num_threads or 1,
            cached=_replays(self.lms),
            expected_calls=self.optimizer.expected_calls(shape)[:2],
            environment=environment(),
        )


def prepare(
    request: RunRequest, settings: Settings, select: Callable[[Splits[Example]], Splits[Example]] | None = None
) -> Prepared:
    """Check a run and fix all that defines it.

    Parameters
    ----------
    request
        What was asked.
    settings
        Of the home; what the request says itself goes before.
    select
        Chooses what to train on, once all is checked that needs no choice.

    Raises
    ------
    InputError, NotFoundError, LMError
        In one line, naming what was given, what is allowed and what to do.
    """
    stay_offline()
    import dspy

    settings = request.settings(settings)
    optimizer = create(request.optimizer, request.params)
    checked_program(request.program)
    lm = checked_lm(request.lm if request.lm is not None else dspy.settings.lm)
    prompt_lm = checked_lm(request.prompt_lm) if request.prompt_lm is not None else lm
    fallbacks = checked_fallbacks(request.fallback_lm)
    lms = (lm, prompt_lm, *fallbacks, *_brought(request.program))
    checked_budget(request.budget, lms, settings)
    review = checked_review(request.review, lms, settings)
    inputs = input_fields(request.program)
    splits, findings = checked_splits(request.train, request.val, request.test, inputs, request.seed)
    metric = RunMetric(request.metric)
    proven = check_metric(metric, request.program, splits.val[0])
    if select is not None:
        splits = select(splits)
    program = _own_copy(request.program)
    threads = request.num_threads or settings.num_threads or dspy.settings.num_threads or 1
    optimizer.check(Task(program, splits.train, splits.val, metric, lm, prompt_lm, request.seed, threads))
    settled = replace(
        request,
        train=splits.train,
        val=splits.val,
        test=splits.test,
        params=optimizer.params.model_dump(mode="json"),
        lm=lm,
        prompt_lm=prompt_lm if prompt_lm is not lm else None,
        fallback_lm=fallbacks,
        review=review,
        num_threads=threads,
        tags=tags_of(request.tags),
        record_prompts=settings.record_prompts,
        select=None,
        strategy=None,
        recommendation=None,
    )
    notes = tuple(map(str, findings))
    return Prepared(settled, program, splits, metric, proven, optimizer, lm, prompt_lm, fallbacks, notes)


def _own_copy(program: Program) -> Program:
    """Copy a program: optimizers assert that one is not compiled, and some change what they are given."""
    own = program.deepcopy()
    own._compiled = False  # noqa: SLF001  DSPy's own mark
    for mine, theirs in zip(own.predictors(), program.predictors(), strict=True):
        mine.lm = getattr(theirs, "lm", None)  # the model itself: a copy would have an engine of its own
    return own


def _brought(program: Program) -> list[Model]:
    """List the models that predictors of a program bring along."""
    return [p.lm for p in program.predictors() if getattr(p, "lm", None) is not None]


def checked_program(program: object) -> None:
    """Refuse what is not a DSPy program with something to optimise."""
    import dspy

    if inspect.isclass(program) and issubclass(program, dspy.Module):
        raise InputError(f"program is the class {program.__name__}: give an instance, {program.__name__}()")
    if not isinstance(program, dspy.Module):
        raise InputError(f"program is a {type(program).__name__}: give a dspy.Module, for example dspy.Predict(…)")
    if not program.predictors():
        raise InputError(
            f"program {label(program)} has no predictor to optimise: assign dspy.Predict(…) "
            "or dspy.ChainOfThought(…) to an attribute in its __init__"
        )


def checked_lm(lm: object) -> Model:
    """Refuse a missing model, or what is none."""
    import dspy

    if lm is None:
        raise LMError(
            f"no LM is configured: import dspy, skillfleet_nb as sf; {OFFLINE_SETUP}, which needs no key, or "
            f"{LM_SETUP}; or name one for this run (lm=, --lm offline)"
        )
    if not isinstance(lm, dspy.BaseLM):
        raise InputError(f"lm is {lm!r}: give a dspy.LM, for example dspy.LM('openai/gpt-4o-mini')")
    return lm


def checked_fallbacks(given: object) -> tuple[Model, ...]:
    """Take one model or several, in the order they take over; refuse what is none."""
    import dspy

    if given is None:
        return ()
    lms = list(given) if isinstance(given, list | tuple) else [given]
    for lm in lms:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(f"fallback_lm is {lm!r}: give a dspy.LM, or a list of them in the order they take over")
    return tuple(lms)


def checked_budget(budget: Budget, lms: Sequence[Model], settings: Settings) -> None:
    """Refuse bounds that are not positive, and a bound in money where a model has no price."""
    for name, value in budget.model_dump().items():
        if value is not None and not value > 0:
            option = "budget_usd" if name == "usd" else f"max_{name}"
            raise InputError(f"{option} = {value:g}: it must be more than 0; leave it out for no limit")
    if budget.usd is not None:
        _refuse_unpriced(f"budget_usd = {budget.usd:g}", lms, settings, ", or bound the run with max_calls")


def checked_review(given: str | Sequence[str] | Review, lms: Sequence[Model], settings: Settings) -> Review:
    """Read when a run is to ask, and refuse a cost where a model has no price."""
    review = read_review(given)
    if review.cost_usd:
        _refuse_unpriced(f"review cost={review.cost_usd[0]:g}", lms, settings)
    return review


def _refuse_unpriced(bound: str, lms: Sequence[Model], settings: Settings, way_out: str = "") -> None:
    """Refuse a bound in money where a model has no price."""
    for lm in lms:
        if price_of(lm, settings.prices) is None:
            raise LMError(
                f"{bound} cannot be kept: {lm.model!r} has no known price; {how_to_state_a_price(lm.model)}{way_out}"
            )


def checked_splits(
    train: Rows, val: Rows | None, test: Rows | None, inputs: Sequence[str], seed: int
) -> tuple[Splits[Example], list[Issue]]:
    """Read, check and cut the data; return what the person should know of it as well."""
    from skillfleet_nb.data import check_examples, make_splits, to_examples

    given = {
        n: to_examples(rows, input_fields=inputs, name=n)
        for n, rows in {"train": train, "val": val, "test": test}.items()
        if rows is not None
    }
    found = [f for n, rows in given.items() for f in check_examples(rows, name=n)]
    splits = make_splits(given["train"], given.get("val"), given.get("test"), seed=seed)
    return splits, found


def check_metric(metric: RunMetric, program: Program, example: Example) -> bool:
    """Score the right answer to `example`, which costs nothing, to see that the metric gives scores.

    Returns
    -------
    bool
        False where that could not tell: the metric asks a model, or reads what only a real
        prediction has; it is then tried on the first real one.

    Raises
    ------
    InputError
        If the metric raises or returns no score.
    """
    import dspy

    outputs = program.predictors()[-1].signature.output_fields
    blanks = {name: _blank(f.annotation) for name, f in outputs.items()}
    gold = dspy.Prediction(**{**blanks, **example.labels().toDict()})
    try:
        # Whatever model it asks, its own included, is stopped before the call.
        with dspy.context(
            lm=dspy.LM("skillfleet/none", cache=False), callbacks=[_no_models()], trace=[], **{REVIEWER: _NoPerson()}
        ):
            metric.probe(example, gold)
    except _AsksModel:
        return False
    except InputError as exc:
        cause = exc.__cause__
        if isinstance(cause, AttributeError | KeyError) and "Example" not in str(cause):
            return False
        raise
    return True


def own_score(metric: RunMetric, example: Example) -> float | None:
    """Score an example's own answer, which costs nothing.

    Returns
    -------
    float or None
        In [0, 1]; 0 where the metric raises, None where it asks a model and so cannot be asked.
    """
    import dspy

    gold = dspy.Prediction(**example.labels().toDict())
    try:
        with dspy.context(
            lm=dspy.LM("skillfleet/none", cache=False), callbacks=[_no_models()], trace=[], **{REVIEWER: _NoPerson()}
        ):
            return float(metric.probe(example, gold))
    except _AsksModel:
        return None
    except InputError:
        return 0.0


class _AsksModel(BaseException):
    """A metric called a model, or asked a person, while it was tried for free."""


class _NoPerson:
    """Stands for a run's reviewer where there is no run."""

    def step(self, *_: object) -> None:
        raise _AsksModel


def _no_models() -> Any:
    """Make a DSPy callback that stops every call of a model before it is made."""
    from dspy.utils.callback import BaseCallback

    def on_lm_start(*_: object, **__: object) -> None:
        raise _AsksModel

    return type("NoModels", (BaseCallback,), {"on_lm_start": on_lm_start})()


def input_fields(program: Program) -> list[str]:
    """Name the inputs a program takes: its forward's parameters, or its first predictor's fields."""
    # Reading `forward` off the object warns; off the class, its first parameter is the object.
    own = vars(program).get("forward")
    parameters = list(inspect.signature(own or type(program).forward).parameters.values())[0 if own else 1 :]
    named = [p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    if named and not any(p.kind == p.VAR_KEYWORD for p in parameters):
        return [p.name for p in parameters if p.name in named and p.default is p.empty] or named
    return list(program.predictors()[0].signature.input_fields)


def label(program: Program) -> str:
    """Name a program for people: its class, and the signature of a single predictor."""
    predictors = program.predictors()
    if len(predictors) != 1:
        return type(program).__name__
    signature = predictors[0].signature
    fields = f"{', '.join(signature.input_fields)} -> {', '.join(signature.output_fields)}"
    return f"{type(program).__name__}({fields})"


def _replays(lms: Sequence[Model]) -> bool:
    """Tell whether calls will be found again by another process."""
    import dspy

    return dspy.cache.enable_disk_cache and all(getattr(lm, "cache", False) for lm in lms)


def _blank(annotation: Any) -> Any:
    """Make a value of an output's type, for fields that the labels do not have."""
    origin = get_origin(annotation)
    if origin is not None and get_args(annotation) and origin not in {list, dict, tuple, set}:
        return get_args(annotation)[0] if not isinstance(get_args(annotation)[0], type) else None
    blanks = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}, tuple: (), set: set()}
    return blanks.get(origin or annotation)


def _hash(value: object) -> str:
    from skillfleet_nb.data.identity import content_hash

    return content_hash(value)
