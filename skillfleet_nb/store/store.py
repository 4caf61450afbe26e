"""The query side: fold what is new, then ask; the database behind it can be deleted at any time."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import HomeError, InputError, JobError, QueryError, unknown
from skillfleet_nb.events import CURATION
from skillfleet_nb.format import counted
from skillfleet_nb.security import known_place
from skillfleet_nb.store import backups, compaction, erasure, expiry, guard, restoring, schema, tickets, trash
from skillfleet_nb.store.access import READ_WAIT_S, Access
from skillfleet_nb.store.audit import Trail
from skillfleet_nb.store.connections import Allowed
from skillfleet_nb.store.database import is_damage, quoted
from skillfleet_nb.store.encryption import copied_back
from skillfleet_nb.store.fold import scan
from skillfleet_nb.store.frames import frame_of
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.inspection import keeps_what_went, status_of
from skillfleet_nb.store.limits import Query
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.parameters import named, values
from skillfleet_nb.store.records import CompactReport, FoldReport, ResetReport, StoreStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb
    import pandas as pd

    from skillfleet_nb.store.home import Home

    T = TypeVar("T")
    _Params = Sequence[object] | Mapping[str, object] | None

_QUIET_S = 2.0  # what takes longer shows its progress


class Store:
    """SQL over everything the journal holds.

    Each call folds first and keeps no file open afterwards, so any number of threads and processes
    can share a home.

    Parameters
    ----------
    home
        The home; reading does not create it.
    migrations
        Schema migrations, oldest first.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home, Store
    >>> store = Store(Home.find(tempfile.mkdtemp()))
    >>> store.sql("select count(*) as n from jobs")["n"].tolist()
    [0]
    """

    def __init__(self, home: Home, *, migrations: tuple[schema.Migration, ...] = schema.MIGRATIONS) -> None:
        self.home = home
        self._migrations = migrations
        self._access = Access(home, migrations)

    def fold(self) -> FoldReport:
        """Bring every new line of the journal into the database, created or migrated as needed.

        Raises
        ------
        HomeError
            If the home cannot be written, or a newer version made the database.
        """
        return self._access.fold()

    def written(self, *, but: str) -> frozenset[tuple[str, str, int]]:
        """Tell how much is written, as (stream, segment, bytes), in all streams but those called `but` something.

        Where two answers are equal, nothing was written between them.
        """
        return frozenset((stream, s.name, s.size) for stream, s in scan(self.home) if not stream.startswith(but))

    def frame(self, query: str, params: _Params = None) -> pd.DataFrame:
        """Answer a query of the package's own, with `params` bound to its ``?`` or ``$name``.

        Raises
        ------
        QueryError
            If DuckDB refuses the query.
        HomeError
            If the home cannot be used.
        """
        return self._access.frame(lambda con: _frame(con, query, params), query, params)

    def as_is(self, run: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run something on the database as it is, without what is not folded yet; raises `HomeError` as `frame`."""
        return self._access.read_as_is(run)

    def columns(self, relation: str) -> list[str]:
        """Name the columns of a public relation; raises `NotFoundError` if there is none of that name."""
        if relation not in schema.RELATIONS:
            raise unknown("relation", relation, schema.RELATIONS)
        return [str(name) for name in self.sql(f"FROM (DESCRIBE {relation})").column_name]

    def sql(
        self,
        query: str,
        parameters: Mapping[str, object] | None = None,
        *,
        seconds: float | None = None,
        rows: int | None = None,
    ) -> pd.DataFrame:
        """Answer a person's query, which can only read.

        Parameters
        ----------
        query
            One statement over ``jobs``, ``events``, ``trials``, ``scores``, ``lm_calls`` and
            ``programs`` (columns in ``docs/sql.md``).  Files in the home's ``journal``, ``programs``
            and ``exports`` can be read too, by absolute path.
        parameters
            Values by name, bound to ``:name`` and ``{{name}}`` in the query; others than it names may be there.
        seconds
            In place of ``Settings.sql_seconds``, where that is more.
        rows
            Rows of the answer at most; the others are not read.

        Raises
        ------
        QueryError
            If it is not one valid statement that only reads, takes longer than ``Settings.sql_seconds``
            or more than ``Settings.sql_memory_gb``; a misspelt name gets candidates.
        HomeError
            If the home cannot be used.
        KeyboardInterrupt
            Within two seconds of an interrupt on the main thread.
        """
        settings = Settings.load(self.home.config)
        query, names = named(query)
        bound = values(names, parameters or {}) or None
        allowed = Allowed((self.home.journal, self.home.programs_dir, self.home.exports), settings.sql_memory_gb)

        def work(begin: Callable[[duckdb.DuckDBPyConnection], None]) -> pd.DataFrame:
            def run(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
                begin(con)
                guard.check(con, query)
                return _frame(con, query, bound, rows)

            return self._access.ask(run, query, allowed)

        return Query(work).result(min(settings.sql_seconds, seconds or settings.sql_seconds))

    def rebuild(self) -> FoldReport:
        """Delete the database and fold the whole journal again; raises as `fold` does."""
        if self.home.database.exists():
            try:
                with self._access.database.deleted(READ_WAIT_S):
                    pass
            except Busy:
                raise self._access.hangs() from None
        return self.fold()

    def compact(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> CompactReport:
        """Turn the journals of finished jobs into Parquet, and let go of what the settings do not keep.

        Nothing reads differently afterwards: queries, live views and a later resume take a job as it
        was.  ``Settings`` says from which age on, and whether old prompts and old jobs are kept.

        Parameters
        ----------
        everything
            Whether to compact finished jobs of any age.
        dry_run
            Whether only to tell what would be done.
        progress
            Called as ``progress(done, total)``, in bytes of journal, after two seconds.

        Raises
        ------
        HomeError
            If another compaction is at work, the home cannot be written, or a file does not read
            back as it was; the original is then still there.
        InputError
            If the settings cannot be read.
        """
        started = time.perf_counter()

        def report_progress(done: int, total: int) -> None:
            if progress is not None and time.perf_counter() - started > _QUIET_S:
                progress(done, total)

        settings = Settings.load(self.home.config)
        finished = self.frame(
            "SELECT job_id, finished_at FROM jobs WHERE finished_at IS NOT NULL "
            "UNION ALL SELECT job_id, \"at\" FROM events WHERE kind = 'tried' ORDER BY finished_at"
        )
        jobs = [(str(job), at.to_pydatetime()) for job, at in finished.itertuples(index=False)]
        doomed = expiry.expired(self.home, settings)
        with nullcontext() if dry_run or not (jobs or doomed) else self._alone():
            report = compaction.compact(
                self.home, jobs, settings, everything=everything, dry_run=dry_run, progress=report_progress
            )
            if doomed and not dry_run:
                expiry.expire(self.home, doomed)
        if not dry_run and (report.compacted or report.dropped or doomed):
            what = f"{len(report.compacted)} compacted, {len(report.hashed)} hashed, {len(report.dropped)} deleted"
            gone = f"; {doomed.in_words}" if doomed else ""
            Trail(self.home).record("home.compact", ", ".join(report.dropped or report.compacted), what + gone)
        if not dry_run and self.as_is(lambda con: keeps_what_went(con, self.home, settings)):
            self.rebuild()
        return replace(report, expired=doomed, seconds=time.perf_counter() - started)

    def migrate(self) -> tuple[tuple[str, ...], Path | None]:
        """Bring the database to this version's schema, after copying it into a backup.

        Any use does so as well, without the backup: the database can always be made anew.

        Returns
        -------
        tuple
            Names of the migrations applied, and the backup's folder; none where there was nothing to do.

        Raises
        ------
        HomeError
            If a newer version made the database, others hold it, or the home cannot be written.
        """
        pending = self.status().pending_migrations
        if not pending:
            return (), None
        folder = backups.new_folder(self.home)
        try:
            self._access.database.copy_to(folder, READ_WAIT_S)
        except Busy:
            raise self._access.hangs() from None
        report = self._access.fold(READ_WAIT_S)
        if not report.complete:
            raise HomeError(f"cannot upgrade the database: {report.held_by or 'others hold it'}; try again later.")
        return pending, folder

    def reset(self, *, dry_run: bool = False) -> ResetReport:
        """Empty the home of jobs and programs; they go to a folder of ``backups/``.

        Settings, exports, similarity indexes and earlier backups stay.

        Parameters
        ----------
        dry_run
            Whether only to tell what would be moved.

        Raises
        ------
        JobError
            If jobs are running, naming them.
        HomeError
            If the home cannot be written, or is compacted just now.
        """
        streams = backups.streams(self.home.journal)
        alive = [stream for stream in streams if tickets.is_owned(self.home, stream)]
        if alive:
            named = self._names()
            listed = ", ".join(f"{named.get(stream, stream)} ({stream})" for stream in alive)
            raise JobError(f"cannot reset while jobs run: {listed}. Cancel them, or wait until they end.")
        beside = self._beside() if streams else set()
        if dry_run or not (streams or self.home.programs_dir.is_dir()):
            size = sum(backups.size(self.home.journal / s) for s in streams) + backups.size(self.home.programs_dir)
            return _of_jobs(ResetReport(self.home.backups, tuple(streams), size), beside)
        Trail(self.home).record("home.reset", "", counted(len(set(streams) - beside), "job"))
        with self._alone(), self._access.database.deleted(READ_WAIT_S):
            return _of_jobs(backups.move_out(self.home, backups.new_folder(self.home)), beside)

    def discard(self, jobs: Mapping[str, str]) -> list[trash.Deleted]:
        """Move jobs, names by id, into the trash and forget them; raises `JobError` where one is at work."""
        moved = []
        try:
            for job_id, name in jobs.items():
                moved.append(trash.put(self.home, job_id, name))
        finally:
            self._access.forget([one.job_id for one in moved])
        return moved

    def erase(self, jobs: Mapping[str, str], *, dry_run: bool = False) -> list[erasure.Erased]:
        """Erase jobs, names by id, wherever the home has them: journal, trash, backups, database, and what is theirs.

        The audit trail keeps what was erased, its size and hash, and by whom.  With `dry_run` it is only told.

        Raises
        ------
        JobError, HomeError
            If one is at work; if the home cannot be written, or is compacted just now.  Nothing is erased then.
        """
        if busy := next((name for job_id, name in jobs.items() if tickets.is_owned(self.home, job_id)), None):
            raise JobError(f"job {busy!r} is at work: cancel it, or wait until it ends.")
        doomed = [erasure.would_erase(self.home, job_id, name) for job_id, name in jobs.items()]
        if dry_run:
            return doomed
        with self._alone():
            for one in doomed:
                erasure.erase(self.home, one)
        self.rebuild()  # of rows that are deleted DuckDB keeps the bytes
        return [erasure.proved(self.home, one) for one in doomed]

    def restore(self, backup: str | Path) -> ResetReport:
        """Bring back the jobs and programs of a backup; those of the home stay, and so does the backup.

        Jobs come back with their names, notes and tags; one whose name another job has by now gets it with a number.

        Parameters
        ----------
        backup
            Name of one in ``backups/``, or a folder.

        Raises
        ------
        NotFoundError, InputError
            If there is no such backup, or it holds no jobs.
        HomeError
            If the home cannot be written, or is compacted just now.
        """
        folder = backups.find(self.home, backup)
        self.home.ensure()
        was = restoring.curated(folder) if self.home.journal_dir(CURATION).is_dir() else {}
        with self._alone():
            copied = copied_back(self.home, folder)
        beside = self._beside()
        report = _of_jobs(copied, beside)
        kept = [s for s in copied.left if s in beside - {CURATION} and restoring.lacks(self.home, folder, s)]
        renamed = restoring.put_in_order(self.home, report.jobs, was, self._names)
        report = replace(report, renamed=renamed, beside=tuple(kept))
        Trail(self.home).record("home.restore", str(folder), counted(report.jobs, "job"))
        return report

    def _beside(self) -> set[str]:
        """Name the streams that are no job's: they hold notes, ratings, and what was called beside jobs."""
        return set(self.frame("SELECT job_id FROM fleet.raw.segments EXCEPT SELECT job_id FROM fleet.raw.jobs").job_id)

    def _names(self) -> dict[str, str]:
        return dict(self.frame("SELECT job_id, name FROM jobs").itertuples(index=False, name=None))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep compactions, resets and restorations from crossing each other."""
        try:
            with locked(self.home.root / "compact.lock"):
                yield
        except Busy:
            raise HomeError(f"'{self.home.root}' is in use or compacted just now: try again later.") from None

    def export(self, folder: str | Path, file_format: Literal["parquet", "csv", "json"] = "parquet") -> list[Path]:
        """Write each public relation to a file named after it.

        Parameters
        ----------
        folder
            Created where missing; files of an earlier export are overwritten.
        file_format
            ``json`` is one object a line.

        Raises
        ------
        InputError
            If the format is none of these.
        HomeError
            If the folder cannot be written.
        """
        if file_format not in {"parquet", "csv", "json"}:
            raise InputError(f"cannot export as {file_format!r}: use parquet, csv or json.")
        target = known_place(folder).absolute()
        with writing(target):
            target.mkdir(parents=True, exist_ok=True)

        def run(con: duckdb.DuckDBPyConnection) -> list[Path]:
            con.execute("SET threads = 1")  # several would add up averages in an order of the moment
            paths = [target / f"{name}.{file_format}" for name in schema.RELATIONS]
            for name, path in zip(schema.RELATIONS, paths, strict=True):
                # in one order, whatever the database's is: equal homes give equal files
                con.execute(f"COPY (FROM {name} ORDER BY ALL) TO {quoted(path)} (FORMAT {file_format})")
            con.execute("RESET threads")
            return paths

        try:
            return self._access.read(run)
        finally:  # behind it: equal homes give equal files
            Trail(self.home).record("export", str(target), file_format)

    def status(self) -> StoreStatus:
        """Tell the state of the query side without changing it; raises `HomeError` as `frame` does."""
        return self.as_is(lambda con: status_of(con, self.home, self._migrations, self._access.dead(con)))


def _of_jobs(report: ResetReport, beside: Container[str]) -> ResetReport:
    """Tell of jobs alone."""
    return replace(
        report,
        jobs=tuple(stream for stream in report.jobs if stream not in beside),
        left=tuple(stream for stream in report.left if stream not in beside),
    )


def _frame(con: duckdb.DuckDBPyConnection, query: str, params: _Params, rows: int | None = None) -> pd.DataFrame:
    import duckdb

    try:
        relation = con.sql(query, params=params)
        return frame_of(relation if rows is None else relation.limit(rows))
    except duckdb.Error as error:
        if is_damage(error):
            raise
        room = isinstance(error, duckdb.OutOfMemoryException)
        more = " Let it read less, or allow more with the setting sql_memory_gb." if room else ""
        raise QueryError(f"{guard.one_line(error)}{more}") from error
