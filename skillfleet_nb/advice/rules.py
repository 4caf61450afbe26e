"""The house rules: which optimizers are worth their money at a size and a budget, before anything is known.

As first published they left gaps (20 to 99 USD with fewer than 500 examples fell to the weakest
optimizer) and never compared a price with the budget.  Here each step up in budget or time adds to what
is allowed and takes nothing away, so that more money never gives a weaker optimizer; which of the
allowed ones is affordable is for the forecast to say.
"""

from __future__ import annotations

import math

from skillfleet_nb.optimizers import Tier

CHEAP_BELOW_USD, CHEAP_BELOW_MINUTES = 1.0, 2.0
_SMALL_N, _SMALL_USD = 100, 5.0
_MEDIUM_USD, HEAVY_USD = 20.0, 100.0
STEPS_USD = (CHEAP_BELOW_USD, _SMALL_USD, _MEDIUM_USD, HEAVY_USD + 0.01)
"""Budgets from which the rules allow more."""
FINETUNE_QUALITY = 0.95


def allowed(n: int, budget_usd: float | None, minutes: float | None, quality: float) -> tuple[Tier, str]:
    """Say up to which tier the rules allow presets, and the rule in words.

    Parameters
    ----------
    n
        Training and validation examples.
    budget_usd, minutes
        Limits; None is none.
    quality
        Score that is aimed at, in [0, 1].

    Examples
    --------
    >>> allowed(60, 50.0, None, 0.85)[0].name, allowed(60, 4.0, None, 0.85)[0].name
    ('MEDIUM', 'SMALL')
    """
    usd = math.inf if budget_usd is None else budget_usd
    if usd < CHEAP_BELOW_USD or (minutes is not None and minutes < CHEAP_BELOW_MINUTES):
        why = "for less than a dollar" if usd < CHEAP_BELOW_USD else "with so few minutes"
        return Tier.MINIMAL, f"{why} the rules keep to demos"
    if n < _SMALL_N and usd < _SMALL_USD:
        return Tier.SMALL, f"with fewer than {_SMALL_N} examples and ${_SMALL_USD:g} the rules prefer GEPA light"
    if usd < _MEDIUM_USD:
        return Tier.LIGHT, f"below ${_MEDIUM_USD:g} the rules prefer MIPROv2 light"
    if usd <= HEAVY_USD:
        return Tier.MEDIUM, f"from ${_MEDIUM_USD:g} the rules prefer MIPROv2 medium"
    if quality >= FINETUNE_QUALITY:
        return Tier.FINETUNE, f"for a target of {FINETUNE_QUALITY:g} the rules allow fine-tuning"
    return Tier.HEAVY, f"above ${HEAVY_USD:g} the rules prefer MIPROv2 heavy"
