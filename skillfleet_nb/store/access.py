"""Access to a home's database that is up to date: folded by whoever comes first, rebuilt where it is damaged."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from skillfleet_nb.errors import HomeError, QueryError, UnwritableError
from skillfleet_nb.format import ago, counted
from skillfleet_nb.store import schema, tickets
from skillfleet_nb.store.database import DamagedError, Database
from skillfleet_nb.store.fold import fold_batch, scan, unfolded
from skillfleet_nb.store.frame_cache import FrameCache, HomeState, database_files, key_of
from skillfleet_nb.store.locks import Busy, HeldByOtherProgram
from skillfleet_nb.store.records import FoldReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import duckdb
    import pandas as pd

    from skillfleet_nb.store.connections import Allowed
    from skillfleet_nb.store.frame_cache import Params
    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.segments import Segment

T = TypeVar("T")

FOLD_WAIT_S = 5.0
"""How long a fold waits while others read or fold, before it leaves the new lines to the next one."""

READ_WAIT_S = 60.0
"""How long a reader waits for one batch of somebody's fold; longer means that process hangs."""

_HELD = "another query or program keeps the database busy; ask again later"
_TURN_S = 0.2  # a reader that cannot fold looks this often whether somebody else has done it


class StaleWarning(UserWarning):
    """An answer lacks what was written last, or was made with effort: the database cannot be brought up to date."""


