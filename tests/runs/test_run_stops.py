"""Whatever stops a run, the best program so far is kept, and said is why it stopped."""

from __future__ import annotations

import contextlib
import math
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from made_up import SMALL, Clock, Counting, Data, counted_lm, exact, program, rows, told

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError, LMError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.optimizers.bootstrap_random_search import BootstrapRandomSearch

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "home")


FEW = Data(rows(7))  # train 14, val 7, test 7: what stops a run needs no more


def start(fleet: Fleet, lm: Any, optimizer: str = "bootstrap_random_search", **changed: Any) -> Job:
    given = {"metric": told, "optimizer": optimizer, "lm": lm, "seed": 3, "num_threads": 4, **FEW.splits()}
    return fleet.optimize(changed.pop("program", None) or program(), **{**given, **changed})


def best_on_val(fleet: Fleet) -> float:
    return float(fleet.sql("select max(score) as s from trials where split = 'val' and full_eval").s[0])


@pytest.mark.parametrize("optimizer", sorted(SMALL))
def test_a_budget_of_calls_holds_for_every_optimizer(fleet: Fleet, optimizer: str) -> None:
    lm, engine = counted_lm()
    params = None if optimizer != "better_together" else SMALL[optimizer]
    result = start(fleet, lm, optimizer, params=params, max_calls=40).result()
    assert engine.calls == result.lm_calls <= 40
    assert result.state is JobState.COMPLETED
    if optimizer not in {"labeled_fewshot", "bootstrap_fewshot"}:  # these need fewer
        assert result.stop_reason == "budget: 40 calls"
    assert result.best_score == pytest.approx(best_on_val(fleet))
    assert result.test_score is not None, "some of the budget is set aside for the test"


@pytest.mark.parametrize("limit", ["max_tokens", "budget_usd", "max_minutes"])
def test_the_other_budgets_hold_as_well(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=1.0))
    clock = Clock()
    monkeypatch.setattr("skillfleet_nb.lm.meter.time", clock)

    def metric(example: Any, pred: Any, trace: Any = None) -> Any:
        if limit == "max_minutes" and engine.calls > 24:
            clock.forward(1e6)
        return told(example, pred)

    bound = {"max_tokens": 12_000, "budget_usd": 12.0, "max_minutes": 1e6 / 60}[limit]
    result = start(fleet, lm, "gepa", metric=metric, **{limit: bound}).result()
    assert result.stop_reason.startswith("budget: ")
    used = fleet.sql("select sum(input_tokens + output_tokens) as tokens, sum(cost_usd) as usd from lm_calls").iloc[0]
    assert used.usd == pytest.approx(used.tokens / 1000)
    assert result.cost_usd == pytest.approx(used.usd)
    one = fleet.sql("select max(input_tokens + output_tokens) as tokens from lm_calls").tokens[0]
    if limit != "max_minutes":  # over by at most the calls in flight, each guessed at too low
        assert used.tokens <= 12_000 + 4 * one
    assert result.best_score == pytest.approx(best_on_val(fleet))


def test_a_budget_too_small_for_the_baseline_gives_the_program_back_and_says_so(fleet: Fleet) -> None:
    lm, engine = counted_lm()
    job = start(fleet, lm, max_calls=5)
    result = job.result()
    assert engine.calls == result.lm_calls == 5
    assert job.state is result.state is JobState.FAILED, "nothing was completed"
    assert (result.stop_kind, result.stop_reason, result.verdict) == (StopKind.BUDGET, "budget: 5 calls", None)
    assert result.baseline_score is result.best_score is None
    assert result.program.predictors()
    assert any("before the given program was scored" in note for note in job.progress.warnings)
    assert "not tested" in str(job)
    with pytest.raises(JobError, match="give a larger limit"):
        fleet.resume(job.id)


def test_cancelling_keeps_the_best_so_far(fleet: Fleet) -> None:
    lm, engine = counted_lm()
    searching, go_on = threading.Event(), threading.Event()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        if engine.calls > 24:
            searching.set()
            go_on.wait()
        return exact(example, pred)

    job = start(fleet, lm, metric=metric)
    assert searching.wait()
    job.cancel()
    go_on.set()
    result = job.result()
    assert result.state is job.state is JobState.CANCELLED
    assert result.stop_reason == "cancelled"
    assert result.best_score == pytest.approx(best_on_val(fleet))
    assert result.verdict is None
    assert engine.calls == result.lm_calls == len(fleet.sql("from lm_calls where not cached")), "none in flight is lost"
    calls = engine.calls
    job.cancel()  # a finished job is left as it is
    assert job.state is JobState.CANCELLED
    assert engine.calls == calls


def test_cancelling_at_once_is_not_lost(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    job = start(fleet, lm)
    job.cancel()
    hold.set()
    with pytest.raises(JobError, match="stopped before the given program was scored: cancelled"):
        job.result()
    assert job.state is JobState.CANCELLED
    assert engine.calls <= 4


def test_another_process_can_cancel(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold, latency_s=0.02))
    job = start(fleet, lm, "gepa")
    assert engine.reached.wait()
    Fleet(fleet.home.root).job(job.id).cancel()  # knows the job from its record alone, as another process does
    hold.set()
    assert job.wait()
    assert job.state is JobState.CANCELLED


