"""A folder of this user's on a memory file system: what an encrypted home needs in clear, while it is unlocked.

It is gone after a restart of the machine, and whatever is in it can be made anew: the database, logs, vectors.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.home import writing

_VARIABLE = "SKILLFLEET_MEMORY"
_IN_MEMORY = {"tmpfs", "ramfs"}


def private_folder(root: Path, identity: str) -> Path:
    """Name the folder of a home, by its place and what it is called in ``encryption.json``; it may not exist.

    Raises
    ------
    HomeError
        If there is no memory file system on this machine.
    """
    name = hashlib.sha256(os.fsencode(root.resolve()) + b"\n" + identity.encode()).hexdigest()[:32]
    return _base() / f"skillfleet-{os.getuid()}" / name


def made(folder: Path) -> Path:
    """Make a private folder where it is missing, for this user alone.

    Raises
    ------
    HomeError
        If it cannot be made, or somebody else made it.
    """
    with writing(folder):
        for place in (folder.parent, folder):
            with suppress(FileExistsError):
                place.mkdir(mode=0o700)
            look = place.lstat()
            if not stat.S_ISDIR(look.st_mode) or look.st_uid != os.getuid() or look.st_mode & 0o077:
                raise HomeError(
                    f"'{place}' is not a folder of yours alone: whoever made it could read what an encrypted home "
                    f"keeps there. Remove it, or name another memory file system with {_VARIABLE}."
                )
    return folder


def _base() -> Path:
    """Find a memory file system."""
    if not hasattr(os, "getuid"):
        raise HomeError("an encrypted home needs a memory file system, which this operating system has not.")
    named = os.environ.get(_VARIABLE)
    places = [named] if named else ["/dev/shm", os.environ.get("XDG_RUNTIME_DIR")]  # noqa: S108  looked at by `made`
    for place in filter(None, places):
        folder = Path(place).resolve()
        if folder.is_dir() and os.access(folder, os.W_OK) and _kind(folder) in _IN_MEMORY:
            return folder
    looked = " and ".join(filter(None, places))
    raise HomeError(
        f"an encrypted home keeps its database in memory, and {looked} is no memory file system (tmpfs) that can be "
        f"written: mount one, and name it with {_VARIABLE}."
    )


def _kind(folder: Path) -> str:
    """Tell what kind of file system a folder lies on, as the kernel lists them; empty where it does not."""
    best, kind = -1, ""
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines():
            place, what = line.split(" ")[1:3]
            if folder.is_relative_to(place.encode().decode("unicode_escape")) and len(place) >= best:
                best, kind = len(place), what
    return kind
