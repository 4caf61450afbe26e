"""What the store reports: frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from skillfleet_nb.store.expiry import Expired


@dataclass(frozen=True)
class FoldReport:
    """What one fold did.

    Attributes
    ----------
    events
        Events that became rows.
    bad_lines
        Lines skipped because they hold no sound event.
    seconds
        Wall time.
    complete
        False where others held the database too long; the new lines wait for the next fold.
    repaired
        What was wrong with the database that was put aside and rebuilt, if any was.
    held_by
        The other program that has the database open and so kept it from being changed, if any did.
    """

    events: int
    bad_lines: int
    seconds: float
    complete: bool
    repaired: str | None = None
    held_by: str | None = None


@dataclass(frozen=True)
class StoreStatus:
    """State of a home's query side; nothing is folded to tell it.

    Attributes
    ----------
    home
        The home folder.
    schema_version
        Migrations applied to the database, 0 where there is none.
    pending_migrations
        Names of those still to apply.
    database_bytes, journal_bytes, programs_bytes
        Sizes on disk.
    jobs, events
        Folded so far.
    pending_segments
        Journal files that have grown since they were folded.
    torn_lines
        Lines without a sound event: torn by a crash, or damaged.
    orphans
        Jobs that did not finish and have no live writer.
    compacted
        Jobs whose journal is all Parquet.
    trash_jobs, trash_bytes
        Deleted jobs that lie in the trash, and their size.
    backups
        Names of the backups, oldest first.
    attach
        The statement that attaches the database safely in another DuckDB client.
    """

    home: Path
    schema_version: int
    pending_migrations: tuple[str, ...]
    database_bytes: int
    journal_bytes: int
    programs_bytes: int
    jobs: int
    events: int
    pending_segments: int
    torn_lines: int
    orphans: tuple[str, ...]
    compacted: int
    trash_jobs: int
    trash_bytes: int
    backups: tuple[str, ...]
    attach: str


@dataclass(frozen=True)
class CompactReport:
    """What a compaction did, or would do.

    Attributes
    ----------
    compacted
        Jobs whose journal became Parquet.
    hashed
        Those of them whose prompts and responses became hashes.
    dropped
        Jobs that were deleted.
    busy
        Jobs that were left because they came to life meanwhile.
    bytes_before, bytes_after
        Sizes on disk of the journals of all these jobs; `bytes_after` is None where nothing was done.
    expired
        What went from the trash and of the backups.
    seconds
        Wall time.
    """

    compacted: tuple[str, ...]
    hashed: tuple[str, ...]
    dropped: tuple[str, ...]
    busy: tuple[str, ...]
    bytes_before: int
    bytes_after: int | None
    expired: Expired | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class ResetReport:
    """What a reset moved, or would move; as a report of a restoration, what came back.

    Attributes
    ----------
    backup
        The folder it went to, or came from.
    jobs
        Jobs moved, with all that was recorded beside them.
    bytes
        Size on disk of what was moved.
    left
        Jobs left where they are: they came to life meanwhile, or were in the home already.
    renamed
        By the name that a restored job had, its present one, where another job has the name by now.
    beside
        What is no job's and was left in the backup, since the home has its own: ``registry``, ``knowledge``, …
    """

    backup: Path
    jobs: tuple[str, ...]
    bytes: int
    left: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
