"""Reaching the database file: under the right lock, attached the safe way, put aside when damaged.

DuckDB 2.0 loses acknowledged commits of processes that rely on ``duckdb.connect(path)`` and its own
lock: it reads the header before it takes the lock.  So the file is only ever attached to an
in-memory connection with its type named, which skips that early read, and only under an OS lock on
``fleet.lock``: exclusive to write, shared to read.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError, UnwritableError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import schema
from skillfleet_nb.store.connections import Bounds, lend
from skillfleet_nb.store.guard import one_line
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.locks import Busy, HeldByOtherProgram, acquire, locked, prove
from skillfleet_nb.store.unlocking import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import duckdb

    from skillfleet_nb.store.connections import Allowed
    from skillfleet_nb.store.home import Home

_DAMAGE = re.compile(
    r"not a valid DuckDB database|Corrupt database file|replaying WAL|Serialization Error|Failed to deserialize"
    r'|Could not read enough bytes from file "[^"]*fleet\.duckdb'
)
_BAR_S = 0.2  # for so long those who would read wait for one who would write and cannot
_HELD = ("Could not set lock", "already attached")


class DamagedError(Exception):
    """The database cannot be read; it has to be rebuilt from the journal."""


def is_damage(error: duckdb.Error) -> bool:
    """Tell whether an error of DuckDB is about the file's content, not about a query."""
    return _DAMAGE.search(str(error)) is not None


