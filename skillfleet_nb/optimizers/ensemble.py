"""Several optimizers at the same time, under one ledger, and the best of what they find, or a vote of it."""

from __future__ import annotations

import json
import random
import threading
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import points
from skillfleet_nb.optimizers.base import MemberResult, Optimizer, OptimizerParams, Task
from skillfleet_nb.optimizers.registry import create
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, Use, together, uses
from skillfleet_nb.stats import paired_comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.programs.voting import Weighing
    from skillfleet_nb.typing import Prediction, Program

VOTES = ("select", "weighted", "majority")
_FEWEST = 2  # members
_FOLDS = 5  # by which a vote is judged on examples that its weights were not learned from
_RESAMPLES = 2000


class EnsembleParams(OptimizerParams):
    """Parameters of an ensemble."""

    members: tuple[str, ...] = Field(
        ("bootstrap_random_search", "miprov2", "gepa"), description="optimizers, run at the same time"
    )
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description='parameters of members by name: {"gepa": {"auto": "light"}}'
    )
    vote: Literal["select", "weighted", "majority"] = Field(
        "select", description="return the best member, or a vote of all where that proves better"
    )
    min_agreement: float = Field(0.0, ge=0, le=1, description="share of a vote from which it counts as agreed")
    skip: bool = Field(default=False, description="go on without members that cannot do the task")

    @field_validator("members", mode="before")
    @classmethod
    def _split(cls, members: object) -> object:
        return [name.strip() for name in members.split(",") if name.strip()] if isinstance(members, str) else members

    @field_validator("settings", mode="before")
    @classmethod
    def _read(cls, settings: object) -> object:
        return json.loads(settings) if isinstance(settings, str) else settings


@dataclass
class _Member:
    """One search: its optimizer, and what became of it."""

    name: str
    optimizer: Optimizer
    program: Program | None = None
    error: BaseException | None = None
    scored: list[tuple[Prediction, float]] = field(default_factory=list)

    @property
    def scores(self) -> list[float]:
        return [score for _, score in self.scored]


class Ensemble(Optimizer):
    """Run several optimizers at the same time and return the best program by validation, or a vote of all."""

    name = "ensemble"
    summary = "several optimizers at the same time, the best or a vote of what they find"
    changes = frozenset({"instructions", "demos"})
    presets = ()
    has_members = True
    Params = EnsembleParams
    params: EnsembleParams

    def _members(self) -> list[_Member]:
        return [_Member(name, create(name, self.params.settings.get(name))) for name in self.params.members]

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        names = self.params.members
        if len(set(names)) < max(_FEWEST, len(names)):
            raise InputError(f"ensemble: members = {', '.join(names) or 'none'}: name two or more, each once")
        if strangers := self.params.settings.keys() - set(names):
            raise InputError(f"ensemble: settings names {min(strangers)!r}, which is no member: {', '.join(names)}")
        refusals = self._refusals(task)
        if refusals and (not self.params.skip or len(names) - len(refusals) < _FEWEST):
            name, why = next(iter(refusals.items()))
            way_out = "name others" if self.params.skip else "leave it out, or go on without it with skip=true"
            raise InputError(f"ensemble: member {name!r} cannot do this task ({why}): {way_out}")

    def _refusals(self, task: Task) -> dict[str, InputError]:
        refusals: dict[str, InputError] = {}
        for member in self._members():
            if member.optimizer.has_members or member.name == "knn_fewshot":
                raise InputError(f"ensemble: {member.name!r} cannot be a member: choose optimizers of one search")
            try:
                member.optimizer.check(task)
            except InputError as exc:
                refusals[member.name] = exc
        return refusals

    @override
    def calls(self, shape: Shape) -> Calls:
        runs = []
        per_run = shape.per_run or shape.predictors
        plain = shape._replace(raced=False)  # the members are not raced, unless that is asked for
        played = [uses(member.optimizer.expected_calls(plain)) for member in self._members()]
        for parts in zip(*played, strict=True):
            whole = Use(task_cached=shape.val * per_run)
            for own in parts:
                whole = together(whole, own)
                whole.task += own.unscored * per_run
                whole.task_cached += (shape.val - own.unscored) * per_run
            runs.append(whole)
        return Calls.of(runs)

    @override
    def least_calls(self, shape: Shape) -> int:
        return min(member.optimizer.expected_calls(shape).low for member in self._members())

    @override
    def build(self, task: Task) -> Any:
        return self

    @override
    def compile(self, task: Task) -> Program:
        refused = self._refusals(task)
        members = [m for m in self._members() if m.name not in refused]
        task.say(f"searching with {', '.join(m.name for m in members)} at the same time")
        side_by_side(task, members)
        found = [m for m in members if m.program is not None]
        if not found:
            raise members[0].error or RuntimeError("no member returned a program")
        task.say("scoring what the members found on validation")
        for member in found:
            member.scored = scored(task, member)
        best = max(found, key=lambda m: fmean(m.scores))  # of equals the one named first
        optimism = optimism_of([m.scores for m in found], task.seed)
        chosen: Program = best.program
        vote = self._vote(task, found, best) if self.params.vote != "select" and len(found) >= _FEWEST else None
        for member in found:
            won = member is best and (vote is None or not vote.chosen)
            task.told(MemberResult(member.name, member.program, fmean(member.scores), chosen=won,
                                   optimism=optimism if member is best else None))  # fmt: skip
        if vote is not None:
            task.told(vote)
            chosen = vote.program if vote.chosen else chosen
        return chosen

    def _vote(self, task: Task, found: Sequence[_Member], best: _Member) -> MemberResult:
        """Judge a vote of all against the best alone; it is taken only where its gain is proven."""
        from skillfleet_nb.programs.voting import Ensemble as Vote

        weighing: Weighing = "weighted" if self.params.vote == "weighted" else "majority"

        def made() -> Vote:
            return Vote([m.program for m in found], vote=weighing, min_agreement=self.params.min_agreement)

        rows = list(task.val)
        scores = [0.0] * len(rows)
        for fold in range(_FOLDS):
            held = set(range(fold, len(rows), _FOLDS))
            learned = made().learned(
                [r for n, r in enumerate(rows) if n not in held],
                [[a for n, a in enumerate(_answers(m)) if n not in held] for m in found],
                task.metric,
            )
            for n in held:
                scores[n] = float(task.metric(rows[n], learned.counted([_answers(m)[n][0] for m in found])))
        compared = paired_comparison(best.scores, scores, seed=task.seed)
        price = f"{len(found)} answers in place of one"
        alone = f"{best.name} {points(fmean(best.scores))}"
        told = f"a vote of {len(found)} scores {points(fmean(scores))} on validation, {alone}"
        proven = compared.low > 0
        task.say(f"{told}: {'it is taken' if proven else f'no proven gain for {price}, it is not taken'}")
        program = made().learned(rows, [_answers(m) for m in found], task.metric)
        return MemberResult(f"vote ({self.params.vote})", program, fmean(scores), chosen=proven)


