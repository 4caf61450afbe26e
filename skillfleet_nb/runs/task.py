"""A task, checked once: what a run is prepared from, and what advice on it looks at."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.lm.direct import load_litellm
from skillfleet_nb.lm.prices import price_of, refuse_rates, stay_offline, unpriced
from skillfleet_nb.lm.tap import own_models, with_their_fallbacks
from skillfleet_nb.lm.task_models import model_for
from skillfleet_nb.optimizers import Task
from skillfleet_nb.runs.answerable import check_labels, right_answer
from skillfleet_nb.runs.code_reached import models_of, uses_litellm
from skillfleet_nb.runs.fingerprint import metric_content, program_content
from skillfleet_nb.runs.metric import RunMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Issue, Splits
    from skillfleet_nb.lm.prices import Price
    from skillfleet_nb.runs.request import TaskRequest
    from skillfleet_nb.typing import Example, Model, Program, Rows

OFFLINE_SETUP = "dspy.configure(lm=sf.offline_lm())"
LM_SETUP = 'dspy.configure(lm=dspy.LM("openai/gpt-4o-mini"))'
"""What a person without a configured model pastes."""

_TAKEN = {
    "metadata": "under which DSPy saves versions, so that it would be saved without it",
    "history": "in which DSPy keeps the calls of a module",
    "callbacks": "in which DSPy keeps the callbacks of a module",
}
"""Attributes of a module that are DSPy's own."""


@dataclass(frozen=True)
class CheckedTask:
    """A task that has passed every check, with all that is known of it without a call.

    Attributes
    ----------
    request
        What was asked.
    settings
        That hold for it.
    program
        Its own copy, which nothing else changes.
    metric
        None where none was given.
    metric_is_proven
        Whether the metric was seen to score; otherwise the first real prediction tells.
    fallback_lms
        Models that take over, in this order.
    num_threads
        Of an evaluation.
    notes
        What the person should know of the data.
    """

    request: TaskRequest
    settings: Settings
    program: Program
    splits: Splits[Example]
    metric: RunMetric | None
    metric_is_proven: bool
    lm: Model
    prompt_lm: Model
    fallback_lms: tuple[Model, ...]
    num_threads: int
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the program is called for people."""
        return label(self.program)

    @property
    def lms(self) -> tuple[Model, ...]:
        """Every model that may be called, those included that predictors of the program or the metric bring along."""
        lms = with_their_fallbacks([self.lm, self.prompt_lm, *self.fallback_lms, *self.judges])
        return (*lms, *own_models(self.program))

    @cached_property
    def judges(self) -> tuple[Model, ...]:
        """Models that the metric is seen to ask by itself; one that it makes as it goes is not among them."""
        return () if self.metric is None else tuple(models_of(self.metric.fn))

    @property
    def unpriced(self) -> list[Model]:
        """Those of its models that have no known price."""
        return unpriced(self.lms, self.settings.prices)

    @property
    def price(self) -> Price | None:
        """What a token of the program's model costs."""
        return price_of(self.lm, self.settings.prices)

    @property
    def prompt_price(self) -> Price | None:
        """What a token of the model costs that proposes."""
        return price_of(self.prompt_lm, self.settings.prices)

    @property
    def sizes(self) -> dict[str, int]:
        """Examples of each split, by its name."""
        return {name: len(rows) for name, rows in self._rows.items()}

    @cached_property
    def tested(self) -> int:
        """Examples that a test asks: each that repeats another exactly is asked once."""
        from skillfleet_nb.data.identity import distinct

        return len(distinct(self.splits.test))

    @property
    def predictors(self) -> int:
        """Number of the program's predictors."""
        return len(self.program.predictors())

    @cached_property
    def program_hash(self) -> str:
        """What the program is, by content."""
        return _hash(program_content(self.program))

    @cached_property
    def metric_hash(self) -> str:
        """What the metric is, by content."""
        return _hash(metric_content(self.request.metric))

    @cached_property
    def data_hashes(self) -> dict[str, str]:
        """What each split holds, by content."""
        return {name: _hash([dict(e) for e in rows]) for name, rows in self._rows.items()}

    @property
    def key(self) -> str:
        """What is the same for the same program, training data and model."""
        return _hash([self.program_hash, self.data_hashes["train"], str(self.lm.model)])

    def anew(self) -> CheckedTask:
        """Return it with models that answer anew, DSPy's cache left aside; one without a cache does so as it is."""
        program = _own_copy(self.program)
        for predictor in program.predictors():
            predictor.lm = _uncached(predictor.lm)
        return replace(self, lm=_uncached(self.lm), program=program)

    def for_optimizer(self) -> Task:
        """Return it as an optimizer is given it; its models are not metered yet."""
        metric: Any = self.metric  # None where nothing is to be scored
        return Task(
            program=self.program,
            train=self.splits.train,
            val=self.splits.val,
            metric=metric,
            lm=self.lm,
            prompt_lm=self.prompt_lm,
            seed=self.request.seed,
            num_threads=self.num_threads,
        )

    def parts(self) -> dict[str, Any]:
        """Return its fields by name, to make a prepared run of them."""
        return {f.name: getattr(self, f.name) for f in fields(CheckedTask)}

    @property
    def _rows(self) -> dict[str, list[Example]]:
        return {name: getattr(self.splits, name) for name in ("train", "val", "test")}


