"""What installed packages bring along under an entry point group: found by name, imported, and told where broken."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, PluginError, SkillfleetError
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator


def points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, by name; nothing is imported.

    Examples
    --------
    >>> "gepa" in {point.name for point in points("skillfleet_nb.optimizers")}
    True
    """
    return list(_scanned(group, tuple((folder, _changed(folder)) for folder in sys.path)))


@lru_cache(maxsize=8)
def _scanned(group: str, places: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Read what is installed, which takes some milliseconds, again only where a folder has changed."""
    del places
    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116  a path of sys.path may be empty
    except OSError:
        return 0


def imported(point: EntryPoint, what: str) -> Any:
    """Import what an entry point names, which is `what` for people.

    Raises
    ------
    InputError
        If that fails, or several packages register the name: which of them is meant cannot be told.
    """
    same = [one for one in points(point.group) if one.name == point.name]
    packages = {package_of(one) for one in same} if len(same) > 1 else set()  # their metadata is read for it
    if len(packages) > 1:
        raise InputError(
            f"{what} {point.name!r} is registered by several packages ({', '.join(sorted(packages))}); "
            "uninstall one of them, or update it to one that takes another name"
        )
    try:
        return point.load()
    except (Exception, SystemExit) as exc:  # a plugin's module may raise anything as it is imported
        raise InputError(f"{what} {point.name!r} cannot be loaded: {_told(exc)}; {way_out(point)}") from exc


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Tell what a plugin raises in the body as its fault: `what` it cannot do; raises `PluginError`.

    Examples
    --------
    >>> with guarded("mine cannot check the task"):
    ...     {}["train"]
    Traceback (most recent call last):
    skillfleet_nb.errors.PluginError: mine cannot check the task: KeyError: 'train'; mend it, or update its package
    """
    try:
        yield
    except SkillfleetError:
        raise
    except (Exception, SystemExit) as exc:  # a plugin may raise anything
        raise PluginError(f"{what}: {_told(exc)}; mend it, or update its package") from exc


def _told(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {one_line(str(exc))}"


def way_out(point: EntryPoint) -> str:
    """Say what to do about a broken plugin."""
    return f"update or uninstall {package_of(point) or 'its package'}"


def package_of(point: EntryPoint) -> str:
    """Name the package that an entry point comes with; empty where that is not known."""
    return point.dist.name if point.dist else ""
