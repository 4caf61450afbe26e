"""Jobs that wait for a process, as files: what waits costs no memory, and a crash of whoever waited loses nothing.

A job has a ticket from when it is asked for until a process has taken it.  A ticket that is held is left where it is.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.journal import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skillfleet_nb.store.home import Home

_WAITS, _HELD = ".ticket", ".held"


def folder(home: Home) -> Path:
    """Name the folder of the tickets."""
    return home.root / "queue"


def write(home: Home, stream: str, data: bytes) -> None:
    """Queue a job; raises `HomeError` where the home cannot be written."""
    place = folder(home)
    with writing(place):
        place.mkdir(mode=0o700, exist_ok=True)
        atomic_write(place / f"{stream}{_WAITS}", data)


def waiting(home: Home) -> Iterator[tuple[str, Path, int]]:
    """Yield the jobs that wait and are not held, each with its ticket and when that was written."""
    with suppress(FileNotFoundError):
        for file in folder(home).iterdir():
            if file.suffix == _WAITS and not file.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield file.name.removesuffix(_WAITS), file, file.stat().st_mtime_ns


def is_queued(home: Home, stream: str) -> bool:
    """Tell whether a job waits for a process, held or not."""
    place = folder(home)
    return (place / f"{stream}{_WAITS}").exists() or (place / f"{stream}{_HELD}").exists()


def is_owned(home: Home, stream: str) -> bool:
    """Tell whether a stream has a live writer, or will have one: what neither runs nor waits has lost its process."""
    # It goes from either to the other, so that one look at each may come too early for both.
    return is_queued(home, stream) or is_alive(home, stream) or is_queued(home, stream)


def remove(home: Home, stream: str) -> None:
    """Take a job out of the queue."""
    for suffix in (_WAITS, _HELD):
        (folder(home) / f"{stream}{suffix}").unlink(missing_ok=True)


def hold(home: Home, stream: str) -> bool:
    """Let a waiting job wait on; return whether it was waiting."""
    return _renamed(home, stream, _WAITS, _HELD)


def let_go(home: Home, stream: str) -> bool:
    """Let a held job be started; return whether it was held."""
    return _renamed(home, stream, _HELD, _WAITS)


def _renamed(home: Home, stream: str, before: str, after: str) -> bool:
    place = folder(home)
    try:
        (place / f"{stream}{before}").rename(place / f"{stream}{after}")
    except FileNotFoundError:
        return False
    return True