def check_task(
    request: TaskRequest,
    settings: Settings,
    fallback_lms: tuple[Model, ...] = (),
    cut: Callable[[TaskRequest, Program], tuple[Splits[Example], list[Issue]]] | None = None,
) -> CheckedTask:
    """Check a task; nothing is asked of a model.

    Parameters
    ----------
    request
        What was asked.
    settings
        Of the home.
    fallback_lms
        Models that take over.
    cut
        Reads, checks and cuts the data; by default as :func:`checked_splits` does.

    Raises
    ------
    InputError, LMError
        In one line, naming what was given, what is allowed and what to do.
    """
    stay_offline()
    import dspy

    program = _own_copy(checked_program(request.program))
    lm = checked_lm(_first(request.lm, dspy.settings.lm) or model_for(settings, "default"))
    prompt_lm = checked_lm(_first(request.prompt_lm, model_for(settings, "reflection"), lm))
    splits, issues = (cut or _cut)(request, program)
    outputs = output_types(program)
    seen = [*splits.train, *splits.val] or splits.test  # where nothing is searched, nothing is sealed
    first = next(iter(splits.val), seen[0])
    metric = RunMetric(request.metric) if request.metric is not None else None
    if uses_litellm(program, request.metric):
        load_litellm()  # before the metric is tried
    proven = metric is not None and metric.proves(first, right_answer(first, outputs))
    notes = list(map(str, issues))
    for of, rows in _by_file(splits).items():
        notes += check_labels(outputs, rows, metric if proven else None, of)
    task = CheckedTask(
        request=request,
        settings=settings,
        program=program,
        splits=splits,
        metric=metric,
        metric_is_proven=proven,
        lm=lm,
        prompt_lm=prompt_lm,
        fallback_lms=fallback_lms,
        num_threads=request.num_threads or settings.num_threads or dspy.settings.num_threads or 1,
        notes=tuple(notes),
    )
    for one in task.lms:
        refuse_rates(one)
    return task


def _by_file(splits: Splits[Example]) -> dict[str, list[Example]]:
    """Return the rows whose labels are looked at, each file's by themselves: it may hold them as another type.

    What was cut from train is of its file, and its test stays sealed; where nothing is searched, nothing is.
    """
    if not splits.train:
        return {"": splits.test}
    files = {name: getattr(splits, name) for name in ("val", "test") if splits.origins[name] == "given"}
    return {"": [*splits.train, *(() if "val" in files else splits.val)], **files}


def _uncached(lm: Any) -> Any:
    return lm.copy(cache=False) if hasattr(lm, "cache") else lm


def _first(*values: object) -> object:
    return next((one for one in values if one is not None), None)


def _cut(request: TaskRequest, program: Program) -> tuple[Splits[Example], list[Issue]]:
    return checked_splits(request.train, request.val, request.test, request.seed, program)


def _own_copy(program: Program) -> Program:
    """Copy a program: optimizers assert that one is not compiled, and some change what they are given."""
    own = program.deepcopy()
    own._compiled = False  # noqa: SLF001  DSPy's own mark
    for mine, theirs in zip(own.predictors(), program.predictors(), strict=True):
        mine.lm = getattr(theirs, "lm", None)  # the model itself: a copy would have an engine of its own
    return own


def checked_program(program: object) -> Program:
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
    if not hasattr(type(program), "forward") and "forward" not in vars(program):
        raise InputError(
            f"program {type(program).__name__} has no forward, by which optimizers call it: add "
            "def forward(self, **inputs): return asyncio.run(self.aforward(**inputs))"
        )
    if inspect.iscoroutinefunction(inspect.unwrap(vars(program).get("forward") or type(program).forward)):
        raise InputError(
            f"program {type(program).__name__} has an async forward, which optimizers call as a function: call it "
            "aforward, and add def forward(self, **inputs): return asyncio.run(self.aforward(**inputs))"
        )
    for _, module in program.named_sub_modules():
        for name, why in _TAKEN.items():
            if isinstance(vars(module).get(name), dspy.Module):
                raise InputError(
                    f"program {label(program)} keeps a module in {name!r}, {why}: give that attribute another name"
                )
    return program


