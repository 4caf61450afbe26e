"""The database's tables, and the ordered migrations that lead to them.

Tables live in the schema ``raw`` and belong to the fold; people query the views beside it, which
``docs/sql.md`` documents.  The database is attached as ``fleet`` throughout.  An event's time is
``logged_at`` in the tables, because DuckDB 2 takes a bare ``at`` for a keyword.

A migration is a function of this module, run once, in one transaction of its own that also records
its name.  The views are part of the schema: a change to them needs a migration as well, an empty
one if no table changes.  Since every row can be folded again from the journal, a migration may
empty tables, ``raw.segments`` with them, instead of converting rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

Migration = Callable[["duckdb.DuckDBPyConnection"], None]

RELATIONS = tuple(VIEWS)
"""The public relations."""

UNFINISHED_JOBS = """
    SELECT job_id FROM fleet.raw.jobs
    EXCEPT
    SELECT job_id FROM fleet.raw.states GROUP BY job_id
    HAVING arg_max(state, seq) IN ('completed', 'failed', 'cancelled', 'interrupted')"""
"""Query of the jobs whose last recorded state is not a finished one."""

_LIVE_JOBS = """
    CREATE SCHEMA IF NOT EXISTS live;
    CREATE TABLE IF NOT EXISTS live.dead (job_id VARCHAR);
    CREATE VIEW IF NOT EXISTS jobs AS SELECT job.* REPLACE (
        CASE WHEN dead.job_id IS NULL THEN state ELSE 'interrupted' END AS state,
        CASE WHEN dead.job_id IS NULL THEN stop_kind ELSE 'interrupted' END AS stop_kind,
        CASE WHEN dead.job_id IS NULL THEN stop_reason ELSE 'its process is gone' END AS stop_reason,
        CASE WHEN dead.job_id IS NULL THEN finished_at ELSE
            (SELECT max(last_at) FROM fleet.raw.segments WHERE segments.job_id = job.job_id) END AS finished_at,
        paused AND dead.job_id IS NULL AS paused)
    FROM fleet.jobs AS job LEFT JOIN live.dead ON dead.job_id = job.job_id;
    DELETE FROM live.dead;
    INSERT INTO live.dead SELECT unnest($dead::VARCHAR[])"""
# Statements that lay ``jobs`` before a connection, those in `$dead` as interrupted.


def m001_initial(con: duckdb.DuckDBPyConnection) -> None:
    """Lay the tables of the first version."""
    con.execute("""
        CREATE SCHEMA fleet.raw;
        CREATE TABLE fleet.raw.migrations (name VARCHAR, applied_at TIMESTAMPTZ);
        CREATE TABLE fleet.raw.segments (
            job_id VARCHAR, segment VARCHAR, bytes BIGINT, seen BIGINT, events BIGINT, bad_lines BIGINT,
            first_at TIMESTAMPTZ, last_at TIMESTAMPTZ, bought BIGINT, cached BIGINT,
            input_tokens BIGINT, output_tokens BIGINT, cost_usd DOUBLE, unpriced BIGINT);
        CREATE TABLE fleet.raw.events (job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, kind VARCHAR, payload JSON);
        CREATE TABLE fleet.raw.jobs (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, name VARCHAR, optimizer VARCHAR, program VARCHAR,
            metric VARCHAR, engine VARCHAR, seed BIGINT, budget_usd DOUBLE);
        CREATE TABLE fleet.raw.states (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, state VARCHAR, stop_reason VARCHAR, error VARCHAR);
        CREATE TABLE fleet.raw.results (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, baseline_score DOUBLE, best_score DOUBLE,
            test_baseline DOUBLE, test_score DOUBLE, test_delta DOUBLE, test_delta_low DOUBLE,
            test_delta_high DOUBLE, p_value DOUBLE, verdict VARCHAR, best_program_id VARCHAR);
        CREATE TABLE fleet.raw.trials (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, trial BIGINT, split VARCHAR, full_eval BOOLEAN,
            n_examples BIGINT, score DOUBLE, best_so_far DOUBLE, program_id VARCHAR,
            parent_ids VARCHAR[], lm_calls BIGINT, cost_usd DOUBLE);
        CREATE TABLE fleet.raw.scores (
            job_id VARCHAR, seq BIGINT, trial BIGINT, example_id VARCHAR, score DOUBLE, feedback VARCHAR);
        CREATE TABLE fleet.raw.lm_calls (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, call_id VARCHAR, model VARCHAR, role VARCHAR,
            cached BOOLEAN, input_tokens BIGINT, output_tokens BIGINT, cost_usd DOUBLE, latency_s DOUBLE,
            error VARCHAR, prompt VARCHAR, response VARCHAR);
        CREATE TABLE fleet.raw.programs (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, program_id VARCHAR, state JSON,
            instructions VARCHAR, n_demos BIGINT)""")


def m002_attempts(con: duckdb.DuckDBPyConnection) -> None:
    """Take in how often a call was attempted, and which request a fallback took over."""
    con.execute("""
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN attempts BIGINT;
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN asked VARCHAR""")


def m003_examples(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what is found on the examples of data sets."""
    con.execute("""
        CREATE TABLE fleet.raw.examples (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, dataset VARCHAR, example_id VARCHAR, "row" BIGINT,
            category VARCHAR, quality DOUBLE, relevance DOUBLE, diversity DOUBLE, suspicion DOUBLE)""")