class Access:
    """The database of a home, for one call at a time; its file stays open for none.

    Attributes
    ----------
    database
        The file, under its locks.
    """

    def __init__(self, home: Home, migrations: tuple[schema.Migration, ...]) -> None:
        self._home, self._migrations = home, migrations
        self._frames = FrameCache()
        self.database = Database(home, migrations)

    def fold(self, wait_s: float = FOLD_WAIT_S) -> FoldReport:
        """Bring every new line of the journal into the database; raises `HomeError` where it cannot."""
        problem: DamagedError | None = None
        for _ in range(2):
            try:
                return replace(self._fold(wait_s), repaired=str(problem) if problem else None)
            except DamagedError as damage:  # the next attempt makes a new one
                problem = damage
        raise HomeError(f"cannot rebuild the database: {problem} Delete '{self._home.database}'.")

    def _fold(self, wait_s: float, needed: Iterable[tuple[str, Segment]] | None = None) -> FoldReport:
        """Fold; where somebody else has folded what is `needed` by the time the lock is free, do nothing."""
        started = time.perf_counter()
        events = bad_lines = 0
        held_by: str | None = None
        complete, more = True, self._home.journal.is_dir() or self._home.database.exists()
        with self.database.connection() as con:
            while more:
                try:
                    with self.database.writing(con, wait_s):
                        if needed is not None and not unfolded(con, needed):
                            break
                        folded, skipped, more = fold_batch(con, self._home)
                except Busy as busy:
                    complete, held_by = False, str(busy) if isinstance(busy, HeldByOtherProgram) else None
                    break
                events, bad_lines = events + folded, bad_lines + skipped
        return FoldReport(events, bad_lines, time.perf_counter() - started, complete, held_by=held_by)

    def read(
        self, run: Callable[[duckdb.DuckDBPyConnection], T], query: str | None = None, allowed: Allowed | None = None
    ) -> T:
        """Run something on an up-to-date database that holds the public relations, or those that `query` names.

        It reaches and takes no more than is `allowed`.
        """
        return self._read(run, query, allowed)[0]

    def ask(self, run: Callable[[duckdb.DuckDBPyConnection], T], query: str, allowed: Allowed) -> T:
        """Run a query that a person wrote, on the relations that it names, or on all where it may tell of them."""
        import duckdb

        reached = schema.reached(query)
        try:
            return self.read(run, reached, allowed)
        except QueryError as error:
            if reached is None or not isinstance(error.__cause__, duckdb.CatalogException):
                raise
            return self.read(run, None, allowed)  # its error names what is like the name, of all relations

    def frame(
        self, run: Callable[[duckdb.DuckDBPyConnection], pd.DataFrame], query: str, params: Params
    ) -> pd.DataFrame:
        """Answer one of the package's own questions as `read` does, or as it was answered if nothing has changed."""
        key = key_of(query, params)
        if (kept := self._frames.get(key)) is not None and kept[0].is_present(self._home, scan(self._home)):
            return kept[1]
        frame, state = self._read(run, query)
        self._frames.keep(key, state, frame)
        return frame

    def _read(
        self, run: Callable[[duckdb.DuckDBPyConnection], T], query: str | None, allowed: Allowed | None = None
    ) -> tuple[T, HomeState | None]:
        def attempt() -> tuple[T, HomeState | None]:
            with self._up_to_date(query, allowed) as (con, state):
                return run(con), state

        try:
            return self._guarded(attempt)
        except UnwritableError as unwritable:
            with self._of_the_journal(query, allowed, str(unwritable)) as con:
                return run(con), None

    def read_as_is(self, run: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run something on the database as it is, without a fold and without the public relations."""

        def attempt() -> T:
            with self.database.connection() as con, self.database.reading(con, READ_WAIT_S):
                return run(con)

        return self._guarded(attempt)

    def _guarded(self, attempt: Callable[[], T]) -> T:
        """Attempt something; a damaged database is put aside and rebuilt from the journal."""
        problem: DamagedError | None = None
        # the fold first: somebody else may have replaced the database already
        for repair in (None, self.fold, self._replace):
            try:
                if repair is not None:
                    repair()
                return attempt()
            except Busy:
                raise self.hangs() from None
            except DamagedError as damage:
                problem = damage
        raise HomeError(f"cannot read the database: {problem} Delete '{self._home.database}'.")

    def _replace(self) -> FoldReport:
        self.database.put_aside(READ_WAIT_S)
        return self.fold()

    def forget(self, streams: Iterable[str]) -> None:
        """Take what was folded of streams out of the database: their journals have gone from the home."""
        gone = list(streams)

        def attempt() -> None:
            with self.database.connection() as con, self.database.writing(con, READ_WAIT_S), schema.transaction(con):
                for table in schema.tables(con):
                    con.execute(f"DELETE FROM fleet.raw.{table} WHERE list_contains(?, job_id)", [gone])  # noqa: S608  our tables

        if gone and self.database.exists():
            self._guarded(attempt)

    def hangs(self) -> HomeError:
        """Return the error that says that somebody holds the lock for too long."""
        return HomeError(
            f"the database of '{self._home.root}' was locked for {READ_WAIT_S:.0f} s: "
            "end the process that holds fleet.lock, then try again."
        )

    @contextmanager
    def _up_to_date(
        self, query: str | None, allowed: Allowed | None
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, HomeState | None]]:
        """Yield a connection that shows every event acknowledged before the call, folded here or elsewhere.

        While others hold the database without folding for `FOLD_WAIT_S`, a program that does not
        take our locks has it open, or it cannot be written, it shows what there is, and a
        :class:`StaleWarning` says how old that is; else it is yielded with the state of the home that it shows.

        Raises
        ------
        UnwritableError
            If there is no database that could be shown, and none can be made.
        """
        wanted = list(scan(self._home))
        deadline, folded, why = time.monotonic() + FOLD_WAIT_S, None, _HELD
        if wanted and not self._home.database.exists():
            self._fold(_TURN_S)
        while True:
            with self.database.connection(allowed) as con, self.database.reading(con, READ_WAIT_S) as old:
                if not old:
                    # in this order: whatever a dead job wrote was written before it was found dead
                    unfinished = self._unfinished(con)
                    dead = tickets.unowned(self._home, unfinished)
                    needed = [*wanted, *scan(self._home, dead)]
                    behind = {stream for stream, _ in unfolded(con, needed)}
                    before, folded = folded, con.execute("SELECT sum(bytes) FROM fleet.raw.segments").fetchall()
                    if before != folded:
                        deadline = time.monotonic() + FOLD_WAIT_S
                    late = time.monotonic() > deadline
                    if behind and late:
                        _tell_age(con, len(behind), why)
                    if not behind or late:
                        schema.define_relations(con, dead - behind, query)
                        files = database_files(self._home)
                        state = HomeState(frozenset(wanted), files, frozenset(unfinished), frozenset(dead))
                        yield con, (None if behind else state)
                        return
            if old and time.monotonic() > deadline:
                raise HomeError(
                    f"the database '{self._home.database}' has to be upgraded, and another program holds it: "
                    "close that."
                )
            empty = old or folded == [(None,)]  # what a full disk let be made of it, say
            if (kept_from := self._kept_from_folding(None if empty else needed)) is not None:
                deadline, why = 0.0, kept_from

    def _kept_from_folding(self, needed: list[tuple[str, Segment]] | None) -> str | None:
        """Fold; say what keeps this process from it for good, other than those who have their turn.

        Where everything has to be, for the database is an old one or holds nothing (`needed` is None), it raises that.
        """
        try:
            return _HELD if self._fold(_TURN_S, needed).held_by else None
        except UnwritableError as unwritable:
            if needed is None:
                raise
            return str(unwritable)

    @contextmanager
    def _of_the_journal(
        self, query: str | None, allowed: Allowed | None, why: str
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that shows every event, read from the journal for this one question."""
        with self.database.connection(allowed) as con, self.database.in_memory(con):
            while fold_batch(con, self._home)[2]:
                pass
            _warn(f"the answer was read from the journal itself, for nothing can be folded into the database: {why}")
            schema.define_relations(con, self.dead(con), query)
            yield con

    def dead(self, con: duckdb.DuckDBPyConnection) -> set[str]:
        """Return the jobs that neither finished nor have a live writer."""
        return tickets.unowned(self._home, self._unfinished(con))

    def _unfinished(self, con: duckdb.DuckDBPyConnection) -> set[str]:
        return {job_id for (job_id,) in con.execute(schema.UNFINISHED_JOBS).fetchall()}


def _tell_age(con: duckdb.DuckDBPyConnection, behind: int, why: str) -> None:
    """Warn that what some jobs wrote is not in the answer."""
    newest = con.execute("SELECT max(last_at)::TIMESTAMP FROM fleet.raw.segments").fetchall()[0][0]
    age = f"shows what was written until {ago(newest)}" if newest is not None else "shows nothing yet"
    _warn(f"the answer {age}, and newer facts of {counted(behind, 'job')} could not be folded: {why}")


def _warn(text: str) -> None:
    warnings.warn(text, StaleWarning, stacklevel=3)
