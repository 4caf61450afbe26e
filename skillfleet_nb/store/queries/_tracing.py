"""Traces: of monitored programs as they were told, of jobs as far as their calls and trials tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from skillfleet_nb.store.tracing_views import spans_of

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from skillfleet_nb.store.store import Store

_USED = orjson.dumps(
    {
        **dict.fromkeys(("version", "alias", "error"), "VARCHAR"),
        **dict.fromkeys(("share", "latency_s", "score"), "DOUBLE"),
        "spans": [
            {
                "model": "VARCHAR",
                "cached": "BOOLEAN",
                "cost_usd": "DOUBLE",
                "input_tokens": "BIGINT",
                "output_tokens": "BIGINT",
            }
        ],
    }
).decode()
"""What is read of a prediction to count it, in one pass over its text."""


def monitored_programs(store: Store) -> pd.DataFrame:
    """The programs that predictions are recorded of: `program`, how many `predictions`, and `last_at`."""
    return store.frame(
        """SELECT payload->>'name' AS program, count(*) AS predictions, max("at") AS last_at
        FROM events WHERE kind = 'traced' GROUP BY ALL ORDER BY last_at DESC"""
    )


def newest_predictions(store: Store, program: str, *, limit: int) -> list[str]:
    """Ids of a program's predictions, the newest first."""
    rows = store.frame(
        """SELECT payload->>'trace_id' AS trace_id FROM events WHERE kind = 'traced' AND payload->>'name' = ?
        ORDER BY "at" DESC, trace_id LIMIT ?""",
        [program, limit],
    )
    return [str(one) for one in rows.trace_id]


def spans(store: Store, program: str, *, limit: int, prefix: str = "") -> pd.DataFrame:
    """Rows of ``spans`` of a program's newest predictions whose ids begin so, each prediction's in order.

    The predictions are picked first: the relation would take all of them apart.
    """
    return store.frame(
        f"""
        WITH newest AS (
            SELECT kind, payload, "at" AS logged_at FROM events
            WHERE kind = 'traced' AND payload->>'name' = $program AND starts_with(payload->>'trace_id', $prefix)
            ORDER BY logged_at DESC, payload->>'trace_id' LIMIT $limit
        ), ended AS (SELECT payload->>'trace_id' AS trace_id, logged_at FROM newest)
        SELECT s.* FROM ({spans_of("newest")}) AS s JOIN ended USING (trace_id)
        ORDER BY ended.logged_at DESC, trace_id, s."at\"""",  # noqa: S608  ours
        {"program": program, "prefix": prefix, "limit": limit},
    )


