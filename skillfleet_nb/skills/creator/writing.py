"""Writing a skill to disk: last, in one step, never over another skill unasked, never outside of the root."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import InputError
from skillfleet_nb.security import known_place
from skillfleet_nb.skills import _files
from skillfleet_nb.skills.document import slug
from skillfleet_nb.skills.skill import Skill

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_MOST_TRIED = 1_000


class Written(NamedTuple):
    """Where a skill was written; `backup` holds what was there before, None where nothing was."""

    folder: Path
    backup: Path | None


def checked_root(root: str | os.PathLike[str]) -> Path:
    """Return a root as a full path; refuse one that is no folder.

    Raises
    ------
    InputError
        Saying what is there.
    """
    place = known_place(root).absolute()
    if place.exists() and not place.is_dir():
        raise InputError(f"root = {str(root)!r} is a file: give the folder that holds your skills")
    if (place / "SKILL.md").is_file():
        raise InputError(f"root = {str(root)!r} is a skill itself: give the folder that holds your skills")
    return place


def write_skill(files: Mapping[str, str], root: str | os.PathLike[str], *, force: bool = False) -> Written:
    """Write a skill into ``root/NAME``, whole or not at all.

    Where the name is another skill's, the new one gets a number, unless `force` replaces it.  A folder that holds these
    files already is left as it is, so that writing again after a crash makes no second one.

    Parameters
    ----------
    files
        By path within the skill; ``SKILL.md`` among them.
    root
        Folder of skills; made where missing.
    force
        Replace what is in the folder of that name, after a backup.

    Raises
    ------
    InputError
        If a path leads out of the skill, the name is none, or it cannot be written.
    """
    root = checked_root(root)
    skill = Skill.parse(files["SKILL.md"])
    if not skill.name or slug(skill.name) != skill.name:
        raise InputError(f"name {skill.name!r} is no name of a skill: lower case, digits and single hyphens")
    for path in files:
        if Path(path).is_absolute() or ".." in Path(path).parts or "\\" in path:
            raise InputError(f"path {path!r} leads out of the skill: give paths within it")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for n in range(1, _MOST_TRIED):
            name = skill.name if n == 1 else f"{skill.name}-{n}"
            made = {p: text.encode() for p, text in files.items()}
            if n > 1:
                made["SKILL.md"] = skill.with_fields(name=name).dumps()
            folder = root / name
            if folder.is_dir() and not folder.is_symlink() and _holds(folder, made):
                return Written(folder, None)
            if folder.exists() and force:
                return Written(folder, _files.replace(folder, made))
            if not _taken(folder) and _moved_in(folder, made):
                return Written(folder, None)
    except OSError as error:
        raise InputError(f"cannot write into {str(root)!r}: {error}. Check its permissions.") from error
    raise InputError(f"{str(root)!r} holds {_MOST_TRIED:,} skills called {skill.name!r}: give another root")


def _taken(folder: Path) -> bool:
    return folder.exists() or folder.is_symlink()


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    return all((folder / path).is_file() and (folder / path).read_bytes() == text for path, text in files.items())


def _moved_in(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make the folder aside and move it as a whole; tell whether nobody was faster.

    Aside is named by what is written: whoever writes it again after a crash takes away what was left there.
    """
    digest = hashlib.sha256(b"".join(part for path in files for part in (path.encode(), b"\0", files[path], b"\0")))
    aside = folder.parent / f".new-{folder.name}-{digest.hexdigest()[:12]}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _files.fill(aside / folder.name, files)
        (aside / folder.name).rename(folder)
    except OSError:
        if _taken(folder):
            return False
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True
