"""Every question that the package asks of a home, by name.

Each is a function of a :class:`~skillfleet_nb.store.Store`, and one call on it: one connection,
one look for what is new.  Ask once for many jobs, not once for each.  A frame has the columns that
``docs/sql.md`` documents, unless the docstring names others; scores are in [0, 1], and a failure
counts 0 where scores are averaged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.store.job_filter import condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import pandas as pd

    from skillfleet_nb.store.store import Store


# Jobs


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


def job_names(store: Store) -> pd.DataFrame:
    """`job_id` and `name` of every job, newest first."""
    return store.frame("SELECT job_id, name FROM jobs ORDER BY created_at DESC")


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


# Trials and scores


def trials(store: Store, ids: Iterable[str], *, limit: int | None = None) -> pd.DataFrame:
    """Rows of ``trials`` of jobs, each job's in order; the first `limit` of them."""
    return store.frame("FROM trials WHERE list_contains(?, job_id) ORDER BY job_id, trial LIMIT ?", [list(ids), limit])


def outcomes(store: Store, job_id: str, trial_numbers: Iterable[int]) -> pd.DataFrame:
    """Rows of ``example_outcomes`` of some trials of a job."""
    return store.frame(
        "FROM example_outcomes WHERE job_id = ? AND list_contains(?, trial)", [job_id, [int(t) for t in trial_numbers]]
    )


