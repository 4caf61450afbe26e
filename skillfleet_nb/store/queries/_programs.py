"""Programs of jobs, and registered ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store.store import Store


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
