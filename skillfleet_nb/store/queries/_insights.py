"""What the runs of a home came to, all together, and what people made of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from skillfleet_nb.store.store import Store


def run_outcomes(store: Store) -> pd.DataFrame:
    """Every completed run that scored two programs on the sealed test, the oldest first.

    Columns: `job_id`, `name`, `optimizer`, `task` (what it was said to be about, else its program), `task_key`, `model`
    (NA where not recorded), `tags`, `finished_at`, `stop_kind`, `baseline`, `gain` with `low` and `high` on the test,
    `cost_usd`, `lm_calls`, and of the task `rows`, `labels` and `predictors`, NA where not recorded.
    """
    return store.frame(
        """
        WITH told AS (
            SELECT job_id, any_value(features) AS features FROM recommendations WHERE job_id IS NOT NULL GROUP BY job_id
        )
        SELECT job_id, name, optimizer, coalesce(domain, program) AS task,
            coalesce(features->>'task', concat_ws(' ', program, metric)) AS task_key, features->>'lm' AS model, tags,
            finished_at, stop_kind, test_baseline AS baseline, test_delta AS gain, test_delta_low AS low,
            test_delta_high AS high, cost_usd, lm_calls, (features->>'n')::BIGINT AS "rows",
            (features->>'labels')::BIGINT AS labels, (features->>'predictors')::BIGINT AS predictors
        FROM jobs LEFT JOIN told USING (job_id)
        WHERE state = 'completed' AND test_delta IS NOT NULL AND optimizer NOT IN ('evaluate', 'create_skill')
        ORDER BY finished_at, job_id"""
    )


def answer_costs(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """What an answer cost without DSPy's cache, of the program given and of the best one.

    Both are tested at the same time, so the best one's are the bill of the test less what the program given cost on
    validation, where it is the first to be scored.

    Columns: `job_id`, `before_usd` and `after_usd`; NA where a price is unknown, or the program given stayed the best.
    """
    return store.frame(
        """
        WITH bills AS (
            SELECT job_id, arg_min(full_cost_usd / n_examples, trial) FILTER (split = 'val') AS before_usd,
                max(full_cost_usd) FILTER (split = 'test') - max(full_cost_usd) FILTER (split <> 'test') AS test_usd,
                max(n_examples) FILTER (split = 'test') AS n,
                count(DISTINCT program_id) FILTER (split = 'test') AS programs
            FROM trials WHERE list_contains(?, job_id) AND n_examples > 0 GROUP BY job_id
        )
        SELECT job_id, before_usd, CASE WHEN programs = 2 THEN greatest(test_usd / n - before_usd, 0) END AS after_usd
        FROM bills ORDER BY job_id""",
        [list(ids)],
    )


def learning_curves(store: Store) -> pd.DataFrame:
    """Every full evaluation on validation of jobs that optimised, in order.

    Columns: `job_id`, `optimizer`, `state`, `calls` the job had made by then, from the cache or not where that is
    known, `score`, and `total`, the calls of the whole job.
    """
    return store.frame(
        """
        SELECT job_id, optimizer, state, trials.lm_calls AS calls, score, jobs.lm_calls AS total
        FROM trials JOIN jobs USING (job_id)
        WHERE split = 'val' AND full_eval AND NOT pruned AND optimizer NOT IN ('evaluate', 'create_skill')
        ORDER BY job_id, trial"""
    )


def unsolved_examples(store: Store) -> pd.DataFrame:
    """How often the runs of each task solved each example: at least one of its candidates did.

    Columns: `task`, `example_id`, `runs`, `solved_runs`.
    """
    return store.frame(
        """
        SELECT coalesce(domain, program) AS task, example_id, count(*) AS runs,
            count(*) FILTER (solved > 0) AS solved_runs
        FROM example_history JOIN jobs USING (job_id)
        WHERE optimizer NOT IN ('evaluate', 'create_skill') GROUP BY ALL ORDER BY ALL"""
    )


def jobs_query(ids: Iterable[str]) -> str:
    """Write the query that shows jobs, to be typed or changed by a person."""
    return f"FROM jobs WHERE job_id IN ({_listed(ids)}) ORDER BY finished_at"


def examples_query(ids: Iterable[str]) -> str:
    """Write the query that shows what runs came to on examples."""
    return f"FROM example_history WHERE example_id IN ({_listed(ids)}) ORDER BY example_id, run"


def _listed(ids: Iterable[str]) -> str:
    return ", ".join("'" + one.replace("'", "''") + "'" for one in ids)


def notes(store: Store) -> pd.DataFrame:
    """Rows of ``notes``, the oldest first."""
    return store.frame('FROM notes ORDER BY "at", note_id')


def insight_decisions(store: Store) -> dict[str, str]:
    """What people decided of insights last, by their id: accepted, dismissed or pinned."""
    frame = store.frame("SELECT insight_id, decision FROM insight_decisions WHERE decision IS NOT NULL")
    return {str(i): str(d) for i, d in frame.itertuples(index=False, name=None)}


def pinned_insights(store: Store) -> pd.DataFrame:
    """Rows of ``insight_decisions`` that are pinned, the oldest first."""
    return store.frame("FROM insight_decisions WHERE decision = 'pinned' ORDER BY \"at\", insight_id")