def best_scores(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """How the best program of each job did on each example, on its widest evaluation of each split.

    Columns: `job_id`, `split` (``val`` or ``test``), `example_id`, `score`, `output`; rows of a
    data set that repeat count as one.
    """
    return store.frame(
        """
        WITH chosen AS (
            SELECT t.job_id, t.split, arg_max(t.trial, (t.n_examples, t.trial)) AS trial
            FROM trials AS t JOIN jobs AS j ON j.job_id = t.job_id AND j.best_program_id = t.program_id
            WHERE list_contains(?, t.job_id) AND (t.split = 'test' OR (t.split = 'val' AND t.full_eval))
            GROUP BY t.job_id, t.split
        )
        SELECT c.job_id, c.split, s.example_id, avg(coalesce(s.score, 0)) AS score, any_value(s.output) AS output
        FROM scores AS s JOIN chosen AS c USING (job_id, trial) GROUP BY ALL ORDER BY ALL""",
        [list(ids)],
    )


def given_and_best_scores(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """Scores of each example by the program as given and by the best one, on the test, else on validation.

    Columns: `job_id`, `split`, `example_id`, `before`, `score`.
    """
    return store.frame(
        """
        WITH judged AS (
            SELECT t.job_id, t.trial, t.split, row_number() OVER (
                PARTITION BY t.job_id
                ORDER BY t.split = 'test' DESC, t.program_id = j.best_program_id DESC, t.trial DESC
            ) AS place
            FROM trials AS t JOIN jobs AS j USING (job_id)
            WHERE list_contains(?, t.job_id) AND t.full_eval AND (t.split = 'test' OR
                (t.split = 'val' AND t.program_id = j.best_program_id))
        )
        SELECT o.job_id, o.split, o.example_id, o.before, o.score
        FROM judged JOIN example_outcomes AS o USING (job_id, trial) WHERE place = 1 ORDER BY example_id""",
        [list(ids)],
    )


def example_means(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """How candidates of jobs did on each example of train and validation: `example_id`, `scored` times, `mean`."""
    return store.frame(
        """
        SELECT example_id, count(*) AS scored, avg(coalesce(s.score, 0)) AS mean
        FROM scores AS s JOIN trials AS t USING (job_id, trial)
        WHERE list_contains(?, job_id) AND t.split IN ('train', 'val') GROUP BY example_id""",
        [list(ids)],
    )


def failed_examples(store: Store, job_id: str, *, limit: int) -> pd.DataFrame:
    """Trials of a job in which a candidate failed: `trial`, `split`, and on how many examples, `n`."""
    return store.frame(
        """
        SELECT t.trial, t.split, count(*) AS n FROM scores AS s JOIN trials AS t USING (job_id, trial)
        WHERE job_id = ? AND s.score IS NULL GROUP BY ALL ORDER BY ALL LIMIT ?""",
        [job_id, limit],
    )


# LM calls


def calls_by_model(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """What each role and model of jobs took.

    Columns: `job_id`, `role`, `model`, `calls` that were bought and those that were `cached`,
    `input_tokens`, `output_tokens`, `cost_usd`, and how many of the calls are `unpriced`.
    """
    return store.frame(
        """
        SELECT job_id, role, model, count(*) FILTER (NOT cached) AS calls, count(*) FILTER (cached) AS cached,
            coalesce(sum(input_tokens) FILTER (NOT cached), 0)::BIGINT AS input_tokens,
            coalesce(sum(output_tokens) FILTER (NOT cached), 0)::BIGINT AS output_tokens,
            coalesce(sum(cost_usd) FILTER (NOT cached), 0.0) AS cost_usd,
            count(*) FILTER (NOT cached AND cost_usd IS NULL) AS unpriced
        FROM lm_calls WHERE list_contains(?, job_id) GROUP BY ALL ORDER BY ALL""",
        [list(ids)],
    )


def latencies(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """How long models took to answer, counted in tenths of a decade.

    Columns: `role`, `model`, `bin` (10 times the decimal logarithm of seconds, rounded down),
    `calls`, and `median_s` and `p95_s` of the role and model.
    """
    return store.frame(
        """
        WITH answered AS (
            SELECT role, model, greatest(latency_s, 1e-5) AS s FROM lm_calls
            WHERE list_contains(?, job_id) AND NOT cached AND error IS NULL
        ), typical AS (
            SELECT role, model, quantile_cont(s, 0.5) AS median_s, quantile_cont(s, 0.95) AS p95_s
            FROM answered GROUP BY ALL
        )
        SELECT role, model, floor(10 * log10(s))::INT AS bin, count(*) AS calls, median_s, p95_s
        FROM answered JOIN typical USING (role, model) GROUP BY ALL ORDER BY ALL""",
        [list(ids)],
    )


def calls_that_end_with(store: Store, job_id: str, texts: Iterable[str], *, within: int, limit: int) -> pd.DataFrame:
    """Rows of ``lm_calls`` of a job whose prompt holds all these texts in its last `within` characters, in order."""
    return store.frame(
        """
        FROM lm_calls WHERE job_id = ? AND len(list_filter(?::VARCHAR[],
            lambda text: NOT contains(right(prompt, ?), text))) = 0
        ORDER BY "at", call_id LIMIT ?""",
        [job_id, list(texts), within, limit],
    )


def failed_calls(store: Store, job_id: str, *, limit: int) -> pd.DataFrame:
    """The errors of a job's calls, the most frequent first: `error`, and how often, `n`."""
    return store.frame(
        """
        SELECT error, count(*) AS n FROM lm_calls WHERE job_id = ? AND error IS NOT NULL
        GROUP BY error ORDER BY n DESC, error LIMIT ?""",
        [job_id, limit],
    )


# Programs


def job_programs(store: Store, job_id: str) -> pd.DataFrame:
    """The programs that a job scored, in the order in which it met them.

    Columns: `program_id`, `given` and `best` (whether it is the one that the job was given, and the one it came
    to), the first `trial` it was scored in and the number of `trials`, `val_score` and `test_score` of whole
    evaluations, `n_demos`, `parents` (a list of ids), `instructions`, `created_at`.
    """
    return store.frame(
        """
        WITH scored AS (
            SELECT program_id, min(trial) AS trial, count(*) AS trials,
                max(score) FILTER (split = 'val' AND full_eval) AS val_score,
                arg_max(score, trial) FILTER (split = 'test') AS test_score,
                list_distinct(flatten(list(parent_ids))) AS parents
            FROM trials WHERE job_id = $job GROUP BY program_id
        ), saved AS (
            SELECT program_id, min(created_at) AS created_at, any_value(n_demos) AS n_demos,
                any_value(instructions) AS instructions
            FROM programs WHERE job_id = $job GROUP BY program_id
        )
        SELECT program_id, coalesce(scored.trial = 0, false) AS given,
            coalesce(program_id = (SELECT best_program_id FROM jobs WHERE job_id = $job), false) AS best,
            scored.trial AS trial, coalesce(trials, 0) AS trials, val_score, test_score, n_demos,
            coalesce(parents, []::VARCHAR[]) AS parents, instructions, created_at
        FROM saved LEFT JOIN scored USING (program_id) ORDER BY scored.trial NULLS LAST, created_at, program_id""",
        {"job": job_id},
    )


def decisions(store: Store, job_id: str) -> pd.DataFrame:
    """The candidates that a job's optimizer judged by a rule of its own, in order: the relation ``decisions``."""
    return store.frame("FROM decisions WHERE job_id = ? ORDER BY decided_at", [job_id])


def program_scores(store: Store, job_id: str, program_id: str) -> pd.DataFrame:
    """How a program did on each example of its whole evaluations in a job, the worst of each split first.

    Columns: `trial`, `split`, `example_id`, `score`, `output`, `feedback`.
    """
    return store.frame(
        """
        SELECT t.trial, t.split, s.example_id, coalesce(s.score, 0) AS score, s.output, s.feedback
        FROM scores AS s JOIN trials AS t USING (job_id, trial)
        WHERE t.job_id = ? AND t.program_id = ? AND (t.full_eval OR t.split = 'test')
        ORDER BY t.split, score, s.example_id""",
        [job_id, program_id],
    )


def program_ids(store: Store, job_id: str | None = None) -> pd.DataFrame:
    """Every `program_id`, of a job or of all, with the newest job that has it, `job_id`."""
    return store.frame(
        "SELECT program_id, arg_max(job_id, created_at) AS job_id FROM programs "
        "WHERE $job IS NULL OR job_id = $job GROUP BY program_id",
        {"job": job_id},
    )


def program_versions(store: Store, name: str | None = None) -> pd.DataFrame:
    """Rows of ``program_versions``, of a name or of all, with the `aliases` of each (a list); newest first."""
    return store.frame(
        """
        WITH stand AS (SELECT name, version, list(alias ORDER BY alias) AS aliases FROM program_aliases GROUP BY ALL)
        SELECT v.*, coalesce(aliases, []::VARCHAR[]) AS aliases
        FROM program_versions AS v LEFT JOIN stand USING (name, version)
        WHERE $name IS NULL OR name = $name ORDER BY registered_at DESC, version DESC""",
        {"name": name},
    )


def program_uses(store: Store, name: str | None = None) -> pd.DataFrame:
    """Where the registered versions of a name, or of all, are used.

    Columns: `name`, `version`, `jobs` (names of those that start from it, without the one that made it), `answers` of
    live programs (as many as those recorded stand for) and when the last was, `answered_at`.
    """
    return store.frame(
        """
        WITH started AS (
            SELECT program_id, job_id, jobs.name AS job, created_at FROM trials JOIN jobs USING (job_id)
            WHERE trial = 0 AND split = 'val' GROUP BY ALL
        ), begun AS (
            SELECT v.name, version, list(DISTINCT job ORDER BY job) AS jobs
            FROM program_versions AS v JOIN started AS s USING (program_id)
            WHERE s.job_id IS DISTINCT FROM v.job_id GROUP BY ALL
        ), live AS (
            SELECT name, version, round(sum(1 / share))::BIGINT AS answers, max("at") AS answered_at
            FROM live_answers GROUP BY ALL
        )
        SELECT name, version, coalesce(jobs, []::VARCHAR[]) AS jobs, coalesce(answers, 0)::BIGINT AS answers,
            answered_at
        FROM begun FULL JOIN live USING (name, version)
        WHERE $name IS NULL OR name = $name ORDER BY name, version""",
        {"name": name},
    )


def programs_with_demos(store: Store) -> pd.DataFrame:
    """The candidates of all jobs that have demos, and how they did against those they were compared with.

    Columns: `job_id`, `instructions`, `state` as JSON, `score` above the mean of the job's
    candidates on the same examples of validation, and the number of these, `n`.
    """
    return store.frame(
        """
        WITH scored AS (
            SELECT job_id, program_id, example_id, avg(coalesce(s.score, 0)) AS score
            FROM scores AS s JOIN trials AS t USING (job_id, trial) WHERE t.split = 'val' GROUP BY ALL
        ), compared AS (
            SELECT *, score - avg(score) OVER (PARTITION BY job_id, example_id) AS above FROM scored
        ), candidates AS (
            SELECT job_id, program_id, avg(above) AS score, count(*) AS n FROM compared GROUP BY ALL
        )
        SELECT c.job_id, any_value(p.instructions) AS instructions, any_value(p.state) AS state, c.score, c.n
        FROM candidates AS c JOIN programs AS p USING (job_id, program_id) WHERE p.n_demos > 0
        GROUP BY c.job_id, c.program_id, c.score, c.n ORDER BY c.job_id, c.program_id"""
    )


# Examples


def example_history(store: Store) -> pd.DataFrame:
    """Rows of ``example_history``, each example's runs in order."""
    return store.frame("FROM example_history ORDER BY example_id, run")


def ratings(store: Store) -> dict[str, float]:
    """What people rated, by example id."""
    frame = store.frame("SELECT DISTINCT example_id, rating FROM examples WHERE rating IS NOT NULL")
    return {str(e): float(r) for e, r in frame.itertuples(index=False, name=None)}


def grades(store: Store, judge: str) -> dict[str, tuple[float, str]]:
    """What a judge graded and why, by example id; `judge` is the key it records its grades under."""
    frame = store.frame(
        "SELECT payload->>'example_id' AS id, (payload->>'grade')::DOUBLE AS grade, payload->>'reason' AS reason "
        "FROM events WHERE kind = 'judged' AND payload->>'judge' = ? ORDER BY \"at\"",
        [judge],
    )
    return {str(i): (float(g), str(r)) for i, g, r in frame.itertuples(index=False, name=None)}


def last_analysis(store: Store, dataset: str) -> str | None:
    """The key of what the last analysis of a data set came to; None where it was never analysed."""
    frame = store.frame(
        "SELECT arg_max(payload->>'key', events.at) AS key FROM events "
        "WHERE kind = 'examples' AND payload->>'dataset' = ?",
        [dataset],
    )
    return next(iter(frame["key"].dropna()), None)


# Advice


@dataclass(frozen=True)
class Experience:
    """What a home has seen that advice on a task goes by.

    Attributes
    ----------
    runs
        Completed jobs, oldest first, as rows of ``recommendations``; costs are those without DSPy's cache.
    landmarks
        Those of data sets, by the key of their task.
    probed, headroom
        What was last measured of the task itself; None where it was not.
    """

    runs: tuple[Mapping[str, Any], ...]
    landmarks: Mapping[str, Mapping[str, Any]]
    probed: Mapping[str, Any] | None
    headroom: Mapping[str, Any] | None


def experience(store: Store, task: str) -> Experience:
    """Everything that advice on a task goes by, in one question; `task` is its key."""
    frame = store.frame(
        """
        WITH measured AS (
            SELECT kind, payload,
                row_number() OVER (PARTITION BY kind, payload->>'key' ORDER BY events."at" DESC) AS newest
            FROM events WHERE kind = 'landmarks' OR (kind IN ('probed', 'headroom') AND payload->>'key' = ?)
        )
        SELECT kind, payload::VARCHAR AS body FROM measured WHERE newest = 1
        UNION ALL
        SELECT 'run', to_json(r)::VARCHAR FROM (
            SELECT r.* REPLACE (coalesce(full_cost_usd, actual_cost_usd) AS actual_cost_usd)
            FROM recommendations AS r LEFT JOIN jobs USING (job_id)
            WHERE job_id IS NOT NULL AND r.state = 'completed' ORDER BY r."at"
        ) AS r""",
        [task],
    )
    facts = [(str(kind), json.loads(body)) for kind, body in frame.itertuples(index=False, name=None)]
    measured = {kind: body for kind, body in facts if kind in {"probed", "headroom"}}
    return Experience(
        runs=tuple(body for kind, body in facts if kind == "run"),
        landmarks={body.pop("key"): body for kind, body in facts if kind == "landmarks"},
        probed=measured.get("probed"),
        headroom=measured.get("headroom"),
    )


def recommendations(store: Store) -> pd.DataFrame:
    """Rows of ``recommendations``."""
    return store.frame("FROM recommendations")


def is_recommended(store: Store, recommendation_id: str) -> bool:
    """Whether a recommendation is recorded."""
    return not store.frame(
        "SELECT 1 FROM recommendations WHERE id = ? AND recommended IS NOT NULL", [recommendation_id]
    ).empty
