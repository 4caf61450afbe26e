"""What a home put aside and keeps for a time: deleted jobs in the trash, and backups."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from skillfleet_nb.format import counted
from skillfleet_nb.store import backups, trash
from skillfleet_nb.store.home import writing

if TYPE_CHECKING:
    from skillfleet_nb.config import Settings
    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.trash import Emptied

_NAMED = len("20260101-120000")


@dataclass(frozen=True)
class Expired:
    """What is older than the settings keep: of the trash, and backups by name; `bytes` is the size of both."""

    trash: Emptied
    backups: tuple[str, ...]
    bytes: int

    def __bool__(self) -> bool:
        return bool(self.trash.jobs or self.backups)

    @property
    def in_words(self) -> str:
        """Name it."""
        jobs, kept = self.trash.jobs, self.backups
        parts = [f"{counted(len(jobs), 'job')} of the trash ({', '.join(one.name for one in jobs)})"] if jobs else []
        parts += [f"{counted(len(kept), 'backup')} ({', '.join(kept)})"] if kept else []
        return " and ".join(parts)


def expired(home: Home, settings: Settings) -> Expired:
    """Tell what :func:`expire` would delete now."""
    doomed = trash.would_empty(home, before=_before(settings.keep_trash_days))
    last = _before(settings.keep_backups_days)
    old = tuple(name for name in backups.names(home) if (made := _made(name)) is not None and last and made < last)
    return Expired(doomed, old, doomed.bytes + sum(backups.size(home.backups / name) for name in old))


def expire(home: Home, doomed: Expired) -> None:
    """Delete for good what :func:`expired` told of; raises `HomeError` if the home cannot be written."""
    if doomed.trash.jobs:
        trash.empty(home, doomed.trash)
    with writing(home.backups):
        for name in doomed.backups:
            shutil.rmtree(home.backups / name)


def _before(days: float | None) -> datetime | None:
    """Return the moment so many days ago; None where all is kept."""
    if days is None:
        return None
    with suppress(OverflowError):
        return datetime.now(UTC) - timedelta(days=days)
    return None


def _made(name: str) -> datetime | None:
    """Return when a backup was made, by its name; None of a folder that somebody else put there."""
    with suppress(ValueError):
        return datetime.strptime(name[:_NAMED], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return None
