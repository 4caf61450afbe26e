"""Documents by the offline model: what the prompt says, under the heading it belongs to, and nothing else."""

from __future__ import annotations

import dspy
import pytest

from skillfleet_nb import offline_lm

TASK = "Rotate API keys: list them, issue new ones, revoke the old. Use when a key may have leaked."
NOTES = "## Common mistakes\n\nRevoking too early.\n\n```sh\n# list first\nkeys list\n```\n\n## Audit\n\nRead the log."
SECTION = dspy.Signature("heading, task, notes -> content")


def _section(heading: str, notes: str = "") -> str:
    with dspy.context(lm=offline_lm(cache=False)):
        return str(dspy.Predict(SECTION)(heading=heading, task=TASK, notes=notes).content)


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("Overview", "Rotate API keys: list them, issue new ones, revoke the old."),
        ("When to Use", "- Use when a key may have leaked."),
        ("Steps", "1. List them\n2. Issue new ones\n3. Revoke the old"),
        ("Red Flags", ""),
        ("Common Mistakes", ""),
    ],
)
def test_a_section_says_what_the_task_says_and_is_empty_where_it_says_nothing(heading: str, text: str) -> None:
    assert _section(heading) == text


def test_a_section_takes_the_passage_of_the_notes_that_stands_under_its_heading() -> None:
    assert _section("Common Mistakes", NOTES) == NOTES.partition("mistakes\n\n")[2].partition("\n\n## Audit")[0]


def test_a_section_takes_nothing_of_a_file_that_does_not_speak_of_the_task() -> None:
    bread = "## Red Flags (bread.md)\n\nA key of the oven is lost.\n\n## Oven (bread.md)\n\nBake slowly."
    keys = "## Red Flags (keys.md)\n\nNobody knows the owner.\n\n## List (keys.md)\n\nIssue a new key, revoke the old."
    assert _section("Red Flags", bread) == ""
    assert _section("Red Flags", f"{bread}\n\n{keys}") == "Nobody knows the owner."


def test_a_revision_keeps_the_body_and_adds_what_the_findings_name_and_the_task_has() -> None:
    revise = dspy.Predict("body, task, findings -> revised")
    findings = "no 'When to Use' heading, which is required; add 'Red Flags'"
    with dspy.context(lm=offline_lm(cache=False)):
        said = revise(body="## Overview\n\nKeys.", task=TASK, findings=findings).revised
    assert said == "## Overview\n\nKeys.\n\n## When to Use\n\n- Use when a key may have leaked."


@pytest.mark.parametrize("plan", ["Rotates keys.", "Rotates keys. Use when they are old."])
def test_a_description_revised_is_the_planned_one_and_says_when_as_the_task_does(plan: str) -> None:
    revise = dspy.Predict("body, task, plan, findings -> description, revised")
    with dspy.context(lm=offline_lm(cache=False)):
        said = revise(body="## Keys", task=TASK, plan=f"name: keys\ndescription: {plan}", findings="none").description
    assert said == (plan if "when" in plan else f"{plan} Use when a key may have leaked.")


def test_a_list_is_what_its_description_offers_and_empty_where_it_may_be() -> None:
    fields = {
        "task": (str, dspy.InputField()),
        "sections": (list[str], dspy.OutputField(desc="headings, such as 'Overview', 'Steps'")),
        "problems": (list[str], dspy.OutputField(desc="each in a sentence; empty where there is none")),
    }
    with dspy.context(lm=offline_lm(cache=False)):
        said = dspy.Predict(dspy.Signature(fields, "Plan."))(task=TASK)
    assert (said.sections, said.problems) == (["Overview", "Steps"], [])
