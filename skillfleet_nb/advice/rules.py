"""The house rules: which optimizers are worth their money at a size and a budget, before anything is known.

As first published they left gaps (20 to 99 USD with fewer than 500 examples fell to the weakest
optimizer) and never compared a price with the budget.  Here each step up in budget or time adds to what
is allowed and takes nothing away, so that more money never gives a weaker optimizer; which of the
allowed ones is affordable is for the forecast to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

CHEAP_BELOW_USD, CHEAP_BELOW_MINUTES = 1.0, 2.0
_SMALL_N, _SMALL_USD = 100, 5.0
_MEDIUM_USD, _HEAVY_USD = 20.0, 100.0
STEPS_USD = (CHEAP_BELOW_USD, _SMALL_USD, _MEDIUM_USD, _HEAVY_USD + 0.01)
"""Budgets from which the rules allow more."""
FINETUNE_QUALITY = 0.95


@dataclass(frozen=True)
class Arm:
    """One way to optimise: an optimizer at one size.

    Attributes
    ----------
    name
        For people: ``"miprov2 light"``.
    optimizer, params
        What runs.
    share
        Share of what is left to gain that it is expected to win, until runs of the home tell.
    few_shot
        Whether it fills prompts with examples from the start, rather than change instructions first.
    """

    name: str
    optimizer: str
    params: dict[str, Any] = field(default_factory=dict)
    share: float = 0.1
    few_shot: bool = True


ARMS: tuple[Arm, ...] = (
    Arm("labeled_fewshot", "labeled_fewshot", {}, 0.10),
    Arm("copro", "copro", {"breadth": 4, "depth": 2}, 0.11, few_shot=False),
    Arm("bootstrap_fewshot", "bootstrap_fewshot", {}, 0.12),
    Arm("simba", "simba", {"num_candidates": 4, "max_steps": 4}, 0.13, few_shot=False),
    Arm("knn_fewshot", "knn_fewshot", {}, 0.15),
    Arm("infer_rules", "infer_rules", {"num_candidates": 4}, 0.16),
    Arm("bootstrap_random_search", "bootstrap_random_search", {"num_candidate_programs": 8}, 0.18),
    Arm("gepa light", "gepa", {"auto": "light"}, 0.22, few_shot=False),
    Arm("gepa medium", "gepa", {"auto": "medium"}, 0.23, few_shot=False),
    Arm("better_together", "better_together", {"steps": ["bootstrap_random_search", "infer_rules"]}, 0.25),
    Arm("miprov2 light", "miprov2", {"auto": "light"}, 0.26),
    Arm("miprov2 medium", "miprov2", {"auto": "medium"}, 0.28),
    Arm("miprov2 heavy", "miprov2", {"auto": "heavy"}, 0.30),
    Arm("bootstrap_finetune", "bootstrap_finetune", {}, 0.34),
)
"""What is recommended from, the weakest first by the rules."""

CHEAP = frozenset({"labeled_fewshot", "bootstrap_fewshot"})
_LIGHT = CHEAP | {"knn_fewshot", "copro", "simba", "infer_rules", "bootstrap_random_search", "gepa light"}


def allowed(n: int, budget_usd: float | None, minutes: float | None, quality: float) -> tuple[frozenset[str], str]:
    """Say which arms the rules allow, and the rule in words.

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
    >>> "miprov2 medium" in allowed(60, 50.0, None, 0.85)[0], "miprov2 medium" in allowed(60, 5.0, None, 0.85)[0]
    (True, False)
    """
    usd = math.inf if budget_usd is None else budget_usd
    if (minutes is not None and minutes < CHEAP_BELOW_MINUTES) or usd < CHEAP_BELOW_USD:
        which = "minutes" if usd >= CHEAP_BELOW_USD else "a dollar"
        return CHEAP, f"with so few {which} the rules keep to demos" if which == "minutes" else (
            "for less than a dollar the rules keep to demos"
        )
    if n < _SMALL_N and usd < _SMALL_USD:
        return _LIGHT, f"with fewer than {_SMALL_N} examples and ${_SMALL_USD:g} the rules prefer GEPA light"
    light = _LIGHT | {"miprov2 light", "better_together"}
    if usd < _MEDIUM_USD:
        return light, f"below ${_MEDIUM_USD:g} the rules prefer MIPROv2 light"
    medium = light | {"miprov2 medium", "gepa medium"}
    if usd <= _HEAVY_USD:
        return medium, f"from ${_MEDIUM_USD:g} the rules prefer MIPROv2 medium"
    heavy = medium | {"miprov2 heavy"}
    if quality >= FINETUNE_QUALITY:
        return heavy | {"bootstrap_finetune"}, f"for a target of {FINETUNE_QUALITY:g} the rules allow fine-tuning"
    return heavy, f"above ${_HEAVY_USD:g} the rules prefer MIPROv2 heavy"


def arm_name(optimizer: str, params: dict[str, Any]) -> str:
    """Name the arm that a run is nearest to: the optimizer, and its size where it has sizes.

    Examples
    --------
    >>> arm_name("miprov2", {"auto": "medium"}), arm_name("copro", {"depth": 3}), arm_name("gepa", {})
    ('miprov2 medium', 'copro', 'gepa light')
    """
    if optimizer not in {"miprov2", "gepa"}:
        return optimizer
    return f"{optimizer} {params.get('auto') or 'light'}"
