"""Defects of DSPy 3.4.1 that would bite, each kept from the user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import SMALL, Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from pathlib import Path


class Numbered(Counting):
    """Gives every set of rules a number of its own."""

    def complete(self, request: Any) -> Any:
        response = super().complete(request)
        if "natural_language_rules" not in f"{request.system} {request.messages}":
            return response
        text = f"[[ ## reasoning ## ]]\nSo.\n\n[[ ## natural_language_rules ## ]]\nRules number {self.calls}."
        message = dspy.lm15.Message.assistant([dspy.lm15.TextPart(text)])
        return replace(response, message=message)


def run(tmp_path: Path, optimizer: str, engine: Counting | None = None, **changed: Any) -> Any:
    lm, engine = counted_lm(engine)
    given = {
        "metric": exact,
        "params": SMALL.get(optimizer),
        "lm": lm,
        "num_threads": 2,
        **Data().splits(),
    }
    start = changed.pop("program", None) or program()
    job = Fleet(tmp_path / str(lm.model)).optimize(start, optimizer=optimizer, **{**given, **changed})
    return job, job.result(), engine


def test_seed_0_is_not_run_as_9_by_miprov2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    original = dspy.MIPROv2._set_random_seeds

    def spy(self: Any, seed: int) -> None:
        seeds.append(seed)
        original(self, seed)

    monkeypatch.setattr(dspy.MIPROv2, "_set_random_seeds", spy)
    run(tmp_path, "miprov2", seed=0)
    run(tmp_path, "miprov2", seed=9)
    assert seeds == [0, 9]


def test_infer_rules_leaves_the_signature_alone_and_returns_its_own_rules(
    tmp_path: Path,
) -> None:
    given = program()
    before = given.signature.instructions
    job, result, _ = run(
        tmp_path,
        "infer_rules",
        Numbered(),
        program=given,
        params={"num_candidates": 4, "num_rules": 3},
    )
    assert given.signature.instructions == before
    assert result.state is JobState.COMPLETED
    rules = result.program.signature.instructions
    assert rules.startswith(before)
    assert rules.count("Rules number") == 1
    # The candidate that scored best was recorded with the very instructions that are returned.
    fleet = Fleet(job.home.root)
    trials = fleet.sql(
        "select score, instructions, n_demos from trials join programs using (job_id, program_id) "
        "where split = 'val' and (full_eval or pruned) order by trial"
    )
    best = trials[trials.score == trials.score.max()].iloc[0]
    assert best.instructions == rules
    assert trials.instructions.nunique() == 5, "each candidate had rules of its own"


@pytest.mark.parametrize("optimizer", sorted(SMALL))
def test_a_metric_may_return_a_dict(tmp_path: Path, optimizer: str) -> None:
    def metric(example: Any, pred: Any, trace: Any = None) -> dict[str, Any]:
        return {"score": exact(example, pred), "feedback": f"it is {example.intent}"}

    job, result, _ = run(tmp_path, optimizer, metric=metric)
    assert result.state is JobState.COMPLETED, (result.stop_reason, job.log())
    assert result.best_score is not None
    # miprov2 and infer_rules go by numbers alone; whatever feedback was recorded is the metric's own
    told = Fleet(job.home.root).sql("select distinct feedback from scores where score is not null").feedback
    assert set(told.dropna()) <= {f"it is {e.intent}" for e in Data().all}
    assert len(told.dropna()) > 0


def test_feedback_reaches_gepas_reflection(tmp_path: Path) -> None:
    def metric(example: Any, pred: Any, trace: Any = None) -> dict[str, Any]:
        return {
            "score": exact(example, pred),
            "feedback": f"the clerk files it under {example.intent}",
        }

    job, _, _ = run(tmp_path, "gepa", metric=metric)
    asked = Fleet(job.home.root).sql("select prompt from lm_calls where role = 'reflection'").prompt
    assert len(asked) > 0
    assert all("the clerk files it under" in prompt for prompt in asked)


def test_better_together_shuffles_the_same_way_every_time(tmp_path: Path) -> None:
    results = [run(tmp_path, "better_together", seed=2)[1] for _ in range(2)]
    assert results[0].lm_calls == results[1].lm_calls
    assert results[0].best_score == results[1].best_score
    assert results[0].program.signature.instructions == results[1].program.signature.instructions


@pytest.mark.slow
def test_knn_fewshot_runs_and_is_not_taken_for_the_program_it_wraps(
    tmp_path: Path,
) -> None:
    job, result, _ = run(tmp_path, "knn_fewshot", params={"k": 3})
    assert result.state is JobState.COMPLETED, (result.stop_reason, job.log())
    assert result.best_score > result.baseline_score, "neighbours as demos help"
    assert result.test_score != result.test_baseline
    with pytest.raises(ValueError, match="cannot be saved as JSON"):
        job.save(tmp_path / "program.json")
