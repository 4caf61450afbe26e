"""Styles of the labelled examples, and the rules' edges."""

from __future__ import annotations

import json

import pytest
from skill_documents import DATA, needs_data

from skillfleet_nb.cli import main
from skillfleet_nb.skills import STYLES, Skill, classify_style, detect_style, find_skills


@needs_data
def test_styles_of_the_labelled_examples_that_have_a_document() -> None:
    """At least 90% right: the golden skills whose document is at hand, and the v1 sample."""
    golden = json.loads((DATA / "skill_tasks" / "gold_skills_v2.json").read_text("utf-8"))["skills"]
    planned = json.loads((DATA / "skill_tasks" / "trainset_v4.json").read_text("utf-8"))
    labels = {example["expected_name"]: example["expected_skill_style"] for example in planned}
    labels |= {skill["name"]: skill["skill_style"] for skill in golden}
    skills = [*find_skills(DATA / "skills_v1"), *find_skills(DATA / "skills_v2")]
    checked = {skill.folder.name: (labels[skill.name], detect_style(skill)) for skill in skills if skill.name in labels}
    misses = {name: (label, got.text()) for name, (label, got) in checked.items() if label != got.detected}
    assert len(checked) == 11
    assert len(misses) <= 0.1 * len(checked), misses


@needs_data
def test_sections_of_the_golden_skills_are_found_as_labelled() -> None:
    golden = json.loads((DATA / "skill_tasks" / "gold_skills_v2.json").read_text("utf-8"))["skills"]
    skills = {skill.name: skill for skill in find_skills(DATA / "skills_v2")}
    found, wrong = 0, []
    for label in golden:
        if skill := skills.get(label["name"]):
            missing = {finding.code for finding in skill.validate("v2").findings}
            for flag, code in (("has_when_to_use", "SF301"), ("has_quick_start", "SF303"), ("has_overview", "SF302")):
                found += 1
                if label["structure"][flag] == (code in missing):
                    wrong.append((label["name"], flag))
    assert found == 30
    assert wrong == []


@pytest.mark.parametrize(
    ("characters", "references", "headings", "style"),
    [
        (2_000, 3, 9, "navigation_hub"),
        (4_000, 3, 0, "navigation_hub"),
        (1_999, 3, 5, "comprehensive"),
        (4_001, 3, 4, "minimal"),
        (8_001, 9, 0, "comprehensive"),
        (8_000, 0, 4, "minimal"),
        (3_000, 2, 5, "comprehensive"),
        (0, 0, 0, "minimal"),
    ],
)
def test_edges_of_the_rules(characters: int, references: int, headings: int, style: str) -> None:
    assert classify_style(characters, references, headings) == style


def test_a_declared_style_holds_and_the_detected_one_is_shown() -> None:
    skill = Skill.parse("---\nname: a\nmetadata:\n  skill_style: comprehensive\n---\n")
    verdict = skill.style_verdict
    assert (skill.style, verdict.detected) == ("comprehensive", "minimal")
    assert "the rules say minimal" in verdict.text()
    assert Skill.parse("---\nskill_style: odd\n---\n").style == "minimal"


def test_the_commands_offer_every_style(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skill", "score", ".", "--style", "none"]) == 2
    offered = capsys.readouterr().err.partition("choose from ")[2].partition(")")[0]
    assert sorted(offered.replace("'", "").split(", ")) == sorted(STYLES)
