"""Every optimizer on a model that turns blank, unreadable, refusing or failing, at any moment of the run."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, cast

from faulty import FAULTS, Faulty, held_to_the_rule, start
from made_up import SMALL

from skillfleet_nb import Fleet
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty import Fault

_NEVER = 10**9
_SHARES = (
    0.35,
    0.5,
    0.7,
    0.85,
    0.95,
    -3,
)  # of the calls that an undisturbed run makes; below 0: so many before its end


def cases() -> Iterator[str]:
    """Name each case: optimizer, fault, moment."""
    for optimizer in SMALL:
        for fault in FAULTS:
            yield f"{optimizer} {fault} always"
            yield f"{optimizer} {fault} half"
            yield from (f"{optimizer} {fault} {share}" for share in _SHARES)


@cache
def _undisturbed(optimizer: str, folder: Path) -> int:
    engine = Faulty("error", "after", _NEVER)
    start(Fleet(folder / "whole"), optimizer, engine).result()
    return engine.calls


def hold(case: str, folder: Path) -> str:
    """Run it, and see that no zero stands for a missing answer."""
    optimizer, named, moment = case.split()
    fault = cast("Fault", named)
    if moment == "always":
        engine = Faulty(fault, "always")
    elif moment == "half":
        engine = Faulty(fault, "half")
    else:
        whole, share = _undisturbed(optimizer, folder.parent / "fire-models"), float(moment)
        engine = Faulty(fault, "after", int(share * whole if share > 0 else whole + share))
    job = start(Fleet(folder), optimizer, engine)
    with suppress(JobError):
        held_to_the_rule(job)
    if moment == "always" and job.state is not JobState.FAILED:
        raise AssertionError(f"ended {job.state}")
    return f"{job.state}, {engine.calls} calls"
