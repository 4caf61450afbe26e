"""Scores as people and programs give them."""

from __future__ import annotations

import math
from typing import SupportsFloat, cast

from skillfleet_nb.errors import InputError


def read_score(score: object) -> float:
    """Read a score in [0, 1]; a bool counts as 0 or 1, and text as the number it writes.

    Examples
    --------
    >>> read_score(True), read_score("0.5")
    (1.0, 0.5)

    Raises
    ------
    InputError
        If it is no number, or out of its range.
    """
    try:
        value = float(cast("SupportsFloat", score))
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 1:
        raise InputError(f"score={score!r}: give a number in [0, 1], or a bool.")
    return value
