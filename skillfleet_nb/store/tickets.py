"""Jobs that wait for a process, as files: what waits costs no memory, and a crash of whoever waited loses nothing.

A job has a ticket from when it is asked for until a process has taken it.  A ticket that is held is left where it is.
One that was lent belongs to an executor until the job is finished, and is worth something as long as the process lives
that lent it: its executor starts the job again where a worker is lost.
"""

from __future__ import annotations

import atexit
import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.journal import is_alive
from skillfleet_nb.store.locks import Busy, acquire
from skillfleet_nb.store.unlocking import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from skillfleet_nb.store.home import Home

_WAITS, _HELD, _LENT = ".ticket", ".held", ".lent"


def folder(home: Home) -> Path:
    """Name the folder of the tickets."""
    return home.root / "queue"


def write(home: Home, stream: str, data: bytes) -> None:
    """Queue a job; raises `HomeError` where the home cannot be written."""
    place = folder(home)
    with writing(place):
        place.mkdir(mode=0o700, exist_ok=True)
        write_bytes(home.root, place / f"{stream}{_WAITS}", data)


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
    return any(look(home, stream) for look in (is_queued, is_lent, is_alive, is_lent, is_queued))


def unowned(home: Home, streams: Iterable[str]) -> set[str]:
    """Return those of many streams that are not owned, by one look at the folder for all that wait or were lent."""
    place = folder(home)
    files = {entry.name for entry in os.scandir(place)} if place.is_dir() else set()
    lives = functools.cache(lambda lender: _is_locked(place / lender))

    def has_ticket(stream: str) -> bool:
        if files & {f"{stream}{_WAITS}", f"{stream}{_HELD}"}:
            return True
        try:
            return f"{stream}{_LENT}" in files and lives((place / f"{stream}{_LENT}").read_text("utf-8"))
        except OSError:
            return False

    return {stream for stream in streams if not has_ticket(stream) and not is_owned(home, stream)}


def remove(home: Home, stream: str) -> None:
    """Take a job out of the queue."""
    for suffix in (_WAITS, _HELD, _LENT):
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


def lend(home: Home, stream: str) -> str:
    """Give a job to an executor of this process; return the name of the file whose lock says that it lives."""
    place = folder(home)
    with writing(place):
        place.mkdir(mode=0o700, exist_ok=True)
        lender = _lender(place)
        atomic_write(place / f"{stream}{_LENT}", lender.encode())
    return lender


def is_lent(home: Home, stream: str) -> bool:
    """Tell whether an executor of a live process has a job."""
    place = folder(home)
    try:
        return _is_locked(place / (place / f"{stream}{_LENT}").read_text("utf-8"))
    except OSError:
        return False


def is_seen_to_live(home: Home, lender: str) -> bool:
    """Tell whether the lock of a lender, by the name that :meth:`lend` returned, is seen to be held from here."""
    try:
        return _is_locked(folder(home) / lender)
    except OSError:
        return False


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        os.close(acquire(path, shared=True))
    except Busy:
        return True
    return False


@functools.cache  # one for all jobs that this process lends: a descriptor each would soon be too many
def _lender(place: Path) -> str:
    """Hold a lock until this process ends; return the name of its file."""
    file = place / f"lender-{os.urandom(8).hex()}.lock"
    lock = acquire(file)
    owner = os.getpid()

    def forget() -> None:
        if os.getpid() == owner:
            file.unlink(missing_ok=True)

    atexit.register(forget)

    def part() -> None:
        os.close(lock)  # or an orphan would keep it alive
        _lender.cache_clear()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=part)
    return file.name
