"""How far a job is, read off its journal as it grows: the same for any job, of any process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import CURATION, Curated, JobState, Trial
from skillfleet_nb.format import counted, duration, money, points
from skillfleet_nb.projection import JobRecord
from skillfleet_nb.runs.jobs.curve import Curve
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.store import follow, is_alive, tickets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.events import Payload
    from skillfleet_nb.store import Home


class Progress(JobRecord):
    """The record of a job that grows with its journal: :meth:`update` reads what is new.

    `curve` holds the scores of its trials; `eta_s` is an interval, in seconds.
    """

    def __init__(self, home: Home, job_id: str) -> None:
        super().__init__()
        self.home = home
        self.job_id = job_id
        self.curve = Curve()
        self._follower = follow(home, job_id)
        self._curation = follow(home, CURATION)

    def update(self) -> Progress:
        """Take in the events written since the last time; an orphan reads as interrupted."""
        while True:
            alive, news = tickets.is_owned(self.home, self.job_id), False
            for event in self._follower.read():
                news = True
                self.apply(event)
                if event.kind == "trial":
                    self._draw(event.payload)
            for edit in self._curation.read() if self.seen else ():
                if isinstance(edit.payload, Curated) and edit.payload.job == self.job_id:
                    self.curate(edit.payload)
            if alive or self.state.is_finished():
                self._wait()
                return self
            if not news:  # nobody was there, and nobody has come since
                self.interrupt()

    def _wait(self) -> None:
        """Say what a job waits for that has no process yet, and see to it that somebody starts it."""
        if tickets.is_queued(self.home, self.job_id) and not self.state.is_finished():
            from skillfleet_nb.runs.engines.queue import Queue, place_in_words

            Queue(self.home).tend()
            self.phase = place_in_words(self.home, self.job_id)
        elif tickets.is_lent(self.home, self.job_id) and not is_alive(
            self.home, self.job_id
        ):  # not yet, or it was lost
            self.phase = "waiting: for a worker of its executor"
        elif self.phase.startswith("waiting: "):
            self.phase = ""

    def _draw(self, trial: Payload) -> None:
        if isinstance(trial, Trial) and trial.split != "test":
            full = trial.split == "val" and trial.full_eval
            self.curve.add(trial.trial, trial.score, full=full, bound=trial.bound)

    @property
    def elapsed_s(self) -> float:
        """Seconds the job has run by now; see :meth:`~skillfleet_nb.projection.JobRecord.wall_s`."""
        now = datetime.now(UTC)
        return self.wall_s(now if self.last_at is None else max(now, self.last_at))  # it may have been set back

    @property
    def doing(self) -> str:
        """What it does now, and what it waits for."""
        waits = f"waiting for the provider's limit ({self.limit})" if self.limit else ""
        return ", ".join(filter(None, (self.phase, waits)))

    @property
    def has_best(self) -> bool:
        """Whether it looks for a best program, which is kept whenever it stops."""
        return self.optimizer not in {EVALUATE, CREATE_SKILL}

    @property
    def calls(self) -> int:
        """Calls bought."""
        return self.totals.calls

    @property
    def cached(self) -> int:
        """Calls served from the cache."""
        return self.totals.cached

    @property
    def cost_usd(self) -> float | None:
        """What was bought cost; None once a bought call had no known price."""
        return self.totals.cost_usd

    @property
    def splits(self) -> str:
        """What train, val and test hold, in words."""
        return str(self.spec.get("splits", ""))

    @property
    def expected_calls(self) -> tuple[int, int]:
        """How many calls an attempt takes, at least and at most, scoring the result included."""
        low, high = self.spec.get("expected_calls", (0, 0))
        sizes, per_run = self.spec.get("sizes", {}), self.spec.get("predictors", 1)
        val, test = (per_run * sizes.get(split, 0) for split in ("val", "test"))
        if not val:  # an evaluation
            return test, 2 * test
        return low + val + 2 * test, high + 2 * val + 2 * test

    @property
    def eta_s(self) -> tuple[float, float] | None:
        """Seconds left, from the calls expected and the rate so far; None while that says nothing."""
        done, (low, high) = self._done, self.expected_calls
        elapsed_s = self.elapsed_s - self.ran_before_s
        if done < 5 or elapsed_s <= 0 or high == 0:  # noqa: PLR2004  too few to know a rate
            return None
        rate = done / elapsed_s
        return max(0.0, low - done) / rate, max(0.0, high - done) / rate

    @property
    def share_done(self) -> float | None:
        """Share of the calls expected at most, in [0, 1]; None while that number is not known."""
        if self.state is JobState.COMPLETED:
            return 1.0
        most = self.expected_calls[1]
        return min(1.0, self._done / most) if most else None

    def members_frame(self) -> pd.DataFrame | None:
        """Return a row for each member of a job of several searches; None for any other."""
        return _frame([lane.told for lane in self.lanes.values() if lane.told is not None])

    def frames(self) -> dict[str, Any]:
        """Return what a result tells in frames: members of several searches, and individuals that were bred."""
        return {"members": self.members_frame(), "individuals": _frame(list(self.individuals.values()))}

    @property
    def _done(self) -> int:
        return self.calls + self.cached - self.calls_before

    @property
    def state_in_words(self) -> str:
        """The state, and why it was entered where that says more."""
        if self.paused:
            return "paused"
        if self.state is JobState.PENDING_HITL:
            return self.state.in_words
        said = {None, str(self.state), "error"}  # what went wrong stands below
        return f"{self.state.in_words}{'' if self.stop_reason in said else f': {self.stop_reason}'}"

    def line(self) -> str:
        """Say in one line where the job is."""
        parts = [self.name or self.job_id, self.optimizer, f"trial {self.trials}"]
        if self.best is not None and self.baseline is not None:
            parts.append(f"best {points(self.best)} (baseline {points(self.baseline)})")
        calls = counted(self.calls, "call") + (f" + {self.cached:,} cached" if self.cached else "")
        parts += [calls, money(self.cost_usd), duration(self.elapsed_s)]
        if self.state.is_finished():
            parts.append(self.state_in_words)
        else:
            if (eta := self.eta_s) is not None and eta[1] > 0:
                parts.append(f"at most {duration(eta[1])} left")
            parts += [f"asks: {self.question.question}" if self.question else self.doing]
            parts += ["paused" if self.paused else ""]
        return " · ".join(p for p in parts if p)


def _frame(facts: Sequence[Payload]) -> pd.DataFrame | None:
    if not facts:
        return None
    import pandas as pd

    return pd.DataFrame([fact.model_dump(exclude={"kind"}) for fact in facts])
