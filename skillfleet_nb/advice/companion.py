"""What to run beside the recommended optimizer: where none is sure to be the best, the better of two often is.

On published results of real models, one optimizer chosen for all benchmarks stays several points behind the best, and
a second one of another manner that costs little takes most of that back (``python tests/benchmarks published``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.selector import Prospect

MOST_SHARE = 0.5
"""Of the recommended one's expected cost, what a companion may cost at most."""
_LEAST_GAIN = 0.01  # of score, under which a second job is not worth its trouble


class Companion(NamedTuple):
    """A prospect to run as well, and how much higher the better of both is expected to score, in [0, 1]."""

    prospect: Prospect
    gain: float


def companion(best: Prospect, possible: Sequence[Prospect], fits: Callable[[Forecast], bool]) -> Companion | None:
    """Find the configuration that, run as well, raises the expected score of the better one the most.

    Parameters
    ----------
    best
        What is recommended.
    possible
        What keeps the limits by itself.
    fits
        Whether a forecast still keeps them beside the recommended one's.

    Returns
    -------
    Companion or None
        None where nothing that costs up to half as much adds a point.
    """
    import numpy as np

    candidates = [
        Companion(p, float(np.mean(np.maximum(p.expects.draws, best.expects.draws) - best.expects.draws)))
        for p in possible
        if p is not best and _is_cheap(p.forecast, best.forecast) and fits(p.forecast)
    ]
    top = max(candidates, key=lambda c: c.gain, default=None)
    return top if top is not None and top.gain >= _LEAST_GAIN else None


def _is_cheap(forecast: Forecast, of: Forecast) -> bool:
    """Tell whether a run costs at most so much of another: in calls, where no price tells them apart."""
    usd, of_usd = forecast.cost_usd, of.cost_usd
    if usd is not None and of_usd is not None and of_usd.expected > 0:
        return usd.expected <= MOST_SHARE * of_usd.expected
    return forecast.calls.expected <= MOST_SHARE * of.calls.expected
