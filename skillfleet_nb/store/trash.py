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
from skillfleet_nb.store.cipher import is_encrypted, lines_of
from skillfleet_nb.store.home import DATABASE, writing
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.logs import forget_log
from skillfleet_nb.store.segments import label
from skillfleet_nb.store.tickets import is_lent, is_queued
from skillfleet_nb.store.unlocking import cipher_for, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from skillfleet_nb.store.home import Home

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
EVER = datetime.max.replace(tzinfo=UTC)
"""A moment before which all was deleted."""
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
        write_bytes(home.root, home.trash / f"{job_id}.json", orjson.dumps(asdict(entry)))
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
        for entry in [orjson.loads(read_bytes(file))]
    ]
    return sorted(entries, key=lambda one: one.at, reverse=True)


@dataclass(frozen=True)
class Emptied:
    """What is given up for good: jobs of the trash, and files of ``blobs/`` that nothing else refers to.

    `bytes` is the size of both on disk.
    """

    jobs: tuple[Deleted, ...]
    blobs: tuple[Path, ...]
    bytes: int


def would_empty(home: Home, *, before: datetime | None = EVER) -> Emptied:
    """Tell what :func:`empty` would give up now: of jobs deleted before a moment, without one none.

    Where no job would go, no blob does either, but for a trash that is emptied as a whole.
    """
    jobs = tuple(one for one in deleted(home) if before is not None and one.at < before)
    blobs = tuple(_unreferenced(home, jobs)) if jobs or before == EVER else ()
    return Emptied(jobs, blobs, sum(one.bytes for one in jobs) + sum(blob.stat().st_size for blob in blobs))


def empty(home: Home, doomed: Emptied) -> None:
    """Delete for good what :func:`would_empty` told of.

    A job is put out of reach in one step before its files go, so that one that is left half-way is in no list.

    Raises
    ------
    HomeError
        If the home cannot be written.
    """
    with writing(home.trash):
        for one in doomed.jobs:
            (home.trash / f"{one.job_id}.json").unlink(missing_ok=True)
            forget_log(home, one.job_id)
        for folder in home.trash.iterdir() if home.trash.is_dir() else ():
            if folder.is_dir() and not (home.trash / f"{folder.name}.json").exists():
                shutil.rmtree(folder)
        for blob in doomed.blobs:
            blob.unlink(missing_ok=True)


def _unreferenced(home: Home, jobs: Collection[Deleted]) -> list[Path]:
    """List the blobs that only these jobs of the trash refer to, or nothing; none that was kept or met of late."""
    if not home.blobs.is_dir():
        return []
    settled = time.time() - _SETTLED_S
    left = {b.name.partition(".")[0].encode(): b for b in home.blobs.iterdir() if b.stat().st_mtime < settled}
    doomed = {home.trash / one.job_id for one in jobs}
    for file in files_but(home, {home.blobs, *doomed}) if left else ():
        for text in texts_of(file):
            for digest in _DIGEST.findall(text):
                left.pop(digest, None)
    return sorted(left.values())


def files_but(home: Home, apart: Collection[Path]) -> Iterator[Path]:
    """Yield the files of a home but its database, and those that are, or lie in, what is set apart."""
    for place in home.root.iterdir():
        if place.name.startswith(DATABASE):
            continue
        for file in [place] if place.is_file() else place.rglob("*"):
            if file.is_file() and not (file in apart or any(folder in apart for folder in file.parents)):
                yield file


def texts_of(file: Path) -> Iterator[bytes]:
    """Yield what a file says: of a compacted segment its lines; nothing of one that has just gone."""
    with suppress(FileNotFoundError):
        if file.suffix == ".parquet":
            yield from (line for line, _ in parquet.raw_lines(file))
        elif file.suffix == ".jsonl" and is_encrypted(file):
            decrypted = cipher_for(file).lines(label(file)).decrypted
            yield from map(decrypted, lines_of(file.read_bytes()))
        else:
            yield read_bytes(file)
