"""What all events rest on: the base of payloads, and the words for how a job stands."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class JobState(StrEnum):
    """State of a job; each job ends in exactly one finished state."""

    PENDING = "pending"
    RUNNING = "running"
    PENDING_HITL = "pending_hitl"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    def is_finished(self) -> bool:
        """Tell whether nothing more will happen in this attempt.

        Examples
        --------
        >>> JobState.RUNNING.is_finished(), JobState.CANCELLED.is_finished()
        (False, True)
        """
        return self in _FINISHED

    @property
    def in_words(self) -> str:
        """What a person reads.

        Examples
        --------
        >>> JobState.PENDING_HITL.in_words, JobState.COMPLETED.in_words
        ('waiting for your answer', 'completed')
        """
        return {JobState.PENDING_HITL: "waiting for your answer", JobState.PENDING: "about to start"}.get(
            self, str(self)
        )


_FINISHED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED})


class StopKind(StrEnum):
    """Why an attempt at a job ended, for programs to go by; `stop_reason` says it to a person.

    `FINISHED`: the optimizer came to its end; `LM_FAILING`: its model answers no more, or unreadably;
    `METRIC`: the metric returned what is no score; `HOME`: the home cannot be written; `ERROR`: the optimizer or a
    scoring failed; `INTERRUPTED`: its process is gone.
    """

    FINISHED = "finished"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    LM_FAILING = "lm_failing"
    METRIC = "metric"
    HOME = "home"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class Payload(BaseModel):
    """Base of all payloads: frozen, and strict about names."""

    # Most processes meet a few of the kinds: each is made ready where it is first made or read.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    kind: str
