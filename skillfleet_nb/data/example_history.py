"""What past runs say of an example, as moving averages that count each run once.

The averages are computed anew from the runs themselves whenever they are asked for, so that a run
that is resumed, replayed or read by two processes at once cannot count twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PRIOR = 0.5
"""Success of an example that no run has scored."""

SOLVED = 0.5
"""A candidate solved an example where it scored at least this."""


@dataclass(frozen=True)
class ExampleHistory:
    """What runs came to on one example, oldest first; all scores in [0, 1].

    Attributes
    ----------
    quality_seen
        Mean score over the candidates of each run.
    success_seen
        Score of each run's best candidate that was tried on it.
    trials
        Times it was scored, over all runs.
    solved
        Share of these in which it was solved.
    """

    quality_seen: tuple[float, ...]
    success_seen: tuple[float, ...]
    trials: int
    solved: float

    @property
    def runs(self) -> int:
        """Number of runs that scored it."""
        return len(self.success_seen)


def moved(start: float, seen: Iterable[float], pace: float) -> float:
    """Move an average by what was seen: ``(1 - pace) * old + pace * new``, once each.

    Examples
    --------
    >>> round(moved(0.5, [1.0, 1.0], 0.1), 3)
    0.595
    """
    for value in seen:
        start = (1 - pace) * start + pace * value
    return start


def gather(runs: Iterable[tuple[str, float, float, int, int]]) -> dict[str, ExampleHistory]:
    """Gather what runs came to by example.

    Parameters
    ----------
    runs
        One row an example of a run, oldest run first: example id, mean score, score of the best
        candidate, times scored, times solved.
    """
    outcomes: dict[str, list[tuple[float, float, int, int]]] = {}
    for example, mean, best, trials, solved in runs:
        outcomes.setdefault(example, []).append((mean, best, trials, solved))
    past = {}
    for example, rows in outcomes.items():
        means, bests, counts, hits = zip(*rows, strict=True)
        past[example] = ExampleHistory(means, bests, sum(counts), sum(hits) / max(1, sum(counts)))
    return past