def checked_lm(lm: object) -> Model:
    """Refuse a missing model, what is none, and one that was made with a price that is none."""
    import dspy

    if lm is None:
        raise LMError(
            f"no LM is configured: import dspy, skillfleet_nb as sf; {OFFLINE_SETUP}, which needs no key, or "
            f"{LM_SETUP}; or name one for this run (lm=, --lm offline)"
        )
    if not isinstance(lm, dspy.BaseLM):
        raise InputError(f"lm is {lm!r}: give a dspy.LM, for example dspy.LM('openai/gpt-4o-mini')")
    refuse_rates(lm)
    return lm


def checked_splits(
    train: Rows, val: Rows | None, test: Rows | None, seed: int, program: Program | None = None
) -> tuple[Splits[Example], list[Issue]]:
    """Read, check and cut the data of a program; return what the person should know of it as well."""
    from skillfleet_nb.data import check_examples, first_row, make_splits, records, to_examples

    datasets = {
        name: records(rows, name)
        for name, rows in {"train": train, "val": val, "test": test}.items()
        if rows is not None or name == "train"
    }
    inputs = input_fields(program, *first_row(datasets["train"])) if program is not None else []
    examples = {name: to_examples(rows, input_fields=inputs, name=name) for name, rows in datasets.items()}
    cut_from = "train" if "test" not in examples else None
    findings = [f for n, rows in examples.items() for f in check_examples(rows, name=n, holds_test=n == cut_from)]
    splits = make_splits(examples["train"], examples.get("val"), examples.get("test"), seed=seed)
    return splits, findings


def input_fields(program: Program, declared: Sequence[str] = (), fields: Sequence[str] = ()) -> list[str]:
    """Name the inputs a program takes.

    They are the parameters of its forward; where that takes whatever it is given, those of the signature it was
    made of (as ``dspy.ReAct``), else what the examples declare, else those of its first predictor, unless other
    predictors take what the examples have.

    Parameters
    ----------
    declared, fields
        Inputs that its examples declare, and all their fields, where there are any.
    """
    parameters = _parameters(program)
    named = [p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    if named and not any(p.kind == p.VAR_KEYWORD for p in parameters):
        return [p.name for p in parameters if p.name in named and p.default is p.empty] or named
    if (whole := getattr(getattr(program, "signature", None), "input_fields", None)) is not None:
        return list(whole)
    if declared:
        return list(declared)
    signatures = [predictor.signature for predictor in program.predictors()]
    first = list(signatures[0].input_fields)
    if not fields or set(first) <= set(fields):
        return first
    answered = {name for signature in signatures for name in signature.output_fields}
    taken = dict.fromkeys(name for signature in signatures for name in signature.input_fields)
    return [name for name in taken if name in fields and name not in answered] or first


def may_be_blank(program: Program, examples: Sequence[Example]) -> set[str]:
    """Name the fields that a row may have no value for: the program takes or gives None there, or knows them not."""
    kinds = {name: field.annotation for p in program.predictors() for name, field in p.signature.fields.items()}
    optional = {name for name, kind in kinds.items() if NoneType in get_args(kind)}
    optional |= {p.name for p in _parameters(program) if p.default is not p.empty}
    labels = {name for example in examples for name in example.labels().keys()}  # noqa: SIM118  no mapping
    return optional | (labels - kinds.keys() if labels & output_types(program).keys() else set())


def _parameters(program: Program) -> list[inspect.Parameter]:
    # Reading `forward` off the object warns; off the class, its first parameter is the object.
    own = vars(program).get("forward")
    return list(inspect.signature(own or type(program).forward).parameters.values())[0 if own else 1 :]


def output_types(program: Program) -> dict[str, Any]:
    """Tell the outputs a program answers with, and the type of each: those of its last predictor."""
    outputs = program.predictors()[-1].signature.output_fields
    return {name: field.annotation for name, field in outputs.items()}


def label(program: Program) -> str:
    """Name a program for people: its class, and the signature of a single predictor."""
    predictors = program.predictors()
    if len(predictors) != 1:
        return type(program).__name__
    signature = predictors[0].signature
    fields = f"{', '.join(signature.input_fields)} -> {', '.join(signature.output_fields)}"
    return f"{type(program).__name__}({fields})"


def _hash(value: object) -> str:
    from skillfleet_nb.data.identity import content_hash

    return content_hash(value)
