"""Forecasts: calls by role against real runs, USD, and what is not known is said to be so."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program
from made_up_tasks import make

from skillfleet_nb import Fleet
from skillfleet_nb.advice.forecast import Correction, Corrections, Interval, interval
from skillfleet_nb.advice.past_runs import PastRun, corrections
from skillfleet_nb.errors import InputError, LMError, NotFoundError
from skillfleet_nb.optimizers import Calls, Shape, create
from skillfleet_nb.optimizers.rehearsal import Rehearsal, rehearsed, uses

if TYPE_CHECKING:
    from pathlib import Path

CASES: list[tuple[str, dict[str, Any], str, float]] = [
    ("labeled_fewshot", {"k": 4}, "intents", 0.5),
    ("bootstrap_random_search", {"num_candidate_programs": 3}, "intents", 0.1),
    ("miprov2", {"num_candidates": 3, "num_trials": 4, "minibatch": False}, "made_up", 0.3),
    ("infer_rules", {"num_candidates": 2}, "two_steps", 0.15),
    ("copro", {"breadth": 3, "depth": 2}, "intents", 0.5),
    ("gepa", {"max_metric_calls": 60}, "opaque", 0.3),
    ("tune_signature", {"rounds": 2}, "two_steps", 0.3),
]


@pytest.mark.parametrize(("optimizer", "params", "kind", "within"), CASES)
def test_a_run_buys_about_what_was_forecast(
    tmp_path: Path, optimizer: str, params: dict[str, Any], kind: str, within: float
) -> None:
    task = make(kind, n=24, labels=4, noise=0.2, usd_per_1k=0.01, seed=5, test=16)
    given: dict[str, Any] = {"train": task.train, "val": task.val, "test": task.test, "metric": task.metric}
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=0.01))
    told = Fleet(tmp_path / "told").advice.estimate(task.program(), **given, optimizer=optimizer, params=params, lm=lm)
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=0.01))
    result = Fleet(tmp_path / "run").optimize(
        task.program(), **given, optimizer=optimizer, params=params, lm=lm
    ).result(timeout=240)  # fmt: skip
    assert engine.calls == result.lm_calls
    assert told.calls.low <= told.calls.expected <= told.calls.high
    assert abs(told.calls.expected - result.lm_calls) <= within * result.lm_calls
    assert told.cost_usd is not None
    assert result.cost_usd is not None
    assert abs(told.cost_usd.expected - result.cost_usd) <= (within + 0.3) * result.cost_usd


def test_test_rows_that_repeat_are_forecast_and_set_aside_for_once(tmp_path: Path) -> None:
    data, told, bought = Data(), [], []
    for times in (1, 20):
        given: dict[str, Any] = {**data.splits(), "test": data.test * times, "metric": exact, "num_threads": 1}
        given |= {"optimizer": "bootstrap_random_search", "params": {"num_candidate_programs": 8}}
        told.append(Fleet(tmp_path / "told").advice.estimate(program(), **given, lm=counted_lm()[0]).calls)
        run = Fleet(tmp_path / f"run {times}").optimize(program(), **given, lm=counted_lm()[0], max_calls=130)
        bought.append((run.result(timeout=240).lm_calls, run.progress.trials))
    assert told[0] == told[1]
    assert bought[0] == bought[1]


def test_what_bounds_the_time_is_told_and_a_providers_limit_is_reckoned_with(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    slow, _ = counted_lm(Counting(latency_s=1.0))
    quick, _ = counted_lm()

    def told(lm: Any, threads: int = 1) -> Any:
        return fleet.advice.estimate(
            program(), **Data().splits(), metric=exact, optimizer="labeled_fewshot", lm=lm, num_threads=threads, probe=0
        )

    one, four = told(slow), told(slow, 4)
    assert one.bound == "waiting for answers, in 1 thread: more threads shorten it"
    assert 3 < one.wall_s.expected / four.wall_s.expected < 4.5
    assert f"most of the time is {one.bound}" in one.notes
    assert told(quick).bound == "work of this machine around calls: no further thread shortens it"
    fleet.home.ensure().config.write_text('[rates."skillfleet/*"]\nrequests_per_minute = 6\n', "utf-8")
    limited = told(slow, 4)
    assert limited.bound == "waiting for the provider's limit, 6 requests a minute: no thread shortens it"
    assert limited.wall_s.expected == pytest.approx(10 * limited.calls.expected)


def test_what_the_cache_answers_is_not_bought() -> None:
    shape = Shape(train=20, val=10, predictors=1, score=0.5)

    def play(run: Rehearsal) -> None:
        run.evaluate(run.start, "val", 10)  # the run has scored the given program there
        run.evaluate(run.start, "train", 20)
        run.evaluate(run.start, "train", 20)

    (use, *_) = rehearsed(shape, play).runs
    assert (use.task, use.task_cached) == (20, 30)
    (use, *_) = rehearsed(shape._replace(cached=False), play).runs
    assert (use.task, use.task_cached) == (50, 0)


def test_miprov2_knows_its_own_proposals() -> None:
    calls = create("miprov2", {"auto": "light"}).calls(Shape(train=100, val=50, predictors=2))
    # Ten views of the data and their summary, then three instructions a predictor of three calls each.
    assert {use.prompt for use in calls.runs} == {10 + 1 + 3 * 3 * 2}


@pytest.mark.parametrize(
    "name", ["gepa", "miprov2", "copro", "simba", "infer_rules", "bootstrap_random_search", "tune_signature"]
)
def test_more_examples_never_buy_fewer_calls(name: str) -> None:
    def expected(n: int) -> float:
        runs = uses(create(name).calls(Shape(train=2 * n, val=n, predictors=1, score=0.5)))
        return sum(use.bought for use in runs) / len(runs)

    found = [expected(n) for n in (16, 24, 40)]
    assert found == sorted(found)


def test_an_optimizer_that_only_gives_bounds_is_forecast_too() -> None:
    runs = uses(Calls(10, 20))
    assert 10 <= min(u.bought for u in runs) < max(u.bought for u in runs) <= 20


def test_a_probe_is_counted_and_recorded_once(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    lm, engine = counted_lm()
    given = {**Data().splits(), "metric": exact, "lm": lm, "optimizer": "gepa"}
    told = fleet.advice.estimate(program(), **given, probe=2)
    assert (told.probed, engine.calls) == (2, 2)
    assert fleet.sql("select count(*) as n from lm_calls where job_id like 'probe-%'").n[0] == 2
    assert fleet.advice.estimate(program(), **given, probe=2).calls == told.calls
    assert engine.calls == 2
    assert fleet.jobs().empty


def test_without_a_probe_nothing_is_called(tmp_path: Path) -> None:
    lm, engine = counted_lm()
    told = Fleet(tmp_path).advice.estimate(program(), **Data().splits(), lm=lm, optimizer="miprov2", probe=0)
    assert (engine.calls, told.probed) == (0, 0)
    assert "--probe 3" in told.text()


def test_an_unknown_price_is_said_to_be_unknown(tmp_path: Path) -> None:
    lm = dspy.LM("acme/unheard-of")
    told = Fleet(tmp_path).advice.estimate(program(), **Data().splits(), lm=lm, optimizer="copro", probe=0)
    assert told.cost_usd is None
    assert any("acme/unheard-of has no known price" in note for note in told.notes)
    assert "unknown" in told.text()


def test_tokens_of_a_hosted_model_are_counted_without_a_network(tmp_path: Path) -> None:
    lm = dspy.LM("openai/gpt-4o-mini")
    told = Fleet(tmp_path).advice.estimate(program(), **Data().splits(), lm=lm, optimizer="labeled_fewshot", probe=0)
    assert told.cost_usd is not None
    assert 0 < told.cost_usd.low <= told.cost_usd.expected <= told.cost_usd.high


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"probe": -1}, InputError, "probe = -1: give how many examples"),
        ({"train": Data().train[:4], "val": None, "test": None}, InputError, "train holds 4 examples: advice needs 5"),
        ({"optimizer": "gepaa"}, NotFoundError, "did you mean 'gepa'?"),
        ({"params": {"auto": "tiny"}}, InputError, "gepa: auto = 'tiny'"),
    ],
)
def test_what_cannot_be_forecast_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], error: type[Exception], said: str
) -> None:
    lm, engine = counted_lm()
    given = {**Data().splits(), "lm": lm, "optimizer": "gepa", **changed}
    with pytest.raises(error) as caught:
        Fleet(tmp_path).advice.estimate(program(), **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine.calls == 0


def test_a_probe_that_gets_no_answer_says_why(tmp_path: Path) -> None:
    def fail(n: int) -> None:
        raise ValueError("no such deployment")

    lm, _ = counted_lm(Counting(fail=fail), num_retries=0)
    with pytest.raises(LMError, match="no such deployment"):
        Fleet(tmp_path).advice.estimate(program(), **Data().splits(), lm=lm, optimizer="gepa")


def test_past_runs_shift_and_widen_an_interval() -> None:
    values = [90.0, 95.0, 100.0, 105.0, 110.0]
    alone = interval(values)
    assert alone.expected == pytest.approx(100)
    doubled = interval(values, Correction(shift=0.693, down=0.6, up=0.4, runs=40))
    assert doubled.expected == pytest.approx(200, rel=0.01)
    assert doubled.high / doubled.low > alone.high / alone.low
    assert doubled.expected / doubled.low > doubled.high / doubled.expected
    assert interval([0.0, 0.0]) == Interval(0.0, 0.0, 0.0)


def test_one_run_that_found_nothing_better_says_nothing_of_the_others() -> None:
    features = {"lm": "acme/one"}
    usual = [PastRun(features, "gepa", None, 0.4, 0.1, usd=(1.0, actual)) for actual in (1.1, 1.15, 1.2, 1.1, 1.2)]
    odd = PastRun(features, "gepa", None, 0.4, 0.0, usd=(1.0, 0.25))
    one, other = (corrections("gepa", "acme/one", past).usd for past in (usual, [*usual, odd]))
    assert math.exp(other.shift) == pytest.approx(math.exp(one.shift), abs=0.05)
    assert math.exp(other.shift + other.up) == pytest.approx(1.2, abs=0.03), "nine of ten cost no more"
    assert other.down > one.down
    assert corrections("gepa", "acme/two", usual) == Corrections()
    warm = corrections("gepa", "acme/one", [replace(run, warm=True, calls=(100.0, 1.0)) for run in usual])
    assert warm.usd == one, "what a call would have cost is told of a cached one too"
    assert warm.calls == Corrections().calls


class Reads(dspy.Module):
    """Asks the run's model for a note, and one of its own for the answer."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.note = dspy.Predict("text -> note")
        self.answer = dspy.Predict("text, note -> intent")
        self.answer.lm = own

    def forward(self, text: str) -> Any:
        return self.answer(text=text, note=self.note(text=text).note)


