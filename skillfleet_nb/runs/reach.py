"""How far a run's limits still reach: no scoring is begun that they would end halfway."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.lm.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.projection import Totals

RESERVE = 0.3  # most of any limit that is set aside for scoring the result


class Reach:
    """Reckons how many examples can still be scored, from what those before them took.

    Parameters
    ----------
    ledger
        Counts the run's calls, and has its limits.

    Examples
    --------
    >>> from skillfleet_nb.lm.limits import Limits
    >>> from skillfleet_nb.lm.meter import Ledger
    >>> reach = Reach(Ledger(Limits(calls=10)))
    >>> with reach.measured(4):  # examples, of which each took no call here
    ...     pass
    >>> reach.examples(programs=2)
    5
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._calls = 1.0  # of one program on one example, at most on average

    @contextmanager
    def measured(self, runs: int) -> Iterator[None]:
        """Take in how many calls the body makes, which runs a program that often."""
        before = self._asked()
        yield
        self._calls = max(self._calls, (self._asked() - before) / runs)

    def examples(self, programs: int) -> int | None:
        """Return how many examples can be scored with so many programs; None without limits."""
        limits, used = self._ledger.limits, self._ledger.totals
        left: list[float] = []  # calls that each limit still pays for, at what one took so far
        if limits.calls is not None:
            left.append(limits.calls - used.calls)
        for limit, spent in ((limits.tokens, used.tokens), (limits.usd, used.cost_usd)):
            if limit is not None and spent:
                left.append((limit - spent) * used.calls / spent)
        return max(0, math.floor(min(left) / (programs * self._calls) + 1e-9)) if left else None

    def _asked(self) -> int:
        return self._ledger.totals.calls + self._ledger.totals.cached


def for_the_search(calls: int, validated: int, tested: int, per_run: int) -> int:
    """Return what of a limit on calls is left for the search, as :func:`reserve` will set the rest aside."""
    baseline = validated * per_run
    final = baseline + 2 * tested * per_run
    return int(calls - baseline - min(RESERVE * calls, final))


def reserve(ledger: Ledger, used: Totals, validated: int, tested: int) -> Limits:
    """Reckon, from what the baseline `used` on validation, the share that scoring the result will need."""
    limits = ledger.limits
    times = (validated + 2 * tested) / validated

    def share(limit: float | None, used: float) -> float | None:
        return None if limit is None else min(RESERVE * limit, times * used)

    calls = share(limits.calls, used.calls + used.cached)
    tokens = share(limits.tokens, used.input_tokens + used.output_tokens)
    return Limits(
        usd=share(limits.usd, used.cost_usd or 0.0),
        calls=None if calls is None else int(calls),
        tokens=None if tokens is None else int(tokens),
        seconds=share(limits.seconds, ledger.elapsed_s),
    )
