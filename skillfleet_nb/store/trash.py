"""The trash of a home: jobs that were deleted, each whole in a folder of its own, until somebody empties it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from skillfleet_nb.errors import JobError
from skillfleet_nb.store.backups import size
from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.locks import Busy, locked

if TYPE_CHECKING:
    from skillfleet_nb.store.home import Home


@dataclass(frozen=True)
class Deleted:
    """A job in the trash: when it was deleted (UTC), and its size on disk."""

    job_id: str
    name: str
    at: datetime
    bytes: int


def put(home: Home, job_id: str, name: str) -> Deleted:
    """Move a job into the trash.

    Raises
    ------
    JobError
        If it is at work.
    HomeError
        If the home cannot be written.
    """
    place, entry = home.journal_dir(job_id), would_put(home, job_id, name)
    with writing(home.trash):
        home.trash.mkdir(exist_ok=True)
        atomic_write(home.trash / f"{job_id}.json", orjson.dumps(asdict(entry)))
        try:
            with locked(place / "alive.lock"):
                place.rename(home.trash / job_id)
        except Busy:
            (home.trash / f"{job_id}.json").unlink(missing_ok=True)
            raise JobError(f"job {name!r} is at work: cancel it, or wait until it ends.") from None
    return entry


def would_put(home: Home, job_id: str, name: str) -> Deleted:
    """Tell what :func:`put` would move now."""
    return Deleted(job_id, name, datetime.now(UTC), size(home.journal_dir(job_id)))


def put_back(home: Home, job_id: str) -> None:
    """Move a job out of the trash; raises `HomeError` if the home cannot be written."""
    with writing(home.journal):
        (home.trash / job_id).rename(home.journal_dir(job_id))
        (home.trash / f"{job_id}.json").unlink(missing_ok=True)


def deleted(home: Home) -> list[Deleted]:
    """List the jobs in the trash, the last one first."""
    if not home.trash.is_dir():
        return []
    entries = [
        Deleted(**{**entry, "at": datetime.fromisoformat(entry["at"])})
        for file in home.trash.glob("*.json")
        if (home.trash / file.stem).is_dir()
        for entry in [orjson.loads(file.read_bytes())]
    ]
    return sorted(entries, key=lambda one: one.at, reverse=True)
