"""What a list of jobs shows as they go: the newest ones, those that run read off their journals, and the cost.

The database is asked when a job begins, ends or is changed by hand; between that the jobs that run are followed as
any live view does, so that an open list costs a run nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skillfleet_nb.events import JobState
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.server.answers import plain, records
from skillfleet_nb.server.sse import Encoded, message
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from skillfleet_nb.fleet import Fleet

HOME_TICK_S = 1.0
_MOST, _ANEW_S = 50, 5.0  # jobs of a list; seconds after which the database is asked whether or not a job has ended
_SHARE = 0.05  # of its time that a large home may be looked at
_LIVE = ("name", "optimizer", "baseline", "best", "calls", "cost_usd", "share_done", "eta_s", "phase", "paused", "seen")


class HomeLook:
    """Looks at a home.

    Parameters
    ----------
    fleet
        Of the home.
    since
        From when on cost is counted.
    encoded
        Writes what is sent.
    """

    def __init__(self, fleet: Fleet, since: datetime, encoded: Encoded) -> None:
        self._fleet, self._since, self._encoded = fleet, since, encoded
        self._rows: list[dict[str, Any]] = []
        self._running: dict[str, Progress] = {}
        self._spent = 0.0  # when the database was asked
        self._costs: dict[str, float] = {}  # of the jobs that ran then
        self._written: object = None
        self._asked_at = self._took_s = 0.0
        self._state = b""

    def __call__(self) -> tuple[bytes | None, None]:
        """Return the newest list, if it is another than the last."""
        for progress in self._running.values():
            progress.update()
        if self._is_due():
            self._ask()
        jobs = [self._now(row) for row in self._rows]
        running = sum((p.cost_usd or 0.0) - self._costs[job] for job, p in self._running.items())
        cost = round(self._spent + running, 6)
        state = message("jobs", self._encoded({"since": self._since, "cost_usd": cost, "jobs": jobs}))
        if state == self._state:
            return None, None
        self._state = state
        return state, None

    def _is_due(self) -> bool:
        """Tell whether the list may be another one."""
        if any(progress.state.is_finished() for progress in self._running.values()):
            return True
        began = time.monotonic()
        pause_s = max(_ANEW_S if self._running else HOME_TICK_S, self._took_s / _SHARE)
        if began - self._asked_at < pause_s:
            return False
        is_due = self._fleet.store.written(but="_") != self._written
        self._asked_at = time.monotonic()
        self._took_s = self._asked_at - began
        return is_due

    def _ask(self) -> None:
        self._written = self._fleet.store.written(but="_")
        self._rows = records(queries.latest_jobs(self._fleet.store, _MOST))
        self._spent = queries.spent_usd(self._fleet.store, self._since)
        ids = [row["job_id"] for row in self._rows if not JobState(row["state"]).is_finished()]
        self._running = {job: self._running.get(job) or Progress(self._fleet.home, job).update() for job in ids}
        self._costs = {job: progress.cost_usd or 0.0 for job, progress in self._running.items()}
        self._asked_at = time.monotonic()

    def _now(self, row: dict[str, Any]) -> dict[str, Any]:
        progress = self._running.get(row["job_id"])
        if progress is None:
            return row
        now = {name: plain(getattr(progress, name)) for name in _LIVE}
        asks = None if progress.question is None else progress.question.question
        return {**row, **now, "state": str(progress.state), "question": asks}
