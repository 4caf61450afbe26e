"""Jobs: rows, names, setups, and what they ask a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.events import CURATION
from skillfleet_nb.store.fold import scan, unfolded
from skillfleet_nb.store.job_filter import condition
from skillfleet_nb.store.segment_reader import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    import duckdb
    import pandas as pd

    from skillfleet_nb.store.segments import Segment
    from skillfleet_nb.store.store import Store

_NAMES = """
    WITH renamed AS (SELECT job AS job_id, arg_max(name, seq) AS name FROM fleet.raw.curated GROUP BY job),
        created AS (
            SELECT job_id, arg_min(name, seq) AS name, arg_min(logged_at, seq) AS created_at
            FROM fleet.raw.jobs GROUP BY job_id
        )
    SELECT job_id, coalesce(renamed.name, created.name) AS name
    FROM created LEFT JOIN renamed USING (job_id) ORDER BY created_at DESC"""
_MOST_READ = 50  # journals that are read for a name: to fold so many takes less time than to read them again and again


def jobs(
    store: Store,
    *,
    ids: Iterable[str] | None = None,
    state: str | None = None,
    optimizer: str | None = None,
    domain: str | None = None,
    tag: str | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    text: str | None = None,
    archived: bool | None = None,
) -> pd.DataFrame:
    """Rows of ``jobs``, newest first.

    Parameters
    ----------
    ids
        Only these jobs.
    state, optimizer, domain, tag
        Only jobs with these.
    since, until
        Only jobs made on these days (UTC) or between: ``"2026-01-31"``, or a date.
    text
        Only jobs with this in their name, in capitals or not.
    archived
        Only jobs that are, or are not.

    Raises
    ------
    NotFoundError
        If `state` is no state of a job.
    InputError
        If a day is none.
    """
    where, values = condition(
        ids=ids, state=state, optimizer=optimizer, domain=domain, tag=tag, since=since, until=until, text=text,
        archived=archived,
    )  # fmt: skip
    return store.frame(f"FROM jobs WHERE {where} ORDER BY created_at DESC", values)


def latest_jobs(store: Store, limit: int) -> pd.DataFrame:
    """What a list shows of jobs that are not archived: those that are not over, and then the newest."""
    return store.frame(
        """
        SELECT job_id, name, state, optimizer, engine, baseline_score AS baseline, best_score AS best, verdict,
            lm_calls AS calls, cost_usd, wall_s, created_at, finished_at
        FROM jobs WHERE NOT archived
        ORDER BY state IN ('pending', 'running', 'pending_hitl') DESC, created_at DESC LIMIT ?""",
        [limit],
    )


def spent_usd(store: Store, since: datetime) -> float:
    """USD that calls of models have cost from a moment on, as far as their prices are known."""
    frame = store.frame(
        'SELECT coalesce(sum(cost_usd), 0.0) AS usd FROM lm_calls WHERE NOT cached AND "at" >= ?', [since]
    )
    return float(frame.usd.iloc[0])


def job_names(store: Store) -> pd.DataFrame:
    """`job_id` and `name` of every job, newest first."""
    return store.frame(_NAMES)  # asked for all the time, and the relation `jobs` takes five times as long to plan


def taken_names(store: Store) -> set[str]:
    """Names that jobs have, of jobs that are not folded yet too: whoever starts one waits for no fold of the others."""
    import duckdb

    listing = list(scan(store.home))
    names, behind = dict[str, str](), {stream for stream, _ in listing}
    try:
        if store.home.database.exists():
            names, behind = store.as_is(lambda con: _names_as_is(con, listing))
    except duckdb.CatalogException:  # an older database
        return set(job_names(store).name)
    new = behind - names.keys()
    if CURATION in behind or len(new) > _MOST_READ:
        return set(job_names(store).name)
    first = {stream: segment for stream, segment in reversed(listing) if stream in new}
    events = (next((event for event, _, _ in read(segment) if event is not None), None) for segment in first.values())
    return {*names.values(), *(str(e.fields["name"]) for e in events if e is not None and e.kind == "job_created")}


def _names_as_is(
    con: duckdb.DuckDBPyConnection, listing: Sequence[tuple[str, Segment]]
) -> tuple[dict[str, str], set[str]]:
    """Return the names of the jobs that are folded, and the streams that are not, or not to their end."""
    return dict(con.execute(_NAMES).fetchall()), {stream for stream, _ in unfolded(con, listing)}


def job_setups(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """`job_id`, `kind` and `payload` of the events that set jobs up and resumed them, in order."""
    return store.frame(
        "SELECT job_id, kind, payload FROM events "
        "WHERE kind IN ('job_created', 'resumed') AND list_contains(?, job_id) ORDER BY job_id, seq",
        [list(ids)],
    )


def open_questions(store: Store) -> pd.DataFrame:
    """What jobs ask a person now: `name`, `question`, `asks`, `asked_at`, `job_id`; oldest first."""
    return store.frame(
        "SELECT name, question, asks, asked_at, job_id FROM reviews JOIN jobs USING (job_id) "
        "WHERE answered_at IS NULL AND state = 'pending_hitl' ORDER BY asked_at"
    )


def committed_usd(store: Store, user: str) -> float:
    """USD that the jobs which a user of the server started have cost, or may yet cost while they run.

    Whose cost is not known counts with its limit.
    """
    frame = store.frame(
        """
        WITH started AS (
            SELECT payload->>'job' AS job_id, max((payload->>'budget_usd')::DOUBLE) AS budget FROM events
            WHERE kind = 'audited' AND payload->>'user' = ? AND payload->>'job' IS NOT NULL GROUP BY ALL
        )
        SELECT coalesce(sum(CASE WHEN finished_at IS NULL OR cost_usd IS NULL
            THEN greatest(coalesce(budget, 0), coalesce(cost_usd, 0)) ELSE cost_usd END), 0.0) AS usd
        FROM started JOIN jobs USING (job_id)""",
        [user],
    )
    return float(frame.usd.iloc[0])


def redactions(store: Store) -> pd.DataFrame:
    """Count what was taken out of what was written: `job_id`, `name` (of a job), `what`, `pieces`."""
    return store.frame(
        """
        WITH counted AS (
            SELECT job_id, payload->'counts' AS counts, unnest(json_keys(payload->'counts')) AS what
            FROM events WHERE kind = 'redacted'
        )
        SELECT job_id, name, what, sum((counts->>what)::BIGINT)::BIGINT AS pieces
        FROM counted LEFT JOIN jobs USING (job_id) GROUP BY ALL ORDER BY job_id, what"""
    )
