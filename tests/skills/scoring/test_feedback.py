import importlib

import dspy
import pytest
from made_up_skills import SECTIONS, degraded, good_skill

from skillfleet_nb.errors import InputError
from skillfleet_nb.skills.scoring import planning, skill_fit, skill_quality

GOLD = dspy.Example(
    task_description="Make a skill for CSS layout.",
    expected_taxonomy_path="web/css-layout",
    expected_name="css-layout",
    expected_skill_style="comprehensive",
    expected_keywords=["css", "grid"],
    expected_description="Lay out pages with grid and flexbox.",
).with_inputs("task_description")
RIGHT = {
    "taxonomy_path": "web/css-layout",
    "name": "css-layout",
    "skill_style": "comprehensive",
    "keywords": ["grid", "css"],
    "description": "Lay out pages with grid and flexbox.",
}


def plan(**changes: object) -> dspy.Prediction:
    return dspy.Prediction(**{**RIGHT, **changes})


def step(**outputs: object) -> list[tuple[None, dict, dspy.Prediction]]:
    return [(None, {}, dspy.Prediction(**outputs))]


def test_the_planning_metric_is_found_by_its_address() -> None:
    assert importlib.import_module("skillfleet_nb.skills.scoring").planning is planning


def test_a_right_plan_has_a_full_score_and_no_complaint() -> None:
    found = planning(GOLD, plan())
    assert isinstance(found, dspy.Prediction)
    assert (found.score, found.feedback) == (1.0, "Everything is right.")


@pytest.mark.parametrize(
    ("wrong", "value", "score"),
    [
        ("taxonomy_path", "web/html", 1 - 0.35 * 0.3),
        ("taxonomy_path", "db/css-layout", 1 - 0.35),
        ("skill_style", "minimal", 1 - 0.15),
        ("keywords", ["grid"], 1 - 0.15 / 3),
        ("name", "", 1 - 0.20),
    ],
)
def test_each_wrong_field_costs_its_share_and_is_named(wrong: str, value: object, score: float) -> None:
    found = planning(GOLD, plan(**{wrong: value}))
    assert found.score == pytest.approx(score)
    assert found.feedback.startswith(f"{wrong}:")


def test_examples_may_use_plain_field_names_and_leave_some_out() -> None:
    assert planning(dspy.Example(taxonomy_path="web/css-layout"), plan(name="other")).score == 1.0
    with pytest.raises(InputError, match="expects nothing"):
        planning(dspy.Example(task_description="x"), plan())


def test_feedback_is_per_predictor_and_the_score_the_program_s() -> None:
    pred = plan(taxonomy_path="db/x", name="wrong")
    classify = planning(GOLD, pred, [], "classify", step(taxonomy_path="db/x", reasoning="…"))
    describe = planning(GOLD, pred, [], "describe", step(description=RIGHT["description"]))
    assert classify.score == describe.score == planning(GOLD, pred).score
    assert classify.feedback.startswith("taxonomy_path:")
    assert "name" not in classify.feedback.split("What classify does not write")[0]
    assert describe.feedback == "What describe does not write is wrong too: taxonomy_path, name."


def test_a_step_without_a_predictor_s_name_hides_no_complaint() -> None:
    found = planning(GOLD, plan(name="wrong"), [], None, step(taxonomy_path="web/css-layout"))
    assert found.score < 1
    assert found.feedback.startswith("name:")


def test_an_empty_skill_is_scored_and_not_an_error() -> None:
    found = skill_quality(dspy.Example(), dspy.Prediction(skill_md="", title="A"))
    assert found.score == 0


def test_bootstrapping_takes_only_what_passes() -> None:
    assert bool(planning(GOLD, plan()))
    assert not bool(planning(GOLD, plan(taxonomy_path="db/x"), trace=[]))
    assert planning(GOLD, plan(skill_style="minimal")) >= 0.8


def test_skill_quality_agrees_with_its_text_on_every_degradation() -> None:
    full = skill_quality(dspy.Example(), dspy.Prediction(skill_md=good_skill(words=2_500)))
    assert (full.score, full.feedback) == (1.0, "Everything is right.")
    for what, worse in degraded(good_skill(words=2_500)):
        found = skill_quality(dspy.Example(), dspy.Prediction(reasoning="…", text=worse))
        assert (found.score < 1.0) == (found.feedback != "Everything is right."), what


def test_the_dearest_advice_comes_first_and_the_list_is_short() -> None:
    found = skill_quality(dspy.Example(), dspy.Prediction(skill_md="---\nname: a\n---\n# A\n"))
    assert found.feedback.startswith('End the description with its trigger: "Use when …"')
    assert found.feedback.endswith("smaller points are left out.)")


def test_a_predictor_that_only_prepares_the_skill_is_told_so() -> None:
    pred = dspy.Prediction(plan="…", skill_md=good_skill(list(SECTIONS)[:3]))
    assert skill_quality(GOLD, pred, [], "outline", step(plan="…")).feedback.startswith("outline prepares the skill")
    assert not skill_quality(GOLD, pred, [], "write", step(skill_md="…")).feedback.startswith("write")


def test_skill_fit_compares_entities_with_the_example_s_skill() -> None:
    gold = dspy.Example(skill_md=good_skill(words=2_500))
    same = skill_fit(gold, dspy.Prediction(skill_md=good_skill(words=2_500)))
    assert (same.score, same.feedback) == (1.0, "Everything is right.")
    other = skill_fit(gold, dspy.Prediction(skill_md=good_skill([t for t in SECTIONS if t != "References"], 2_500)))
    assert other.score < same.score


def test_no_text_of_a_skill_is_an_error() -> None:
    with pytest.raises(InputError, match="skill_md"):
        skill_quality(dspy.Example(), dspy.Prediction(one="a", two="b"))


def test_dspy_evaluates_and_bootstraps_with_the_metric() -> None:
    class Fixed(dspy.Module):
        def __init__(self) -> None:
            self.ask = dspy.Predict("task_description -> taxonomy_path, name, skill_style, keywords, description")

        def forward(self, **inputs: str) -> dspy.Prediction:
            return self.ask(**inputs)

    answers = [{**RIGHT, "keywords": "css, grid"}] * 8
    with dspy.context(lm=dspy.utils.DummyLM(answers)):
        assert dspy.Evaluate(devset=[GOLD] * 2, metric=planning)(Fixed()).score == 100.0
        compiled = dspy.BootstrapFewShot(metric=planning, max_labeled_demos=0).compile(Fixed(), trainset=[GOLD])
    assert len(compiled.ask.demos) == 1
    with dspy.context(lm=dspy.utils.DummyLM([{**RIGHT, "taxonomy_path": "db/x"}] * 8)):
        refused = dspy.BootstrapFewShot(metric=planning, max_labeled_demos=0).compile(Fixed(), trainset=[GOLD])
    assert refused.ask.demos == []
