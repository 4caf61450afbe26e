"""What earlier attempts at a job recorded, which a resumed one goes on from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import LMCall, Trial
from skillfleet_nb.lm.meter import Totals
from skillfleet_nb.runs.review.answers import Answer
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from skillfleet_nb.store import Home

TrialKey = tuple[str | None, str, int, float]


def trial_key(trial: Trial) -> TrialKey:
    """Tell a trial apart by what it scored and what came out, whatever its number."""
    return trial.program_id, trial.split, trial.n_examples, round(trial.score, 9)


@dataclass
class History:
    """What earlier attempts spent and found.

    Attributes
    ----------
    spent
        What they bought; the budget of a job counts over all its attempts.
    seconds
        How long they ran, together, without pauses.
    baseline
        What scoring the baseline took of it.
    trials
        How often each trial was recorded: a replayed one is not recorded again.
    next_trial
        Number of the next new trial.
    programs
        Programs that were told of.
    answered_by
        Requests that a fallback answered, by their digest, and its model.
    reviews
        What a person answered, by question; a no is not held against a run that is resumed.
    declined
        When a person said no, by question.
    asked_at
        When this attempt was asked for: what was requested of the job before is over.
    """

    spent: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    baseline: Totals | None = None
    trials: Counter[TrialKey] = field(default_factory=Counter)
    next_trial: int = 0
    programs: set[str] = field(default_factory=set)
    answered_by: dict[str, str] = field(default_factory=dict)
    reviews: dict[str, Answer] = field(default_factory=dict)
    declined: dict[str, datetime] = field(default_factory=dict)
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, home: Home, job_id: str) -> History:
        """Read the history of a job off its journal."""
        found = cls()
        clock = _Clock()
        for event in follow(home, job_id).read():
            p = event.payload
            clock.take(event.kind, p, event.at)
            if event.kind in {"job_created", "resumed"}:
                found.asked_at = event.at
            elif event.kind == "review_answered":
                found._take_review(p, event.at)
            elif event.kind == "lm_call":
                found.spent.add(LMCall.model_validate({"kind": "lm_call", **p}))
                if p.get("asked") and p["error"] is None:
                    found.answered_by[p["asked"]] = p["model"]
            elif event.kind == "program":
                found.programs.add(p["program_id"])
            elif event.kind == "trial":
                trial = Trial.model_validate({"kind": "trial", **p})
                found.trials[trial_key(trial)] += 1
                found.next_trial = max(found.next_trial, trial.trial + 1)
                found.baseline = found.baseline or found.spent.copy()
        found.seconds = clock.seconds
        return found

    def _take_review(self, p: dict[str, Any], at: datetime) -> None:
        if p["choice"] == "cancel":
            self.declined[p["review_id"]] = at
        else:
            self.reviews[p["review_id"]] = Answer(p["choice"], p["text"])


class _Clock:
    """Adds up how long a job ran: not between its attempts, and not while it was paused or asked a person."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._runs = self._asks = self._paused = False
        self._since: datetime | None = None

    def take(self, kind: str, p: dict[str, Any], at: datetime) -> None:
        if kind in {"job_created", "resumed"}:
            self._runs = self._asks = self._paused = False
            self._since = None
        if self._since is not None:
            self.seconds += (at - self._since).total_seconds()
        if kind == "state":
            self._runs, self._asks = p["state"] in {"running", "pending_hitl"}, p["state"] == "pending_hitl"
        elif kind == "paused":
            self._paused = p["paused"]
        self._since = at if self._runs and not (self._asks or self._paused) else None
