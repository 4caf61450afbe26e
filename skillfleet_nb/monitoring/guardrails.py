"""Guardrails of a test: what a better score may not cost."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skillfleet_nb.errors import InputError
from skillfleet_nb.monitoring.betting import log_capital, mean_bets

if TYPE_CHECKING:
    import pandas as pd

_WRITTEN = re.compile(r"\s*(cost|latency)\s*<=?\s*([0-9]*\.?[0-9]+)\s*x\s*")
_COLUMNS = {"cost": "cost_usd", "latency": "latency_s"}
_EFFECT = 0.2  # of the share of pairs, at which bets grow fastest


class Guardrail(NamedTuple):
    """A limit on what the calls of a variant take, as a multiple of the control's."""

    what: str
    most: float

    def __str__(self) -> str:
        return f"{self.what}<={np.format_float_positional(self.most, trim='-')}x"  # as it is read again


class Watch(NamedTuple):
    """How a guardrail stands for a variant.

    `share` of the pairs of a call of the variant and one of the control are above the limit; it is broken once it is
    told, at the test's risk over all looks, that these are more than half.
    """

    guardrail: Guardrail
    variant: str
    pairs: int
    share: float
    broken: bool


def read_guardrail(text: str) -> Guardrail:
    """Read a guardrail as people write it.

    Examples
    --------
    >>> read_guardrail("cost<=1.2x")
    Guardrail(what='cost', most=1.2)

    Raises
    ------
    InputError
        If it is none.
    """
    match = _WRITTEN.fullmatch(str(text))
    if match is None or float(match[2]) <= 0:
        raise InputError(f"guardrail {text!r}: write cost<=1.2x or latency<=1.5x, a multiple of the first variant's.")
    return Guardrail(match[1], float(match[2]))


def watch(guardrail: Guardrail, variant: str, control: str, units: pd.DataFrame, alpha: float) -> Watch:
    """Look how a guardrail stands: calls are paired in order, so that costs of any size are a bounded question."""
    column = _COLUMNS[guardrail.what]
    mine, others = (_values(units[units.variant == one][column]) for one in (variant, control))
    n = min(len(mine), len(others))
    if not n:
        return Watch(guardrail, variant, 0, math.nan, broken=False)
    above = 0.5 + 0.5 * np.sign(mine[:n] - guardrail.most * others[:n])
    broken = bool(log_capital(mean_bets(above, _EFFECT), 0.5).max() >= -math.log(alpha))
    return Watch(guardrail, variant, n, float(above.mean()), broken)


def _values(column: Any) -> Any:
    return column.dropna().to_numpy(dtype=float)