def m004_outputs(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what programs answered on the examples they were scored on."""
    con.execute("ALTER TABLE fleet.raw.scores ADD COLUMN output VARCHAR")


def m005_estimates(con: duckdb.DuckDBPyConnection) -> None:
    """Take in a judge's grades of examples, and their estimated influence."""
    for column in ("judged", "influence", "influence_low", "influence_high"):
        con.execute(f"ALTER TABLE fleet.raw.examples ADD COLUMN {column} DOUBLE")


def m006_recommendations(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what was recommended and what was chosen."""
    columns = "features JSON, optimizer VARCHAR, params JSON, calls DOUBLE[], cost_usd DOUBLE[], wall_s DOUBLE[]"
    con.execute(f"""
        CREATE TABLE fleet.raw.recommended (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, recommendation_id VARCHAR, {columns},
            expected_score DOUBLE, confidence DOUBLE, budget_usd DOUBLE, quality_target DOUBLE, max_minutes DOUBLE);
        CREATE TABLE fleet.raw.choices (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, recommendation_id VARCHAR, how VARCHAR, {columns})""")


def m007_tags(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what jobs are tagged with, and their domain."""
    con.execute("""
        ALTER TABLE fleet.raw.jobs ADD COLUMN tags VARCHAR[];
        ALTER TABLE fleet.raw.jobs ADD COLUMN domain VARCHAR""")


def m008_jobs_of_recommendations(con: duckdb.DuckDBPyConnection) -> None:
    """Show every job that followed a recommendation; only the view has changed."""
    del con


def m009_reviews(con: duckdb.DuckDBPyConnection) -> None:
    """Show what people were asked and answered: views alone."""
    del con


def m010_stop_kinds_and_clocks(con: duckdb.DuckDBPyConnection) -> None:
    """Take in why a job stopped as a kind, and how long it ran; everything is folded again to tell."""
    con.execute("""
        ALTER TABLE fleet.raw.states ADD COLUMN stop_kind VARCHAR;
        ALTER TABLE fleet.raw.segments ADD COLUMN ran_s DOUBLE;
        ALTER TABLE fleet.raw.segments ADD COLUMN running_since TIMESTAMPTZ;
        ALTER TABLE fleet.raw.segments ADD COLUMN state VARCHAR;
        ALTER TABLE fleet.raw.segments ADD COLUMN paused BOOLEAN;
        DELETE FROM fleet.raw.segments;
        DELETE FROM fleet.raw.events;
        DELETE FROM fleet.raw.jobs;
        DELETE FROM fleet.raw.states;
        DELETE FROM fleet.raw.results;
        DELETE FROM fleet.raw.trials;
        DELETE FROM fleet.raw.scores;
        DELETE FROM fleet.raw.lm_calls;
        DELETE FROM fleet.raw.programs;
        DELETE FROM fleet.raw.examples;
        DELETE FROM fleet.raw.recommended;
        DELETE FROM fleet.raw.choices""")


def m011_unread_answers(con: duckdb.DuckDBPyConnection) -> None:
    """Take in which answers could not be read; no journal held that before."""
    con.execute("""
        CREATE TABLE fleet.raw.unread (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, call_id VARCHAR, role VARCHAR, reason VARCHAR);
        ALTER TABLE fleet.raw.segments ADD COLUMN unread_task BIGINT DEFAULT 0;
        ALTER TABLE fleet.raw.segments ADD COLUMN unread_prompt BIGINT DEFAULT 0;
        ALTER TABLE fleet.raw.segments ADD COLUMN unread_reflection BIGINT DEFAULT 0;
        ALTER TABLE fleet.raw.segments ADD COLUMN unread_judge BIGINT DEFAULT 0""")


def m012_registry(con: duckdb.DuckDBPyConnection) -> None:
    """Show registered programs and what live ones answered: views alone."""
    del con


def m013_bills(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what explains a call's cost, and what a cached one once cost."""
    con.execute("""
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN cached_input_tokens BIGINT;
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN cache_write_tokens BIGINT;
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN reasoning_tokens BIGINT;
        ALTER TABLE fleet.raw.lm_calls ADD COLUMN full_cost_usd DOUBLE;
        ALTER TABLE fleet.raw.trials ADD COLUMN full_cost_usd DOUBLE;
        ALTER TABLE fleet.raw.segments ADD COLUMN saved_usd DOUBLE DEFAULT 0;
        ALTER TABLE fleet.raw.segments ADD COLUMN unpriced_cached BIGINT DEFAULT 0;
        UPDATE fleet.raw.segments SET unpriced_cached = cached""")


def m014_curation(con: duckdb.DuckDBPyConnection) -> None:
    """Take in what people made of jobs afterwards; no journal held that before."""
    con.execute("""
        CREATE TABLE fleet.raw.curated (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, job VARCHAR, name VARCHAR, note VARCHAR,
            tags VARCHAR[], archived BOOLEAN)""")


def m015_decisions(con: duckdb.DuckDBPyConnection) -> None:
    """Show which candidates an optimizer took by a rule of its own: a view alone."""
    del con


def m016_pruned_trials(con: duckdb.DuckDBPyConnection) -> None:
    """Take in which evaluations ended early; no journal held that before."""
    con.execute("ALTER TABLE fleet.raw.trials ADD COLUMN bound DOUBLE")


def m017_members(con: duckdb.DuckDBPyConnection) -> None:
    """Take in the searches that a job makes at the same time; no journal held that before."""
    con.execute("ALTER TABLE fleet.raw.trials ADD COLUMN member VARCHAR")


def m018_shares(con: duckdb.DuckDBPyConnection) -> None:
    """Show who got what of a job's budget, and why: a view alone."""
    del con


def m019_paused(con: duckdb.DuckDBPyConnection) -> None:
    """Show which jobs are paused: a view alone."""
    del con


def m020_signature_migrations(con: duckdb.DuckDBPyConnection) -> None:
    """Show by which migrations registered programs were loaded: a view alone."""
    del con


def m021_ab_tests(con: duckdb.DuckDBPyConnection) -> None:
    """Show A/B tests: views alone."""
    del con


def m022_skill_paths(con: duckdb.DuckDBPyConnection) -> None:
    """Show the skills that jobs created, and the way each took: a view alone."""
    del con


def m023_full_costs_of_recommended(con: duckdb.DuckDBPyConnection) -> None:
    """Show what recommended jobs cost without the cache, as forecasts are meant: a view alone."""
    del con


def m024_drift(con: duckdb.DuckDBPyConnection) -> None:
    """Show checks for drift: a view alone."""
    del con


def m025_golden_sets(con: duckdb.DuckDBPyConnection) -> None:
    """Show golden sets and how they were used: views alone."""
    del con


def m026_kinds_of_drift(con: duckdb.DuckDBPyConnection) -> None:
    """Show what a check for drift found of each kind: a view alone."""
    del con


def m027_learning(con: duckdb.DuckDBPyConnection) -> None:
    """Show the steps of continuous learning, and feedback: views alone."""
    del con


def m028_notes(con: duckdb.DuckDBPyConnection) -> None:
    """Show notes, and what people decided of insights: views alone."""
    del con


def m029_traces(con: duckdb.DuckDBPyConnection) -> None:
    """Show what monitored programs did, and each of their calls: views alone."""
    del con


def m030_kept(con: duckdb.DuckDBPyConnection) -> None:
    """Tell which jobs kept the given program: a column of a view."""
    del con


def m031_individuals(con: duckdb.DuckDBPyConnection) -> None:
    """Show the individuals of evolutions: a view alone."""
    del con


def m032_workers(con: duckdb.DuckDBPyConnection) -> None:
    """Take in on which workers jobs ran."""
    con.execute("""
        CREATE TABLE fleet.raw.placed (job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, worker VARCHAR);
        INSERT INTO fleet.raw.placed
            SELECT job_id, seq, logged_at, payload->>'worker' FROM fleet.raw.events WHERE kind = 'placed'""")


MIGRATIONS: tuple[Migration, ...] = (
    m001_initial, m002_attempts, m003_examples, m004_outputs, m005_estimates, m006_recommendations, m007_tags,
    m008_jobs_of_recommendations,
    m009_reviews,
    m010_stop_kinds_and_clocks,
    m011_unread_answers,
    m012_registry,
    m013_bills,
    m014_curation,
    m015_decisions,
    m016_pruned_trials,
    m017_members,
    m018_shares,
    m019_paused,
    m020_signature_migrations,
    m021_ab_tests,
    m022_skill_paths,
    m023_full_costs_of_recommended,
    m024_drift,
    m025_golden_sets,
    m026_kinds_of_drift,
    m027_learning,
    m028_notes,
    m029_traces,
    m030_kept,
    m031_individuals,
    m032_workers,
)  # fmt: skip
"""Every migration there has been, oldest first.  Never change one that was released: add another."""


_EMPTY = "empty_fleet"
_LISTS = "show|describe|information_schema|(duckdb|pg|pragma|sqlite)_.*"  # words that may ask which relations there are
_CHECKPOINT = "CHECKPOINT fleet"  # replaying DDL from a write-ahead log has had defects: leave none there


def define_relations(con: duckdb.DuckDBPyConnection, dead: Iterable[str], query: str | None = None) -> None:
    """Lay the public relations before a connection, the jobs `dead` as interrupted.

    With a `query`, only those that it names: to define one costs more than most queries.  A connection
    that has them keeps them, whatever is attached.
    """
    named = set(RELATIONS if query is None else _words(query))
    for relation in RELATIONS:
        if relation == "jobs" and relation in named:
            con.execute(_LIVE_JOBS, {"dead": sorted(dead)})
        elif relation in named:
            con.execute(f"CREATE VIEW IF NOT EXISTS {relation} AS FROM fleet.{relation}")


def reached(query: str) -> str | None:
    """Return a query that a person wrote if it reaches those relations alone that it names, else None."""
    words = _words(query)
    lists = any(re.fullmatch(_LISTS, word) for word in words)
    return None if lists or not set(words) & set(RELATIONS) else query


def _words(query: str) -> list[str]:
    """List the words of a query that may name a relation: the tables of ``raw`` are none."""
    return re.findall(r"(?<!raw\.)\b\w+", query.lower())


def tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Name the tables of the attached database that hold what was folded of streams."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_columns() WHERE database_name = 'fleet' AND schema_name = 'raw' "
        "AND column_name = 'job_id'"
    )
    return sorted(str(name) for (name,) in rows.fetchall())


def pending(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] = MIGRATIONS) -> tuple[Migration, ...]:
    """Return the migrations the attached database still needs.

    Raises
    ------
    HomeError
        If a newer version made the database.
    """
    done = _done(con, "fleet")
    newer = done - {m.__name__ for m in migrations}
    if newer:
        raise HomeError(
            f"the database has schema {len(done)}, this version knows up to {len(migrations)}: "
            "upgrade skillfleet-nb, or delete fleet.duckdb to have it rebuilt by this version."
        )
    return tuple(m for m in migrations if m.__name__ not in done)


def migrate(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring the attached database to the last schema; raises as `pending` does."""
    needed = pending(con, migrations)
    if needed == migrations:
        _lay(con, migrations)
        return
    for migration in needed:
        with transaction(con):
            _apply(con, (migration,), migrations)
        con.execute(_CHECKPOINT)


def _lay(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...]) -> None:
    """Fill a new database in one go; the connection keeps an empty one, for to copy it takes a tenth of the time."""
    is_kept = _done(con, _EMPTY) == {m.__name__ for m in migrations}
    with transaction(con):
        if is_kept:
            con.execute(f"COPY FROM DATABASE {_EMPTY} TO fleet")
            con.execute("UPDATE fleet.raw.migrations SET applied_at = now()")
        else:
            _apply(con, migrations, migrations)
    con.execute(_CHECKPOINT)
    if not is_kept:
        con.execute(f"ATTACH OR REPLACE ':memory:' AS {_EMPTY}; COPY FROM DATABASE fleet TO {_EMPTY}")


def _apply(con: duckdb.DuckDBPyConnection, some: tuple[Migration, ...], migrations: tuple[Migration, ...]) -> None:
    for migration in some:
        migration(con)
    con.execute("INSERT INTO fleet.raw.migrations SELECT unnest(?), now()", [[m.__name__ for m in some]])
    if some[-1] is migrations[-1]:
        for view, query in VIEWS.items():
            con.execute(f"CREATE OR REPLACE VIEW fleet.{view} AS {query}")


def _done(con: duckdb.DuckDBPyConnection, database: str) -> set[str]:
    """Name the migrations that an attached database has had."""
    import duckdb

    with suppress(duckdb.CatalogException):  # it has no table yet, or is not attached
        return {name for (name,) in con.execute(f"SELECT name FROM {database}.raw.migrations").fetchall()}  # noqa: S608  ours
    return set()


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block does, or nothing of it."""
    import duckdb

    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed commit has rolled back already
            con.execute("ROLLBACK")
        raise
