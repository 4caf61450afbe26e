"""Names of jobs: each is one job's alone in its home, so that a name always finds the job it was given to."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.store.locks import Busy, locked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from skillfleet_nb.store.home import Home

_WAIT_S = 30.0  # for another process that is just starting a job of the same home


@contextmanager
def names_held(home: Home) -> Iterator[bool]:
    """Let nobody else give a name in the body; tell whether that came about."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(home.root / "names.lock", wait_s=_WAIT_S))
        except Busy:
            yield False
        else:
            yield True


def free(wanted: str, taken: Collection[str]) -> str:
    """Return a name that is free: the one wanted, or with the first number that makes it so.

    Examples
    --------
    >>> free("intents", {"intents", "intents-2"}), free("intents-2", {"intents", "intents-2"}), free("new", ())
    ('intents-3', 'intents-3', 'new')
    """
    if wanted not in taken:
        return wanted
    stem, dash, number = wanted.rpartition("-")
    stem = stem if dash and number.isdigit() else wanted
    n = 2
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
