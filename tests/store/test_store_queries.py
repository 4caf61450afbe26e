"""Questions by name: each answers on a home without anything, and with the right values on one that has run."""

from __future__ import annotations

import pkgutil
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from store_samples import CREATED, call, trial

from skillfleet_nb.events import ExampleJudged, ExampleRated, ExamplesAnalysed, StateChanged
from skillfleet_nb.store import Home, Journal, Store, queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAMES: dict[str, Callable[[Store], object]] = {
    "program_uses": queries.program_uses,
    "redactions": queries.redactions,
    "monitored_programs": queries.monitored_programs,
    "usage": lambda s: queries.usage(s, "none", since=datetime.now(UTC), step_s=1.0),
    "example_table": lambda s: queries.example_table(s, "none"),
    "spans": lambda s: queries.spans(s, "none", limit=1),
    "trial_spans": lambda s: queries.trial_spans(s, "none"),
    "tool_spans": lambda s: queries.tool_spans(s, "none"),
    "call_spans": lambda s: queries.call_spans(s, "none", content=True),
    "ab_tests": queries.ab_tests,
    "drift_checks": queries.drift_checks,
    "golden_sets": queries.golden_sets,
    "golden_history": queries.golden_history,
    "ab_scores": lambda s: queries.ab_scores(s, "none"),
    "ab_units": lambda s: queries.ab_units(s, "none"),
    "skill_paths": queries.skill_paths,
    "jobs": queries.jobs,
    "job_names": queries.job_names,
    "latest_jobs": lambda s: queries.latest_jobs(s, 10),
    "job_setups": lambda s: queries.job_setups(s, ["none"]),
    "open_questions": queries.open_questions,
    "trials": lambda s: queries.trials(s, ["none"]),
    "individuals": lambda s: queries.individuals(s, ["none"]),
    "outcomes": lambda s: queries.outcomes(s, "none", [0]),
    "best_scores": lambda s: queries.best_scores(s, ["none"]),
    "given_and_best_scores": lambda s: queries.given_and_best_scores(s, ["none"]),
    "example_means": lambda s: queries.example_means(s, ["none"]),
    "failed_examples": lambda s: queries.failed_examples(s, "none", limit=3),
    "calls": lambda s: queries.calls(s, "none", limit=3),
    "calls_by_model": lambda s: queries.calls_by_model(s, ["none"]),
    "latencies": lambda s: queries.latencies(s, ["none"]),
    "calls_that_end_with": lambda s: queries.calls_that_end_with(s, "none", ["x"], within=9, limit=3),
    "failed_calls": lambda s: queries.failed_calls(s, "none", limit=3),
    "job_programs": lambda s: queries.job_programs(s, "none"),
    "decisions": lambda s: queries.decisions(s, "none"),
    "program_scores": lambda s: queries.program_scores(s, "none", "none"),
    "program_ids": queries.program_ids,
    "program_versions": queries.program_versions,
    "programs_with_demos": queries.programs_with_demos,
    "example_history": queries.example_history,
    "recommendations": queries.recommendations,
    "run_outcomes": queries.run_outcomes,
    "answer_costs": lambda s: queries.answer_costs(s, ["none"]),
    "learning_curves": queries.learning_curves,
    "unsolved_examples": queries.unsolved_examples,
    "notes": queries.notes,
    "pinned_insights": queries.pinned_insights,
}
OTHERS: dict[str, tuple[Callable[[Store], object], object]] = {
    "insight_decisions": (queries.insight_decisions, {}),
    "newest_predictions": (lambda s: queries.newest_predictions(s, "none", limit=1), []),
    "jobs_query": (lambda _: queries.jobs_query(["a'b"]), "FROM jobs WHERE job_id IN ('a''b') ORDER BY finished_at"),
    "examples_query": (
        lambda _: queries.examples_query(["a"]),
        "FROM example_history WHERE example_id IN ('a') ORDER BY example_id, run",
    ),
    "committed_usd": (lambda s: queries.committed_usd(s, "ann"), 0.0),
    "taken_names": (queries.taken_names, set()),
    "spent_usd": (lambda s: queries.spent_usd(s, datetime(2020, 1, 1, tzinfo=UTC)), 0.0),
    "ratings": (queries.ratings, {}),
    "grades": (lambda s: queries.grades(s, "none"), {}),
    "last_analysis": (lambda s: queries.last_analysis(s, "none"), None),
    "experience": (lambda s: queries.experience(s, "none"), queries.Experience((), {}, None, None)),
    "is_recommended": (lambda s: queries.is_recommended(s, "none"), False),
}


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, StateChanged(state="running"), trial(0), trial(1, 0.75)])
        journal.append_many(
            [call(1), call(2, error="no such model"), call(3, error="no such model"), call(4, error="x")]
        )
        yield Store(home)


