"""Streams of the journal that several processes write to in turn: what is decided there is decided once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.errors import JobError
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb.store import Home


@contextmanager
def writing(home: Home, stream: str, doing: str, wait_s: float = 10.0) -> Iterator[Journal]:
    """Hold a stream as its one writer; raises `JobError` where others go on `doing` what they do for too long."""
    try:
        journal = Journal(home, stream, wait_s=wait_s, join=True)
    except JobError:
        raise JobError(f"others have been {doing} in {home} for {wait_s:g} s: try again.") from None
    with journal:
        yield journal
