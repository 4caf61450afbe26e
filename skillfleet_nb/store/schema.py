"""The database's tables and views, and the ordered migrations that lead to them.

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
from skillfleet_nb.store.registry_views import REGISTRY_VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

Migration = Callable[["duckdb.DuckDBPyConnection"], None]

RELATIONS = (
    "jobs", "events", "trials", "scores", "lm_calls", "programs", "reviews", "examples", "example_history",
    "example_outcomes", "recommendations", *REGISTRY_VIEWS,
)  # fmt: skip
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
            (SELECT max(last_at) FROM fleet.raw.segments WHERE segments.job_id = job.job_id) END AS finished_at)
    FROM fleet.jobs AS job LEFT JOIN live.dead ON dead.job_id = job.job_id;
    DELETE FROM live.dead;
    INSERT INTO live.dead SELECT unnest($dead::VARCHAR[])"""
# Statements that lay ``jobs`` before a connection, those in `$dead` as interrupted.

_VIEWS = {
    "events": """
        SELECT job_id, seq, logged_at AS "at", kind, payload FROM raw.events
        UNION ALL
        SELECT job_id, seq, logged_at, 'lm_call', to_json({
            call_id: call_id, model: model, role: role, cached: cached, input_tokens: input_tokens,
            output_tokens: output_tokens, cost_usd: cost_usd, latency_s: latency_s, error: error,
            attempts: attempts, asked: asked, cached_input_tokens: cached_input_tokens, prompt: prompt,
            cache_write_tokens: cache_write_tokens, reasoning_tokens: reasoning_tokens, full_cost_usd: full_cost_usd,
            response: response})
        FROM raw.lm_calls""",
    "trials": """
        SELECT job_id, trial, logged_at AS "at", split, full_eval, n_examples, score, best_so_far, program_id,
            parent_ids, lm_calls, cost_usd, coalesce(full_cost_usd, cost_usd) AS full_cost_usd
        FROM raw.trials""",
    "scores": "SELECT job_id, trial, example_id, score, feedback, output FROM raw.scores",
    "lm_calls": """
        SELECT job_id, call_id, logged_at AS "at", model, role, cached, input_tokens, output_tokens, cost_usd,
            latency_s, error, coalesce(attempts, 1) AS attempts, asked, cached_input_tokens, cache_write_tokens,
            reasoning_tokens, if(cached, full_cost_usd, cost_usd) AS full_cost_usd, prompt, response, unread
        FROM raw.lm_calls LEFT JOIN (
            SELECT job_id, call_id, any_value(reason) AS unread FROM raw.unread GROUP BY job_id, call_id
        ) USING (job_id, call_id)""",
    "programs": "SELECT program_id, job_id, logged_at AS created_at, state, instructions, n_demos FROM raw.programs",
    # A question that its process did not live to see answered is asked again; the last asking is waited for.
    "reviews": """
        WITH asked AS (
            SELECT job_id, payload->>'review_id' AS review_id, min(logged_at) AS asked_at, max(logged_at) AS last_at,
                count(*) AS times, arg_max(payload, seq) AS q
            FROM raw.events WHERE kind = 'review_asked' GROUP BY ALL
        ), answered AS (
            SELECT job_id, payload->>'review_id' AS review_id, max(logged_at) AS answered_at, arg_max(payload, seq) AS a
            FROM raw.events WHERE kind = 'review_answered' GROUP BY ALL
        )
        SELECT job_id, review_id, asked_at, times, q->>'about' AS about, q->>'asks' AS asks, q->>'question' AS question,
            q->'details' AS details, answered_at, a->>'choice' AS choice, a->>'text' AS "text",
            epoch(answered_at) - epoch(last_at) AS waited_s
        FROM asked LEFT JOIN answered USING (job_id, review_id)""",
    # What a job bought is added up per segment while folding, so this costs the same at any number of calls.
    "jobs": """
        WITH created AS (
            SELECT job_id, arg_min({
                name: name, created_at: logged_at, optimizer: optimizer, program: program, metric: metric,
                engine: engine, seed: seed, budget_usd: budget_usd, tags: tags, domain: domain}, seq) AS c
            FROM raw.jobs GROUP BY job_id
        ), state AS (
            SELECT job_id, arg_max({
                    state: state, kind: stop_kind, reason: stop_reason, error: error, since: logged_at}, seq) AS s,
                min(logged_at) FILTER (state = 'running') AS started_at,
                max(seq) FILTER (state = 'pending') AS resumed
            FROM raw.states GROUP BY job_id
        ), result AS (
            SELECT job_id, arg_max({
                baseline_score: baseline_score, best_score: best_score, test_baseline: test_baseline,
                test_score: test_score, test_delta: test_delta, test_delta_low: test_delta_low,
                test_delta_high: test_delta_high, p_value: p_value, verdict: verdict,
                best_program_id: best_program_id}, seq) AS r
            FROM raw.results LEFT JOIN state USING (job_id) WHERE seq > coalesce(resumed, 0) GROUP BY job_id
        ), live AS (
            SELECT job_id, arg_min(score, seq) FILTER (trial = 0) AS baseline_score,
                max(score) AS best_score, arg_max(program_id, (score, -seq)) AS best_program_id
            FROM raw.trials WHERE split = 'val' AND full_eval GROUP BY job_id
        ), used AS (
            SELECT job_id, sum(bought)::BIGINT AS lm_calls, sum(cached)::BIGINT AS cached_calls,
                sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
                CASE WHEN sum(unpriced) = 0 THEN sum(cost_usd ORDER BY segment) END AS cost_usd,
                {task: sum(unread_task)::BIGINT, prompt: sum(unread_prompt)::BIGINT,
                    reflection: sum(unread_reflection)::BIGINT, judge: sum(unread_judge)::BIGINT} AS unread,
                if(sum(unpriced+unpriced_cached) = 0, sum(cost_usd+saved_usd ORDER BY segment), NULL) AS full_cost_usd,
                sum(ran_s + coalesce(epoch(last_at) - epoch(running_since), 0) ORDER BY segment) AS wall_s
            FROM raw.segments GROUP BY job_id
        )
        SELECT job_id, c.name, coalesce(s.state, 'pending') AS state, s.kind AS stop_kind, s.reason AS stop_reason,
            c.optimizer, c.program, c.metric, c.engine, c.seed,
            c.created_at, started_at,
            CASE WHEN s.state IN ('completed', 'failed', 'cancelled', 'interrupted') THEN s.since END AS finished_at,
            coalesce(r.baseline_score, live.baseline_score) AS baseline_score,
            coalesce(r.best_score, live.best_score) AS best_score,
            r.test_baseline, r.test_score, r.test_delta, r.test_delta_low, r.test_delta_high, r.p_value,
            r.verdict, used.cost_usd, used.lm_calls, used.cached_calls, used.input_tokens,
            used.output_tokens, CASE WHEN started_at IS NOT NULL THEN used.wall_s END AS wall_s, c.budget_usd,
            coalesce(r.best_program_id, live.best_program_id) AS best_program_id, s.error,
            coalesce(c.tags, []) AS tags, c.domain, used.unread, used.full_cost_usd
        FROM created
        LEFT JOIN state USING (job_id) LEFT JOIN result USING (job_id)
        LEFT JOIN live USING (job_id) LEFT JOIN used USING (job_id)""",
    # Computed from what runs recorded, so a run counts once however often it is resumed or folded.
    "example_history": """
        WITH ended AS (
            SELECT job_id, arg_max(logged_at, seq) AS ended_at FROM raw.states GROUP BY job_id
            HAVING arg_max(state, seq) IN ('completed', 'failed', 'cancelled', 'interrupted')
        ), seen AS (
            SELECT example_id, job_id, any_value(ended_at) AS ended_at, avg(coalesce(s.score, 0)) AS mean_score,
                last(coalesce(s.score, 0) ORDER BY t.score, t.trial DESC) AS best_score,
                count(*) AS trials, count(*) FILTER (s.score >= 0.5) AS solved
            FROM raw.scores AS s JOIN raw.trials AS t USING (job_id, trial) JOIN ended USING (job_id)
            WHERE t.split IN ('train', 'val') GROUP BY example_id, job_id
        ), known AS (
            SELECT example_id, arg_max(quality, logged_at) AS quality FROM raw.examples GROUP BY example_id
        ), runs AS (
            SELECT seen.*, coalesce(known.quality, 0.5) AS start, row_number() OVER past AS run,
                list(mean_score) OVER past AS means, list(best_score) OVER past AS bests
            FROM seen LEFT JOIN known USING (example_id)
            WINDOW past AS (PARTITION BY example_id ORDER BY ended_at, job_id ROWS UNBOUNDED PRECEDING)
        )
        SELECT example_id, job_id, run, ended_at AS "at", trials, solved, mean_score, best_score,
            list_reduce(means, lambda old, new: 0.8 * old + 0.2 * new, start) AS quality,
            list_reduce(bests, lambda old, new: 0.9 * old + 0.1 * new, 0.5::DOUBLE) AS success
        FROM runs""",
    "examples": """
        WITH latest AS (
            SELECT example_id, dataset, max(logged_at) AS analysed_at, arg_max({
                row: row, category: category, quality: quality, relevance: relevance, diversity: diversity,
                suspicion: suspicion, judged: judged, influence: influence, influence_low: influence_low,
                influence_high: influence_high}, logged_at) AS a
            FROM raw.examples GROUP BY example_id, dataset
        ), rated AS (
            SELECT payload->>'example_id' AS example_id,
                arg_max({rating: (payload->>'rating')::DOUBLE}, (logged_at, job_id, seq)).rating AS rating
            FROM raw.events WHERE kind = 'rating' GROUP BY ALL
        ), used AS (
            SELECT example_id, count(*) AS uses, max("at") AS last_used, arg_max(success, run) AS success,
                arg_max(quality, run) AS quality
            FROM example_history GROUP BY example_id
        )
        SELECT example_id, dataset, a.row AS "row", a.category, a.quality AS analysed_quality,
            coalesce(used.quality, a.quality) AS quality, coalesce(used.success, 0.5) AS success,
            a.relevance, a.diversity, a.suspicion, a.judged, a.influence, a.influence_low, a.influence_high, rating,
            coalesce(uses, 0) AS uses, last_used, analysed_at
        FROM latest FULL JOIN used USING (example_id) LEFT JOIN rated USING (example_id)""",
    "example_outcomes": """
        WITH scored AS (
            SELECT s.job_id, trial, program_id, split, example_id, coalesce(s.score, 0) AS score
            FROM raw.scores AS s JOIN raw.trials AS t USING (job_id, trial)
        ), given AS (
            SELECT s.job_id, example_id, avg(s.score) AS score FROM scored AS s
            JOIN raw.trials AS first ON first.job_id = s.job_id AND first.trial = 0 AND first.program_id = s.program_id
            GROUP BY s.job_id, example_id
        )
        SELECT s.job_id, trial, program_id, split, example_id, g.score AS before, s.score AS score,
            CASE WHEN g.score < 0.5 AND s.score >= 0.5 THEN 'fixed' WHEN g.score >= 0.5 AND s.score < 0.5 THEN 'broke'
                WHEN g.score >= 0.5 THEN 'solved' WHEN g.score < 0.5 THEN 'unsolved' END AS outcome
        FROM scored AS s LEFT JOIN given AS g USING (job_id, example_id)""",
    # One row a job, and one a recommendation that no job followed.
    "recommendations": """
        WITH joined AS (
            SELECT coalesce(r.recommendation_id, c.job_id) AS id, coalesce(c.logged_at, r.logged_at) AS "at",
                c.job_id, coalesce(c.how, 'not run') AS how, coalesce(c.features, r.features) AS features,
                r.optimizer AS recommended, r.params AS recommended_params, r.confidence, r.expected_score,
                r.budget_usd, r.quality_target, r.max_minutes, c.optimizer AS chosen, c.params AS chosen_params,
                coalesce(c.calls, r.calls) AS calls, coalesce(c.cost_usd, r.cost_usd) AS cost,
                coalesce(c.wall_s, r.wall_s) AS wall
            FROM raw.recommended AS r FULL JOIN raw.choices AS c USING (recommendation_id)
        ), ended AS (
            SELECT joined.*, state, stop_kind, stop_reason, jobs.baseline_score,
                coalesce(test_score, best_score) AS score,
                coalesce(test_score - test_baseline, best_score - jobs.baseline_score) AS gain,
                jobs.cost_usd AS actual_cost, jobs.lm_calls AS actual_calls, jobs.wall_s AS actual_wall
            FROM joined LEFT JOIN jobs USING (job_id)
        )
        SELECT id, "at", job_id, how, features, recommended, recommended_params, confidence, expected_score,
            budget_usd, quality_target, max_minutes, chosen, chosen_params, state, stop_kind, stop_reason,
            baseline_score, score, gain,
            CASE WHEN count(DISTINCT chosen || chosen_params::VARCHAR) FILTER (score IS NOT NULL) OVER task > 1
                THEN max(score) OVER task - score END AS regret,
            job_id IS NOT NULL AND row_number() OVER (PARTITION BY features->>'task', job_id IS NULL
                ORDER BY "at", job_id) > 1 AS warm,
            calls[1] AS calls_low, calls[2] AS expected_calls, calls[3] AS calls_high, actual_calls,
            cost[1] AS cost_usd_low, cost[2] AS expected_cost_usd, cost[3] AS cost_usd_high,
            actual_cost AS actual_cost_usd, wall[1] AS wall_s_low, wall[2] AS expected_wall_s,
            wall[3] AS wall_s_high, actual_wall AS actual_wall_s
        FROM ended WINDOW task AS (PARTITION BY features->>'task')""",
    **REGISTRY_VIEWS,
}


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
    told = "features JSON, optimizer VARCHAR, params JSON, calls DOUBLE[], cost_usd DOUBLE[], wall_s DOUBLE[]"
    con.execute(f"""
        CREATE TABLE fleet.raw.recommended (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, recommendation_id VARCHAR, {told},
            expected_score DOUBLE, confidence DOUBLE, budget_usd DOUBLE, quality_target DOUBLE, max_minutes DOUBLE);
        CREATE TABLE fleet.raw.choices (
            job_id VARCHAR, seq BIGINT, logged_at TIMESTAMPTZ, recommendation_id VARCHAR, how VARCHAR, {told})""")


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