def test_an_error_in_the_optimizer_keeps_the_best_so_far(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = BootstrapRandomSearch.compile

    def breaks(self: Any, task: Any) -> Any:
        compile_(self, task)
        raise ZeroDivisionError("lost\ncount")

    monkeypatch.setattr(BootstrapRandomSearch, "compile", breaks)
    lm, _ = counted_lm()
    job = start(fleet, lm, params=SMALL["bootstrap_random_search"], **Data().splits())
    result = job.result()
    assert result.state is job.state is JobState.FAILED
    assert "bootstrap_random_search failed: ZeroDivisionError" in result.stop_reason
    assert result.best_score == pytest.approx(best_on_val(fleet))
    assert result.best_score > result.baseline_score
    assert result.test_score is not None, "what was found is still tested"


def test_leaving_the_interpreter_in_a_metric_keeps_the_best_so_far(fleet: Fleet) -> None:
    lm, engine = counted_lm()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        if engine.calls > 24:
            sys.exit(3)
        return exact(example, pred)

    result = start(fleet, lm, metric=metric, num_threads=1).result()
    assert result.state is JobState.FAILED
    assert "SystemExit" in result.stop_reason
    assert result.best_score == pytest.approx(best_on_val(fleet))


@pytest.mark.parametrize(
    ("optimizer", "answer"),
    [  # each optimizer meets one, and one optimizer all
        ("bootstrap_random_search", None), ("miprov2", math.nan), ("simba", 7), ("copro", None),
        *(("gepa", answer) for answer in (None, math.nan, 7)),
    ],
)  # fmt: skip
def test_a_metric_that_stops_giving_scores_ends_the_run(fleet: Fleet, optimizer: str, answer: Any) -> None:
    lm, engine = counted_lm()

    def metric(example: Any, pred: Any, trace: Any = None) -> Any:
        return exact(example, pred) if engine.calls < 24 else answer

    job = start(fleet, lm, optimizer, metric=metric)
    result = job.result()
    assert result.state is job.state is JobState.FAILED
    assert "metric 'metric' returned" in result.stop_reason
    assert result.best_score == pytest.approx(best_on_val(fleet))
    assert engine.calls < 44, "nothing is searched on with scores that mean nothing"


def test_a_metric_that_fails_in_the_final_test_is_not_called_finished(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    sealed = {e.text for e in FEW.test}

    def metric(example: Any, pred: Any, trace: Any = None) -> Any:
        return None if example.text in sealed else exact(example, pred)

    result = start(fleet, lm, "labeled_fewshot", metric=metric).result()
    assert result.state is JobState.FAILED
    assert "metric 'metric' returned None" in result.stop_reason
    assert result.verdict is None


def test_a_metric_that_raises_now_and_then_is_told_of(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    bad = FEW.val[0].text

    def metric(example: Any, pred: Any, trace: Any = None) -> Any:
        if example.text == bad and pred.get("reasoning", None) is None and trace is None and _on_run():
            raise ValueError("no such label")
        return exact(example, pred)

    job = start(fleet, lm, "labeled_fewshot", metric=metric)
    result = job.result()
    assert result.state is JobState.COMPLETED
    warned = [w for w in job.progress.warnings if "metric" in w]
    assert len(warned) == 1
    assert "raised" in warned[0]
    assert "ValueError: no such label" in warned[0]
    assert fleet.sql("select count(*) as n from scores where score is null").n[0] > 0


def _on_run() -> bool:
    return threading.current_thread() is not threading.main_thread()


@pytest.mark.parametrize("optimizer", sorted(set(SMALL) - {"labeled_fewshot"}))
def test_a_dead_model_ends_the_run(fleet: Fleet, optimizer: str) -> None:
    def dies(n: int) -> None:
        if n > 18:
            raise ConnectionError("no route to the model")

    lm, engine = counted_lm(Counting(dies), num_retries=0)
    job = start(fleet, lm, optimizer)
    result = job.result()
    assert result.state is job.state is JobState.FAILED
    assert "failed" in result.stop_reason
    assert "no route to the model" in result.stop_reason
    assert result.best_score == pytest.approx(best_on_val(fleet))
    assert engine.calls <= 18 + 24 + 4
    assert fleet.sql("select count(*) as n from lm_calls where error is not null").n[0] > 0


def test_a_model_dead_from_the_start_fails_the_job_with_its_words(fleet: Fleet) -> None:
    def dies(n: int) -> None:
        raise ConnectionError("no route to the model")

    lm, engine = counted_lm(Counting(dies), num_retries=0)
    job = start(fleet, lm)
    with pytest.raises(JobError, match="no route to the model"):
        job.result()
    assert job.state is JobState.FAILED
    assert engine.calls <= 24 + 4


def test_a_budget_in_usd_needs_a_price(fleet: Fleet) -> None:
    class Unpriced(Counting):
        price_per_token = None  # type: ignore[assignment]

    lm, engine = counted_lm(Unpriced())
    with pytest.raises(LMError, match=r"has no known price; add to config.toml"):
        start(fleet, lm, budget_usd=1.0)
    own = program()
    own.lm = lm
    free, _ = counted_lm()
    with pytest.raises(LMError, match="has no known price"):
        start(fleet, free, program=own, budget_usd=1.0)
    assert engine.calls == 0
    assert len(fleet.jobs()) == 0

    job = start(fleet, lm, "labeled_fewshot")
    assert job.result().cost_usd is None
    assert fleet.jobs().cost_usd.isna().all()
    assert "cost unknown" in str(job)
    assert "$0" not in str(job)

    fleet.home.config.write_text(f'[prices]\n"{lm.model}" = [1.0, 2.0]\n')
    result = start(fleet, lm, "labeled_fewshot", budget_usd=1.0, seed=4, metric=exact).result()
    assert result.cost_usd is not None


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), -1e-6, "1e-6", True])
def test_a_price_that_is_none_is_refused_with_the_model_that_has_it(fleet: Fleet, usd: object) -> None:
    free, _ = counted_lm()
    lm, engine = counted_lm(input_cost_per_token=usd, output_cost_per_token=0)
    said = rf"has input_cost_per_token = {re.escape(repr(usd))}: give USD per token, a number from 0"
    own = program()
    own.lm = lm
    for asked in ({"lm": lm}, {"lm": free, "prompt_lm": lm}, {"lm": free, "program": own}):
        with pytest.raises(InputError, match=said):
            start(fleet, **asked)
    assert engine.calls == 0
    assert len(fleet.jobs()) == 0


