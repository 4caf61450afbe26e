"""Commands within messages, as whoever reads them types them: a shell's in a shell, the magic's in a notebook."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELL, MAGIC = "skillfleet", "%skillfleet"
_SURFACE: ContextVar[str | None] = ContextVar("skillfleet_surface", default=None)


def as_typed(command: str) -> str:
    """Return the line that runs a command, where its answer is read.

    Parameters
    ----------
    command
        The command without what precedes it, such as ``resume intents``.

    Examples
    --------
    >>> with read_in("skillfleet"):
    ...     as_typed("resume intents")
    'skillfleet resume intents'
    """
    surface = _SURFACE.get() or (MAGIC if _in_ipython() else SHELL)
    return f"{surface} {command}"


def as_switch(name: str) -> str:
    """Return how a choice is made that is off by itself: an option of a command, or an argument in Python.

    Examples
    --------
    >>> with read_in("skillfleet"):
    ...     as_switch("overwrite")
    '--overwrite'
    >>> as_switch("overwrite")
    'overwrite=True'
    """
    return f"--{name}" if _SURFACE.get() else f"{name}=True"


@contextmanager
def read_in(surface: str) -> Iterator[None]:
    """Say, for the body, which surface messages are read in: :data:`SHELL` or :data:`MAGIC`."""
    token = _SURFACE.set(surface)
    try:
        yield
    finally:
        _SURFACE.reset(token)


def _in_ipython() -> bool:
    ipython = sys.modules.get("IPython")  # not imported to tell that there is none
    return ipython is not None and ipython.get_ipython() is not None
