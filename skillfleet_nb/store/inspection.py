"""What a home's files and its database hold, looked at without changing them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from skillfleet_nb.store import backups, schema, trash
from skillfleet_nb.store.database import quoted
from skillfleet_nb.store.fold import scan, unfolded
from skillfleet_nb.store.journal import is_alive
from skillfleet_nb.store.records import StoreStatus
from skillfleet_nb.store.segments import bytes_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from skillfleet_nb.config import Settings
    from skillfleet_nb.store.home import Home


def status_of(
    con: duckdb.DuckDBPyConnection, home: Home, migrations: tuple[schema.Migration, ...], orphans: Iterable[str]
) -> StoreStatus:
    """Tell the state of the query side; `migrations` are this version's, `orphans` the jobs whose process is gone."""
    path = home.database
    exists = path.exists()
    segments, thrown = list(scan(home)), trash.deleted(home)
    pending = tuple(m.__name__ for m in schema.pending(con, migrations))
    (jobs, events, bad) = con.execute(
        "SELECT (SELECT count(DISTINCT job_id) FROM fleet.raw.jobs), coalesce(sum(events), 0)::BIGINT, "
        "coalesce(sum(bad_lines), 0)::BIGINT FROM fleet.raw.segments"
    ).fetchall()[0]
    unfinished = con.execute("SELECT job_id FROM fleet.raw.segments WHERE seen > bytes").fetchall()
    forms = {stream: True for stream, _ in segments} | {stream: False for stream, s in segments if not s.compacted}
    return StoreStatus(
        home=home.root,
        schema_version=len(migrations) - len(pending) if exists else 0,
        pending_migrations=pending if exists else (),
        database_bytes=path.stat().st_size if exists else 0,
        journal_bytes=bytes_on_disk(segment for _, segment in segments),
        programs_bytes=backups.size(home.programs_dir),
        jobs=jobs,
        events=events,
        pending_segments=len(unfolded(con, segments)),
        torn_lines=bad + sum(not is_alive(home, stream) for (stream,) in unfinished),
        orphans=tuple(sorted(orphans)),
        compacted=sum(forms.values()),
        trash_jobs=len(thrown),
        trash_bytes=sum(one.bytes for one in thrown),
        backups=tuple(backups.names(home)),
        attach=f"ATTACH {quoted(path)} AS fleet (TYPE duckdb, READ_ONLY);",
    )


def keeps_what_went(con: duckdb.DuckDBPyConnection, home: Home, settings: Settings) -> bool:
    """Tell whether the database still holds jobs or prompts that the journal has let go of."""
    streams, hashed = set(), set()
    for stream, parts in groupby(scan(home), key=lambda item: item[0]):
        streams.add(stream)
        if all(segment.hashed for _, segment in parts):
            hashed.add(stream)
    folded = {job for (job,) in con.execute("SELECT DISTINCT job_id FROM fleet.raw.segments").fetchall()}
    if settings.keep_jobs_days is not None and folded - streams:
        return True
    recorded = con.execute(
        "WITH hashed AS (SELECT unnest($hashed::VARCHAR[]) AS job_id) "
        "SELECT (SELECT count(*) FROM fleet.raw.lm_calls SEMI JOIN hashed USING (job_id) "
        "WHERE NOT starts_with(prompt, 'sha256:') OR NOT starts_with(response, 'sha256:')) "
        "+ (SELECT count(*) FROM fleet.raw.scores SEMI JOIN hashed USING (job_id) "
        "WHERE NOT starts_with(output, 'sha256:')) "
        "+ (SELECT count(*) FROM fleet.raw.events SEMI JOIN hashed USING (job_id) "
        "WHERE kind = 'tried' AND NOT starts_with(payload->>'inputs', 'sha256:'))",
        {"hashed": sorted(hashed)},
    ).fetchall()
    return bool(recorded[0][0])
