"""What earlier attempts at a job recorded, which a resumed one goes on from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.events import CandidateDecided, LMCall, Trial
from skillfleet_nb.projection import JobRecord, Totals
from skillfleet_nb.runs.review.answers import Answer
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from skillfleet_nb.store import Home

TrialKey = tuple[str | None, str, int, float]


def trial_key(trial: Trial) -> TrialKey:
    """Tell a trial apart by what it scored and what came out, whatever its number."""
    return trial.program_id, trial.split, trial.n_examples, round(trial.score, 9)


class Validated(NamedTuple):
    """What a program came to on all of validation: its score, and the share of its predictions that failed."""

    score: float
    failed: float


@dataclass
class EarlierAttempts:
    """What earlier attempts spent and found.

    Attributes
    ----------
    spent
        What they bought; the budget of a job counts over all its attempts.
    seconds
        How long they ran, together, without pauses and without waiting for a person.
    baseline
        What scoring the baseline took of it.
    trials
        How often each trial was recorded: a replayed one is not recorded again.
    next_trial
        Number of the next new trial.
    validated
        Programs that were scored on all of validation, in the order of their first scoring, each with its best one.
    programs
        Programs that were told of.
    decided
        Candidates that the optimizer judged, each with its parent; it `accepted` these, in order.
    answered_by
        Requests that a fallback answered, by their digest, and its model.
    reviews
        What a person answered last, by question; a no is not held against a run that is resumed.
    declined
        How much had been asked of the job when a person said no, by question.
    heard
        How much had been asked of the job before this attempt: that is over.
    """

    spent: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    baseline: Totals | None = None
    trials: Counter[TrialKey] = field(default_factory=Counter)
    next_trial: int = 0
    validated: dict[str, Validated] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    decided: set[tuple[str, str]] = field(default_factory=set)
    accepted: list[str] = field(default_factory=list)
    answered_by: dict[str, str] = field(default_factory=dict)
    reviews: dict[str, Answer] = field(default_factory=dict)
    declined: dict[str, int] = field(default_factory=dict)
    heard: int = 0

    @property
    def best(self) -> str | None:
        """Id of the program that was the best on validation, of equals the first; None before one was scored."""
        return max(self.validated, key=lambda program_id: self.validated[program_id].score, default=None)

    @classmethod
    def of(cls, home: Home, job_id: str) -> EarlierAttempts:
        """Read the history of a job off its journal."""
        record, history = JobRecord(), cls()
        for event in follow(home, job_id).read():
            record.apply(event)
            if event.fields.get("asked"):
                call = event.payload
                if isinstance(call, LMCall) and call.asked and call.error is None:
                    history.answered_by[call.asked] = call.model
            elif event.kind == "trial" and isinstance(payload := event.payload, Trial):
                history.trials[trial_key(payload)] += 1
                history.next_trial = max(history.next_trial, payload.trial + 1)
                history.baseline = history.baseline or record.totals.copy()
                history._validate(payload)
            elif event.kind == "decision" and isinstance(payload := event.payload, CandidateDecided):
                history.decided.add((payload.program_id, payload.parent_id))
                history.accepted += [payload.program_id] * payload.accepted
        history.spent, history.seconds, history.programs = record.totals, record.wall_s(), record.programs
        history.heard = record.heard
        for review_id, answer in record.answers.items():
            if answer.choice == "cancel":
                history.declined[review_id] = answer.heard
            else:
                history.reviews[review_id] = Answer(answer.choice, answer.text)
        return history

    def _validate(self, trial: Trial) -> None:
        """Take in a trial, if it is one on all of validation."""
        program_id = trial.program_id
        if program_id is None or trial.split != "val" or not trial.full_eval:
            return
        earlier = self.validated.get(program_id)
        if earlier is None or trial.score > earlier.score:
            failed = sum(row.score is None for row in trial.scores) / max(1, trial.n_examples)
            self.validated[program_id] = Validated(trial.score, failed)
