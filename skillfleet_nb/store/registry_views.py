"""What people ask of registered programs: views over the events of the registry and of live programs."""

from __future__ import annotations

REGISTRY_VIEWS = {
    "program_versions": """
        SELECT payload->>'name' AS name, (payload->>'version')::BIGINT AS version,
            payload->>'content_id' AS content_id, payload->>'program_id' AS program_id,
            payload->>'program' AS program, payload->>'job_id' AS job_id,
            (payload->>'$.scores.val')::DOUBLE AS val_score, (payload->>'$.scores.test')::DOUBLE AS test_score,
            (payload->>'$.scores.test_low')::DOUBLE AS test_low, (payload->>'$.scores.test_high')::DOUBLE AS test_high,
            (payload->>'$.scores.n_test')::BIGINT AS n_test,
            (payload->>'$.scores.test_baseline')::DOUBLE AS test_baseline,
            payload->>'$.scores.verdict' AS verdict, payload->>'$.setup.optimizer' AS optimizer,
            payload->>'$.setup.metric' AS metric, payload->>'$.setup.lm' AS lm,
            payload->>'note' AS note, payload->>'by' AS registered_by, logged_at AS registered_at
        FROM raw.events WHERE kind = 'version'""",
    "alias_history": """
        SELECT payload->>'name' AS name, payload->>'alias' AS alias, (payload->>'move')::BIGINT AS move,
            (payload->>'version')::BIGINT AS version, (payload->>'previous')::BIGINT AS previous,
            payload->>'how' AS how, payload->>'evidence' AS evidence, payload->>'forced' AS forced,
            payload->>'by' AS moved_by, logged_at AS moved_at
        FROM raw.events WHERE kind = 'alias'""",
    "program_aliases": """
        SELECT name, alias, arg_max(version, move) AS version, max(move) AS moves,
            arg_max(moved_by, move) AS moved_by, arg_max(moved_at, move) AS moved_at
        FROM alias_history GROUP BY name, alias""",
    "signature_migrations": """
        SELECT payload->>'name' AS name, (payload->>'version')::BIGINT AS version,
            payload->>'predictor' AS predictor, payload->>'signature' AS signature,
            payload->>'start' AS from_version, payload->>'to' AS to_version, logged_at AS migrated_at
        FROM raw.events WHERE kind = 'migrated'""",
    "live_answers": """
        SELECT payload->>'name' AS name, payload->>'alias' AS alias, (payload->>'version')::BIGINT AS version,
            logged_at AS "at", (payload->>'share')::DOUBLE AS share, (payload->>'latency_s')::DOUBLE AS latency_s,
            payload->>'error' AS error
        FROM raw.events WHERE kind = 'answered'""",
}
"""Query of each relation, in the order in which they rest on each other."""