def test_each_question_is_asked_here() -> None:
    parts = [import_module(f"{queries.__name__}.{part.name}") for part in pkgutil.iter_modules(queries.__path__)]
    made = {
        name
        for part in parts
        for name, value in vars(part).items()
        if getattr(value, "__module__", None) == part.__name__ and not name.startswith("_")
    }
    assert made == set(queries.__all__), "every part's questions are to be had by the one door"
    assert {name for name in made if name[0].islower()} == FRAMES.keys() | OTHERS.keys()


def test_a_home_without_anything_answers_every_question(home: Home) -> None:
    store = Store(home)
    for name, ask in FRAMES.items():
        frame = ask(store)
        assert (len(frame), len(frame.columns) > 1) == (0, True), name  # type: ignore[arg-type, attr-defined]
    for name, (ask, answer) in OTHERS.items():
        assert ask(store) == answer, name


def test_jobs_are_those_asked_for(store: Store) -> None:
    assert queries.jobs(store, ids=["job-1"], state="running").name.tolist() == ["triage"]
    assert queries.jobs(store, ids=["job-2"]).empty
    assert queries.jobs(store, ids=[]).empty
    assert queries.job_names(store).to_dict("list") == {"job_id": ["job-1"], "name": ["triage"]}


def test_trials_are_in_order_and_no_more_than_wished(store: Store) -> None:
    assert queries.trials(store, ["job-1", "job-2"]).score.tolist() == [0.5, 0.75]
    assert queries.trials(store, ["job-1"], limit=1).trial.tolist() == [0]


def test_failures_are_counted(store: Store) -> None:
    assert queries.failed_calls(store, "job-1", limit=1).to_dict("list") == {"error": ["no such model"], "n": [2]}
    failed = queries.failed_examples(store, "job-1", limit=9)
    assert failed[["trial", "n"]].to_dict("list") == {"trial": [0, 1], "n": [1, 1]}


def test_what_was_said_of_examples_comes_back_by_id(home: Home) -> None:
    with Journal(home, "examples-1") as journal:
        for key in ("one", "two"):
            journal.append(ExamplesAnalysed(dataset="train", key=key, rows=({"example_id": "e1", "row": 0},)))
        journal.append(ExampleRated(example_id="e1", rating=0.5))
        for grade, reason in ((0.0, "unclear"), (1.0, "right")):
            journal.append(ExampleJudged(example_id="e1", judge="j", model="m", grade=grade, reason=reason))
    store = Store(home)
    assert (queries.last_analysis(store, "train"), queries.last_analysis(store, "val")) == ("two", None)
    assert queries.grades(store, "j") == {"e1": (1.0, "right")}
    assert queries.grades(store, "other") == {}
    assert queries.ratings(store) == {"e1": 0.5}


@pytest.mark.parametrize("query", ["FROM Jobs", 'from "jobs"', "with j as (from jobs) from j"])
def test_relations_are_found_however_they_are_named(store: Store, query: str) -> None:
    assert store.frame(query).job_id.tolist() == ["job-1"]
