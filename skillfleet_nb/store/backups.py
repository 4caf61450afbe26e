"""Backups inside a home: what a reset takes out, and how it comes back."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.events import AUDIT
from skillfleet_nb.format import expanded
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store.cipher import key_needed
from skillfleet_nb.store.home import ASIDE, is_stream, writing
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.records import ResetReport
from skillfleet_nb.store.unlocking import cipher_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from skillfleet_nb.store.home import Home


def streams(journal: Path) -> list[str]:
    """Names of the streams in a journal, but for the audit trail, which stays where it is."""
    if not journal.is_dir():
        return []
    names = (folder.name for folder in journal.iterdir() if is_stream(folder.name) and folder.is_dir())
    return sorted(name for name in names if name != AUDIT)


def names(home: Home) -> list[str]:
    """Names of the home's backups, oldest first."""
    return sorted(folder.name for folder in home.backups.iterdir()) if home.backups.is_dir() else []


def new_folder(home: Home) -> Path:
    """Make an empty folder for a backup, named by the time."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with writing(home.backups):
        home.backups.mkdir(exist_ok=True)
        for attempt in range(1, 1000):
            folder = home.backups / (now if attempt == 1 else f"{now}-{attempt}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise InputError(f"'{home.backups}' has a thousand backups of this second: try again.")


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def move_out(home: Home, folder: Path) -> ResetReport:
    """Move every job and program of a home into a folder; a job that comes to life meanwhile is left."""
    moved, left = [], []
    with writing(folder):
        (folder / "journal").mkdir()
        for stream in streams(home.journal):
            place = home.journal / stream
            try:
                with locked(place / "alive.lock"):
                    place.rename(folder / "journal" / stream)
            except Busy:
                left.append(stream)
            else:
                moved.append(stream)
        for kept in filter(Path.is_dir, (home.programs_dir, home.blobs)):
            if left:  # they may need any of them
                shutil.copytree(kept, folder / kept.name, ignore=_links)
            else:
                kept.rename(folder / kept.name)
    return ResetReport(folder, tuple(moved), size(folder), tuple(left))


def find(home: Home, name: str | Path) -> Path:
    """Find a backup with jobs in it, by its name or as a folder anywhere.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    InputError
        If it holds no journal.
    """
    inside, path = home.backups / name, expanded(name).absolute()
    folder = next((place for place in (inside, path) if place.is_dir()), None)
    if folder is None:
        raise unknown("backup", str(name), names(home), hint=f"{as_typed('db status')} lists them.")
    if not (folder / "journal").is_dir():
        raise InputError(
            f"backup '{folder}' holds no jobs: the database alone is made anew with {as_typed('db rebuild')}."
        )
    return folder


def copy_back(home: Home, folder: Path) -> ResetReport:
    """Copy the jobs and programs of a backup into a home, but for those it has already."""
    copied, left = [], []
    cipher = cipher_of(home.root)
    _refuse_other_keys(folder, frozenset() if cipher is None else cipher.keys.keys())
    with writing(home.root):
        for source in sorted([*(folder / "programs").glob("*.json"), *(folder / "blobs").glob("*.*")]):
            if source.is_symlink():
                continue
            target = home.ensure().root / source.parent.name / source.name
            if not target.exists():
                _copy(source, target)
        for stream in streams(folder / "journal"):
            target = home.ensure().journal / stream
            if target.exists() or (folder / "journal" / stream).is_symlink():
                left.append(stream)
            else:
                _copy(folder / "journal" / stream, target)
                copied.append(stream)
    return ResetReport(folder, tuple(copied), sum(size(home.journal / s) for s in copied), tuple(left))


def _refuse_other_keys(folder: Path, keys: Collection[str]) -> None:
    for part in ("journal", "programs", "blobs"):
        for file in (folder / part).rglob("*"):
            if file.is_file() and (key := key_needed(file)) is not None and key not in keys:
                raise InputError(
                    f"backup '{folder}' is encrypted with a key that this home does not have (in '{file.name}'): bring "
                    "it back in the home it was made in, decrypt that, and restore its files here."
                )


def _links(folder: str, names: list[str]) -> list[str]:
    """Name the links in a folder: no home makes any, and they would bring in what lies elsewhere."""
    return [name for name in names if (Path(folder) / name).is_symlink()]


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder so that others see all of it or none."""
    target.parent.mkdir(exist_ok=True)
    aside = target.with_name(f"{ASIDE}{os.urandom(4).hex()}")
    if source.is_dir():
        shutil.copytree(source, aside, ignore=_links)
    else:
        shutil.copy2(source, aside)
    aside.rename(target)