def usage(store: Store, program: str, *, since: datetime, step_s: float) -> pd.DataFrame:
    """What a monitored program did since a moment: in all, by stretches of time, version and kind of error.

    Returns
    -------
    pd.DataFrame
        Of each `part` (``all``, ``time``, ``version``, ``error``) and `value` of it: recorded `predictions`, the
        `calls` they stand for, how many of these `failed`, `p50_s` and `p95_s`, `lm_calls` and how many were `cached`,
        tokens and `cost_usd` (None where a price is unknown) of the calls they stand for, and `scores`, as a list.
    """
    return store.frame(
        """
        WITH recent AS (
            SELECT "at", from_json(payload, $shape) AS p FROM events
            WHERE kind = 'traced' AND payload->>'name' = $program AND "at" >= $since
        ), used AS (
            SELECT p.latency_s, p.error, p.score, 1 / p.share AS weight,
                list_count([s.model FOR s IN p.spans]) AS lm_calls, list_count([s.cost_usd FOR s IN p.spans]) AS priced,
                len([s FOR s IN p.spans IF s.cached]) AS cached,
                list_sum([s.input_tokens FOR s IN p.spans]) AS input_tokens,
                list_sum([s.output_tokens FOR s IN p.spans]) AS output_tokens,
                list_sum([s.cost_usd FOR s IN p.spans]) AS cost_usd,
                floor(epoch("at" - $since) / $step)::BIGINT::VARCHAR AS stretch,
                split_part(p.error, ':', 1) AS error_kind, concat_ws('@', p.version, p.alias) AS version
            FROM recent
        )
        SELECT CASE WHEN grouping(stretch) = 0 THEN 'time' WHEN grouping(version) = 0 THEN 'version'
                WHEN grouping(error_kind) = 0 THEN 'error' ELSE 'all' END AS part,
            coalesce(stretch, version, error_kind) AS value, count(*) AS predictions, sum(weight) AS calls,
            coalesce(sum(weight) FILTER (error IS NOT NULL), 0) AS failed,
            quantile_cont(latency_s, 0.5) AS p50_s, quantile_cont(latency_s, 0.95) AS p95_s,
            coalesce(sum(lm_calls), 0)::BIGINT AS lm_calls, coalesce(sum(cached), 0)::BIGINT AS cached,
            coalesce(sum(weight * input_tokens), 0) AS input_tokens,
            coalesce(sum(weight * output_tokens), 0) AS output_tokens,
            CASE WHEN sum(lm_calls) = sum(priced) THEN coalesce(sum(weight * cost_usd), 0) END AS cost_usd,
            list(score) FILTER (score IS NOT NULL) AS scores
        FROM used GROUP BY GROUPING SETS ((stretch), (version), (error_kind), ()) HAVING count(*) > 0
        ORDER BY ALL""",
        {"program": program, "since": since, "step": step_s, "shape": _USED},
    )


def trial_spans(store: Store, job_id: str) -> pd.DataFrame:
    """The trials of a job as spans of time: rows of ``trials`` with `began_at`, when it began to be scored.

    The given program, and those that are tested, are not announced: they began as what was before them had ended.
    """
    return store.frame(
        """
        WITH trying AS (
            SELECT payload->>'program_id' AS program_id, payload->>'split' AS split, "at" AS began_at
            FROM events WHERE job_id = $job AND kind = 'trying'
        )
        SELECT t.*, coalesce((
            SELECT max(began_at) FROM trying
            WHERE trying.program_id = t.program_id AND trying.split = t.split AND trying.began_at <= t."at"
        ), (
            SELECT max(e."at") FROM events AS e
            WHERE e.job_id = $job AND e.kind IN ('phase', 'trial') AND e."at" < t."at"
        )) AS began_at
        FROM trials AS t WHERE job_id = $job ORDER BY "at", trial, split""",
        {"job": job_id},
    )


def call_spans(store: Store, job_id: str, *, content: bool) -> pd.DataFrame:
    """Rows of ``lm_calls`` of a job in order, with its texts only where they are asked for: they are large."""
    texts = "" if content else "EXCLUDE (prompt, response)"
    return store.frame(f'SELECT * {texts} FROM lm_calls WHERE job_id = ? ORDER BY "at", call_id', [job_id])  # noqa: S608  ours


def tool_spans(store: Store, job_id: str) -> pd.DataFrame:
    """Calls of tools for a job in order: `at`, when each ended, `latency_s`, `tool`, `input`, `output`, `error`."""
    return store.frame(
        """
        SELECT seq, "at", (payload->>'latency_s')::DOUBLE AS latency_s, payload->>'tool' AS tool,
            payload->>'input' AS input, payload->>'output' AS output, payload->>'error' AS error
        FROM events WHERE job_id = ? AND kind = 'tool_called' ORDER BY seq""",
        [job_id],
    )


def example_table(store: Store, job_id: str) -> pd.DataFrame:
    """How each example was answered in each trial of a job: rows of ``scores`` with the trial's `split`, in order."""
    return store.frame(
        """
        SELECT s.trial, t.split, s.example_id, s.score, s.output, s.feedback
        FROM scores AS s JOIN (SELECT DISTINCT trial, split FROM trials WHERE job_id = $job) AS t USING (trial)
        WHERE s.job_id = $job ORDER BY ALL""",
        {"job": job_id},
    )
