"""Checks everything a run needs before anything is spent, and fixes all that defines it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, JobError, LMError
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.prices import how_to_state_a_price
from skillfleet_nb.optimizers import Optimizer, Shape, create
from skillfleet_nb.runs.code_reached import unseen_clients
from skillfleet_nb.runs.fingerprint import environment
from skillfleet_nb.runs.leavable import run_within
from skillfleet_nb.runs.request import AUTO, RunRequest
from skillfleet_nb.runs.spec import LIMITS, Spec
from skillfleet_nb.runs.task import CheckedTask, check_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Splits
    from skillfleet_nb.runs.execution import Execution
    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.runs.racing import Mode
    from skillfleet_nb.runs.spec import Budget, Review
    from skillfleet_nb.store import Home, Journal
    from skillfleet_nb.typing import Example, Model

_CACHE_WARNING = "the cache of DSPy or of an LM is off: an interrupted run cannot be replayed without paying again"


@dataclass(frozen=True)
class Prepared(CheckedTask):
    """A run that has passed every check.

    Attributes
    ----------
    request
        What was asked, with every default filled in: another process that prepares it comes to the same.
    """

    request: RunRequest
    metric: RunMetric
    optimizer: Optimizer

    @property
    def limits(self) -> Limits:
        """The bounds that the meter keeps."""
        budget = self.request.budget
        return Limits(budget.usd, budget.calls, budget.tokens, budget.minutes * 60 if budget.minutes else None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person should know of the run."""
        unseen = unseen_clients(self.program, self.metric.fn)
        return (*self.notes, *unseen, *([] if self.spec.cached else [_CACHE_WARNING]), *self._unraced)

    @property
    def race(self) -> Mode:
        """Whether evaluations end that can no longer win."""
        if self.optimizer.decides:  # by all of validation
            return "off"
        may = self.optimizer.takes_maximum or bool(self.optimizer.maximum_members)
        return self.request.race or ("exact" if may else "off")

    @property
    def raced_members(self) -> frozenset[str] | None:
        """Which of several searches are raced: those that only take a maximum, unless it was asked for; None is all."""
        return self.optimizer.maximum_members if self.request.race is None and self.optimizer.has_members else None

    @property
    def _unraced(self) -> list[str]:
        if self.optimizer.decides and self.request.race not in {None, "off"}:
            asked = f"race = {self.request.race!r}"
            return [f"{asked}: {self.optimizer.name} judges candidates by all of validation, and nothing is raced"]
        if self.race == "off" or self.optimizer.trial_size(len(self.splits.train)) is None:
            return []
        return [f"race = {self.race!r}: {self.optimizer.name} scores outside of dspy.Evaluate, where nothing is raced"]

    def execution(self, home: Home, journal: Journal, history: EarlierAttempts) -> Execution:
        """Return what runs it."""
        from skillfleet_nb.runs.execution import Execution

        return Execution(self, home, journal, history)

    def named(self, name: str | None) -> Prepared:
        """Return the run under another name, which is said where it is not the one asked for."""
        asked = self.request.name
        if name == asked:
            return self
        taken = f"the name {asked!r} is another job's: this one is {name!r}"
        return replace(self, request=replace(self.request, name=name), notes=(*self.notes, taken))

    @cached_property
    def spec(self) -> Spec:
        """What defines the run, as it is recorded."""
        request, sizes = self.request, self.sizes
        shape = Shape(
            sizes["train"], sizes["val"], self.predictors, raced=self.race != "off", window=2 * (self.num_threads - 1)
        )
        return Spec(
            program=self.name,
            program_hash=self.program_hash,
            metric=self.metric.name,
            metric_hash=self.metric_hash,
            data_hashes=self.data_hashes,
            sizes=sizes,
            predictors=self.predictors,
            origins=dict(self.splits.origins),
            splits=self.splits.describe(),
            optimizer=request.optimizer,
            params=self.optimizer.params.model_dump(mode="json"),
            lm=str(self.lm.model),
            prompt_lm=str(self.prompt_lm.model),
            fallback_lms=tuple(str(f.model) for f in self.fallback_lms),
            budget=request.budget,
            target=request.target,
            race=self.race,
            review=request.reviews,
            seed=request.seed,
            num_threads=self.num_threads,
            cached=_replays(self.lms),
            expected_calls=self.optimizer.expected_calls(shape)[:2],
            environment=environment(),
        )


