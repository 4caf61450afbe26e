"""Traces: of monitored programs as they were told, of jobs as far as their calls and trials tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store.store import Store


def monitored_programs(store: Store) -> pd.DataFrame:
    """The programs that predictions are recorded of: `program`, how many `predictions`, and `last_at`."""
    return store.frame(
        """SELECT payload->>'name' AS program, count(*) AS predictions, max("at") AS last_at
        FROM events WHERE kind = 'traced' GROUP BY ALL ORDER BY last_at DESC"""
    )


def predictions(store: Store, program: str, *, limit: int) -> pd.DataFrame:
    """Rows of ``predictions`` of a program, the newest first."""
    return store.frame('FROM predictions WHERE program = ? ORDER BY "at" DESC, trace_id LIMIT ?', [program, limit])


def spans(store: Store, program: str, *, limit: int, prefix: str = "") -> pd.DataFrame:
    """Rows of ``spans`` of a program's newest predictions whose ids begin so, each prediction's in order."""
    return store.frame(
        """
        WITH newest AS (
            SELECT trace_id, max("at") AS last_at FROM spans
            WHERE program = $program AND starts_with(trace_id, $prefix)
            GROUP BY trace_id ORDER BY last_at DESC, trace_id LIMIT $limit
        )
        SELECT spans.* FROM spans JOIN newest USING (trace_id) ORDER BY last_at DESC, trace_id, "at\"""",
        {"program": program, "prefix": prefix, "limit": limit},
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


def example_table(store: Store, job_id: str) -> pd.DataFrame:
    """How each example was answered in each trial of a job: rows of ``scores`` with the trial's `split`, in order."""
    return store.frame(
        """
        SELECT s.trial, t.split, s.example_id, s.score, s.output, s.feedback
        FROM scores AS s JOIN (SELECT DISTINCT trial, split FROM trials WHERE job_id = $job) AS t USING (trial)
        WHERE s.job_id = $job ORDER BY ALL""",
        {"job": job_id},
    )
