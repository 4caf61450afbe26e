"""The trash of a home: jobs that were deleted, each whole in a folder of its own, until somebody empties it."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from skillfleet_nb.errors import JobError
from skillfleet_nb.store import parquet
from skillfleet_nb.store.backups import size
from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.tickets import is_lent, is_queued

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from skillfleet_nb.store.home import Home

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SETTLED_S = 3600.0  # a blob is kept before the event that refers to it is written


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
    if is_queued(home, job_id) or is_lent(home, job_id):
        raise JobError(f"job {name!r} waits in the queue: cancel it, or wait until it ends.")
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


@dataclass(frozen=True)
class Emptied:
    """What is given up for good: jobs of the trash, and files of ``blobs/`` that nothing else refers to.

    `bytes` is the size of both on disk.
    """

    jobs: list[Deleted]
    blobs: int
    bytes: int


def would_empty(home: Home) -> Emptied:
    """Tell what :func:`empty` would give up now."""
    return _emptied(home, _unreferenced(home))


def empty(home: Home) -> Emptied:
    """Delete what lies in the trash for good, and the blobs that nothing else refers to.

    A job is put out of reach in one step before its files go, so that one that is left half-way is in no list.

    Raises
    ------
    HomeError
        If the home cannot be written.
    """
    blobs = _unreferenced(home)
    gone = _emptied(home, blobs)
    with writing(home.trash):
        for one in gone.jobs:
            (home.trash / f"{one.job_id}.json").unlink(missing_ok=True)
        if home.trash.is_dir():
            shutil.rmtree(home.trash)
        for blob in blobs:
            blob.unlink(missing_ok=True)
    return gone


def _emptied(home: Home, blobs: list[Path]) -> Emptied:
    jobs = deleted(home)
    return Emptied(jobs, len(blobs), sum(one.bytes for one in jobs) + sum(blob.stat().st_size for blob in blobs))


def _unreferenced(home: Home) -> list[Path]:
    """List the blobs that only the trash refers to, or nothing; none that was kept or met again of late."""
    if not home.blobs.is_dir():
        return []
    settled = time.time() - _SETTLED_S
    left = {b.name.partition(".")[0].encode(): b for b in home.blobs.iterdir() if b.stat().st_mtime < settled}
    for file in files_but(home, {home.trash, home.blobs}) if left else ():
        for text in texts_of(file):
            for digest in _DIGEST.findall(text):
                left.pop(digest, None)
    return sorted(left.values())


def files_but(home: Home, apart: Collection[Path]) -> Iterator[Path]:
    """Yield the files of a home but its database, and those that are, or lie in, what is set apart."""
    for place in home.root.iterdir():
        if place.name.startswith(home.database.name):
            continue
        for file in [place] if place.is_file() else place.rglob("*"):
            if file.is_file() and not (file in apart or any(folder in apart for folder in file.parents)):
                yield file


def texts_of(file: Path) -> Iterator[bytes]:
    """Yield what a file says: of a compacted segment its lines; nothing of one that has just gone."""
    with suppress(FileNotFoundError):
        if file.suffix == ".parquet":
            yield from (line for line, _ in parquet.raw_lines(file))
        else:
            yield file.read_bytes()
