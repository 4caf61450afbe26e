"""A call costs what its provider bills for the usage it tells, as LiteLLM reckons it; without usage nobody knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from made_up import exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import LMError, SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.prices import price_of
from skillfleet_nb.lm.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_kit import Runner

    from skillfleet_nb.events import LMCall


def used(asked: int, told: int, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def litellms(model: str, usage: dict[str, Any]) -> float:
    """Have LiteLLM itself reckon."""
    import litellm

    return float(litellm.completion_cost(litellm.ModelResponse(model=model, usage=litellm.Usage(**usage))))


@contextmanager
def metered(lm: Any, limits: Limits | None = None) -> Iterator[tuple[Any, list[LMCall], Session]]:
    told: list[LMCall] = []
    with (
        Session(None, Settings(), [lm], limits=limits, on_calls=told.extend) as session,
        session.models(session.gate(), lm) as tap,
    ):
        yield tap, told, session


@pytest.mark.parametrize("engine", ["auto", "litellm"])
@pytest.mark.parametrize(
    ("model", "usage", "usd", "naive"),
    [
        ("gpt-5", used(4000, 20, cached=3840, reasoning=16), 0.00088, 5.9),
        ("gpt-4.1", used(4000, 20, cached=3840), 0.0024, 3.4),
        ("gpt-4o-mini", used(4000, 20, cached=3840), 0.000324, 1.9),
        ("gpt-4o-mini", used(4000, 20), 0.000612, 1.0),
    ],
)
def test_a_call_costs_what_litellm_reckons(
    runner: Runner, model: str, usage: dict[str, Any], usd: float, naive: float, engine: str
) -> None:
    runner.server.usage = usage
    with metered(runner.lm(name=model, engine=engine, temperature=1.0)) as (tap, told, session):
        tap(f"hello {model} {engine} {usage}")
        tap(f"hello {model} {engine} {usage}")
    bought, cached = told
    assert litellms(model, usage) == pytest.approx(usd)
    assert bought.cost_usd == bought.full_cost_usd == session.ledger.totals.cost_usd == pytest.approx(usd)
    assert bought.cached_input_tokens == usage["prompt_tokens_details"]["cached_tokens"]
    assert bought.reasoning_tokens == usage["completion_tokens_details"]["reasoning_tokens"]
    assert (cached.cached, cached.cost_usd, cached.input_tokens) == (True, 0.0, 0)
    assert cached.full_cost_usd == 0.0, "the run has paid for it itself"
    with metered(runner.lm(name=model, engine=engine, temperature=1.0)) as (tap, told, session):
        tap(f"hello {model} {engine} {usage}")
    assert (told[0].cached, told[0].cost_usd, session.ledger.totals.cost_usd) == (True, 0.0, 0.0)
    assert told[0].full_cost_usd == session.ledger.totals.full_cost_usd == pytest.approx(usd), "what it once cost"
    price = price_of(runner.lm(name=model))
    assert price is not None
    assert price.cost(4000, 20) / usd == pytest.approx(naive, rel=0.05), "what it would cost without the cache"
    assert price.cost(4000, 20, bought.cached_input_tokens) == pytest.approx(usd), "as forecasts reckon"


@pytest.mark.parametrize("asked", [150_000, 200_000, 200_001, 300_000])
@pytest.mark.parametrize("cached", [0, 100_000])
@pytest.mark.parametrize("model", ["gemini/gemini-2.5-pro", "openai/gpt-5", "anthropic/claude-sonnet-4-5"])
def test_reserves_and_forecasts_go_by_the_tier_of_the_prompt(
    runner: Runner, model: str, asked: int, cached: int
) -> None:
    price = price_of(runner.lm(name=model.partition("/")[2]))
    assert price is not None
    assert price.cost(asked, 1000, cached) == pytest.approx(litellms(model, used(asked, 1000, cached=cached)))


def test_above_200k_tokens_gemini_costs_twice_as_much() -> None:
    from types import SimpleNamespace

    price = price_of(SimpleNamespace(model="gemini/gemini-2.5-pro"))
    assert price is not None
    assert price.cost(300_000, 1000) == pytest.approx(0.765)


@pytest.mark.parametrize("engine", ["auto", "litellm"])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "nobody-knows-it"])
def test_an_answer_without_usage_is_not_free_and_a_cached_one_not_bought(
    runner: Runner, model: str, engine: str
) -> None:
    runner.server.usage = {}
    with metered(runner.lm(name=model, engine=engine)) as (tap, told, session):
        for _ in range(3):
            tap(f"without usage {engine}")
    assert [c.cached for c in told] == [False, True, True]
    assert len(runner.server.seen) == session.ledger.totals.calls == 1
    assert (told[0].cost_usd, told[0].full_cost_usd) == (None, None)
    assert session.ledger.totals.cost_usd is None


@pytest.mark.parametrize(
    ("limits", "bound"), [(Limits(usd=1.0), r"\$1 cannot be kept"), (Limits(tokens=10_000), "10,000 tokens cannot be")]
)
def test_a_limit_that_needs_the_usage_ends_at_the_first_answer_without(
    runner: Runner, limits: Limits, bound: str
) -> None:
    runner.server.usage = {}
    with metered(runner.lm(name="gpt-4o-mini"), limits) as (tap, _, _):
        tap(f"one {bound}")
        with pytest.raises(RunStopped, match=rf"{bound}.*without usage: bound the run with max_calls"):
            tap(f"two {bound}")
    assert len(runner.server.seen) == 1


def test_an_empty_answer_costs_what_it_says_it_used(runner: Runner) -> None:
    from dspy.utils.exceptions import LMProviderError

    runner.server.usage = used(100, 5)
    runner.server.first(1, "empty")
    with metered(runner.lm(name="gpt-4o-mini", num_retries=0, cache=False), Limits(usd=1.0)) as (tap, told, session):
        with pytest.raises(LMProviderError, match="the answer is empty"):
            tap("empty")
        tap("the limit is kept, and the run goes on")
    assert [c.cost_usd for c in told] == pytest.approx([litellms("gpt-4o-mini", used(100, 5))] * 2)
    assert session.ledger.totals.cost_usd == pytest.approx(2 * litellms("gpt-4o-mini", used(100, 5)))


def test_a_run_whose_cost_cannot_be_told_stops_before_it_spends_on(runner: Runner) -> None:
    runner.server.usage = {}
    job = runner.start(lm=runner.lm(name="gpt-4o-mini"), budget_usd=1.0)
    result = job.result()
    assert "cannot be kept" in result.stop_reason
    assert len(runner.server.seen) == 1
    assert job.state is JobState.FAILED, "nothing was scored"


def test_half_of_the_usage_tells_no_cost_and_the_way_out_is_told(runner: Runner) -> None:
    runner.server.usage = {"prompt_tokens": 100, "completion_tokens": None, "total_tokens": 100}
    lm = runner.lm(name="gpt-4o-mini", cache=False)
    assert runner.fleet.advice.estimate(program(), train=rows(4)[:12], optimizer="miprov2", lm=lm).cost_usd is None
    result = runner.start(lm=lm, budget_usd=1.0).result()
    assert "what the first call took is not known (bound the run with max_calls)" in result.stop_reason


def test_what_a_silent_provider_costs_is_not_forecast(runner: Runner) -> None:
    runner.server.usage = {}
    asked: dict[str, Any] = {"train": rows(4)[:12], "metric": exact, "lm": runner.lm(name="gpt-4o-mini")}
    advice = runner.fleet.advice
    for _ in range(2):  # the second goes by the probe that is kept
        forecast = advice.estimate(program(), **asked, optimizer="miprov2")
        assert forecast.cost_usd is None
        assert "the answers of openai/gpt-4o-mini do not say what they used: so the cost is not known" in str(forecast)
    with pytest.raises(LMError, match=r"budget_usd = 1 cannot be kept: the answers of openai/gpt-4o-mini do not say"):
        advice.recommend(program(), **asked, budget_usd=1.0)
    assert advice.recommend(program(), **asked).cost_usd is None
    checks = {check.name: check for check in advice.doctor(program(), **asked).checks}
    assert (checks["LM answers"].level, checks["LM answers"].fix) == ("warning", "bound runs with --max-calls")
    assert "does not say what it used" in checks["LM answers"].found
    assert checks["program answers"].level == "ok", "it is looked at all the same"


def test_what_a_probe_told_of_a_silent_provider_is_kept_in_mind_where_nothing_is_asked(runner: Runner) -> None:
    runner.server.usage = {}
    lm, advice = runner.lm(name="gpt-4o-mini"), runner.fleet.advice
    asked: dict[str, Any] = {"train": rows(4)[:12], "metric": exact, "lm": lm, "optimizer": "bootstrap_random_search"}
    assert advice.estimate(program(), **asked, probe=0).cost_usd is not None, "no answer was seen yet"
    assert advice.estimate(program(), **asked).cost_usd is None
    seen = len(runner.server.seen)
    assert advice.estimate(program(), **asked, probe=0).cost_usd is None
    assert advice.estimate(program(), **asked | {"metric": lenient}, probe=0).cost_usd is None
    assert len(runner.server.seen) == seen
    job = runner.fleet.optimize(program(), **asked | {"optimizer": "portfolio", "budget_usd": 1.0})
    job.result()
    assert job.progress.spec["params"]["requests"] is None, "no price a call to reckon them by"


def lenient(example: Any, prediction: Any, trace: Any = None) -> bool:
    del example, trace
    return bool(prediction)


def test_the_same_is_told_of_answers_that_the_cache_holds(runner: Runner) -> None:
    runner.server.usage = {}
    asked: dict[str, Any] = {"train": rows(4)[:12], "lm": runner.lm(name="gpt-4o"), "optimizer": "miprov2"}
    Fleet(runner.fleet.home.root.parent / "other").advice.estimate(program(), **asked)
    seen = len(runner.server.seen)
    assert runner.fleet.advice.estimate(program(), **asked).cost_usd is None
    assert len(runner.server.seen) == seen


def test_a_look_that_cannot_keep_its_budget_names_no_limit_that_it_does_not_have(runner: Runner) -> None:
    runner.server.usage = {}
    asked: dict[str, Any] = {"train": rows(4)[:12], "metric": exact, "budget_usd": 1.0}
    look = runner.fleet.advice.headroom(program(), **asked, lm=runner.lm(name="gpt-4o-mini", cache=False))
    assert "answered without usage: leave the budget out)" in str(look)
    with pytest.raises(SkillfleetError, match=r"answered without usage: leave the budget out\)"):
        runner.fleet.advice.noise(program(), **asked, lm=runner.lm(name="gpt-4o-mini"))


def test_a_silent_provider_that_is_free_costs_nothing(runner: Runner) -> None:
    runner.server.usage = {}
    lm = runner.lm(input_cost_per_token=0.0, output_cost_per_token=0.0)
    asked: dict[str, Any] = {"train": rows(4)[:12], "metric": exact, "lm": lm}
    forecast = runner.fleet.advice.estimate(program(), **asked, optimizer="miprov2")
    assert forecast.cost_usd == (0.0, 0.0, 0.0)
    checks = {check.name: check.level for check in runner.fleet.advice.doctor(**asked).checks}
    assert checks["LM answers"] == "ok"


def test_a_run_that_is_to_ask_at_a_cost_stops_where_the_cost_cannot_be_told(runner: Runner) -> None:
    runner.server.usage = {}
    job = runner.start(lm=runner.lm(name="gpt-4.1-nano"), review="cost=0.5")  # asked by no other test
    assert "$0.5 cannot be kept: what the first call took is not known" in job.result().stop_reason
    assert len(runner.server.seen) == 1


def test_a_run_answered_from_the_cache_stands_at_what_it_once_cost(runner: Runner) -> None:
    runner.server.usage = used(900, 20)
    lm = runner.lm(name="gpt-4.1-mini")  # asked by no other test: DSPy's cache goes by names
    first = runner.start(lm=lm, optimizer="bootstrap_random_search", name="first").result()
    calls = len(runner.server.seen)
    again = runner.start(lm=lm, optimizer="bootstrap_random_search", name="again").result()
    assert len(runner.server.seen) == calls
    assert again.cost_usd == 0.0
    jobs = runner.fleet.sql("select name, cost_usd, full_cost_usd from jobs order by created_at")
    assert list(jobs.full_cost_usd) == pytest.approx([first.cost_usd, first.cost_usd])
    data = runner.fleet.charts.pareto(by="usd").data
    assert list(data.cost) == pytest.approx([first.cost_usd, first.cost_usd])
    assert sorted(data.cached) == pytest.approx([0.0, 1.0])