def side_by_side(task: Task, members: Sequence[_Member]) -> None:
    """Run the searches at the same time, each on a thread and a copy of the program; raise what stops the run."""

    def search(member: _Member) -> None:
        own = replace(task, program=task.program.deepcopy(), say=lambda text: task.say(f"{member.name}: {text}"))
        try:
            with task.member(member.name):
                member.program = member.optimizer.compile(own)
        except BaseException as exc:  # noqa: BLE001  told for the member, or raised below
            member.error = exc

    threads = [
        threading.Thread(target=copy_context().run, args=(search, m), name=f"skillfleet-{m.name}", daemon=True)
        for m in members
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop = next((m.error for m in members if m.error is not None and not isinstance(m.error, Exception)), None)
    if stop is not None:
        raise stop


def scored(task: Task, member: _Member) -> list[tuple[Prediction, float]]:
    """Score what a member found on validation, as one of its trials: mostly from the cache."""
    import dspy

    evaluate = dspy.Evaluate(devset=list(task.val), metric=task.metric, num_threads=task.num_threads)
    with task.member(member.name):
        results = evaluate(member.program).results
    return [(prediction, float(getattr(score, "score", score))) for _, prediction, score in results]


def _answers(member: _Member) -> list[tuple[Prediction | None, float]]:
    return [(prediction if list(prediction.keys()) else None, score) for prediction, score in member.scored]


def optimism_of(scores: Sequence[Sequence[float]], seed: int) -> float:
    """Return by how much the mean of the best of several flatters it, in [0, 1]: the bootstrap's bias.

    In each resample of the examples the best one there is chosen, and its mean there compared with the one it has.

    Examples
    --------
    >>> optimism_of([[1.0, 0.0, 1.0, 0.0]], 0) < 0.02 < optimism_of([[1.0, 0.0] * 10, [0.0, 1.0] * 10], 0)
    True
    """
    rng, n = random.Random(seed), len(scores[0])
    means = [fmean(own) for own in scores]
    gained = 0.0
    for _ in range(_RESAMPLES):
        rows = rng.choices(range(n), k=n)
        drawn = [fmean([own[k] for k in rows]) for own in scores]
        top = max(range(len(scores)), key=drawn.__getitem__)
        gained += drawn[top] - means[top]
    return max(0.0, gained / _RESAMPLES)
