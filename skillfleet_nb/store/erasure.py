"""Erasing jobs: out of the journal, the trash, backups and the database, with what only they refer to, and a proof.

What is erased is counted and hashed first, and looked for afterwards; both are in the audit trail.  The journal's own
folder goes last, so that what dies half-way can be asked for again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skillfleet_nb.events import AUDIT
from skillfleet_nb.format import counted
from skillfleet_nb.store import trash
from skillfleet_nb.store.audit import Trail
from skillfleet_nb.store.home import ASIDE, DATABASE, writing
from skillfleet_nb.store.locks import locked
from skillfleet_nb.store.logs import forget_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from skillfleet_nb.store.home import Home

_PROGRAM = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_BLOB = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class Erased:
    """A job that is erased, or would be.

    Attributes
    ----------
    folders
        Its own: in the journal, the trash and backups.
    files
        Programs, images and files that nothing else refers to, and databases in backups, which may hold rows of it.
    bytes, digest
        Size of it all, and SHA-256 over names and contents.
    named_in
        Where its id still stands in the home, the audit trail aside; looked for when it was erased.
    exports
        What was exported since it was made, and may hold something of it.
    """

    job_id: str
    name: str
    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    bytes: int
    digest: str
    named_in: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """What a person reads of how much it is."""
        what = f"{counted(len(self.folders), 'folder')}, {counted(len(self.files), 'file')} beside them"
        return f"{what}, {self.bytes:,} bytes, SHA-256 {self.digest}"


def would_erase(home: Home, job_id: str, name: str) -> Erased:
    """Tell what :func:`erase` would take away now."""
    backups = sorted(home.backups.iterdir()) if home.backups.is_dir() else []
    places = [home.journal / job_id, home.trash / job_id, *(backup / "journal" / job_id for backup in backups)]
    folders = tuple(place for place in places if place.is_dir())
    databases = [file for backup in backups for file in backup.glob(f"{DATABASE}*")]
    files = (*_only_its_own(home, backups, folders), *databases)
    digest, size = hashlib.sha256(), 0
    for file in _all(folders, files):
        digest.update(os.fsencode(file.relative_to(home.root)) + b"\0")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
                size += len(block)
    return Erased(job_id, name, folders, files, size, digest.hexdigest(), exports=tuple(Trail(home).exports(job_id)))


def erase(home: Home, doomed: Erased) -> None:
    """Erase a job.

    Raises
    ------
    Busy
        If it is at work.
    HomeError
        If the home cannot be written.
    """
    Trail(home).record("job.erase", doomed.job_id, f"begun: {doomed.in_words}")
    own = home.journal / doomed.job_id
    with writing(home.root):
        for file in (*doomed.files, home.trash / f"{doomed.job_id}.json"):
            file.unlink(missing_ok=True)
        for folder in doomed.folders:
            if folder != own:
                shutil.rmtree(folder)
        forget_log(home, doomed.job_id)
        if own in doomed.folders:
            aside = home.journal / f"{ASIDE}{os.urandom(4).hex()}"
            with locked(own / "alive.lock"):
                own.rename(aside)
            shutil.rmtree(aside)


def proved(home: Home, erased: Erased) -> Erased:
    """Look for what was erased, and write down what came of it."""
    sign, apart = erased.job_id.encode(), {home.journal / AUDIT}
    named_in = tuple(
        str(file.relative_to(home.root))
        for file in trash.files_but(home, apart)
        if erased.job_id in str(file) or any(sign in text for text in trash.texts_of(file))
    )
    outcome = f"still named in {', '.join(named_in)}" if named_in else "nothing of it was found again"
    Trail(home).record("job.erase", erased.job_id, f"done: {erased.in_words}; {outcome}")
    return replace(erased, named_in=named_in)


def _only_its_own(home: Home, backups: list[Path], folders: tuple[Path, ...]) -> list[Path]:
    """List programs and blobs, here and in backups, that only these folders refer to."""
    homes = [home.root, *backups]
    programs = {file.stem.encode(): file.name for root in homes for file in (root / "programs").glob("*.json")}
    blobs = {file.name.partition(".")[0].encode(): file.name for root in homes for file in (root / "blobs").glob("*")}
    mine = {name for text in _texts(_all(folders)) for name in (*_PROGRAM.findall(text), *_BLOB.findall(text))}
    mine &= programs.keys() | blobs.keys()
    its_programs = {root / "programs" / programs[name] for root in homes for name in mine & programs.keys()}
    its_programs = {file for file in its_programs if file.exists()}
    mine |= blobs.keys() & {name for text in _texts(its_programs) for name in _BLOB.findall(text)}
    apart = {home.blobs, *(backup / "blobs" for backup in backups), *folders, *its_programs, home.journal / AUDIT}
    for text in _texts(trash.files_but(home, apart)) if mine else ():
        mine -= {*_PROGRAM.findall(text), *_BLOB.findall(text)}
    names = [*(("programs", programs[name]) for name in mine if name in programs)]
    names += [("blobs", blobs[name]) for name in mine if name in blobs]
    return sorted(file for root in homes for kind, name in names if (file := root / kind / name).exists())


def _all(folders: Iterable[Path], files: Iterable[Path] = ()) -> list[Path]:
    return sorted({*files, *(file for folder in folders for file in folder.rglob("*") if file.is_file())})


def _texts(files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        yield from trash.texts_of(file)
