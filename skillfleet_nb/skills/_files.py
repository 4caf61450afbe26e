"""Writing a skill's files so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

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


def back_up(folder: Path, files: dict[str, bytes]) -> Path:
    """Store files under ``.backup/<hash of their content>/``; the same content is stored once."""
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + content for name, content in sorted(files.items())))
    place = folder / BACKUP_FOLDER / digest.hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write(place / name, content)
    return place
