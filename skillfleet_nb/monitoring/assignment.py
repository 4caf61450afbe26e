"""Which variant a unit gets: decided by a hash, the same in every process and after every restart."""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARTS = 5
OVER = 10**9
"""The split of calls that were made once a test was over: they have an id as any other, and count for nothing."""


class Call(NamedTuple):
    """What the id of a call says: who was answered by which variant, under which split."""

    unit: str
    variant: int
    epoch: int


def unit_hash(run: str, unit: object) -> str:
    """Return what a unit is known by in a test: 16 hexadecimal digits that name nobody.

    Raises
    ------
    InputError
        If it is missing or empty.
    """
    if unit is None or not str(unit).strip():
        raise InputError(
            f"unit={unit!r}: say who or what is answered, such as a user's or a request's id: "
            "a unit is answered by the same variant each time."
        )
    return blake2b(str(unit).encode("utf-8", "replace"), digest_size=8, key=run.encode()).hexdigest()


def variant_of(unit: str, split: Sequence[float]) -> int:
    """Return the place of the variant that a unit's hash gets of a split.

    Examples
    --------
    >>> [variant_of(unit_hash("run", n), (0.5, 0.5)) for n in range(6)]
    [0, 1, 0, 1, 1, 1]
    """
    point = int(unit, 16) / 2**64
    # from the end: as the share of the last variant grows, its units stay with it
    for back, share in enumerate(accumulate(reversed(split)), 1):
        if point < share:
            return len(split) - back
    return max(range(len(split)), key=split.__getitem__)  # shares add up to a hair less than 1


def new_call(run: str, unit: str, variant: int, epoch: int) -> str:
    """Make the id of a call, which says whose it is and cannot be mistaken for one of another test."""
    text = f"{unit}-{variant}-{epoch}-{secrets.token_hex(4)}"
    return f"{text}-{_mark(run, text)}"


def read_call(run: str, call: object) -> Call:
    """Read the id of a call; raises `InputError` for what is none of this test."""
    text, _, mark = str(call).rpartition("-")
    parts = str(call).split("-")
    if len(parts) != _PARTS or not hmac.compare_digest(mark.encode(), _mark(run, text).encode()):
        raise InputError(
            f"id {str(call)[:60]!r} is no call of this test: give what the test answered, or route.id_of(answer)."
        )
    return Call(parts[0], int(parts[1]), int(parts[2]))


def _mark(run: str, text: str) -> str:
    return blake2b(text.encode(), digest_size=4, key=run.encode()).hexdigest()
