"""Several optimizers at the same time, under one ledger, and the best of what they find, or a vote of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.data.identity import firsts
from skillfleet_nb.example import is_answer
from skillfleet_nb.format import points
from skillfleet_nb.optimizers.base import MemberResult, Task
from skillfleet_nb.optimizers.members import (
    FEWEST,
    MembersParams,
    OfMembers,
    Search,
    lanes_of,
    optimism_of,
    stop_of,
)
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, Use, together, uses
from skillfleet_nb.stats import paired_comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.programs.voting import Weighing
    from skillfleet_nb.typing import Prediction, Program

VOTES = ("select", "weighted", "majority")
_FOLDS = 5  # by which a vote is judged on examples that its weights were not learned from


class EnsembleParams(MembersParams):
    """Parameters of an ensemble."""

    members: tuple[str, ...] = Field(
        ("bootstrap_random_search", "miprov2", "gepa"), description="optimizers, run at the same time"
    )
    vote: Literal["select", "weighted", "majority"] = Field(
        "select", description="return the best member, or a vote of all where that proves better"
    )
    min_agreement: float = Field(0.0, ge=0, le=1, description="share of a vote from which it counts as agreed")


@dataclass
class _Member(Search):
    """One search, and what its program scored in the end."""

    scored: list[tuple[Prediction, float]] = field(default_factory=list)

    @property
    def scores(self) -> list[float]:
        return [score for _, score in self.scored]


class Ensemble(OfMembers):
    """Run several optimizers at the same time and return the best program by validation, or a vote of all."""

    name = "ensemble"
    summary = "several optimizers at the same time, the best or a vote of what they find"
    Params = EnsembleParams
    params: EnsembleParams

    @override
    def calls(self, shape: Shape) -> Calls:
        runs = []
        per_run = shape.per_run or shape.predictors
        played = [uses(optimizer.expected_calls(shape)) for optimizer in self.optimizers().values()]
        for parts in zip(*played, strict=True):
            whole = Use(task_cached=shape.val * per_run)
            for own in parts:
                whole = together(whole, own)
                whole.task += own.unscored * per_run
                whole.task_cached += (shape.val - own.unscored) * per_run
            runs.append(whole)
        return Calls.of(runs)

    @override
    def compile(self, task: Task) -> Program:
        lanes = lanes_of(task)
        members = [_Member(name, optimizer.compile) for name, optimizer in self.able(task).items()]
        task.say(f"searching with {', '.join(m.name for m in members)} at the same time")
        for member in members:
            member.begin(task)
        for member in members:
            member.join()
        if (stop := stop_of(members)) is not None:
            raise stop
        finished = [m for m in members if m.program is not None]
        if not finished:
            raise members[0].error or RuntimeError("no member returned a program")
        task.say("scoring what the members found on validation")
        for member in finished:
            member.scored = scored(task, member)
        best = max(finished, key=lambda m: fmean(m.scores))  # of equals the one named first
        optimism = optimism_of([m.scores for m in finished], task.seed)
        chosen: Program = best.program
        vote = self._vote(task, finished, best) if self.params.vote != "select" and len(finished) >= FEWEST else None
        for member in finished:
            won = member is best and (vote is None or not vote.chosen)
            lanes.told(MemberResult(member.name, member.program, fmean(member.scores), chosen=won,
                                   optimism=optimism if member is best else None))  # fmt: skip
        if vote is not None:
            lanes.told(vote)
            chosen = vote.program if vote.chosen else chosen
        return chosen

    def _vote(self, task: Task, voters: Sequence[_Member], best: _Member) -> MemberResult:
        """Judge a vote of all against the best alone; it is taken only where its gain is proven."""
        from skillfleet_nb.programs.voting import Ensemble as Vote

        weighing: Weighing = "weighted" if self.params.vote == "weighted" else "majority"

        def made() -> Vote:
            return Vote([m.program for m in voters], vote=weighing, min_agreement=self.params.min_agreement)

        rows = list(task.val)
        scores = [0.0] * len(rows)
        for fold in range(_FOLDS):
            held = set(range(fold, len(rows), _FOLDS))
            learned = made().learned(
                [r for n, r in enumerate(rows) if n not in held],
                [[a for n, a in enumerate(_answers(m)) if n not in held] for m in voters],
                task.metric,
            )
            for n in held:
                scores[n] = float(task.metric(rows[n], learned.counted([_answers(m)[n][0] for m in voters])))
        once = firsts(rows)
        compared = paired_comparison([best.scores[n] for n in once], [scores[n] for n in once], seed=task.seed)
        price = f"{len(voters)} answers in place of one"
        alone = f"{best.name} {points(fmean(best.scores))}"
        outcome = f"a vote of {len(voters)} scores {points(fmean(scores))} on validation, {alone}"
        proven = compared.low > 0
        task.say(f"{outcome}: {'it is taken' if proven else f'no proven gain for {price}, it is not taken'}")
        program = made().learned(rows, [_answers(m) for m in voters], task.metric)
        return MemberResult(f"vote ({self.params.vote})", program, fmean(scores), chosen=proven)


def scored(task: Task, member: _Member) -> list[tuple[Prediction, float]]:
    """Score what a member found on validation, as one of its trials: mostly from the cache."""
    import dspy

    evaluate = dspy.Evaluate(devset=list(task.val), metric=task.metric, num_threads=task.num_threads)
    with lanes_of(task).open(member.name), lanes_of(task).judging():
        results = evaluate(member.program).results
    return [(prediction, float(getattr(score, "score", score))) for _, prediction, score in results]


def _answers(member: _Member) -> list[tuple[Prediction | None, float]]:
    return [(prediction if is_answer(prediction) else None, score) for prediction, score in member.scored]