def quoted(text: str | Path) -> str:
    """Write text as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


class Database:
    """The file ``fleet.duckdb`` of a home, attached as ``fleet`` for the time of a ``with`` block."""

    def __init__(self, home: Home, migrations: tuple[schema.Migration, ...]) -> None:
        self._home = home
        self._migrations = migrations
        self._turn = home.root / "fleet.turn"

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return self._home.database.exists()

    def connection(self, allowed: Allowed | None = None) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend a connection with nothing attached, locked down to the database and what is `allowed`."""
        path = self._home.database
        files = (path, *(path.with_name(path.name + ending) for ending in (".wal", ".wal.checkpoint", ".wal.recovery")))
        return lend(self._home.derived / "tmp", Bounds(allowed, files) if allowed else None)

    @contextmanager
    def reading(self, con: duckdb.DuckDBPyConnection, wait_s: float) -> Iterator[tuple[schema.Migration, ...]]:
        """Attach read-only under a shared lock; without a file, an empty database in memory.

        Yields the migrations that the database still needs.

        Raises
        ------
        Busy
            If a writer kept the lock for `wait_s` seconds.
        DamagedError
            If the file cannot be read, now or in the block.
        HomeError
            If another program has the file open for writing.
        """
        if not self._home.database.exists():
            with self.in_memory(con):
                yield ()
            return
        with suppress(UnwritableError):  # then nobody writes whom a lock would keep out
            prove(self._home.root)
        with self._shared(wait_s), _detached(con):
            try:
                with _damage_told():
                    con.execute(f"ATTACH {quoted(self._home.database)} AS fleet (TYPE duckdb, READ_ONLY)")
            except HeldByOtherProgram as held:
                raise HomeError(
                    f"{held} Close it there; {as_typed('db status')} has a line that attaches read-only."
                ) from None
            with _damage_told():
                old = schema.pending(con, self._migrations)
                if old == self._migrations:  # its maker died before the first table
                    _attach_nothing(con, self._migrations)
                    old = ()
                yield old

    @contextmanager
    def in_memory(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Attach an empty database in memory, to be folded into where the home cannot be written."""
        with _detached(con):
            _attach_nothing(con, self._migrations)
            yield

    @contextmanager
    def writing(self, con: duckdb.DuckDBPyConnection, wait_s: float) -> Iterator[None]:
        """Attach for writing under the exclusive lock, created and migrated as needed.

        Raises
        ------
        Busy
            If others kept the lock for `wait_s` seconds; `HeldByOtherProgram` if one has the file open.
        DamagedError
            If the file could not be read; it has been put aside, and the next attempt makes a new one.
        UnwritableError
            If the home cannot be written.
        HomeError
            If a newer version made the database.
        """
        prove(self._home.root)
        with self._exclusive(wait_s):
            path = self._home.database  # with the lock held: the home may just have been encrypted
            if not path.exists():
                _wal(path).unlink(missing_ok=True)  # of a database that somebody deleted
            try:
                with _detached(con), _damage_told(UnwritableError):
                    con.execute(f"ATTACH {quoted(path)} AS fleet (TYPE duckdb)")
                    schema.migrate(con, self._migrations)
                    yield
                    con.execute("DETACH fleet")
            except DamagedError:
                self._put_aside()
                raise

    def put_aside(self, wait_s: float) -> None:
        """Rename a damaged database, over an earlier damaged one; raises `Busy` as `writing` does."""
        with self._exclusive(wait_s):
            self._put_aside()

    @contextmanager
    def deleted(self, wait_s: float) -> Iterator[None]:
        """Delete the database, and keep others from making it anew in the block; raises `Busy` as `writing` does."""
        with self._exclusive(wait_s):
            self._home.database.unlink(missing_ok=True)
            _wal(self._home.database).unlink(missing_ok=True)
            yield

    def copy_to(self, folder: Path, wait_s: float) -> None:
        """Copy the database's files into a folder; raises `Busy` if a writer kept the lock."""
        with self._shared(wait_s), writing(folder):
            for file in (self._home.database, _wal(self._home.database)):
                if file.exists() and self._home.is_encrypted:
                    write_bytes(self._home.root, folder / file.name, file.read_bytes())
                elif file.exists():
                    shutil.copy2(file, folder)

    @contextmanager
    def _shared(self, wait_s: float) -> Iterator[None]:
        with locked(self._turn, shared=True, wait_s=wait_s):
            fd = acquire(self._home.lock, shared=True, wait_s=wait_s)
        try:
            yield
        finally:
            os.close(fd)

    @contextmanager
    def _exclusive(self, wait_s: float) -> Iterator[None]:
        """Lock out everybody.  Whoever waits for it bars the way for new readers, or there would always be one."""
        deadline = time.monotonic() + wait_s
        while True:
            with locked(self._turn, wait_s=max(0.0, deadline - time.monotonic())), suppress(Busy):
                fd = acquire(self._home.lock, wait_s=min(_BAR_S, max(0.0, deadline - time.monotonic())))
                break
            if time.monotonic() >= deadline:
                raise Busy(str(self._home.lock))
            time.sleep(_BAR_S / 10)  # somebody reads for long: others may as well
        try:
            yield
        finally:
            os.close(fd)

    def _put_aside(self) -> None:
        path = self._home.database
        with writing(path):
            for file in (path, _wal(path)):
                if file.exists():
                    file.replace(file.with_name(file.name + ".damaged"))


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _attach_nothing(con: duckdb.DuckDBPyConnection, migrations: tuple[schema.Migration, ...]) -> None:
    con.execute("DETACH DATABASE IF EXISTS fleet; ATTACH ':memory:' AS fleet")
    schema.migrate(con, migrations)


@contextmanager
def _detached(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """See to it that nothing is attached once the lock is let go of, if need be by closing the connection."""
    import duckdb

    try:
        yield
    finally:
        try:
            con.execute("DETACH DATABASE IF EXISTS fleet")
        except duckdb.Error:
            con.close()


@contextmanager
def _damage_told(failed: type[HomeError] = HomeError) -> Iterator[None]:
    """Sort DuckDB's errors: damage, a file held by another program, a disk that has `failed`."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if any(sign in text for sign in _HELD):
            raise HeldByOtherProgram(f"another program holds the database: {one_line(error)}") from error
        if is_damage(error):
            raise DamagedError(one_line(error)) from error
        if isinstance(error, duckdb.IOException | duckdb.FatalException | duckdb.TransactionException):
            raise failed(f"cannot use the database: {one_line(error)} Check the disk's space and rights.") from error
        raise
