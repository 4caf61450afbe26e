"""What a set lacks: by count, and in the space of its inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_sets import WordVectors, made_up

from skillfleet_nb.data import analyze
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.data.gaps import underrepresented
from skillfleet_nb.errors import InputError
from skillfleet_nb.skills.plan_rows import PLAN_ROLES


def test_even_categories_have_no_gap() -> None:
    assert underrepresented(list("abcd") * 12, "label") == []


def test_a_few_rows_too_few_are_chance() -> None:
    assert underrepresented(["a"] * 12 + ["b"] * 9 + ["c"] * 10, "label") == []


def test_a_target_can_ask_for_what_is_not_there() -> None:
    gaps = underrepresented(["a"] * 40, "label", {"a": 0.5, "web": 0.5})
    assert [(g.category, g.rows, g.add[1]) for g in gaps] == [("web", 0, 40)]


@pytest.mark.parametrize("target", [{}, {"a": -1.0}, {"a": 0.0}])
def test_a_target_that_is_none(target: dict[str, float]) -> None:
    with pytest.raises(InputError, match="target"):
        underrepresented(["a"], "label", target)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), min_size=2))
def test_adding_what_is_asked_fills_the_gap(counts: dict[str, int]) -> None:
    rows = [c for c, n in counts.items() for _ in range(n)]
    for gap in underrepresented(rows, "label"):
        low, high = gap.add
        assert 1 <= low <= high
        full = [*rows, *[gap.category] * high]
        assert full.count(gap.category) >= gap.share * len(full)
        assert gap.category not in {g.category for g in underrepresented(full, "label")}


def test_false_alarms_stay_below_the_level() -> None:
    import random

    rng = random.Random(0)
    sets = [[rng.choice("abcdefghij") for _ in range(200)] for _ in range(300)]
    assert sum(bool(underrepresented(s, "label")) for s in sets) / 300 <= 0.07


def test_inputs_far_from_every_example_are_regions(embed: WordVectors) -> None:
    rows = [r for r in made_up(120) if r["topic"] != "delivery"]
    arriving = [r["text"] for r in made_up(160, seed=5)]
    regions = analyze(rows, embed=embed, label="topic", reference=arriving).uncovered
    assert regions
    delivery = {r["text"] for r in made_up(160, seed=5) if r["topic"] == "delivery"}
    assert regions[0].texts[0] in delivery
    same = [r["text"] for r in made_up(60, seed=9) if r["topic"] != "delivery"]
    assert analyze(rows, embed=embed, label="topic", reference=same).uncovered == []


def test_a_reference_without_the_inputs_is_refused(embed: WordVectors) -> None:
    with pytest.raises(InputError, match="reference row 0 has no input 'text'"):
        analyze(made_up(20), embed=embed, label="topic", reference=[{"message": "hi"}])


def test_a_style_without_a_single_skill_is_missing(embed: WordVectors) -> None:
    skills = [s for s in bundled("skill_planning") if s["expected_skill_style"] == "comprehensive"]
    told = analyze(skills, embed=embed, roles=(PLAN_ROLES,)).underrepresented
    assert {(g.field, g.category, g.rows) for g in told} >= {
        ("expected_skill_style", "minimal", 0),
        ("expected_skill_style", "navigation_hub", 0),
    }


def test_a_value_that_the_program_may_answer_and_no_row_has_is_missing(embed: WordVectors) -> None:
    report = analyze(made_up(40), embed=embed, label="topic", expected={"topic": ["billing", "outage", "weather"]})
    assert [(g.category, g.rows) for g in report.underrepresented] == [("weather", 0)]


def test_of_a_large_reference_a_sample_is_looked_at(embed: WordVectors) -> None:
    reference = [r["text"] for r in made_up(200, seed=5)]
    report = analyze(made_up(80), embed=embed, label="topic", reference=reference, max_rows=100)
    assert report.notes == ["100 of 200 inputs of the reference were looked at, drawn at random"]
    assert embed.texts == 180
