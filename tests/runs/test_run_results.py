"""What a run comes to, and that every fact of it can be asked for, with every optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dspy
import pytest
from made_up import SMALL, program

from skillfleet_nb.data.identity import example_id, parts
from skillfleet_nb.events import JobState
from skillfleet_nb.optimizers import load
from skillfleet_nb.stats import paired_comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conftest import Finished

EVERY = sorted(SMALL)


def ids(examples: Sequence[dspy.Example]) -> set[str]:
    return {example_id(*parts(e)) for e in examples}


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_result_is_coherent(finished: Callable[[str], Finished], optimizer: str) -> None:
    result = finished(optimizer).result
    assert result.state is JobState.COMPLETED
    assert result.stop_reason == "the optimizer finished"
    assert isinstance(result.program, dspy.Module)
    assert result.baseline_score is not None
    assert result.best_score is not None
    assert 0 <= result.baseline_score <= result.best_score <= 1
    assert result.test_baseline is not None
    assert result.test_score is not None
    assert result.test_delta == pytest.approx(result.test_score - result.test_baseline)
    assert result.test_delta_interval is not None
    low, high = result.test_delta_interval
    assert low <= result.test_delta <= high
    assert result.p_value is not None
    assert 0 <= result.p_value <= 1
    assert result.verdict in {"improved", "no evidence", "worse"}
    assert result.cost_usd == 0  # the offline model is free, which is a price
    assert result.wall_s > 0


@pytest.mark.parametrize("optimizer", EVERY)
def test_calls_are_those_that_reached_the_model(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    told = run.fleet.sql("select cached, count(*)::int as n from lm_calls group by cached").set_index("cached").n
    assert run.calls == run.result.lm_calls == told[False]
    assert run.result.cached_calls == told.get(True, 0)
    job = run.fleet.jobs().iloc[0]
    assert (job.lm_calls, job.cached_calls) == (run.result.lm_calls, run.result.cached_calls)
    tokens = run.fleet.sql("select sum(input_tokens) as i, sum(output_tokens) as o from lm_calls").iloc[0]
    assert (job.input_tokens, job.output_tokens) == (tokens.i, tokens.o)
    assert tokens.i > 0
    assert run.fleet.sql("select count(distinct call_id) = count(*) as same from lm_calls").same[0]


@pytest.mark.parametrize("optimizer", EVERY)
def test_expected_calls_hold_what_a_run_makes(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    low, high = run.job.progress.expected_calls
    assert low * 0.5 <= run.result.lm_calls + run.result.cached_calls <= high * 1.1


@pytest.mark.parametrize("optimizer", EVERY)
def test_relations_agree_with_the_result(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    job, result = run.fleet.jobs().iloc[0], run.result
    for name in ("baseline_score", "best_score", "test_baseline", "test_score", "test_delta", "p_value"):
        assert job[name] == pytest.approx(getattr(result, name)), name
    assert (job.test_delta_low, job.test_delta_high) == pytest.approx(result.test_delta_interval)
    assert (job.state, job.stop_reason, job.verdict) == ("completed", result.stop_reason, result.verdict)
    assert (job.optimizer, job.seed, job.engine) == (optimizer, 3, "thread")
    assert job.started_at <= job.finished_at

    trials = run.fleet.trials(run.job.id)
    assert trials.trial.tolist() == list(range(len(trials)))
    first = trials.iloc[0]
    assert (first.split, first.full_eval, first.score) == ("val", True, pytest.approx(result.baseline_score))
    on_val = trials[(trials.split == "val") & trials.full_eval]
    assert on_val.best_so_far.tolist() == pytest.approx(on_val.score.cummax().tolist())
    candidates = on_val
    if load(optimizer).decides:
        taken = run.fleet.sql("select payload->>'program_id' as id from events where payload->>'accepted' = 'true'").id
        candidates = on_val[on_val.program_id.isin([first.program_id, *taken])]
    assert candidates.score.max() == pytest.approx(result.best_score)
    assert job.best_program_id in set(candidates[candidates.score == candidates.score.max()].program_id)

    scores = run.fleet.sql("select trial, avg(coalesce(score, 0)) as score, count(*) as n from scores group by trial")
    joined = trials.merge(scores, on="trial", suffixes=("", "_of_examples"))
    assert len(joined) == len(trials)
    assert joined.score.tolist() == pytest.approx(joined.score_of_examples.tolist())
    assert joined.n_examples.tolist() == joined.n.tolist()
    assert run.fleet.sql("select count(*) as n from trials anti join programs using (program_id)").n[0] == 0


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_job_ends_once(finished: Callable[[str], Finished], optimizer: str) -> None:
    states = finished(optimizer).fleet.sql(
        "select payload->>'state' as state, seq from events where kind = 'state' order by seq"
    )
    assert states.state.tolist() == ["running", "completed"]
    last = finished(optimizer).fleet.sql("select max(seq) as last from events")["last"][0]
    assert states.seq.iloc[-1] == last, "nothing is told after the end"


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_test_split_stays_sealed(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    by_split = run.fleet.sql("select distinct split, example_id from scores join trials using (job_id, trial)")
    expected = {"train": ids(run.data.train), "val": ids(run.data.val), "test": ids(run.data.test)}
    for split, found in by_split.groupby("split").example_id:
        assert set(found) <= expected[split]
    assert set(by_split[by_split.split == "test"].example_id) == expected["test"]

    opened = run.fleet.sql("select seq from events where kind = 'phase' and payload->>'text' like '%sealed test%'")
    assert len(opened) == 1
    calls = run.fleet.sql("select seq, payload->>'prompt' as prompt from events where kind = 'lm_call'")
    before = "\n".join(calls[calls.seq < opened.seq[0]].prompt)
    after = "\n".join(calls[calls.seq > opened.seq[0]].prompt)
    assert before
    assert not [e.text for e in run.data.test if e.text in before]
    assert not [e.text for e in run.data.test if e.text not in after]


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_verdict_is_that_of_the_recorded_scores(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    tested = run.fleet.sql(
        "select trial, example_id, coalesce(scores.score, 0) as score from scores join trials using (job_id, trial) "
        "where split = 'test' order by trial, example_id"
    )
    per_trial = [part.set_index("example_id").score for _, part in tested.groupby("trial")]
    before, after = per_trial[0], per_trial[-1]
    compared = paired_comparison(before.tolist(), after[before.index].tolist(), seed=3)
    assert run.result.verdict == compared.verdict
    assert run.result.test_delta == pytest.approx(compared.delta)


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_returned_program_scores_as_told(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    assert all(p.lm is None for _, p in run.result.program.named_predictors()), "the user's program had no model"
    calls = run.engine.calls
    with dspy.context(lm=run.lm):
        right = [run.result.program(text=e.text).intent == e.intent for e in run.data.test]
    assert sum(right) / len(right) == pytest.approx(run.result.test_score)
    assert run.engine.calls == calls, "it asks exactly what the run asked"


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_same_run_again_is_replayed_for_free(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    calls = run.engine.calls
    again = run.start_again().result()
    assert run.engine.calls == calls
    assert again.lm_calls == 0
    assert again.cached_calls == run.result.lm_calls + run.result.cached_calls
    assert again.cost_usd == 0
    for name in ("baseline_score", "best_score", "test_baseline", "test_score", "verdict"):
        assert getattr(again, name) == getattr(run.result, name)


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_given_program_is_not_changed(finished: Callable[[str], Finished], optimizer: str) -> None:
    given, fresh = finished(optimizer).program, program()
    assert given.signature is finished(optimizer).signature
    assert given.signature.equals(fresh.signature)
    assert (given.demos, given.lm) == ([], None)
    assert given is not finished(optimizer).result.program


def test_inputs_are_named_by_forward_whatever_it_calls_itself() -> None:
    import dspy

    from skillfleet_nb.runs.task import input_fields

    class Odd(dspy.Module):
        def __init__(this) -> None:  # noqa: N805  the point
            super().__init__()
            this.answer = dspy.Predict("question -> answer")

        def forward(this, text: str, limit: int = 3) -> dspy.Prediction:  # noqa: N805
            return this.answer(question=text[:limit])

    assert input_fields(Odd()) == ["text"]
