"""DuckDB connections with nothing attached: lent for one question, and kept for the next.

To make one takes longer than most queries.  One serves every home of the process; one more, which is locked
down, serves the queries that people write in the home that was asked last.
"""

from __future__ import annotations

import atexit
import functools
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.store import guard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb


_SPILL = 4  # times the memory, on the home's disk


class Allowed(NamedTuple):
    """What a person's query may reach, and how much memory it may take."""

    folders: tuple[Path, ...]
    memory_gb: float


class Bounds(NamedTuple):
    """What a connection that is locked down can reach and take: `files` are the database's own."""

    allowed: Allowed
    files: tuple[Path, ...]


@contextmanager
def lend(spill: Path, bounds: Bounds | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection, which is kept for the next question unless the block fails.

    Parameters
    ----------
    spill
        Folder for what does not fit into memory; it appears when it is needed.
    bounds
        Lock the connection down to them.
    """
    con = _fit(_kept().pop(bounds is not None, None), spill, bounds) or _new(spill, bounds)
    try:
        yield con
    except BaseException:
        con.close()
        raise
    if _kept().setdefault(bounds is not None, (bounds, con))[1] is not con:  # used by two threads at once
        con.close()


@functools.cache  # for the life of the process; the loss of one costs no more than a new one
def _kept() -> dict[bool, tuple[Bounds | None, duckdb.DuckDBPyConnection]]:
    """Return the connections that nobody uses, by whether they are locked down.

    They are closed before a fork, for one that is inherited would crash the child as it ends, and as the process
    ends, or the library tells of leaks there.
    """
    kept: dict[bool, tuple[Bounds | None, duckdb.DuckDBPyConnection]] = {}
    atexit.register(kept.clear)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=kept.clear)
    return kept


def _fit(
    kept: tuple[Bounds | None, duckdb.DuckDBPyConnection] | None, spill: Path, bounds: Bounds | None
) -> duckdb.DuckDBPyConnection | None:
    """Return a kept connection made ready for use, or nothing if it is not what is asked for."""
    import duckdb

    if kept is None or kept[0] != bounds:
        return None
    with suppress(duckdb.Error):  # a result that nobody read to its end, say
        kept[1].execute("DETACH DATABASE IF EXISTS fleet")
        if bounds is None:
            kept[1].execute("SET temp_directory = ?", [str(spill)])
        return kept[1]
    return None


def _new(spill: Path, bounds: Bounds | None) -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",  # nothing is fetched behind anybody's back
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # a missing table is never a Python variable of that name
            "temp_directory": str(spill),
        }
    )
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")  # it is drawn on standard output
    if bounds is not None:
        memory = round(bounds.allowed.memory_gb * 1e6)
        con.execute(f"SET memory_limit = '{memory} kB'; SET max_temp_directory_size = '{_SPILL * memory} kB'")
        guard.lock_down(con, bounds.allowed.folders, bounds.files)
    return con