@pytest.mark.parametrize("probe", [0, 3])
def test_a_program_of_several_models_costs_what_each_of_them_costs(tmp_path: Path, probe: int) -> None:
    def told(usd: float, usd_of_own: float) -> float:
        lm, own = (counted_lm(Counting(usd_per_1k_tokens=price))[0] for price in (usd, usd_of_own))
        given = {**Data().splits(), "metric": exact, "lm": lm, "optimizer": "labeled_fewshot"}
        cost = Fleet(tmp_path).advice.estimate(Reads(own), **given, probe=probe).cost_usd
        assert cost is not None
        return cost.expected

    note, answer, both = told(0.01, 0.0), told(0.0, 0.01), told(0.01, 0.01)
    assert 0 < note < answer < both, "the answer's prompt is longer"
    assert note + answer == pytest.approx(both)


@pytest.mark.parametrize("probe", [0, 3])
def test_one_model_without_a_price_leaves_the_cost_of_a_program_unknown(tmp_path: Path, probe: int) -> None:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=0.01))
    own, engine = counted_lm()
    engine.price_per_token = None  # type: ignore[assignment, method-assign]
    told = Fleet(tmp_path).advice.estimate(
        Reads(own), **Data().splits(), metric=exact, lm=lm, optimizer="labeled_fewshot", probe=probe
    )
    assert told.cost_usd is None
    assert f"{own.model} has no known price" in told.text()
