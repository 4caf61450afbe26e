"""What people ask of traces: views over the predictions of monitored programs."""

from __future__ import annotations


def spans_of(events: str) -> str:
    """Return the query of the spans that the predictions among `events` consist of: the name of a relation."""
    return f"""
        WITH span AS (
            SELECT payload->>'name' AS program, payload->>'trace_id' AS trace_id, logged_at AS ended_at,
                (payload->>'latency_s')::DOUBLE AS whole_s, unnest((payload->'spans')::JSON[]) AS s
            FROM {events} WHERE kind = 'traced'
        )
        SELECT trace_id, s->>'span_id' AS span_id, s->>'parent_id' AS parent_id, program, s->>'name' AS name,
            s->>'operation' AS operation,
            ended_at - to_microseconds(((whole_s - (s->>'start_s')::DOUBLE) * 1e6)::BIGINT) AS "at",
            (s->>'latency_s')::DOUBLE AS latency_s, s->>'model' AS model,
            (s->>'input_tokens')::BIGINT AS input_tokens, (s->>'output_tokens')::BIGINT AS output_tokens,
            (s->>'cached')::BOOLEAN AS cached, (s->>'cost_usd')::DOUBLE AS cost_usd, s->>'error' AS error,
            s->>'input' AS input, s->>'output' AS output, s->'attributes' AS attributes
        FROM span"""  # noqa: S608  ours


TRACING_VIEWS = {
    "spans": spans_of("raw.events"),
    "predictions": """
        WITH used AS (
            SELECT trace_id, count(model) AS lm_calls, sum(input_tokens)::BIGINT AS input_tokens,
                sum(output_tokens)::BIGINT AS output_tokens,
                CASE WHEN count(model) = count(cost_usd) THEN coalesce(sum(cost_usd), 0) END AS cost_usd,
                any_value(input) FILTER (parent_id IS NULL) AS input,
                any_value(output) FILTER (parent_id IS NULL) AS output
            FROM spans GROUP BY trace_id
        )
        SELECT trace_id, payload->>'name' AS program, payload->>'alias' AS alias,
            (payload->>'version')::BIGINT AS version, logged_at AS "at", (payload->>'share')::DOUBLE AS share,
            (payload->>'latency_s')::DOUBLE AS latency_s, payload->>'error' AS error,
            (payload->>'score')::DOUBLE AS score, lm_calls, coalesce(input_tokens, 0) AS input_tokens,
            coalesce(output_tokens, 0) AS output_tokens, cost_usd, input, output
        FROM raw.events LEFT JOIN used ON used.trace_id = payload->>'trace_id' WHERE kind = 'traced'""",
}
"""Query of each relation, in the order in which they rest on each other."""
