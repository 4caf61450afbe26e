"""The gate of continuous learning: whether a new version is better, and on no example worse than by noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.format import counted, points
from skillfleet_nb.monitoring.guardrails import read_guardrail
from skillfleet_nb.power import rows_needed
from skillfleet_nb.stats import paired_comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.monitoring.golden_sets import Asked, GoldenSet

_RISK = 0.05
_WANTED = 0.05


class Gate(NamedTuple):
    """What a gate says: whether it is passed, and the evidence in words."""

    passed: bool
    text: str


def why_shut(golden: GoldenSet, gain: float) -> str:
    """Say why no version could pass on a golden set, before anything is spent; empty where one could."""
    room, least = 1 - golden.mean, golden.smallest_gain
    if least is not None and max(least, gain) <= room:
        return ""
    shows = "no gain" if least is None else f"gains from {points(least)} points on"
    needed = rows_needed(min(_WANTED, room), golden.noise) if room > 0 else 0
    more = f"; {points(min(_WANTED, room))} points take {needed:,} examples" if room > 0 else ""
    asked = f", and {points(gain)} are asked for" if gain else ""
    return (
        f"no version can pass: {golden.ref} with {counted(golden.rows, 'example')} shows {shows}{asked}, and "
        f"{points(room)} points are left above {points(golden.mean)}{more}"
    )


def gate(golden: GoldenSet, before: Asked, after: Asked, gain: float, guardrails: Sequence[str]) -> Gate:
    """Compare two versions' answers to a golden set, pair by pair.

    It is passed where the gain is told from chance and as large as asked for, no more examples are worse than noise
    explains, and no guardrail is broken.
    """
    by = paired_comparison(before.scores, after.scores)
    failed = []
    if by.verdict != "improved":
        failed.append("no gain is told")
    elif by.delta < gain:
        failed.append(f"{points(gain)} points are asked for")
    worse = sum(b < a for a, b in zip(before.scores, after.scores, strict=True))
    noisy = most_worse(len(golden.rows), golden.noise / 2)
    if worse > noisy:
        failed.append(f"{counted(worse, 'example')} are worse, and noise explains {noisy}")
    for text in guardrails:
        limit = read_guardrail(text)
        ratio = _ratio(before, after)
        if ratio is None or ratio > limit.most:
            failed.append(f"{limit} is broken: " + ("the cost is not known" if ratio is None else f"{ratio:.2g}x"))
    tail = f"worse on {worse}, up to {noisy} by noise"
    text = f"{by.sentence()}; {tail}"
    return Gate(not failed, f"passed: {text}" if not failed else f"not passed ({'; '.join(failed)}): {text}")


def most_worse(n: int, chance: float) -> int:
    """Return how many of `n` examples come out worse by noise at most, at a risk of 5 %."""
    total, k = 0.0, 0
    while True:
        total += math.comb(n, k) * chance**k * (1 - chance) ** (n - k)
        if total >= 1 - _RISK or k == n:
            return k
        k += 1


def _ratio(before: Asked, after: Asked) -> float | None:
    """Return how many times as much the second cost; None where that is not known."""
    if before.cost_usd is None or after.cost_usd is None:
        return None
    if before.cost_usd == 0:  # models that cost nothing: their calls
        return after.calls / before.calls if before.calls else None
    return after.cost_usd / before.cost_usd
