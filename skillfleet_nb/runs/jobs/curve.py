"""The learning curve of a job as a live view keeps it: in bounded memory, however long the run."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 400  # points of a kind; more than a page has room to tell apart

Point = tuple[int, float]


@dataclass
class Curve:
    """Points as (trial, score in [0, 1]); of a kind with too many, older ones are thinned out.

    Attributes
    ----------
    full
        Evaluations on all of validation.
    part
        Any other: minibatches, and scorings on training examples.
    best
        The best full evaluation so far, a point where it rises.

    Examples
    --------
    >>> curve = Curve()
    >>> for trial in range(100_000):
    ...     curve.add(trial, trial % 7 / 7, full=trial % 10 == 0)
    >>> len(curve.part) <= 400, len(curve.full) <= 400, curve.best[-1]
    (True, True, (20, 0.8571428571428571))
    """

    full: list[Point] = field(default_factory=list)
    part: list[Point] = field(default_factory=list)
    best: list[Point] = field(default_factory=list)

    def add(self, trial: int, score: float, *, full: bool) -> None:
        """Take in a trial."""
        kept = [self.full if full else self.part]
        if full and (not self.best or score > self.best[-1][1]):
            kept.append(self.best)
        for points in kept:
            points.append((trial, score))
            if len(points) > _MOST:
                del points[1 : _MOST // 2 : 2]  # every second of the older half; the first one stays
