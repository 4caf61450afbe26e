"""What people ask of programs in use: views over the events of A/B tests and of checks for drift."""

from __future__ import annotations

MONITORING_VIEWS = {
    "ab_tests": """
        WITH ended AS (
            SELECT payload->>'run' AS run, arg_min(payload, seq) AS e, min(logged_at) AS ended_at
            FROM raw.events WHERE kind = 'ab_ended' GROUP BY ALL
        )
        SELECT payload->>'name' AS name, payload->>'run' AS run, coalesce(e->>'how', 'running') AS state,
            payload->'variants' AS variants, payload->>'strategy' AS strategy,
            (payload->>'alpha')::DOUBLE AS alpha, (payload->>'power')::DOUBLE AS power,
            (payload->>'effect')::DOUBLE AS effect, (payload->>'margin')::DOUBLE AS margin,
            (payload->>'rows')::BIGINT AS planned_rows, payload->'guardrails' AS guardrails,
            payload->>'metric' AS metric, payload->>'by' AS started_by, logged_at AS started_at, ended_at,
            e->>'winner' AS winner, e->>'why' AS why
        FROM raw.events LEFT JOIN ended ON run = payload->>'run' WHERE kind = 'ab_started'""",
    "ab_splits": """
        SELECT payload->>'name' AS name, payload->>'run' AS run,
            CASE kind WHEN 'ab_started' THEN 0 ELSE (payload->>'epoch')::BIGINT END AS epoch,
            (payload->'split')::DOUBLE[] AS split, coalesce(payload->>'why', 'start') AS why, logged_at AS "at"
        FROM raw.events WHERE kind IN ('ab_started', 'ab_split')""",
    "ab_answers": """
        SELECT payload->>'run' AS run, payload->>'call' AS call, payload->>'unit' AS unit,
            payload->>'variant' AS variant, (payload->>'epoch')::BIGINT AS epoch, logged_at AS "at",
            (payload->>'latency_s')::DOUBLE AS latency_s, (payload->>'cost_usd')::DOUBLE AS cost_usd,
            payload->>'error' AS error
        FROM raw.events WHERE kind = 'ab_answered'""",
    # Feedback that comes twice, from whichever process, is one: the first.
    "ab_feedback": """
        SELECT run, call, any_value(unit) AS unit, any_value(variant) AS variant, any_value(epoch) AS epoch,
            min("at") AS "at", arg_min(score, "at") AS score, count(*) AS times
        FROM (
            SELECT payload->>'run' AS run, payload->>'call' AS call, payload->>'unit' AS unit,
                payload->>'variant' AS variant, (payload->>'epoch')::BIGINT AS epoch, logged_at AS "at",
                (payload->>'score')::DOUBLE AS score
            FROM raw.events WHERE kind = 'ab_scored'
        ) GROUP BY run, call""",
    # A unit counts once, under the variant that it met first.
    "ab_units": """
        WITH seen AS (
            SELECT run, unit, variant, epoch, "at" FROM ab_answers
            UNION ALL SELECT run, unit, variant, epoch, "at" FROM ab_feedback
        )
        SELECT run, unit, arg_min(variant, "at") AS variant, arg_min(epoch, "at") AS epoch, min("at") AS first_at
        FROM seen GROUP BY run, unit""",
    "drift_checks": """
        SELECT payload->>'of' AS name, (payload->>'look')::BIGINT AS look, logged_at AS "at",
            (payload->>'p_value')::DOUBLE AS p_value, (payload->>'spent')::DOUBLE AS spent,
            (payload->>'alpha')::DOUBLE AS alpha, (payload->>'divergence')::DOUBLE AS divergence,
            (payload->>'alarm')::BOOLEAN AS alarm, (payload->>'n')::BIGINT AS n,
            (payload->>'n_reference')::BIGINT AS n_reference, (payload->>'share')::DOUBLE AS share
        FROM raw.events WHERE kind = 'drift'""",
}
"""Query of each relation, in the order in which they rest on each other."""