MIGRATIONS: tuple[Migration, ...] = (
    m001_initial, m002_attempts, m003_examples, m004_outputs, m005_estimates, m006_recommendations, m007_tags,
    m008_jobs_of_recommendations,
    m009_reviews,
    m010_stop_kinds_and_clocks,
    m011_unread_answers,
    m012_registry,
    m013_bills,
)  # fmt: skip
"""Every migration there has been, oldest first.  Never change one that was released: add another."""


def define_relations(con: duckdb.DuckDBPyConnection, dead: Iterable[str], query: str | None = None) -> None:
    """Lay the public relations before a connection, the jobs `dead` as interrupted.

    With a `query`, only those that it names: to define one costs more than most queries.  A connection
    that has them keeps them, whatever is attached.
    """
    named = set(RELATIONS if query is None else re.findall(r"\w+", query.lower()))
    for relation in RELATIONS:
        if relation == "jobs" and relation in named:
            con.execute(_LIVE_JOBS, {"dead": sorted(dead)})
        elif relation in named:
            con.execute(f"CREATE VIEW IF NOT EXISTS {relation} AS FROM fleet.{relation}")


def pending(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] = MIGRATIONS) -> tuple[Migration, ...]:
    """Return the migrations the attached database still needs.

    Raises
    ------
    HomeError
        If a newer version made the database.
    """
    import duckdb

    try:
        done = {name for (name,) in con.execute("SELECT name FROM fleet.raw.migrations").fetchall()}
    except duckdb.CatalogException:
        return migrations
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
    # A new database is laid in one go: a third of the time, at the first question to a home.
    steps = [needed] if needed == migrations else [(migration,) for migration in needed]
    for step in filter(None, steps):
        with transaction(con):
            for migration in step:
                migration(con)
                con.execute("INSERT INTO fleet.raw.migrations VALUES (?, now())", [migration.__name__])
            if step[-1] is migrations[-1]:
                for view, query in _VIEWS.items():
                    con.execute(f"CREATE OR REPLACE VIEW fleet.{view} AS {query}")
        # replaying DDL from a write-ahead log has had defects: leave none there
        con.execute("CHECKPOINT fleet")


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
