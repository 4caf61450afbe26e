"""Sixteen processes on one home for ten minutes, two killed every second: all that was acknowledged is there once.

A question that lacks what its asker has just written has to say so.
"""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from store_stress import stress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MINUTES, _EVENTS_PER_S = 10, 500


def cases() -> Iterator[str]:
    """Name the one case."""
    yield f"16 processes for {_MINUTES} minutes"


def hold(case: str, folder: Path) -> str:
    """Let ten append, five ask and one compact; nothing is lost, doubled, unanswered or silently stale."""
    del case
    load = os.getloadavg()[0]
    found = stress(folder, events_per_s=_EVENTS_PER_S, seconds=60 * _MINUTES, appenders=10, queriers=5, compactors=1)
    if found.lost or found.doubled or found.unanswered or found.errors or not found.acknowledged:
        told = f"{found.lost} lost, {found.doubled} doubled, {found.unanswered} unanswered, {found.errors[:3]}"
        raise AssertionError(told)
    return (
        f"{found.kills} kills, {found.acknowledged:,} events acknowledged and found, {len(found.seconds):,} answers, "
        f"median {statistics.median(found.seconds):.2f} s, {found.late} late ones that said so, "
        f"{found.compacted} segments compacted; load {load:.1f} at the start"
    )
