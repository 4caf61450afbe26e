"""How long a job ran, told from its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from datetime import datetime


@dataclass
class Clock:
    """Adds up the seconds a job ran, over all attempts: not while it was paused or a person was asked.

    Attributes
    ----------
    ran_s
        Seconds up to `running_since`.
    running_since
        Since when the clock runs; None while it stands.
    state, paused
        Of the job, as far as the clock was told.
    """

    ran_s: float = 0.0
    running_since: datetime | None = None
    state: str | None = None
    paused: bool = False

    def seconds(self, until: datetime) -> float:
        """Tell how long the job ran up to a moment."""
        if self.running_since is None:
            return self.ran_s
        return self.ran_s + (until - self.running_since).total_seconds()

    def enter(self, state: str, at: datetime, last_at: datetime | None) -> None:
        """Take in that the job entered a state; `last_at` is when it was heard of before."""
        if self.state == JobState.RUNNING and state in {JobState.RUNNING, JobState.PENDING}:
            self.restart(last_at)  # its process was gone meanwhile
        self._stand(at)
        self.state = state
        self.paused = self.paused and state in {JobState.RUNNING, JobState.PENDING_HITL}
        self._go_on(at)

    def pause(self, at: datetime, *, on: bool) -> None:
        """Take in that the job was paused, or goes on."""
        self._stand(at)
        self.paused = on
        self._go_on(at)

    def restart(self, last_at: datetime | None) -> None:
        """Take in that another process goes on with the job, which was heard of last at `last_at`."""
        if last_at is not None:
            self._stand(last_at)
        self.state, self.paused = None, False

    def _stand(self, at: datetime) -> None:
        self.ran_s, self.running_since = self.seconds(at), None

    def _go_on(self, at: datetime) -> None:
        if self.state == JobState.RUNNING and not self.paused:
            self.running_since = at
