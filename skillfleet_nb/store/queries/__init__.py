"""Every question that the package asks of a home, by name.

Each is a function of a :class:`~skillfleet_nb.store.Store`, and one call on it: one connection,
one look for what is new.  Ask once for many jobs, not once for each.  A frame has the columns that
``docs/sql.md`` documents, unless the docstring names others; scores are in [0, 1], and a failure
counts 0 where scores are averaged.
"""

from skillfleet_nb.store.queries._advice import Experience, experience, is_recommended, recommendations
from skillfleet_nb.store.queries._calls import calls, calls_by_model, calls_that_end_with, failed_calls, latencies
from skillfleet_nb.store.queries._examples import example_history, grades, last_analysis, ratings
from skillfleet_nb.store.queries._insights import (
    answer_costs,
    examples_query,
    insight_decisions,
    jobs_query,
    learning_curves,
    notes,
    pinned_insights,
    run_outcomes,
    unsolved_examples,
)
from skillfleet_nb.store.queries._jobs import (
    committed_usd,
    job_names,
    job_setups,
    jobs,
    latest_jobs,
    open_questions,
    redactions,
    spent_usd,
    taken_names,
)
from skillfleet_nb.store.queries._monitoring import (
    ab_scores,
    ab_tests,
    ab_units,
    drift_checks,
    golden_history,
    golden_sets,
)
from skillfleet_nb.store.queries._programs import (
    decisions,
    job_programs,
    program_ids,
    program_scores,
    program_uses,
    program_versions,
    programs_with_demos,
)
from skillfleet_nb.store.queries._scores import (
    best_scores,
    example_means,
    failed_examples,
    given_and_best_scores,
    individuals,
    outcomes,
    trials,
)
from skillfleet_nb.store.queries._skills import skill_paths
from skillfleet_nb.store.queries._tracing import (
    call_spans,
    example_table,
    monitored_programs,
    newest_predictions,
    spans,
    tool_spans,
    trial_spans,
    usage,
)

__all__ = [
    "Experience",
    "ab_scores",
    "ab_tests",
    "ab_units",
    "answer_costs",
    "best_scores",
    "call_spans",
    "calls",
    "calls_by_model",
    "calls_that_end_with",
    "committed_usd",
    "decisions",
    "drift_checks",
    "example_history",
    "example_means",
    "example_table",
    "examples_query",
    "experience",
    "failed_calls",
    "failed_examples",
    "given_and_best_scores",
    "golden_history",
    "golden_sets",
    "grades",
    "individuals",
    "insight_decisions",
    "is_recommended",
    "job_names",
    "job_programs",
    "job_setups",
    "jobs",
    "jobs_query",
    "last_analysis",
    "latencies",
    "latest_jobs",
    "learning_curves",
    "monitored_programs",
    "newest_predictions",
    "notes",
    "open_questions",
    "outcomes",
    "pinned_insights",
    "program_ids",
    "program_scores",
    "program_uses",
    "program_versions",
    "programs_with_demos",
    "ratings",
    "recommendations",
    "redactions",
    "run_outcomes",
    "skill_paths",
    "spans",
    "spent_usd",
    "taken_names",
    "tool_spans",
    "trial_spans",
    "trials",
    "unsolved_examples",
    "usage",
]
