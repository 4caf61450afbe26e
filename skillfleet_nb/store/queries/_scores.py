"""Trials, and how programs did on examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from skillfleet_nb.store.store import Store


def trials(store: Store, ids: Iterable[str], *, limit: int | None = None) -> pd.DataFrame:
    """Rows of ``trials`` of jobs, each job's in order; the first `limit` of them."""
    return store.frame("FROM trials WHERE list_contains(?, job_id) ORDER BY job_id, trial LIMIT ?", [list(ids), limit])


def individuals(store: Store, ids: Iterable[str]) -> pd.DataFrame:
    """The programs that jobs bred, by generation: the relation ``individuals``."""
    return store.frame(
        "FROM individuals WHERE list_contains(?, job_id) "
        "ORDER BY job_id, member, generation, score DESC NULLS LAST, program_id",
        [list(ids)],
    )


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
