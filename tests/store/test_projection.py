"""What Python reads off the events of a job and what SQL says of it are the same, whatever happened to the job."""

from __future__ import annotations

import math
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_stories import Story, attempts

from skillfleet_nb.events import READ, CallOutcome, LMCall, Outcome
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import Home, Journal, Store
from skillfleet_nb.store.segments import format_line

if TYPE_CHECKING:
    from pathlib import Path

    from job_stories import Attempt


def same(ours: Any, theirs: Any) -> bool:
    missing = theirs is None or theirs != theirs  # NaN, NaT  # noqa: PLR0124
    if ours is None or missing:
        return ours is None and bool(missing)
    if isinstance(ours, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
    return bool(ours == theirs)


@settings(max_examples=settings().max_examples // 10)
@given(jobs=st.lists(st.tuples(attempts, st.booleans()), min_size=1, max_size=3))
def test_the_projection_and_sql_say_the_same_of_any_job(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[tuple[list[Attempt], bool]]
) -> None:
    home = Home.find(tmp_path_factory.mktemp("home") / ".skillfleet").ensure()
    stories = {}
    with ExitStack() as alive:
        for job, (tries, lives) in enumerate(jobs):
            story = stories[f"job-{job}"] = Story(home.journal_dir(f"job-{job}"))
            for number, (begin, happens, end, done) in enumerate(tries, 1):
                story.attempt(number, begin, happens, end, done)
            if lives:
                alive.enter_context(Journal(home, f"job-{job}"))
        rows = Store(home).frame("FROM jobs").set_index("job_id")
        newest = (
            Store(home)
            .frame(
                "SELECT job_id, count(*) FILTER (split <> 'test') AS n, max(trial) + 1 AS next, "
                "max(trial) FILTER (split <> 'test') AS newest FROM trials GROUP BY job_id"
            )
            .set_index("job_id")
        )
        for job, story in stories.items():
            p, row = Progress(home, job).update(), rows.loc[job]
            told = {
                "state": str(p.state), "stop_kind": p.stop_kind, "stop_reason": p.stop_reason, "error": p.error,
                "started_at": p.started_at, "finished_at": p.finished_at, "baseline_score": p.baseline,
                "best_score": p.best, "best_program_id": p.best_program, "lm_calls": p.totals.calls,
                "cached_calls": p.totals.cached, "input_tokens": p.totals.input_tokens,
                "output_tokens": p.totals.output_tokens, "cost_usd": p.totals.cost_usd,
                "unread": {role: p.unread[role] for role in READ}, "wall_s": p.wall_s() if p.started_at else None,
                "paused": p.paused and not p.state.is_finished(),
                "worker": p.worker or None,
                "kept": bool(p.result and p.result.verdict) and p.best_program == p.first_program,
            }  # fmt: skip
            assert {k: (v, row[k]) for k, v in told.items() if not same(v, row[k])} == {}
            assert p.wall_s() == pytest.approx(story.ran.total_seconds(), abs=1e-6)
            assert EarlierAttempts.of(home, job).seconds == pytest.approx(story.ran.total_seconds(), abs=1e-6)
            assert EarlierAttempts.of(home, job).next_trial == (newest.next[job] if job in newest.index else 0)
            if job in newest.index and newest.n[job]:
                assert p.trials == newest.newest[job]


def test_what_totals_go_by_is_what_a_call_says(tmp_path: Path) -> None:
    """Calls are added up from their values alone: the values must be those of the payload, in this order and type."""
    hints, taken = get_type_hints(LMCall), get_type_hints(CallOutcome)
    assert {name: hints[name] for name in taken} == taken
    assert get_args(Outcome) == tuple(taken.values())

    whole = {"call_id": "1", "model": "m", "role": "task", "cached": False, "input_tokens": 7, "latency_s": 2}
    lines = [
        {**whole, "output_tokens": 3, "cost_usd": 0.5, "error": "E: no", "attempts": 3},
        whole,  # as an older version may have written it
        {**whole, "cached": "perhaps"},
        {**whole, "input_tokens": None},
        {**whole, "later": 1, "output_tokens": 3, "cost_usd": 0.25, "error": None, "attempts": 1},
    ]
    home = Home.find(tmp_path / "home")
    with Journal(home, "job-1") as journal:
        at, file = datetime(2026, 1, 1, tzinfo=UTC), journal.path
    file.write_bytes(b"".join(format_line(n, at, "lm_call", orjson.dumps(f)) for n, f in enumerate(lines, 1)))
    progress = Progress(home, "job-1").update()
    totals, whole_calls = progress.totals, 3
    assert (totals.calls, totals.cached, totals.failed, totals.retries) == (whole_calls, 0, 1, 2)
    assert (totals.input_tokens, totals.output_tokens, totals.lm_seconds) == (21, 6, 6.0)
    assert totals.cost_usd is None, "the price of the second is not known"
    assert progress.failures == {"E": 1}