def prepare(
    request: RunRequest,
    settings: Settings,
    *,
    select: Callable[[RunRequest, Splits[Example]], Splits[Example]] | None = None,
    choose: Callable[[RunRequest, CheckedTask], RunRequest] | None = None,
) -> Prepared:
    """Check a run and fix all that defines it.

    Parameters
    ----------
    request
        What was asked.
    settings
        Of the home; what the request says itself goes before.
    select
        Chooses what to train on, where the request says how many.
    choose
        Puts an optimizer in the place of ``auto``, and says of a portfolio what it starts with.

    Raises
    ------
    InputError, NotFoundError, LMError, PluginError
        In one line, naming what was given, what is allowed and what to do.
    """
    if request.metric is None:
        raise InputError("metric is None: give a function metric(example, pred, trace=None)")
    if request.record_prompts is not None:
        settings = settings.model_copy(update={"record_prompts": request.record_prompts})
    optimizer = create(request.optimizer, request.params) if request.optimizer != AUTO else None
    task = check_task(request, settings, checked_fallbacks(request.fallback_lm))
    checked_budget(request.budget, task.unpriced)
    checked_review(request.reviews, task.unpriced)
    # What is chosen rests on all that needs no choice: the rows first, for they decide what a search takes.
    if request.select is not None and select is not None:
        task = replace(task, splits=select(request, task.splits))
    if choose is not None and (optimizer is None or optimizer.has_members):
        request = choose(request, task)
        optimizer = None
    optimizer = optimizer or create(request.optimizer, request.params)
    optimizer.try_check(task.for_optimizer())
    _refuse_too_small(request, optimizer, task)
    settled = replace(
        request,
        train=task.splits.train,
        val=task.splits.val,
        test=task.splits.test,
        params=optimizer.params.model_dump(mode="json"),
        lm=task.lm,
        prompt_lm=task.prompt_lm,
        fallback_lm=task.fallback_lms,
        num_threads=task.num_threads,
        record_prompts=settings.record_prompts,
        select=None,
        strategy=None,
    )
    return Prepared(**{**task.parts(), "request": settled, "optimizer": optimizer})


def _refuse_too_small(request: RunRequest, optimizer: Optimizer, task: CheckedTask) -> None:
    """Refuse a budget of calls under which an optimizer cannot do anything at all."""
    sizes = task.sizes
    needed = optimizer.least_calls(Shape(sizes["train"], sizes["val"], task.predictors))
    if needed and request.max_calls is not None and request.max_calls < needed + sizes["val"]:
        raise InputError(
            f"max_calls = {request.max_calls}: the smallest forecast of a member of {optimizer.name} is {needed:,} "
            f"calls, after {sizes['val']} for the given program: raise it, or name cheaper members"
        )


def in_time(settle: Callable[[], Prepared], minutes: float | None) -> Prepared:
    """Prepare a run of this process, within the time that it may take in all.

    Raises
    ------
    JobError
        If the metric or the program, which are tried, have not returned by then.
    """
    if minutes is None:
        return settle()
    try:
        return run_within(settle, minutes)
    except RunStopped as stop:
        raise JobError(f"{stop.reason}; no call was made") from None


def checked_fallbacks(value: object) -> tuple[Model, ...]:
    """Take one model or several, in the order they take over; refuse what is none."""
    import dspy

    if value is None:
        return ()
    lms = list(value) if isinstance(value, list | tuple) else [value]
    for lm in lms:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(f"fallback_lm is {lm!r}: give a dspy.LM, or a list of them in the order they take over")
    return tuple(lms)


def checked_budget(budget: Budget, unpriced: Sequence[Model]) -> None:
    """Refuse bounds that are not positive, and a bound in money where models have no price."""
    for name, value in budget.model_dump().items():
        if value is not None and not value > 0:
            raise InputError(f"{LIMITS[name]} = {value:g}: it must be more than 0; leave it out for no limit")
    if budget.usd is not None:
        _refuse_unpriced(f"budget_usd = {budget.usd:g}", unpriced, ", or bound the run with max_calls")


def checked_review(review: Review, unpriced: Sequence[Model]) -> None:
    """Refuse to ask at a cost where models have no price."""
    if review.cost_usd:
        _refuse_unpriced(f"review cost={review.cost_usd[0]:g}", unpriced)


def _refuse_unpriced(bound: str, unpriced: Sequence[Model], way_out: str = "") -> None:
    """Refuse a bound in money where models have no price."""
    for lm in unpriced:
        raise LMError(
            f"{bound} cannot be kept: {lm.model!r} has no known price; {how_to_state_a_price(lm.model)}{way_out}"
        )


def _replays(lms: Sequence[Model]) -> bool:
    """Tell whether calls will be found again by another process."""
    import dspy

    return dspy.cache.enable_disk_cache and all(getattr(lm, "cache", False) for lm in lms)
