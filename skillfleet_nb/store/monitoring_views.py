"""What people ask of programs in use: views over the events of golden sets, A/B tests and checks for drift."""

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
        WITH checks AS (
            SELECT payload->>'of' AS name, (payload->>'look')::BIGINT AS look, logged_at AS "at",
                (payload->>'alpha')::DOUBLE AS alpha, unnest((payload->'findings')::JSON[]) AS f
            FROM raw.events WHERE kind = 'drift'
        )
        SELECT name, look, f->>'kind' AS kind, "at", (f->>'p_value')::DOUBLE AS p_value,
            (f->>'spent')::DOUBLE AS spent, alpha, (f->>'divergence')::DOUBLE AS divergence,
            (f->>'alarm')::BOOLEAN AS alarm, (f->>'n')::BIGINT AS n, (f->>'n_reference')::BIGINT AS n_reference,
            (f->>'share')::DOUBLE AS share, f->>'sentence' AS sentence
        FROM checks""",
    # A use is a check or a gate that asked the set, or a job that scored examples of it.
    "golden_history": """
        WITH added AS (
            SELECT payload->>'name' AS name, (payload->>'version')::BIGINT AS version, logged_at AS "at",
                payload->>'ref' AS program, payload->>'lm' AS model, payload->>'metric' AS metric,
                unnest((payload->'rows')::JSON[]) AS r
            FROM raw.events WHERE kind = 'golden'
        ), ids AS (SELECT name, version, "at", metric, r->>'example_id' AS example_id FROM added)
        SELECT name, version, any_value("at") AS "at", 'added' AS how, any_value(program) AS program, NULL AS job_id,
            any_value(model) AS model, any_value(metric) AS metric, count(*) AS examples,
            avg((r->>'score')::DOUBLE) AS mean_score, NULL::BIGINT AS changed
        FROM added GROUP BY name, version
        UNION ALL
        SELECT payload->>'name', (payload->>'version')::BIGINT, logged_at, payload->>'why', payload->>'ref', NULL,
            payload->>'lm', NULL, len(json_keys(payload->'scores')),
            list_avg([x::DOUBLE FOR x IN json_extract_string(payload->'scores', '$.*')]),
            (payload->>'changed')::BIGINT
        FROM raw.events WHERE kind = 'golden_asked'
        UNION ALL
        SELECT name, version, max(j."at"), 'job', NULL, s.job_id, NULL, NULL, count(DISTINCT example_id),
            avg(score), NULL
        FROM ids JOIN scores AS s USING (example_id)
        JOIN (SELECT job_id, min(logged_at) AS "at" FROM raw.jobs GROUP BY job_id) AS j USING (job_id)
        GROUP BY name, version, s.job_id""",
    "golden_examples": """
        WITH kept AS (
            SELECT payload->>'name' AS name, (payload->>'version')::BIGINT AS version, logged_at AS added_at,
                unnest((payload->'rows')::JSON[]) AS r
            FROM raw.events WHERE kind = 'golden'
        ), used AS (
            SELECT payload->>'name' AS name, (payload->>'version')::BIGINT AS version,
                unnest(json_keys(payload->'scores')) AS example_id, logged_at AS "at",
                unnest([x::DOUBLE FOR x IN json_extract_string(payload->'scores', '$.*')]) AS score
            FROM raw.events WHERE kind = 'golden_asked'
        ), ran AS (SELECT example_id, count(DISTINCT job_id) AS jobs FROM scores GROUP BY example_id)
        SELECT kept.name AS name, kept.version AS version, r->>'example_id' AS example_id, r->'inputs' AS inputs,
            r->'expected' AS expected, r->'output' AS output, (r->>'score')::DOUBLE AS score,
            (r->>'again')::DOUBLE AS again, (r->>'same')::BOOLEAN AS same, any_value(added_at) AS added_at,
            count(used."at") AS uses, coalesce(any_value(jobs), 0) AS jobs, avg(used.score) AS mean_score,
            max(used."at") AS last_used_at
        FROM kept LEFT JOIN used ON used.name = kept.name AND used.version = kept.version
            AND used.example_id = r->>'example_id'
        LEFT JOIN ran ON ran.example_id = r->>'example_id'
        GROUP BY ALL""",
    "learn_steps": """
        SELECT payload->>'name' AS name, (payload->>'cycle')::BIGINT AS cycle, payload->>'step' AS step,
            logged_at AS "at", payload->>'text' AS "text", payload->>'job_id' AS job_id,
            (payload->>'baseline')::BIGINT AS baseline, (payload->>'version')::BIGINT AS version,
            (payload->>'passed')::BOOLEAN AS passed, (payload->>'calls')::BIGINT AS calls,
            (payload->>'cost_usd')::DOUBLE AS cost_usd, payload->>'by' AS "by"
        FROM raw.events WHERE kind = 'learn'""",
    # Of what is said twice of an answer, the first counts.
    "feedback": """
        SELECT name, id, min("at") AS "at", arg_min(score, "at") AS score, arg_min(inputs, "at") AS inputs,
            arg_min(correction, "at") AS correction, arg_min("by", "at") AS "by", count(*) AS times
        FROM (
            SELECT payload->>'name' AS name, payload->>'id' AS id, logged_at AS "at",
                (payload->>'score')::DOUBLE AS score, payload->'inputs' AS inputs,
                nullif(payload->'correction', 'null') AS correction, payload->>'by' AS "by"
            FROM raw.events WHERE kind = 'feedback'
        ) GROUP BY name, id""",
}
"""Query of each relation, in the order in which they rest on each other."""
