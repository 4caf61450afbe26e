"""Which optimizers to run together, where the evidence does not support one name.

On published results of real models one optimizer chosen for all benchmarks stays several points behind the best, no
predictor from cheap features does better, and a set of two or three takes most of that back (``python tests/benchmarks
published``).  A portfolio runs such a set under one budget, which goes to those that gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.advice.forecast import Interval
from skillfleet_nb.optimizers.portfolio import OVER_ONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.advice.selector import Prospect

MOST = 3
"""Members of a set that is recommended."""
SURE = 0.6
"""Chance of being the best, within two points, from which one name is supported."""
_NO_MEMBERS = (
    "knn_fewshot",
    "better_together",
    "bootstrap_finetune",
    "labeled_fewshot",
    "reanchor",
    "tune_signature",
    "simba",
    "copro",
)
# They score one candidate, or none on validation while they search: nothing tells how far a share would take them.
_LEAST_GAIN = 0.01  # of score, under which one more is not worth its share


class Together(NamedTuple):
    """A set of optimizers for a portfolio: its members, the most promising first, and what it may cost and score.

    `gain` is by how much the best of the set is expected to score more than the recommended one alone, in [0, 1].
    """

    members: tuple[Prospect, ...]
    gain: float
    calls: Interval
    cost_usd: Interval | None
    wall_s: Interval
    draws: NDArray[np.float64]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the portfolio that runs it."""
        return {
            "members": [p.configuration.optimizer for p in self.members],
            "settings": {p.configuration.optimizer: p.configuration.params for p in self.members},
        }

    @property
    def name(self) -> str:
        """For people."""
        return f"portfolio of {' + '.join(p.configuration.name for p in self.members)}"


def promising(best: Prospect, possible: Sequence[Prospect], most: int = MOST) -> list[Prospect]:
    """Choose optimizers of which the best one is expected to score the most, one after the other."""
    import numpy as np

    chosen, draws = [best], best.expects.draws
    while len(chosen) < most:
        taken = {p.configuration.optimizer for p in chosen}
        others = [p for p in possible if p.configuration.optimizer not in taken]
        gains = [float(np.mean(np.maximum(p.expects.draws, draws) - draws)) for p in others]
        if not gains or max(gains) < _LEAST_GAIN:
            break
        chosen.append(others[gains.index(max(gains))])
        draws = np.maximum(draws, chosen[-1].expects.draws)
    return chosen


def together(
    best: Prospect, possible: Sequence[Prospect], confidence: float, limits: Mapping[str, float | None]
) -> Together | None:
    """Find the set to run together; None where one name is supported, or no other adds a point.

    Parameters
    ----------
    best
        What is recommended alone.
    possible
        What keeps the limits by itself.
    confidence
        Chance that none of them scores notably more than `best`.
    limits
        Of the run: `usd` and `s`; what a portfolio takes ends there.
    """
    import numpy as np

    searches = [p for p in possible if p.configuration.optimizer not in _NO_MEMBERS]
    if confidence >= SURE or best not in searches:
        return None
    members = promising(best, searches)
    if len(members) == 1:
        return None
    draws = np.max([p.expects.draws for p in members], axis=0)

    def whole(of: Callable[[Prospect], Interval], limit: float | None = None) -> Interval:
        costliest = max((of(p) for p in members), key=lambda i: i.expected)
        return Interval(*(min(OVER_ONE * v, limit) if limit is not None else OVER_ONE * v for v in costliest))

    priced = all(p.forecast.cost_usd is not None for p in members)
    return Together(
        tuple(members),
        float(np.mean(draws - best.expects.draws)),
        whole(lambda p: p.forecast.calls),
        whole(lambda p: p.forecast.cost_usd or Interval(0, 0, 0), limits.get("usd")) if priced else None,
        whole(lambda p: p.forecast.wall_s, limits.get("s")),
        draws,
    )
