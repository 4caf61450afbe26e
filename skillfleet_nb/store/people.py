"""Who is at work, for what is recorded."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PERSON: ContextVar[str | None] = ContextVar("skillfleet_person", default=None)


def person() -> str:
    """Name who is at work: the user of a server who asked, else this process's; empty where that has no name."""
    if (named := _PERSON.get()) is not None:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return ""


@contextmanager
def working_for(name: str) -> Iterator[None]:
    """Say, for the body, on whose behalf this process works.

    Examples
    --------
    >>> with working_for("ann"):
    ...     person()
    'ann'
    """
    token = _PERSON.set(name)
    try:
        yield
    finally:
        _PERSON.reset(token)
