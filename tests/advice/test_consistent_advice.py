"""Advice that does not contradict itself: the same answer twice, judges counted, prices known from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

PRICE = 0.01


def judged(lm: dspy.LM) -> Any:
    """Make a metric that asks `lm` about every answer, and goes by the label."""

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        lm(f"Is {pred.intent!r} the intent of this message? {example.text}")
        return bool(example.intent == pred.intent)

    return metric


def test_the_same_question_gets_the_same_answer_whatever_the_probe_took(tmp_path: Path) -> None:
    fleet, (lm, engine) = Fleet(tmp_path / "home"), counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "metric": exact, "lm": lm}
    first, second = (fleet.advice.recommend(program(), **given, budget_usd=1.0) for _ in range(2))
    assert engine.calls == 3
    assert first.probe_usd > 0
    ignored = {"recommendation_id"}
    assert first.model_dump(exclude=ignored) == second.model_dump(exclude=ignored)
    assert (first.budget_usd, first.job_usd) == (1.0, 1.0 - first.probe_usd)
    moved = first.under(budget_usd=1.0, quality_target=0.85, max_minutes=None)
    assert moved.model_dump(exclude=ignored) == first.model_dump(exclude=ignored)


def test_what_is_affordable_is_possible_and_the_best_of_it_is_recommended(tmp_path: Path) -> None:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=0.0001))
    made = Fleet(tmp_path).advice.recommend(program(), **Data().splits(), metric=exact, lm=lm, budget_usd=0.9)
    within = [o for o in made.options if o.cost_usd is not None and o.cost_usd.high + made.probe_usd <= 0.9]
    assert {o.name for o in within if not o.feasible} <= {"bootstrap_finetune"}
    assert made.expected_score == max(o.expected_score for o in within if o.feasible)
    assert made.optimizer == "miprov2", "it is expected to do better than demos, and costs cents"


def test_calls_of_a_judge_are_forecast_priced_budgeted_and_recorded_as_its_own(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    judge, asked = counted_lm(Counting(usd_per_1k_tokens=4 * PRICE))
    given: dict[str, Any] = {
        **Data().splits(), "metric": judged(judge), "lm": lm,
        "optimizer": "labeled_fewshot", "params": {"k": 4},
    }  # fmt: skip
    told = fleet.advice.estimate(program(), **given)
    result = fleet.optimize(program(), **given, name="judged").result(timeout=120)
    roles = fleet.sql(
        "select role, sum(not cached)::int as bought, sum(cost_usd) as usd from lm_calls "
        "where job_id in (select job_id from jobs) group by role order by role"
    )
    assert roles.role.tolist() == ["judge", "task"]
    bought = dict(zip(roles.role, roles.bought, strict=True))
    assert asked.calls == bought["judge"] + 3, "the probe's three are recorded too, of the probe"
    assert bought["judge"] > 20
    assert told.by_role["judge"].expected == pytest.approx(bought["judge"], rel=0.35)
    assert told.calls.expected == pytest.approx(result.lm_calls, rel=0.35)
    assert told.cost_usd is not None
    assert told.cost_usd.expected == pytest.approx(result.cost_usd, rel=0.6)
    assert any(row[0] == "  judge" for row in told.rows())
    limited = fleet.optimize(program(), **given, name="limited", max_calls=30).result(timeout=120)
    assert limited.lm_calls <= 30, "a limit holds the judge's calls as well"


def test_without_a_probe_a_judge_is_assumed_and_said_to_be(tmp_path: Path) -> None:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    judge, asked = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "lm": lm, "optimizer": "labeled_fewshot", "probe": 0}
    told = Fleet(tmp_path).advice.estimate(program(), **given, metric=judged(judge))
    assert told.by_role["judge"].expected > 20
    assert any("one call a score is assumed" in note for note in told.notes)
    assert Fleet(tmp_path).advice.estimate(program(), **given, metric=exact).by_role["judge"].high == 0
    unknown = Fleet(tmp_path).advice.estimate(program(), **given, metric=judged(dspy.LM("acme/unheard-of")))
    assert unknown.cost_usd is None
    assert asked.calls == 0


def test_a_probe_with_another_metric_is_another_probe(tmp_path: Path) -> None:
    fleet, (lm, engine) = Fleet(tmp_path), counted_lm(Counting(usd_per_1k_tokens=PRICE))
    judge, asked = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "lm": lm, "optimizer": "labeled_fewshot"}
    plain = fleet.advice.estimate(program(), **given, metric=exact)
    told = fleet.advice.estimate(program(), **given, metric=judged(judge))
    assert (engine.calls, asked.calls) == (3, 3), "the program's answers come from the cache"
    assert plain.by_role["judge"].high == 0 < told.by_role["judge"].low
    assert told.by_role["task"] == plain.by_role["task"]


def test_a_model_made_with_a_price_is_priced_before_its_first_call(tmp_path: Path) -> None:
    lm = dspy.LM("acme/unheard-of", input_cost_per_token=1e-6, output_cost_per_token=2e-6)
    told = Fleet(tmp_path).advice.estimate(program(), **Data().splits(), lm=lm, optimizer="labeled_fewshot", probe=0)
    assert told.cost_usd is not None
    assert told.cost_usd.low > 0
