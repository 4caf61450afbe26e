"""What stands for a part of another library while a run is on, and gives it back at the end of the last."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_switch = threading.Lock()


@contextmanager
def replaced(owner: object, name: str, make: Callable[[Any], Any]) -> Iterator[Any]:
    """Have what `make` makes of an attribute stand for it, from the first run that is on to the end of the last.

    Yields
    ------
    object
        The stand-in, one for all runs that are on.
    """
    with _switch:
        stand_in = getattr(owner, name)
        if "stands_for_runs" not in getattr(stand_in, "__dict__", {}):
            original, stand_in = stand_in, make(stand_in)
            stand_in.original, stand_in.stands_for_runs = original, 0
            setattr(owner, name, stand_in)
        stand_in.stands_for_runs += 1
    try:
        yield stand_in
    finally:
        with _switch:
            stand_in.stands_for_runs -= 1
            if stand_in.stands_for_runs == 0 and getattr(owner, name) is stand_in:  # or somebody put theirs over it
                setattr(owner, name, stand_in.original)
