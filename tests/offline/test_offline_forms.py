"""What an optimizer changes in a program that writes: the form of its demos, and what feedback said answers lacked."""

from __future__ import annotations

import json

import dspy
import pytest
from dspy.teleprompt.gepa import InstructionProposer

from skillfleet_nb.offline import mine
from skillfleet_nb.offline.forms import common_phrase, filled, parted
from skillfleet_nb.offline.notes import Notes, read_notes
from skillfleet_nb.offline.text import words

PLANS = {
    "A guide to bread: flour, water, heat.": "Bake good bread at home. Use when guests are due.",
    "One page on tea.": "Brew tea by kind and time. Use when it is late.",
    "How to mend bikes, in brief.": "Mend a bike on the road. Use when a tyre is flat.",
    "Plants: light, water, soil.": "Keep plants alive indoors. Use when leaves turn brown.",
}
DEMOS = [dspy.Example(task=task, description=about) for task, about in PLANS.items()]
TASK = "Rotate API keys: list them, issue new ones, revoke the old."
ADVICE = 'End the description with its trigger: "Use when …" and the situation.'


def _described(task: str, demos: list[dspy.Example] | None = None, instructions: str = "Plan it.") -> str:
    plan = dspy.Predict(dspy.Signature("task -> description", instructions))
    plan.demos = demos or []
    return str(plan(task=task).description)


def test_a_text_takes_the_form_of_its_demos_and_fills_it_from_the_task(lm: dspy.LM) -> None:
    assert "Use when" not in _described(TASK)
    said = _described(TASK, DEMOS)
    before, phrase, behind = said.partition(". Use when ")
    assert (phrase, behind[-1:]) == (". Use when ", ".")
    assert set(words(f"{before} {behind}")) <= set(words(TASK))
    assert "bread" not in said


def test_a_task_that_has_the_phrase_fills_the_form_itself(lm: dspy.LM) -> None:
    assert _described("Rotate keys. Use this skill when a key leaked. Be quick.", DEMOS) == (
        "Rotate keys. Use when a key leaked."
    )


@pytest.mark.parametrize("few", [DEMOS[:3], [*DEMOS[:2], dspy.Example(task="x", description="No form."), DEMOS[3]]])
def test_what_few_demos_share_is_no_form(lm: dspy.LM, few: list[dspy.Example]) -> None:
    assert ". Use when rotate" not in _described(TASK, few)


def test_a_phrase_is_found_with_the_marks_around_it_and_a_name_keeps_its_letters() -> None:
    assert common_phrase(list(PLANS.values())) == ". Use when "
    assert parted("Nothing of it.", ". Use when ") is None
    assert filled("Look.", ". Use when ", "NASA calls") == "Look. Use when NASA calls."


def test_feedback_that_quotes_what_is_missing_is_kept_in_the_instruction_and_followed(lm: dspy.LM) -> None:
    role = "plan prepares the skill; the skill that came of it needs: "
    records = [
        {"Inputs": {"task": TASK}, "Generated Outputs": {"description": "Keys."}, "Feedback": f"{role}{ADVICE} {more}"}
        for more in ('Add a "Quick Start" section.', "(3 smaller points are left out.)", 'Show a "Map".')
    ]
    proposer = InstructionProposer(adapter=dspy.JSONAdapter())
    new = proposer({"self": "Plan it."}, {"self": records}, ["self"])["self"]
    notes, base = read_notes(new)
    assert (notes.advice, base) == ({ADVICE: 3}, "Plan it.")
    assert _described(TASK, instructions=new).endswith(". Use when rotate API keys.")
    again, _ = read_notes(proposer({"self": new}, {"self": records}, ["self"])["self"])
    assert again.advice == {ADVICE: 6}


def test_feedback_on_right_and_wrong_answers_is_no_advice() -> None:
    records = [{"Inputs": {"q": "a"}, "Generated Outputs": {"a": "x"}, "Feedback": 'Wrong: expected "Yes", got "No".'}]
    assert mine.feedback_of(json.dumps(records * 3)) == []
    assert mine.advice(["Say more. It is short."] * 3) == {}
    assert not Notes().has_evidence
