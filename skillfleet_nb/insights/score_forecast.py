"""What further calls would add to a job's score, told for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.format import counted, percent, points, points_change
from skillfleet_nb.html import Readable, table
from skillfleet_nb.insights.extrapolation import LEVEL, BestSoFar, PastCurves, extrapolate
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store import Store

_LEAST_MORE = 20


class ScoreForecast(Readable, BaseModel):
    """What another so many calls are likely to add to the best score on validation.

    Attributes
    ----------
    calls, more
        Made so far, and looked ahead.
    best, baseline
        The best score, and the given program's, in [0, 1].
    gain, low, high
        The rise: the middle of what may come, and its interval of 80%.
    chance
        Of any rise at all.
    runs
        Other runs of the home that were learned from.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    optimizer: str
    calls: int
    more: int
    baseline: float
    best: float
    gain: float
    low: float
    high: float
    chance: float
    runs: int

    def sentence(self) -> str:
        """Say it in a sentence."""
        return (
            f"another {counted(self.more, 'call')}: {points_change(self.gain)} "
            f"[{100 * self.low:.1f}, {100 * self.high:.1f}] points on validation, a better program with a chance of "
            f"{percent(self.chance)}"
        )

    def rows(self) -> list[list[str]]:
        """Tell it as rows of a word and its value."""
        curve = f"{points(self.baseline)} → {points(self.best)} in {counted(self.calls, 'call')}"
        interval = f"{percent(LEVEL)} interval, learned from this curve and {counted(self.runs, 'other run')}"
        return [["job", f"{self.job}, {self.optimizer}"], ["so far", curve], ["forecast", self.sentence()],
                ["reckoned", f"{interval}; the search goes on as it did"]]  # fmt: skip

    def text(self) -> str:
        """Return it as rows of text."""
        return "\n".join(f"{word:<9} {value}" for word, value in self.rows())

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return table([], self.rows(), title="Score ahead")


def score_forecast(store: Store, job_id: str, name: str, calls: int | None = None) -> ScoreForecast:
    """Say what `calls` more would add to a job's best score.

    Raises
    ------
    InputError
        If `calls` is no number of calls.
    JobError
        If nothing of it has been scored on all of validation.
    """
    if calls is not None and calls < 1:
        raise InputError(f"calls {calls}: give how many to look ahead, 1 or more, such as 400")
    frame = queries.learning_curves(store)
    mine = frame[frame["job_id"] == job_id]
    if mine.empty:
        raise JobError(
            f"{name!r} has no score on all of validation yet, so there is no curve to go on; "
            f"{as_typed(f'job {name}')} shows where it is"
        )
    others = frame[(frame["job_id"] != job_id) & (frame["state"] == "completed")]
    curve, spent = _curve(mine)
    optimizer = str(mine["optimizer"].iloc[0])
    past = PastCurves.of(_curves(others), _curves(others[others["optimizer"] == optimizer]))
    horizon = max(_LEAST_MORE, spent // 2) if calls is None else calls
    ahead = extrapolate(curve, spent, horizon, past)
    return ScoreForecast(
        job=name, optimizer=optimizer, calls=ahead.calls, more=horizon, baseline=curve.scores[0], best=ahead.best,
        gain=ahead.gain, low=ahead.low, high=ahead.high, chance=ahead.chance, runs=past.runs,
    )  # fmt: skip


def _curves(frame: pd.DataFrame) -> list[tuple[BestSoFar, int]]:
    return [_curve(part) for _, part in frame.groupby("job_id", sort=False)]


def _curve(trials: pd.DataFrame) -> tuple[BestSoFar, int]:
    """Return a job's best score by calls, and how many its search has made by its last evaluation."""
    calls = trials["calls"].fillna(0).astype(int).tolist()
    return BestSoFar.of(zip(calls, trials["score"].tolist(), strict=True)), max(calls)
