"""The outcome of a run, as everything here reckons with it, and the outcomes of a home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.format import is_missing
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from skillfleet_nb.store import Store

_Z95 = 1.959964
_LEAST_SE = 0.005  # half a point: no test of a usual size tells more


@dataclass(frozen=True)
class RunOutcome:
    """What one run came to on its sealed test; scores in [0, 1], `gain` a difference of them.

    `task_key` tells tasks apart, `task` is what they are called.
    """

    job_id: str
    name: str
    optimizer: str
    task: str
    task_key: str
    model: str | None
    tags: tuple[str, ...]
    finished_at: datetime
    stop_kind: str | None
    baseline: float
    gain: float
    low: float
    high: float
    cost_usd: float | None
    lm_calls: int
    rows: int | None = None
    labels: int | None = None
    predictors: int | None = None

    @property
    def variance(self) -> float:
        """Sampling variance of the gain, read off its 95% interval."""
        return max((self.high - self.low) / (2 * _Z95), _LEAST_SE) ** 2

    @property
    def relative(self) -> float:
        """The gain as a share of the given program's score; infinite where that scored nothing."""
        if self.baseline > 0:
            return self.gain / self.baseline
        return float("inf") if self.gain > 0 else 0.0

    @property
    def week(self) -> str:
        """The calendar week in which it ended, as ISO 8601 writes it."""
        year, week, _ = self.finished_at.isocalendar()
        return f"{year}-W{week:02d}"


BY: dict[str, Callable[[RunOutcome], tuple[str, ...]]] = {
    "optimizer": lambda o: (o.optimizer,),
    "task": lambda o: (o.task,),
    "model": lambda o: (o.model or "not recorded",),
    "tag": lambda o: o.tags or ("no tag",),
    "week": lambda o: (o.week,),
}
"""What runs are grouped by, and the groups of a run; it may have several tags."""


def outcomes(store: Store, task: str | None = None) -> list[RunOutcome]:
    """Read the outcomes of a home's runs, the oldest first.

    Parameters
    ----------
    store
        Of the home.
    task
        Only those of this task: its domain, its program, or the name of a job.

    Raises
    ------
    JobError
        If no run has been tested yet, saying what is needed first.
    NotFoundError
        If there is no such task.
    """
    every = [_outcome(r) for r in queries.run_outcomes(store).to_dict("records")]
    if not every:
        raise JobError(
            "no run of this home has been tested yet: there is nothing to learn from. "
            f"{as_typed('optimize')} starts one, which scores its best program on the test split as it ends; "
            f"{as_typed('jobs')} lists what there is"
        )
    if task is None:
        return every
    keys = {o.task_key for o in every if task in {o.task, o.name, o.job_id}}
    if not keys:
        raise unknown("task", task, {o.task for o in every})
    return [o for o in every if o.task_key in keys]


def grouped(every: Sequence[RunOutcome], by: str) -> dict[str, list[RunOutcome]]:
    """Group outcomes; raises `InputError` where they cannot be grouped so."""
    if by not in BY:
        raise InputError(f"cannot group runs by {by!r}: choose from {', '.join(BY)}")
    groups: dict[str, list[RunOutcome]] = {}
    for one in every:
        for name in BY[by](one):
            groups.setdefault(name, []).append(one)
    return dict(sorted(groups.items()))


def _outcome(r: dict[Any, Any]) -> RunOutcome:
    def optional(name: str) -> Any:
        return None if is_missing(r[name]) else r[name]

    sizes = {name: None if is_missing(r[name]) else int(r[name]) for name in ("rows", "labels", "predictors")}
    return RunOutcome(
        job_id=str(r["job_id"]), name=str(r["name"]), optimizer=str(r["optimizer"]), task=str(r["task"]),
        task_key=str(r["task_key"]), model=optional("model"), tags=tuple(r["tags"]),
        finished_at=r["finished_at"].to_pydatetime(), stop_kind=optional("stop_kind"),
        baseline=float(r["baseline"]), gain=float(r["gain"]), low=float(r["low"]), high=float(r["high"]),
        cost_usd=optional("cost_usd"), lm_calls=int(optional("lm_calls") or 0), **sizes,
    )  # fmt: skip
