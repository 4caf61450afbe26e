"""The knowledge base: views over what people noted, and decided of insights."""

from __future__ import annotations

INSIGHT_VIEWS = {
    "notes": """
        SELECT note_id, n->>'text' AS "text", (n->'jobs')::VARCHAR[] AS jobs, n->>'by' AS noted_by, "at"
        FROM (
            SELECT payload->>'note_id' AS note_id, arg_max(payload, seq) AS n, min(logged_at) AS "at"
            FROM raw.events WHERE kind = 'note' GROUP BY ALL
        ) WHERE NOT (n->>'removed')::BOOLEAN""",
    "insight_decisions": """
        SELECT insight_id, d->>'decision' AS decision, d->>'text' AS "text", d->>'confidence' AS confidence,
            (d->'jobs')::VARCHAR[] AS jobs, d->>'query' AS query, d->>'by' AS decided_by, "at"
        FROM (
            SELECT payload->>'insight_id' AS insight_id, arg_max(payload, seq) AS d, max(logged_at) AS "at"
            FROM raw.events WHERE kind = 'insight_decided' GROUP BY ALL)""",
}
