"""A run never completes on zeros of a model that did not answer: every optimizer, every fault, by turns.

All combinations are run by ``tests/benchmarks/fire_models.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faulty import FAULTS, Faulty, held_to_the_rule, start
from made_up import SMALL

from skillfleet_nb import Fleet
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState, StopKind

if TYPE_CHECKING:
    from pathlib import Path

    from faulty import Fault

BASELINE = 12  # calls that score the given program on validation
BY_TURNS = [(optimizer, FAULTS[n % len(FAULTS)]) for n, optimizer in enumerate(SMALL)]
BY_OTHER_TURNS = [(optimizer, FAULTS[(n + 2) % len(FAULTS)]) for n, optimizer in enumerate(SMALL)]
SAID = {
    "blank": "the answer is empty",
    "unreadable": "failed on all 12 validation examples: AdapterParseError",
    "refusal": "the provider withheld its answer",
    "error": "the server fails",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_never_answers_fails_the_job_before_the_search(tmp_path: Path, fault: Fault) -> None:
    engine = Faulty(fault, "always")
    job = start(Fleet(tmp_path), "gepa", engine)
    with pytest.raises(JobError, match=SAID[fault]):
        job.result()
    assert job.state is JobState.FAILED
    assert engine.calls <= 2 * BASELINE


@pytest.mark.parametrize(("optimizer", "fault"), BY_TURNS)
def test_a_model_that_turns_in_the_search_ends_it_as_failed(tmp_path: Path, optimizer: str, fault: Fault) -> None:
    job = start(Fleet(tmp_path), optimizer, Faulty(fault, "after", BASELINE + 3))
    result = held_to_the_rule(job)
    assert (result.state, result.stop_kind) == (JobState.FAILED, StopKind.LM_FAILING)
    assert (result.verdict, result.test_score) == (None, None)
    assert result.best_score is not None
    assert result.best_score >= (result.baseline_score or 1) > 0


@pytest.mark.parametrize(("optimizer", "fault"), BY_OTHER_TURNS)
def test_where_half_of_the_attempts_fail_nothing_unanswered_counts_as_a_wrong_answer(
    tmp_path: Path, optimizer: str, fault: Fault
) -> None:
    job = start(Fleet(tmp_path), optimizer, Faulty(fault, "half"))
    try:
        held_to_the_rule(job)
    except JobError:
        assert job.state is JobState.FAILED


@pytest.mark.parametrize("fault", ["refusal", "unreadable"])
def test_a_model_that_turns_within_the_test_says_what_failed(tmp_path: Path, fault: Fault) -> None:
    """The last three of 12 predictions on test: unanswered they are left out, unreadable they are told."""
    whole = Faulty(fault, "after", 10**9)
    start(Fleet(tmp_path / "whole"), "labeled_fewshot", whole).result()
    job = start(Fleet(tmp_path / "cut"), "labeled_fewshot", Faulty(fault, "after", whole.calls - 3))
    result = held_to_the_rule(job)
    assert result.state is JobState.COMPLETED
    if fault == "refusal":
        assert "on 9 examples" in result.summary
        assert result.failed_share == 0
        assert any("6 requests" in w or "3 requests" in w for w in job.progress.warnings)
        assert any("withheld by the provider" in w for w in job.progress.warnings)
    else:
        assert "nothing proved better than the given program on validation, it is kept; test" in result.summary
        assert "3 → 3 of 12 predictions failed" in result.summary
        assert result.failed_share == pytest.approx(3 / 12)
        assert "25% of the predictions failed" in str(job)