def test_a_model_without_a_price_made_in_the_run_stops_a_budget_in_usd(fleet: Fleet) -> None:
    import dspy

    class Unpriced(Counting):
        price_per_token = None  # type: ignore[assignment]

    hidden, engine = counted_lm(Unpriced())
    free, _ = counted_lm()

    class Own(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            with dspy.context(lm=hidden):
                return self.classify(text=text)

    job = start(fleet, free, program=Own(), budget_usd=1.0)
    with contextlib.suppress(JobError):
        job.result()
    assert "no known price" in str(job.progress.stop_reason)
    assert engine.calls <= 4


def test_a_poisoned_lock_of_tqdm_does_not_hang_a_run(fleet: Fleet) -> None:
    from tqdm import tqdm

    old = tqdm.get_lock()
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with old:
            taken.set()
            release.wait()

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert taken.wait()
    try:
        lm, _ = counted_lm()
        result = start(fleet, lm, "gepa", params=SMALL["gepa"]).result()
        assert result.state is JobState.COMPLETED
    finally:
        release.set()
        holder.join()


def test_two_runs_at_once_keep_their_facts_apart(fleet: Fleet) -> None:
    models = [counted_lm(Counting(latency_s=0.002)) for _ in range(2)]
    jobs = [start(fleet, lm, name, params=SMALL[name]) for (lm, _), name in zip(models, ("gepa", "simba"), strict=True)]
    results = [job.result() for job in jobs]
    for job, result, (lm, engine) in zip(jobs, results, models, strict=True):
        assert engine.calls == result.lm_calls
        calls = fleet.sql("select distinct job_id, model from lm_calls")
        assert calls[calls.job_id == job.id].model.tolist() == [lm.model]
    assert "gepa" not in jobs[1].log().lower()


def test_time_on_the_clock_is_counted_from_the_start(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    before = time.monotonic()
    result = start(fleet, lm, "labeled_fewshot").result()
    assert 0 < result.wall_s <= time.monotonic() - before


@pytest.mark.parametrize(("threads", "calls"), [(8, 70), (8, 55), (1, 49), (4, 43)])
def test_no_test_is_bought_and_thrown_away(fleet: Fleet, threads: int, calls: int) -> None:
    lm, _ = counted_lm(Counting(latency_s=0.002))
    result = start(fleet, lm, "bootstrap_fewshot", max_calls=calls, num_threads=threads, **Data().splits()).result()
    events = fleet.sql("select seq, kind, payload->>'text' as said from events where kind in ('lm_call', 'phase')")
    opened = events[events.said.fillna("").str.contains("sealed test")].seq.max()
    bought = int(((events.kind == "lm_call") & (events.seq > opened)).sum())
    tested = fleet.sql("select coalesce(sum(n_examples), 0)::int as n from trials where split = 'test'").n[0]
    assert bought == tested, "every answer of the test is part of its verdict"
    assert (result.verdict is None) == (tested == 0)
    assert result.lm_calls <= calls


def test_a_limit_that_leaves_no_test_is_the_reason(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    result = start(fleet, lm, "labeled_fewshot", max_calls=25, num_threads=1, **Data().splits()).result()
    assert result.verdict is None
    assert (result.stop_kind, result.stop_reason) == ("budget", "budget: 25 calls, before the test")
    assert "the optimizer finished" not in result.summary
