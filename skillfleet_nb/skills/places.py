"""Where a repository holds skills, as hosts see them: hidden folders of theirs, links to folders, submodules."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.security import known_place
from skillfleet_nb.skills.document import FILE_NAMES
from skillfleet_nb.skills.hosts import HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HIDDEN = {".skills", *(folder.partition("/")[0] for host in HOSTS for folder in host.folders)}
_WITHIN = {"skill", "skills", "plugins"}  # what is looked at in a hidden folder of a host
# Other people's code, version control and copies, our own among them.
_NEVER = {".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".backup", ".skillfleet", "node_modules", "__pycache__"}
_DEEP = 4  # levels that are looked into to tell of skills which are left out
_SUBMODULE = re.compile(r"^\s*path\s*=\s*(.+?)\s*$", re.MULTILINE)


def folder_of_skills(root: str | os.PathLike[str]) -> Path:
    """Return the whole path of a folder of skills.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    place = known_place(root)
    if not place.is_dir():
        raise NotFoundError(f"no folder {str(root)!r}: give a folder of skills.")
    return place.absolute()


class Places(NamedTuple):
    """The skills of a folder, and what is to be said of others.

    Attributes
    ----------
    folders
        Of the skills, by path; of one that is linked to from several places the folder itself.
    notes
        On skills that are left out, a line each.
    """

    folders: tuple[Path, ...]
    notes: tuple[str, ...]


def look(root: str | os.PathLike[str]) -> Places:
    """Look for skills under a folder.

    Hidden folders are entered where a host reads skills there, and below a folder ``skills``.  Links to
    folders are followed, as hosts do, each folder is taken once; of what lies outside of `root`, a skill
    or a folder of skills.
    """
    walk = _Walk(Path(root))
    folders = sorted(walk.all())
    notes = [f"{_in(root, path)}: no host reads skills there" for path in sorted(walk.left_out)]
    return Places(tuple(folders), (*notes, *_submodules(Path(root))))


class _Walk:
    def __init__(self, root: Path) -> None:
        self._root, self._real_root = root, Path(os.path.realpath(root))
        self._seen: set[str] = set()
        self._links: list[Path] = []
        self.left_out: list[Path] = []

    def all(self) -> Iterator[Path]:
        yield from self._enter(self._root)
        for link in self._links:  # which grows meanwhile; a folder itself comes before what is linked to it
            real = Path(os.path.realpath(link))
            if real.is_relative_to(self._real_root) or _holds_skill(real) or any(map(_holds_skill, _folders(real))):
                yield from self._enter(link)

    def _enter(self, folder: Path) -> Iterator[Path]:
        real = os.path.realpath(folder)
        if real in self._seen:
            return
        self._seen.add(real)
        if _holds_skill(folder):
            yield folder
        for child in _folders(folder):
            if child.name in _NEVER or (folder.name in _HIDDEN - {".skills"} and child.name not in _WITHIN):
                continue
            if child.name.startswith(".") and child.name not in _HIDDEN and folder.name != "skills":
                self.left_out += _skills_within(child, _DEEP)
            elif child.is_symlink():
                self._links.append(child)
            else:
                yield from self._enter(child)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry) for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []


def _holds_skill(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in FILE_NAMES)


def _skills_within(folder: Path, levels: int) -> list[Path]:
    if _holds_skill(folder):
        return [folder]
    inside = [f for f in _folders(folder) if f.name not in _NEVER and not f.is_symlink()] if levels else []
    return [place for child in inside for place in _skills_within(child, levels - 1)]


def _submodules(root: Path) -> Iterator[str]:
    """Tell of submodules that are not checked out: their folders are empty."""
    try:
        listed = (root / ".gitmodules").read_text("utf-8", "replace")
    except OSError:
        return
    for path in _SUBMODULE.findall(listed):
        folder = root / path
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            yield f"{path}: a submodule that is not checked out; git submodule update --init gets its skills"


def _in(root: str | os.PathLike[str], path: Path) -> str:
    return path.relative_to(root).as_posix()
