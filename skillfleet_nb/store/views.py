"""The public relations, each the query of its view over the tables of ``raw`` or over other relations."""

from __future__ import annotations

from skillfleet_nb.store.insight_views import INSIGHT_VIEWS
from skillfleet_nb.store.monitoring_views import MONITORING_VIEWS
from skillfleet_nb.store.registry_views import REGISTRY_VIEWS
from skillfleet_nb.store.tracing_views import TRACING_VIEWS

VIEWS = {
    # What a job bought is added up per segment while folding, so this costs the same at any number of calls.
    "jobs": """
        WITH created AS (
            SELECT job_id, arg_min({
                name: name, created_at: logged_at, optimizer: optimizer, program: program, metric: metric,
                engine: engine, seed: seed, budget_usd: budget_usd, tags: tags, domain: domain}, seq) AS c
            FROM raw.jobs GROUP BY job_id
        ), state AS (
            SELECT job_id, arg_max({
                    state: state, kind: stop_kind, reason: stop_reason, error: error, since: logged_at}, seq) AS s,
                min(logged_at) FILTER (state = 'running') AS started_at,
                max(seq) FILTER (state = 'pending') AS resumed
            FROM raw.states GROUP BY job_id
        ), result AS (
            SELECT job_id, arg_max({
                baseline_score: baseline_score, best_score: best_score, test_baseline: test_baseline,
                test_score: test_score, test_delta: test_delta, test_delta_low: test_delta_low,
                test_delta_high: test_delta_high, p_value: p_value, verdict: verdict,
                best_program_id: best_program_id}, seq) AS r
            FROM raw.results LEFT JOIN state USING (job_id) WHERE seq > coalesce(resumed, 0) GROUP BY job_id
        ), live AS (
            SELECT job_id, arg_min(score, seq) FILTER (trial = 0) AS baseline_score,
                arg_min(program_id, seq) FILTER (trial = 0) AS given_program_id,
                max(score) AS best_score, arg_max(program_id, (score, -seq)) AS best_program_id
            FROM raw.trials WHERE split = 'val' AND full_eval GROUP BY job_id
        ), used AS (
            SELECT job_id, sum(bought)::BIGINT AS lm_calls, sum(cached)::BIGINT AS cached_calls,
                sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
                CASE WHEN sum(unpriced) = 0 THEN sum(cost_usd ORDER BY segment) END AS cost_usd,
                {task: sum(unread_task)::BIGINT, prompt: sum(unread_prompt)::BIGINT,
                    reflection: sum(unread_reflection)::BIGINT, judge: sum(unread_judge)::BIGINT} AS unread,
                if(sum(unpriced+unpriced_cached) = 0, sum(cost_usd+saved_usd ORDER BY segment), NULL) AS full_cost_usd,
                sum(ran_s + coalesce(epoch(last_at) - epoch(running_since), 0) ORDER BY segment) AS wall_s,
                arg_max(paused, (last_at, segment)) FILTER (state IS NOT NULL) AS paused
            FROM raw.segments GROUP BY job_id
        ), curated AS (
            SELECT job AS job_id, arg_max(name, seq) AS name, arg_max(note, seq) AS note, arg_max(tags, seq) AS tags,
                arg_max(archived, seq) AS archived
            FROM raw.curated GROUP BY job
        ), placed AS (
            SELECT job_id, arg_max(worker, seq) AS worker FROM raw.placed GROUP BY job_id
        )
        SELECT job_id, coalesce(curated.name, c.name) AS name, coalesce(s.state, 'pending') AS state,
            s.kind AS stop_kind, s.reason AS stop_reason,
            c.optimizer, c.program, c.metric, c.engine, c.seed,
            c.created_at, started_at,
            CASE WHEN s.state IN ('completed', 'failed', 'cancelled', 'interrupted') THEN s.since END AS finished_at,
            coalesce(r.baseline_score, live.baseline_score) AS baseline_score,
            coalesce(r.best_score, live.best_score) AS best_score,
            r.test_baseline, r.test_score, r.test_delta, r.test_delta_low, r.test_delta_high, r.p_value,
            r.verdict, used.cost_usd, used.lm_calls, used.cached_calls, used.input_tokens,
            used.output_tokens, CASE WHEN started_at IS NOT NULL THEN used.wall_s END AS wall_s, c.budget_usd,
            coalesce(r.best_program_id, live.best_program_id) AS best_program_id, s.error,
            coalesce(curated.tags, c.tags, []) AS tags, c.domain, used.unread, used.full_cost_usd,
            nullif(curated.note, '') AS note, coalesce(curated.archived, false) AS archived,
            coalesce(used.paused AND s.state IN ('running', 'pending_hitl'), false) AS paused,
            coalesce(r.verdict IS NOT NULL AND r.best_program_id = live.given_program_id, false) AS kept,
            placed.worker
        FROM created
        LEFT JOIN state USING (job_id) LEFT JOIN result USING (job_id)
        LEFT JOIN live USING (job_id) LEFT JOIN used USING (job_id) LEFT JOIN curated USING (job_id)
        LEFT JOIN placed USING (job_id)""",
    "events": """
        SELECT job_id, seq, logged_at AS "at", kind, payload FROM raw.events
        UNION ALL
        SELECT job_id, seq, logged_at, 'lm_call', to_json({
            call_id: call_id, model: model, role: role, cached: cached, input_tokens: input_tokens,
            output_tokens: output_tokens, cost_usd: cost_usd, latency_s: latency_s, error: error,
            attempts: attempts, asked: asked, cached_input_tokens: cached_input_tokens, prompt: prompt,
            cache_write_tokens: cache_write_tokens, reasoning_tokens: reasoning_tokens, full_cost_usd: full_cost_usd,
            response: response})
        FROM raw.lm_calls""",
    "trials": """
        SELECT job_id, trial, logged_at AS "at", split, full_eval, n_examples, score, best_so_far, program_id,
            parent_ids, lm_calls, cost_usd, coalesce(full_cost_usd, cost_usd) AS full_cost_usd,
            bound IS NOT NULL AS pruned, bound, member
        FROM raw.trials""",
    "scores": "SELECT job_id, trial, example_id, score, feedback, output FROM raw.scores",
    "lm_calls": """
        SELECT job_id, call_id, logged_at AS "at", model, role, cached, input_tokens, output_tokens, cost_usd,
            latency_s, error, coalesce(attempts, 1) AS attempts, asked, cached_input_tokens, cache_write_tokens,
            reasoning_tokens, if(cached, full_cost_usd, cost_usd) AS full_cost_usd, prompt, response, unread
        FROM raw.lm_calls LEFT JOIN (
            SELECT job_id, call_id, any_value(reason) AS unread FROM raw.unread GROUP BY job_id, call_id
        ) USING (job_id, call_id)""",
    "programs": "SELECT program_id, job_id, logged_at AS created_at, state, instructions, n_demos FROM raw.programs",
    # A question that its process did not live to see answered is asked again; the last asking is waited for.
    "reviews": """
        WITH asked AS (
            SELECT job_id, payload->>'review_id' AS review_id, min(logged_at) AS asked_at, max(logged_at) AS last_at,
                count(*) AS times, arg_max(payload, seq) AS q
            FROM raw.events WHERE kind = 'review_asked' GROUP BY ALL
        ), answered AS (
            SELECT job_id, payload->>'review_id' AS review_id, max(logged_at) AS answered_at, arg_max(payload, seq) AS a
            FROM raw.events WHERE kind = 'review_answered' GROUP BY ALL
        )
        SELECT job_id, review_id, asked_at, times, q->>'about' AS about, q->>'asks' AS asks, q->>'question' AS question,
            q->'details' AS details, answered_at, a->>'choice' AS choice, a->>'text' AS "text",
            epoch(answered_at) - epoch(last_at) AS waited_s
        FROM asked LEFT JOIN answered USING (job_id, review_id)""",
    # Computed from what runs recorded, so a run counts once however often it is resumed or folded.
    "example_history": """
        WITH ended AS (
            SELECT job_id, arg_max(logged_at, seq) AS ended_at FROM raw.states GROUP BY job_id
            HAVING arg_max(state, seq) IN ('completed', 'failed', 'cancelled', 'interrupted')
        ), seen AS (
            SELECT example_id, job_id, any_value(ended_at) AS ended_at, avg(coalesce(s.score, 0)) AS mean_score,
                last(coalesce(s.score, 0) ORDER BY t.score, t.trial DESC) AS best_score,
                count(*) AS trials, count(*) FILTER (s.score >= 0.5) AS solved
            FROM raw.scores AS s JOIN raw.trials AS t USING (job_id, trial) JOIN ended USING (job_id)
            WHERE t.split IN ('train', 'val') GROUP BY example_id, job_id
        ), known AS (
            SELECT example_id, arg_max(quality, logged_at) AS quality FROM raw.examples GROUP BY example_id
        ), runs AS (
            SELECT seen.*, coalesce(known.quality, 0.5) AS start, row_number() OVER past AS run,
                list(mean_score) OVER past AS means, list(best_score) OVER past AS bests
            FROM seen LEFT JOIN known USING (example_id)
            WINDOW past AS (PARTITION BY example_id ORDER BY ended_at, job_id ROWS UNBOUNDED PRECEDING)
        )
        SELECT example_id, job_id, run, ended_at AS "at", trials, solved, mean_score, best_score,
            list_reduce(means, lambda old, new: 0.8 * old + 0.2 * new, start) AS quality,
            list_reduce(bests, lambda old, new: 0.9 * old + 0.1 * new, 0.5::DOUBLE) AS success
        FROM runs""",
    "examples": """
        WITH latest AS (
            SELECT example_id, dataset, max(logged_at) AS analysed_at, arg_max({
                row: row, category: category, quality: quality, relevance: relevance, diversity: diversity,
                suspicion: suspicion, judged: judged, influence: influence, influence_low: influence_low,
                influence_high: influence_high}, logged_at) AS a
            FROM raw.examples GROUP BY example_id, dataset
        ), rated AS (
            SELECT payload->>'example_id' AS example_id,
                arg_max({rating: (payload->>'rating')::DOUBLE}, (logged_at, job_id, seq)).rating AS rating
            FROM raw.events WHERE kind = 'rating' GROUP BY ALL
        ), used AS (
            SELECT example_id, count(*) AS uses, max("at") AS last_used, arg_max(success, run) AS success,
                arg_max(quality, run) AS quality
            FROM example_history GROUP BY example_id
        )
        SELECT example_id, dataset, a.row AS "row", a.category, a.quality AS analysed_quality,
            coalesce(used.quality, a.quality) AS quality, coalesce(used.success, 0.5) AS success,
            a.relevance, a.diversity, a.suspicion, a.judged, a.influence, a.influence_low, a.influence_high, rating,
            coalesce(uses, 0) AS uses, last_used, analysed_at
        FROM latest FULL JOIN used USING (example_id) LEFT JOIN rated USING (example_id)""",
    "example_outcomes": """
        WITH scored AS (
            SELECT s.job_id, trial, program_id, split, example_id, coalesce(s.score, 0) AS score
            FROM raw.scores AS s JOIN raw.trials AS t USING (job_id, trial)
        ), given AS (
            SELECT s.job_id, example_id, avg(s.score) AS score FROM scored AS s
            JOIN raw.trials AS first ON first.job_id = s.job_id AND first.trial = 0 AND first.program_id = s.program_id
            GROUP BY s.job_id, example_id
        )
        SELECT s.job_id, trial, program_id, split, example_id, g.score AS before, s.score AS score,
            CASE WHEN g.score < 0.5 AND s.score >= 0.5 THEN 'fixed' WHEN g.score >= 0.5 AND s.score < 0.5 THEN 'broke'
                WHEN g.score >= 0.5 THEN 'solved' WHEN g.score < 0.5 THEN 'unsolved' END AS outcome
        FROM scored AS s LEFT JOIN given AS g USING (job_id, example_id)""",
    # One row a job, and one a recommendation that no job followed.
    "recommendations": """
        WITH joined AS (
            SELECT coalesce(r.recommendation_id, c.job_id) AS id, coalesce(c.logged_at, r.logged_at) AS "at",
                c.job_id, coalesce(c.how, 'not run') AS how, coalesce(c.features, r.features) AS features,
                r.optimizer AS recommended, r.params AS recommended_params, r.confidence, r.expected_score,
                r.budget_usd, r.quality_target, r.max_minutes, c.optimizer AS chosen, c.params AS chosen_params,
                coalesce(c.calls, r.calls) AS calls, coalesce(c.cost_usd, r.cost_usd) AS cost,
                coalesce(c.wall_s, r.wall_s) AS wall
            FROM raw.recommended AS r FULL JOIN raw.choices AS c USING (recommendation_id)
        ), ended AS (
            SELECT joined.*, state, stop_kind, stop_reason, jobs.baseline_score,
                coalesce(test_score, best_score) AS score,
                coalesce(test_score - test_baseline, best_score - jobs.baseline_score) AS gain,
                coalesce(jobs.full_cost_usd, jobs.cost_usd) AS actual_cost,
                jobs.lm_calls AS actual_calls, jobs.wall_s AS actual_wall
            FROM joined LEFT JOIN jobs USING (job_id)
        )
        SELECT id, "at", job_id, how, features, recommended, recommended_params, confidence, expected_score,
            budget_usd, quality_target, max_minutes, chosen, chosen_params, state, stop_kind, stop_reason,
            baseline_score, score, gain,
            CASE WHEN count(DISTINCT chosen || chosen_params::VARCHAR) FILTER (score IS NOT NULL) OVER task > 1
                THEN max(score) OVER task - score END AS regret,
            job_id IS NOT NULL AND row_number() OVER (PARTITION BY features->>'task', job_id IS NULL
                ORDER BY "at", job_id) > 1 AS warm,
            calls[1] AS calls_low, calls[2] AS expected_calls, calls[3] AS calls_high, actual_calls,
            cost[1] AS cost_usd_low, cost[2] AS expected_cost_usd, cost[3] AS cost_usd_high,
            actual_cost AS actual_cost_usd, wall[1] AS wall_s_low, wall[2] AS expected_wall_s,
            wall[3] AS wall_s_high, actual_wall AS actual_wall_s
        FROM ended WINDOW task AS (PARTITION BY features->>'task')""",
    "decisions": """
        SELECT job_id, payload->>'program_id' AS program_id, payload->>'parent_id' AS parent_id,
            (payload->>'accepted')::BOOLEAN AS accepted, payload->>'reasons' AS reasons,
            payload->>'evidence' AS evidence, logged_at AS decided_at
        FROM raw.events WHERE kind = 'decision'""",
    "members": """
        SELECT job_id, m->>'member' AS member, m->>'state' AS state, m->>'program_id' AS program_id,
            (m->>'score')::DOUBLE AS score, (m->>'optimism')::DOUBLE AS optimism, (m->>'lm_calls')::BIGINT AS lm_calls,
            (m->>'cached_calls')::BIGINT AS cached_calls, (m->>'cost_usd')::DOUBLE AS cost_usd,
            (m->>'seconds')::DOUBLE AS seconds, m->>'error' AS error
        FROM (
            SELECT job_id, arg_max(payload, seq) AS m FROM raw.events WHERE kind = 'member'
            GROUP BY job_id, payload->>'member')""",
    "shares": """
        SELECT job_id, (s->>'round')::INTEGER AS round, s->>'member' AS member, (s->>'requests')::BIGINT AS requests,
            (s->>'used')::BIGINT AS used, (s->>'best')::DOUBLE AS best, (s->>'tail')::DOUBLE AS tail,
            s->>'reason' AS reason, decided_at
        FROM (
            SELECT job_id, arg_min(payload, seq) AS s, min(logged_at) AS decided_at FROM raw.events
            WHERE kind = 'share' GROUP BY job_id, payload->>'round', payload->>'member')""",
    "individuals": """
        SELECT job_id, (i->>'generation')::INTEGER AS generation, i->>'program_id' AS program_id,
            i->>'operator' AS operator, (i->'parent_ids')::VARCHAR[] AS parent_ids, (i->>'score')::DOUBLE AS score,
            (i->>'screened')::DOUBLE AS screened, (i->>'tokens')::BIGINT AS tokens, (i->>'length')::BIGINT AS length,
            (i->>'front')::INTEGER AS front, (i->>'survives')::BOOLEAN AS survives, i->>'member' AS member, told_at
        FROM (
            SELECT job_id, arg_min(payload, seq) AS i, min(logged_at) AS told_at FROM raw.events
            WHERE kind = 'individual'
            GROUP BY job_id, payload->>'generation', payload->>'member', payload->>'program_id')""",
    "skill_paths": """
        SELECT job_id, name, s->>'name' AS skill, s->>'folder' AS folder, s->>'path' AS path, s->>'reason' AS reason,
            s->>'template' AS template, (s->>'complexity')::DOUBLE AS complexity, (s->>'score')::DOUBLE AS score,
            (s->>'original')::DOUBLE AS original, (s->>'adjusted')::DOUBLE AS adjusted,
            (s->'findings')::VARCHAR[] AS findings, s->>'decision' AS decision, (s->'similar')::VARCHAR[] AS similar,
            (s->>'drafts')::INTEGER AS drafts, (s->>'calls')::BIGINT AS calls, (s->>'cost_usd')::DOUBLE AS cost_usd,
            (s->>'seconds')::DOUBLE AS seconds, (s->>'seconds_saved')::DOUBLE AS seconds_saved, created_at
        FROM (
            SELECT job_id, arg_max(payload, seq) AS s, max(logged_at) AS created_at FROM raw.events
            WHERE kind = 'skill_created' GROUP BY job_id)
        JOIN (SELECT job_id, name FROM jobs) USING (job_id)""",
    **REGISTRY_VIEWS,
    **MONITORING_VIEWS,
    **INSIGHT_VIEWS,
    **TRACING_VIEWS,
}
"""Query of each relation, in the order in which they rest on each other."""
