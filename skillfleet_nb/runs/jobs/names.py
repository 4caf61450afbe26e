"""The name that a job gets as it is made or comes back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.store import queries
from skillfleet_nb.store.names import free, names_held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb.store import Store


@contextmanager
def free_name(store: Store, wanted: str | None) -> Iterator[str | None]:
    """Give a job that is created in the body a name that no other has; None leaves it to the job."""
    if wanted is None:
        yield None
        return
    store.home.ensure()
    with names_held(store.home) as held:  # a name twice is better than no job
        yield free(wanted.strip(), queries.taken_names(store)) if held else wanted
