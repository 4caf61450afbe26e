"""The creator of skills as a program: which way a task takes, what is asked, and what it says of a weak model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from writers import BODY, HEADINGS, KEYS, nonsense, writer

import skillfleet_nb as sf
from skillfleet_nb import Fleet, offline_lm, skill_creator
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.modules import available
from skillfleet_nb.skills.creator import Draft, PhaseRules, SkillPlan, closest
from skillfleet_nb.skills.creator.draft import judged
from skillfleet_nb.skills.scoring import skill_quality
from skillfleet_nb.skills.similarity import Embedder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


SHORT = KEYS.partition(" Use")[0]


def _created(lm: dspy.LM, task: str = KEYS, **config: Any) -> Any:
    with dspy.context(lm=lm):
        return skill_creator(**config)(task=task)


def _outputs(lm: dspy.LM) -> list[str]:
    return [name for name, _ in lm.engine.asked]


def test_the_normal_way_writes_each_section_and_the_skill_is_valid() -> None:
    lm = writer()
    made = _created(lm)
    assert isinstance(made.skill, sf.Skill)
    assert (made.path, made.skill.name, made.findings, made.drafts) == ("normal", "rotate-api-keys", [], 1)
    assert made.skill.validate("v2").conformant
    assert [h.title for h in made.skill.outline.headings if h.level == 2] == HEADINGS
    assert _outputs(lm).count("content") == len(HEADINGS)
    assert made.score == made.skill.score().score == skill_quality(dspy.Example(), made).score


def test_the_fast_way_takes_half_the_calls() -> None:
    normal, fast = writer(), writer(is_simple=True, complexity=0.1)
    slow, quick = _created(normal), _created(fast)
    assert (quick.path, quick.reason) == ("fast", "complexity 0.10: it is simple and fits the template workflow")
    assert quick.skill.body == slow.skill.body
    assert len(fast.engine.asked) <= len(normal.engine.asked) / 2


def test_the_expert_way_asks_for_further_checks_and_revises_by_them() -> None:
    told = "## Who is told\n\nThe owner of it."
    found = lambda prompt: [] if told in prompt else ["It never says who."]  # noqa: E731
    lm = writer(complexity=0.9, problems=found, revised=f"{BODY}\n\n{told}")
    made = _created(lm)
    assert (made.path, made.drafts, made.findings) == ("expert", 2, [])
    assert told in made.skill_md
    assert "It never says who." in next(prompt for name, prompt in lm.engine.asked if name == "revised")


@pytest.mark.parametrize(("answer", "stands"), [(KEYS, KEYS), ("", SHORT), ("Use when bread is to be baked.", SHORT)])
def test_a_description_without_its_trigger_is_revised_and_keeps_what_it_says(answer: str, stands: str) -> None:
    lm = writer(description=lambda prompt: answer if "[[ ## findings ## ]]" in prompt else SHORT)
    made = _created(lm, rules=PhaseRules(enough=1.0))
    assert (made.description, made.skill.description) == (stands, stands)
    asked = [prompt for name, prompt in lm.engine.asked if name == "revised"]
    assert "End the description with its trigger" in asked[0]


def test_nonsense_scores_low_and_is_told() -> None:
    made = _created(nonsense())
    assert made.skill.validate("v2").conformant
    assert made.score < 0.25
    assert made.drafts == 3
    assert any("says nothing of" in finding for finding in made.findings)
    assert "says what" in " ".join(made.findings)


def test_the_best_draft_is_kept_where_a_revision_is_worse() -> None:
    made = _created(
        writer(content=lambda p: "" if "Red flags\n" in p else f"Rotate API keys: {p[25:60]}", revised="No.")
    )
    assert len([h for h in made.skill.outline.headings if h.level == 2]) >= 4
    assert made.drafts == 2  # the revision of "No." changes nothing, which ends it


@pytest.mark.parametrize("empty", ["", "   ", "<!-- -->"])
def test_empty_sections_are_left_out_and_nothing_stands_in_their_place(empty: str) -> None:
    made = _created(writer(content=empty, revised=empty))
    assert [h.title for h in made.skill.outline.headings] == ["Rotate api keys"]
    assert "nothing was written: no section says anything" in made.findings
    assert made.score < 0.3


def test_the_offline_model_has_nothing_to_say_beyond_the_task_and_the_creator_says_so() -> None:
    made = _created(offline_lm())
    assert made.skill.validate("v2").conformant
    assert made.findings


def test_a_person_is_asked_at_each_gate_and_a_revision_is_in_the_next_prompt() -> None:
    asked: list[tuple[str, Mapping[str, str]]] = []

    def ask(gate: str, question: str, shown: Mapping[str, str]) -> str:
        assert question.endswith("?")
        asked.append((gate, shown))
        return f"{gate}: say who is told" if "version" not in shown else ""

    lm = writer()
    _created(lm, review=("intent", "plan", "draft"), ask=ask)
    assert [gate for gate, _ in asked] == ["intent", "intent", "plan", "plan", "draft", "draft"]
    prompts = dict(lm.engine.asked)
    assert "intent: say who is told" in prompts["intent"]
    assert "plan: say who is told" in prompts["content"]
    assert "draft: say who is told" in prompts["revised"]
    assert "## Red flags" in asked[-1][1]["draft"]


def test_the_path_and_the_template_that_are_asked_for_are_taken() -> None:
    lm = writer()
    made = _created(lm, path="fast", template="guide_basic")
    assert (made.path, made.template) == ("fast", "guide_basic")
    assert "template" not in _outputs(lm)
    with pytest.raises(NotFoundError, match="guide_basic"):
        skill_creator(template="guide_basik")
    with pytest.raises(InputError, match="expert"):
        skill_creator(path="quick")


def test_a_task_that_an_existing_skill_describes_is_told(tmp_path: Path) -> None:
    for name, about in {"rotate-keys": KEYS, "pdf": "Merge PDF files into one."}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: {about}\n---\n# X\n")
    found = closest(KEYS, tmp_path)
    assert [one.name for one in found] == ["rotate-keys"]
    assert found[0].score > 0.9
    assert "leaked" in found[0].reason or "downtime" in found[0].reason
    lm = writer(decision="extend")
    made = _created(lm, root=str(tmp_path))
    assert made.decision == "extend rotate-keys"
    assert made.similar[0]["name"] == "rotate-keys"
    assert made.findings == []
    (tmp_path / "rotate-keys" / "SKILL.md").write_text(
        f"---\nname: rotate-keys\ndescription: {KEYS}\n---\n{made.skill.body}"
    )
    again = _created(writer(), root=str(tmp_path))
    assert again.findings == ["it says nearly what rotate-keys says (1.00 of 1): extend that one, or say what is new"]


def test_a_draft_that_means_the_task_in_other_words_is_on_it() -> None:
    plan = SkillPlan(name="picture-archive", description="Copies of pictures. Use when there is but one.")
    draft = Draft.of_body(plan, "## Overview\n\nArchive your pictures, and keep a second copy of each image.")
    task = "Back up photos so that none is lost"
    assert "it says nothing of" in judged(draft, task).findings[-1]
    assert not any("says nothing of" in finding for finding in judged(draft, task, embed=Embedder()).findings)
    cake = Draft.of_body(plan, "## Overview\n\nBake a chocolate cake for eight people.")
    off = judged(cake, task, embed=Embedder())
    assert "it says nothing of" in off.findings[-1]
    near = judged(draft, task, embed=Embedder()).score
    assert "semantic" not in judged(draft, task).score.values
    assert near.values["semantic"] > 0.5 > off.score.values["semantic"]
    assert near.adjusted - off.score.adjusted > near.original - off.score.original > 0  # a minimal skill's weights


@pytest.mark.parametrize("task", ["", "  \n", "skill", "do it", 7, None])
def test_a_task_that_says_too_little_is_refused_before_a_call(task: object) -> None:
    lm = writer()
    with pytest.raises(InputError, match="say in a sentence"), dspy.context(lm=lm):
        skill_creator()(task=task)
    assert lm.engine.asked == []


@pytest.mark.parametrize("task", ["API-Schlüssel ohne Ausfall austauschen, wenn nötig.", "轮换服务的密钥而不停机"])
def test_a_task_in_another_language_makes_a_valid_skill(task: str) -> None:
    assert _created(offline_lm(), task).skill.validate("v2").conformant


def test_each_phase_is_a_module_and_the_models_of_a_home_do_their_kind_of_work(tmp_path: Path) -> None:
    phases = {"skill_understanding", "skill_complexity", "skill_generation", "skill_validation", "skill_creator"}
    assert phases <= available().keys()
    home = Fleet(tmp_path / "home")
    home.home.ensure()
    home.home.config.write_text(
        '[task_models.edit]\nmodel = "offline"\n[task_models.understanding]\nmodel = "openai/u"\n'
    )
    creator = home.modules.create("skill_creator")
    models = {name: p.lm and p.lm.model for name, p in creator.named_predictors()}
    assert models["understanding.plan"] == models["complexity.evaluate"] == "openai/u"
    assert models["validation.revise"] == offline_lm().model
    assert models["generation.section"] is models["validation.style"] is None


def test_the_creator_is_evaluated_and_saved_as_any_program(tmp_path: Path) -> None:
    rows = [dspy.Example(task=KEYS, expected_name="rotate-api-keys").with_inputs("task")] * 2
    job = Fleet(tmp_path / "home").evaluate(skill_creator(), rows, skill_quality, lm=offline_lm())
    assert 0 < job.result().test_score < 0.5
    creator = skill_creator()
    creator.save(tmp_path / "creator.json")
    skill_creator().load(tmp_path / "creator.json")


RULES = {
    "fast.max_complexity = 2": "less than or equal to 1",
    "[fast]\nmax_complexty = 0.2": "max_complexity",
    "revisions = -1": "revisions",
    "enough = ": "cannot be read",
    "[fast]\nmax_complexity = 0.9": "cannot be both",
}


@pytest.mark.parametrize(("text", "told"), RULES.items())
def test_rules_that_cannot_be_used_name_the_file_and_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "phase_rules.toml"
    file.write_text(text)
    with pytest.raises((InputError, NotFoundError), match=told) as caught:
        PhaseRules.load(file)
    assert "phase_rules.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_of_a_file_change_what_they_name_alone(tmp_path: Path) -> None:
    assert PhaseRules.load(tmp_path / "none.toml") == PhaseRules()
    file = tmp_path / "phase_rules.toml"
    file.write_text("revisions = 0\n[fast]\nneeds_template = false\n")
    rules = PhaseRules.load(file)
    assert rules.branch(0.1, simple=True, template=None).path == "fast"
    assert rules.expert == PhaseRules().expert
    assert _created(nonsense(), rules=rules).drafts == 1
