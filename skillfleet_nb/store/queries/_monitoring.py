"""Programs in use: A/B tests, checks for drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store.store import Store


def ab_tests(store: Store) -> pd.DataFrame:
    """Rows of ``ab_tests``, the newest first."""
    return store.frame("FROM ab_tests ORDER BY started_at DESC")


def ab_scores(store: Store, run: str) -> pd.DataFrame:
    """Of each unit of a test its first score, in the order in which they came.

    Columns: `unit`, `variant`, `epoch` of the split it was assigned by, `score`, `at`.
    """
    return store.frame(
        """
        SELECT unit, u.variant AS variant, u.epoch AS epoch, arg_min(score, s."at") AS score, min(s."at") AS "at"
        FROM ab_feedback AS s JOIN ab_units AS u USING (run, unit, variant)
        WHERE run = ? GROUP BY ALL ORDER BY "at", unit""",
        [run],
    )


def ab_units(store: Store, run: str) -> pd.DataFrame:
    """Of each unit of a test its first answer, in the order in which they came.

    Columns: `unit`, `variant`, `epoch` of the split it was assigned by, `latency_s`, `cost_usd`, `error`, `answers`,
    and whether a score came, `scored`.
    """
    return store.frame(
        """
        WITH scored AS (SELECT DISTINCT unit FROM ab_feedback WHERE run = $run), called AS (
            SELECT unit, arg_min({l: latency_s, c: cost_usd, e: error}, "at") AS a, count(*) AS answers
            FROM ab_answers WHERE run = $run GROUP BY unit
        )
        SELECT unit, variant, epoch, a.l AS latency_s, a.c AS cost_usd, a.e AS error,
            coalesce(answers, 0) AS answers, unit IN (SELECT unit FROM scored) AS scored
        FROM ab_units LEFT JOIN called USING (unit) WHERE run = $run ORDER BY first_at, unit""",
        {"run": run},
    )


def drift_checks(store: Store, name: str | None = None) -> pd.DataFrame:
    """Rows of ``drift_checks``, of a name or of all, the oldest first."""
    return store.frame(
        'FROM drift_checks WHERE $name IS NULL OR name = $name ORDER BY "at", look, kind', {"name": name}
    )


def golden_sets(store: Store) -> pd.DataFrame:
    """Each version of a golden set, the newest first, with how often it was used.

    Columns: `name`, `version`, `examples`, `program`, `model`, `metric`, `mean_score`, `uses`, `added_at`,
    `last_used_at`.
    """
    return store.frame(
        """
        SELECT name, version, max(examples) FILTER (how = 'added') AS examples,
            any_value(program) FILTER (how = 'added') AS program, any_value(model) FILTER (how = 'added') AS model,
            any_value(metric) FILTER (how = 'added') AS metric,
            any_value(mean_score) FILTER (how = 'added') AS mean_score,
            count(*) FILTER (how <> 'added') AS uses, min("at") FILTER (how = 'added') AS added_at,
            max("at") FILTER (how <> 'added') AS last_used_at
        FROM golden_history GROUP BY name, version ORDER BY added_at DESC"""
    )


def golden_history(store: Store) -> pd.DataFrame:
    """Rows of ``golden_history``, the oldest first."""
    return store.frame('FROM golden_history ORDER BY "at", name, version')
