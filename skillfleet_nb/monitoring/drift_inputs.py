"""Drift of inputs: live inputs do not come from where those of the reference came from."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from skillfleet_nb.format import counted, one_line, percent
from skillfleet_nb.monitoring.drift_report import Details, Finding, Moved
from skillfleet_nb.monitoring.two_sample import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

NEW = 0.2
"""Share of new inputs that is planned for."""
POWER = 0.8
_USUAL = 0.08  # share of the reference that lies as far out as new inputs do, at best
_SHOWN = 5
_STATISTICS = 2  # of the test, which share its risk


class InputDrift(NamedTuple):
    """What was found, with live inputs from where there are more, and inputs from where there are fewer."""

    finding: Finding
    moved: Sequence[Moved]
    left: Sequence[str]


def input_drift(
    texts: tuple[Sequence[str], Sequence[str]], vectors: tuple[Vectors, Vectors], spent: float, seed: int, device: str
) -> InputDrift:
    """Compare live inputs with those of a reference, which texts and vectors have first."""
    (reference, live), n = vectors, len(vectors[1])
    result = compare(reference, live, alpha=spent, seed=seed, device=device)
    moved = []
    for place in _foremost(texts[1], result.moved):
        nearest = int((reference @ live[place]).argmax())
        moved.append(Moved(texts[1][place], texts[0][nearest], float(reference[nearest] @ live[place])))
    left = [texts[0][place] for place in _foremost(texts[0], result.left)]
    rows = [[one_line(m.live), one_line(m.nearest), f"{m.similarity:.2f}"] for m in moved]
    details = (
        Details(("more than before", "nearest before", "similarity"), rows),
        Details(("fewer than before",), [[one_line(text)] for text in left]),
    )
    risk = spent / _STATISTICS
    share = next((one / 100 for one in range(1, 101) if rows_to_tell(one / 100, risk) <= n), None)
    needed = rows_to_tell(NEW, risk)
    on = f"{counted(n, 'live input')} against {len(reference):,}"
    least = "no share of new inputs" if share is None else f"new inputs only from {percent(share)} on"
    finding = Finding(
        "input", result.p_value, spent, result.divergence, n, len(reference), needed,
        f"the inputs have drifted, {on}",
        f"no drift of inputs is told, {on}",
        f"{on} show {least}; {needed:,} show {percent(NEW)} of them", share, details,
    )  # fmt: skip
    return InputDrift(finding, moved, left)


def _foremost(texts: Sequence[str], weights: NDArray[np.float64]) -> list[int]:
    """Return the places of the texts that weigh most, each text once."""
    places: dict[str, int] = {}
    for place in np.argsort(-weights, kind="stable"):
        places.setdefault(texts[place], int(place))
        if len(places) == _SHOWN:
            break
    return list(places.values())


def rows_to_tell(share: float, alpha: float) -> int:
    """Return the live inputs that tell a share of new ones in 8 of 10 checks, where they lie far out: the best case."""
    usual, more = _USUAL, _USUAL + (1 - _USUAL) * share
    beta = NormalDist().inv_cdf(POWER) * math.sqrt(more * (1 - more))
    return math.ceil(((NormalDist().inv_cdf(1 - alpha) * math.sqrt(usual * (1 - usual)) + beta) / (more - usual)) ** 2)
