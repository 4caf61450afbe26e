"""Names of jobs: each is one job's alone in its home, so that a name always finds the job it was given to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.store import queries
from skillfleet_nb.store.locks import Busy, locked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from skillfleet_nb.store import Store

_WAIT_S = 30.0  # for another process that is just starting a job of the same home


@contextmanager
def free_name(store: Store, wanted: str | None) -> Iterator[str | None]:
    """Give a job that is created in the body a name that no other has; None leaves it to the job."""
    if wanted is None:
        yield None
        return
    store.home.ensure()
    try:
        with locked(store.home.root / "names.lock", wait_s=_WAIT_S):
            yield free(wanted.strip(), queries.taken_names(store))
    except Busy:  # a name twice is better than no job
        yield wanted


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
