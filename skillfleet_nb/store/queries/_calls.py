"""Calls of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from skillfleet_nb.store.store import Store


def calls(store: Store, job_id: str, *, limit: int, offset: int = 0) -> pd.DataFrame:
    """Rows of ``lm_calls`` of a job, in order."""
    return store.frame(
        'FROM lm_calls WHERE job_id = ? ORDER BY "at", call_id LIMIT ? OFFSET ?', [job_id, limit, offset]
    )


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
