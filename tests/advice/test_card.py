"""The card without a browser: whatever can be moved or clicked, asked for through its methods."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.charts.cost_quality import cost_quality_svg
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.widgets import RecommendationCard

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def card(tmp_path: Path) -> RecommendationCard:
    fleet = Fleet(tmp_path / "home")
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=0.01))
    made = fleet.advice.recommend(program(), **Data().splits(), metric=told, lm=lm, budget_usd=2.0)
    card = RecommendationCard(made, fleet)
    card.engine = engine
    return card


def test_a_slider_updates_everything_and_asks_no_model(card: RecommendationCard) -> None:
    asked = card.engine.calls
    before = [w.value for w in (card._facts, card._table, card._chart)]
    cheap = card.recommendation
    card.set(budget_usd=1000, quality_target=0.5)
    rich = card.recommendation
    assert rich.expected_score > cheap.expected_score
    assert rich.quality_target == 0.5
    assert all(w.value != old for w, old in zip((card._facts, card._table, card._chart), before, strict=True))
    assert card.choice.value == rich.chosen.name
    assert card.engine.calls == asked


def test_a_budget_below_everything_says_what_would_do(card: RecommendationCard) -> None:
    card.set(budget_usd=0.001)
    assert card.recommendation is None
    assert card.button.disabled
    assert "the smallest budget that will do is $" in card._facts.value
    card.set(budget_usd=2)
    assert not card.button.disabled
    for limit in ("budget_usd", "max_minutes"):
        with pytest.raises(InputError, match=f"{limit} = 0: give a number above 0"):
            card.set(**{limit: 0})


def test_the_table_can_be_sorted(card: RecommendationCard) -> None:
    by_score = card._table.value
    card.sort.value = "name"
    assert card._table.value != by_score
    assert card._table.value.index("bootstrap_fewshot") < card._table.value.index("simba")


def test_it_runs_what_is_picked_and_records_that(card: RecommendationCard) -> None:
    with pytest.raises(NotFoundError, match="unknown option 'gepa lite': did you mean 'gepa light'"):
        card.run("gepa lite")
    assert card.button.description == "Run this"
    card.choice.value = "labeled_fewshot"
    assert card.button.description == "Run instead"
    card._clicked(card.button)
    card._clicked(card.button)  # a double click is one
    assert card.job.name in card._told.value
    assert len(card._fleet.jobs()) == 1
    assert card.job.result(timeout=120).test_score is not None
    assert card._fleet.sql("select how, chosen from recommendations").values.tolist() == [
        ["overridden", "labeled_fewshot"]
    ]


def test_a_page_without_widgets_shows_the_same_facts(card: RecommendationCard) -> None:
    data, _ = card._repr_mimebundle_()
    made = card.recommendation
    for shown in (data["text/html"], data["text/plain"]):
        assert made.optimizer in shown
        assert all(a.name in shown for a in made.alternatives)
        assert "confidence" in shown
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_chart_names_every_candidate_with_its_interval(card: RecommendationCard) -> None:
    data = card.recommendation.chart_data()
    assert [row["cost"] for row in data] == sorted(row["cost"] for row in data)
    assert [row["kind"] for row in data].count("recommended") == 1
    assert {row["unit"] for row in data} == {"USD"}
    drawn = card.recommendation.svg
    assert all(f">{row['name']}<" in drawn for row in data)
    assert ">budget<" in drawn


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 500)), min_size=1, max_size=30))
def test_no_name_in_the_chart_hides_another_one_or_is_cut(at: list[tuple[float, float]]) -> None:
    data = [
        {"name": f"way {n} of a long name", "cost": cost, "low": 0.8 * cost, "high": 1.3 * cost, "score": score,
         "worst": score - 5, "best": score + 5, "kind": "possible", "unit": "USD"}
        for n, (score, cost) in enumerate(at)
    ]  # fmt: skip
    drawn = cost_quality_svg(data, width=520, height=250)
    places = re.findall(r"x='([\d.]+)' y='([\d.]+)'[^>]*>(way \d+ of a long name)<", drawn)
    assert all(float(x) + 7 * len(name) <= 520 for x, _, name in places)
    heights = sorted(float(y) for _, y, _ in places)
    [height] = re.findall(r"viewBox='0 0 520 (\d+)'", drawn)
    assert len(heights) == len(data)
    assert all(one >= other + 10 for other, one in pairwise(heights))
    assert heights[0] >= 10
    assert heights[-1] < int(height) - 40
