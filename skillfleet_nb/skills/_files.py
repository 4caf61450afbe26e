"""Writing a skill's files: a crash leaves the old file or the new one, and nothing is written outside of its folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKUP_FOLDER = ".backup"
"""Hidden, so neither `find_skills` nor validation looks into it."""


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, keeping its permissions."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by path within a folder, which is made where missing."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write(folder / path, content)


def replace(folder: Path, files: Mapping[str, bytes]) -> Path | None:
    """Write files over those of a skill, and return where these are kept; None where there were none.

    Raises
    ------
    InputError
        If a link leads out of the skill: its folder is one, or has one on the way to a file.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder of its own: remove it, or choose another name")
    for path in files:
        _refuse_leading_out(folder, path)
    old = {path: (folder / path).read_bytes() for path in files if (folder / path).is_file()}
    backup = back_up(folder, old) if old else None
    fill(folder, files)
    return backup


def back_up(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Store files under ``.backup/<hash of their content>/``; the same content is stored once.

    Raises
    ------
    InputError
        If a link leads from there out of the skill.
    """
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + content for name, content in sorted(files.items())))
    place = Path(BACKUP_FOLDER, digest.hexdigest()[:12])
    for name in files:
        _refuse_leading_out(folder, place / name)
    fill(folder / place, files)
    return folder / place


def _refuse_leading_out(folder: Path, path: str | Path) -> None:
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{str(folder / path)!r} leads out of the skill: remove the link")
