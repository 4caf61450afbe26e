"""Checks everything a run needs before anything is spent."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.lm.meter import Limits
from skillfleet_nb.lm.prices import how_to_state_a_price, price_of, stay_offline
from skillfleet_nb.optimizers import Optimizer, Shape, Task, create
from skillfleet_nb.runs.fingerprint import environment, metric_content, program_content
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.review.reviewer import REVIEWER, read_review
from skillfleet_nb.runs.spec import Budget, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Splits
    from skillfleet_nb.runs.spec import Review

OFFLINE_SETUP = "dspy.configure(lm=sf.offline_lm())"
LM_SETUP = 'dspy.configure(lm=dspy.LM("openai/gpt-4o-mini"))'
"""What a person without a configured model pastes."""

_CACHE_WARNING = "the cache of DSPy or of an LM is off: an interrupted run cannot be replayed without paying again"


@dataclass(frozen=True)
class Prepared:
    """A run that has passed every check; `warnings` are what the person should know of it."""

    spec: Spec
    program: Any
    splits: Splits[Any]
    metric: RunMetric
    metric_is_proven: bool
    optimizer: Optimizer
    lm: Any
    prompt_lm: Any
    fallback_lms: tuple[Any, ...]
    limits: Limits
    warnings: tuple[str, ...]


def prepare(
    program: Any,
    *,
    train: Any,
    val: Any = None,
    test: Any = None,
    metric: Any,
    optimizer: str,
    params: Mapping[str, Any] | None = None,
    lm: Any = None,
    prompt_lm: Any = None,
    fallback_lm: Any = None,
    budget: Budget | None = None,
    target: float | None = None,
    review: Any = (),
    seed: int = 0,
    num_threads: int | None = None,
    settings: Settings,
) -> Prepared:
    """Check a run and fix all that defines it; parameters are those of ``Fleet.optimize``.

    Raises
    ------
    InputError, NotFoundError, LMError
        In one line, naming what was given, what is allowed and what to do.
    """
    stay_offline()
    import dspy

    chosen = create(optimizer, params)
    checked_program(program)
    lm = checked_lm(lm if lm is not None else dspy.settings.lm)
    prompt_lm = checked_lm(prompt_lm) if prompt_lm is not None else lm
    fallbacks = checked_fallbacks(fallback_lm)
    own_lms = [p.lm for p in program.predictors() if getattr(p, "lm", None) is not None]
    budget = checked_budget(budget or Budget(), (lm, prompt_lm, *fallbacks, *own_lms), settings)
    review = checked_review(review, (lm, prompt_lm, *fallbacks, *own_lms), settings)
    threads = _positive_int(num_threads, "num_threads") or settings.num_threads or dspy.settings.num_threads or 1
    if target is not None and not 0 <= target <= 1:
        raise InputError(f"target = {target:g}: it must be a score in [0, 1], for example 0.9")
    inputs = input_fields(program)
    splits, found = checked_splits(train, val, test, inputs, seed)
    run_metric = RunMetric(metric)
    proven = check_metric(run_metric, program, splits.val[0])
    # A private copy: optimizers assert that a program is not compiled, and some change what they are given.
    own = program.deepcopy()
    own._compiled = False  # noqa: SLF001  DSPy's own mark
    for mine, theirs in zip(own.predictors(), program.predictors(), strict=True):
        mine.lm = getattr(theirs, "lm", None)  # the model itself: a copy would have an engine of its own
    task = Task(own, splits.train, splits.val, run_metric, lm, prompt_lm, seed, threads)
    chosen.check(task)
    shape = Shape(len(splits.train), len(splits.val), len(own.predictors()))
    spec = Spec(
        program=label(program),
        program_hash=_hash(program_content(own)),
        metric=run_metric.name,
        metric_hash=_hash(metric_content(metric)),
        data_hashes={n: _hash([dict(e) for e in rows]) for n, rows in _named(splits).items()},
        sizes={n: len(rows) for n, rows in _named(splits).items()},
        splits=splits.describe(),
        optimizer=optimizer,
        params=chosen.params.model_dump(mode="json"),
        lm=str(lm.model),
        prompt_lm=str(prompt_lm.model),
        fallback_lms=tuple(str(f.model) for f in fallbacks),
        budget=budget,
        target=target,
        review=review,
        seed=seed,
        num_threads=threads,
        cached=_replays((lm, prompt_lm, *fallbacks, *own_lms)),
        expected_calls=chosen.expected_calls(shape)[:2],
        environment=environment(),
    )
    warnings = [str(f) for f in found]
    if not spec.cached:
        warnings.append(_CACHE_WARNING)
    limits = Limits(budget.usd, budget.calls, budget.tokens, budget.minutes * 60 if budget.minutes else None)
    return Prepared(spec, own, splits, run_metric, proven, chosen, lm, prompt_lm, fallbacks, limits, tuple(warnings))


def checked_program(program: Any) -> None:
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


def checked_lm(lm: Any) -> Any:
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


def checked_fallbacks(given: Any) -> tuple[Any, ...]:
    """Take one model or several, in the order they take over; refuse what is none."""
    import dspy

    if given is None:
        return ()
    lms = list(given) if isinstance(given, list | tuple) else [given]
    for lm in lms:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(f"fallback_lm is {lm!r}: give a dspy.LM, or a list of them in the order they take over")
    return tuple(lms)


def checked_budget(budget: Budget, lms: Sequence[Any], settings: Settings) -> Budget:
    """Refuse bounds that are not positive, and a bound in money where a model has no price."""
    for name, value in budget.model_dump().items():
        if value is not None and not value > 0:
            option = "budget_usd" if name == "usd" else f"max_{name}"
            raise InputError(f"{option} = {value:g}: it must be more than 0; leave it out for no limit")
    if budget.usd is not None:
        for lm in lms:
            if price_of(lm, settings.prices) is None:
                raise LMError(
                    f"budget_usd = {budget.usd:g} cannot be kept: {lm.model!r} has no known price; "
                    f"{how_to_state_a_price(lm.model)}, or bound the run with max_calls"
                )
    return budget


def checked_review(given: Any, lms: Sequence[Any], settings: Settings) -> Review:
    """Read when a run is to ask, and refuse a cost where a model has no price."""
    review = read_review(given)
    if review.cost_usd:
        for lm in lms:
            if price_of(lm, settings.prices) is None:
                raise LMError(
                    f"review cost={review.cost_usd[0]:g} cannot be kept: {lm.model!r} has no known price; "
                    f"{how_to_state_a_price(lm.model)}"
                )
    return review


def checked_splits(train: Any, val: Any, test: Any, inputs: Sequence[str], seed: int) -> tuple[Splits[Any], list[Any]]:
    """Read, check and cut the data; return what the person should know of it as well."""
    from skillfleet_nb.data import check_examples, make_splits, to_examples

    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed = {seed!r}: it must be a whole number from 0")
    given = {
        n: to_examples(rows, input_fields=inputs, name=n)
        for n, rows in {"train": train, "val": val, "test": test}.items()
        if rows is not None
    }
    found = [f for n, rows in given.items() for f in check_examples(rows, name=n)]
    splits = make_splits(given["train"], given.get("val"), given.get("test"), seed=seed)
    return splits, found


def check_metric(metric: RunMetric, program: Any, example: Any) -> bool:
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


def own_score(metric: RunMetric, example: Any) -> float | None:
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

    def step(self, *_: Any) -> None:
        raise _AsksModel


def _no_models() -> Any:
    """Make a DSPy callback that stops every call of a model before it is made."""
    from dspy.utils.callback import BaseCallback

    def on_lm_start(*_: Any, **__: Any) -> None:
        raise _AsksModel

    return type("NoModels", (BaseCallback,), {"on_lm_start": on_lm_start})()


def input_fields(program: Any) -> list[str]:
    """Name the inputs a program takes: its forward's parameters, or its first predictor's fields."""
    # Reading `forward` off the object warns; off the class, its first parameter is the object.
    own = vars(program).get("forward")
    parameters = list(inspect.signature(own or type(program).forward).parameters.values())[0 if own else 1 :]
    named = [p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    if named and not any(p.kind == p.VAR_KEYWORD for p in parameters):
        return [p.name for p in parameters if p.name in named and p.default is p.empty] or named
    return list(program.predictors()[0].signature.input_fields)


def label(program: Any) -> str:
    """Name a program for people: its class, and the signature of a single predictor."""
    predictors = program.predictors()
    if len(predictors) != 1:
        return type(program).__name__
    signature = predictors[0].signature
    fields = f"{', '.join(signature.input_fields)} -> {', '.join(signature.output_fields)}"
    return f"{type(program).__name__}({fields})"


def _replays(lms: Sequence[Any]) -> bool:
    """Tell whether calls will be found again by another process."""
    import dspy

    return dspy.cache.enable_disk_cache and all(getattr(lm, "cache", False) for lm in lms)


def _positive_int(value: Any, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} = {value!r}: it must be a whole number from 1")
    return value


def _blank(annotation: Any) -> Any:
    """Make a value of an output's type, for fields that the labels do not have."""
    origin = get_origin(annotation)
    if origin is not None and get_args(annotation) and origin not in {list, dict, tuple, set}:
        return get_args(annotation)[0] if not isinstance(get_args(annotation)[0], type) else None
    blanks = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}, tuple: (), set: set()}
    return blanks.get(origin or annotation)


def _named(splits: Splits[Any]) -> dict[str, list[Any]]:
    return {"train": splits.train, "val": splits.val, "test": splits.test}


def _hash(value: Any) -> str:
    from skillfleet_nb.data.identity import content_hash

    return content_hash(value)
