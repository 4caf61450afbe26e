"""The phases of the creator as DSPy modules: what each asks a model, and how.

Imported on use, for it defines DSPy modules.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.format import shortened
from skillfleet_nb.skills.creator.draft import Draft, Part, SkillPlan
from skillfleet_nb.skills.creator.examples import weighed_examples
from skillfleet_nb.skills.creator.extent import extent
from skillfleet_nb.skills.creator.streaming import streamed
from skillfleet_nb.skills.planner import skill_planner
from skillfleet_nb.skills.skill import Skill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.skills.templates import Template

    Hear = Callable[[Part, int, int], None]  # a section, its number, and how many there are

Domain = Literal["software", "data", "operations", "security", "design", "writing", "business", "other"]
Level = Literal["beginner", "intermediate", "advanced"]
Kind = Literal["guide", "workflow", "tool", "reference"]
_SECTIONS = (
    "five to ten headings: 'Overview', 'When to Use', and of these what the task needs, or others: 'Quick Start', "
    "'Steps', 'Examples', 'Key Insights', 'Common Mistakes', 'Anti-patterns', 'Red Flags'"
)
_MOST_SECTIONS = 14

_TASK = (str, dspy.InputField(desc="what the skill should enable an agent to do"))
_PLAN = (str, dspy.InputField(desc="what was planned for the skill"))
_NOTES = (str, dspy.InputField(desc="what a person, or research, says of it; empty where nobody does"))


def _predict(name: str, about: str, **fields: Any) -> dspy.Predict:
    return dspy.Predict(dspy.Signature(fields, about, name))


class SkillUnderstanding(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """What a task is about, what the skill for it is called, whether one is there, and which template fits."""

    def __init__(self) -> None:
        super().__init__()
        self.intent = _predict(
            "UnderstandTask",
            "Understand what somebody wants a new agent skill for.",
            task=_TASK,
            notes=_NOTES,
            domain=(Domain, dspy.OutputField(desc="the field of work")),
            level=(Level, dspy.OutputField(desc="what its reader has to know already")),
            kind=(Kind, dspy.OutputField(desc="explains, leads through steps, uses a tool, or is looked up")),
            intent=(str, dspy.OutputField(desc="what will be possible with the skill, in a sentence")),
        )
        self.plan = skill_planner()
        self.compare = _predict(
            "CompareSkills",
            "Decide whether a new skill is needed, or one of those that exist is to be extended.",
            task=_TASK,
            existing=(str, dspy.InputField(desc="skills that exist and are closest to the task, one a line")),
            decision=(Literal["new", "extend"], dspy.OutputField(desc="extend only where one does nearly the same")),
            reason=(str, dspy.OutputField(desc="why, naming the skill, in a sentence")),
        )
        self.template = _predict(
            "ChooseTemplate",
            "Choose the template that a new skill fits, or none.",
            task=_TASK,
            template=(str, dspy.OutputField(desc="the name of a template, or none")),
            reason=(str, dspy.OutputField(desc="why, in a sentence")),
        )


class SkillComplexity(dspy.Module):  # type: ignore[misc]
    """How much there is to do for a task."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluate = _predict(
            "EvaluateComplexity",
            "Tell how complex a skill is to write, before it is written: simple is a short card or a list of links, "
            "complex is where several systems, or steps that rest on each other, have to go together.",
            task=_TASK,
            extent=(list[str], dspy.InputField(desc="what its words say of its extent, counted and not judged")),
            is_simple=(bool, dspy.OutputField(desc="whether one short page from a template will do")),
            complexity=(
                float,
                dspy.OutputField(
                    desc="in [0, 1]: 0.2 for a short card, a checklist or a list of links; 0.5 for a guide to one "
                    "subject, or an index of documents; 0.9 where several systems, or stages, depend on each other"
                ),
            ),
            reason=(str, dspy.OutputField(desc="why, in a sentence")),
        )
        self.evaluate.demos = weighed_examples()

    def forward(self, task: str) -> dspy.Prediction:
        """Weigh a task beside those that were weighed by hand, which stay where an optimizer takes other demos."""
        weighed = weighed_examples()
        there = {one.task for one in weighed}
        further = [demo for demo in self.evaluate.demos if "complexity" in demo and demo.task not in there]
        return self.evaluate(task=task, extent=extent(task), demos=[*weighed, *further])


class SkillGeneration(dspy.Module):  # type: ignore[misc]
    """The text of a skill: from a template in one answer, or an outline and then each section."""

    def __init__(self) -> None:
        super().__init__()
        self.fill = _predict(
            "FillTemplate",
            "Write the body of an agent skill on the pattern of a template. Keep to what the task is about.",
            task=_TASK,
            plan=_PLAN,
            template=(str, dspy.InputField(desc="a skill on another topic, whose sections are the pattern")),
            notes=_NOTES,
            body=(str, dspy.OutputField(desc="Markdown: a section '## Heading' for each of the pattern's")),
        )
        self.outline = _predict(
            "OutlineSkill",
            "Outline an agent skill: the sections that its task needs, in the order they are read.",
            task=_TASK,
            plan=_PLAN,
            notes=_NOTES,
            sections=(list[str], dspy.OutputField(desc=_SECTIONS)),
        )
        self.section = _predict(
            "WriteSection",
            "Write one section of an agent skill: what an agent could not know by itself, exact and short. An overview "
            "states the core principle; a procedure has numbered steps; code stands in blocks with their language and "
            "is complete; what must always or never be done is said firmly, a wrong way beside the right one.",
            heading=(str, dspy.InputField(desc="of the section to write")),
            task=_TASK,
            plan=_PLAN,
            outline=(list[str], dspy.InputField(desc="all sections, so that none says what another does")),
            notes=_NOTES,
            content=(str, dspy.OutputField(desc="Markdown below the heading, without it")),
        )

    def from_template(
        self, task: str, plan: SkillPlan, template: Template, notes: str, hear: Hear | None = None
    ) -> Draft:
        """Write it in one answer; `hear` hears of it while it is written."""
        shown = Skill.load(template.folder).body.strip()
        asked = {"task": task, "plan": plan.text(), "template": shown, "notes": notes}
        part = None if hear is None else lambda text: hear(Part("", text), 1, 1)
        return Draft.of_body(plan, streamed(self.fill, "body", part, **asked).body or "")

    def in_sections(
        self, task: str, plan: SkillPlan, notes: str, tell: Hear | None = None, hear: Hear | None = None
    ) -> Draft:
        """Write it section by section; `tell` hears of each when it is written, `hear` while it is."""
        outlined = self.outline(task=task, plan=plan.text(), notes=notes).sections or []
        heads = list(dict.fromkeys(" ".join(str(head).lstrip("#").split()) for head in outlined))[:_MOST_SECTIONS]
        heads = [head for head in heads if head]
        parts = []
        for n, head in enumerate(heads, 1):
            asked = {"heading": head, "task": task, "plan": plan.text(), "outline": heads, "notes": notes}
            part = None if hear is None else partial(_part_heard, hear, head, n, len(heads))
            answer = streamed(self.section, "content", part, **asked)
            parts.append(Part(head, answer.content or ""))
            if tell is not None:
                tell(parts[-1], n, len(heads))
        return Draft.of_parts(plan, parts)


def _part_heard(hear: Hear, heading: str, n: int, of: int, text: str) -> None:
    hear(Part(heading, text), n, of)


class SkillValidation(dspy.Module):  # type: ignore[misc]
    """What a model finds wrong with a draft, and the draft revised by what was found."""

    def __init__(self) -> None:
        super().__init__()
        fields = {
            "task": _TASK,
            "skill": (str, dspy.InputField(desc="text of a SKILL.md")),
            "problems": (list[str], dspy.OutputField(desc="each in a sentence; empty where there is none")),
        }
        self.semantic = _predict(
            "CheckMeaning", "Find what a skill says that is wrong, and what its task needs and it lacks.", **fields
        )
        self.style = _predict("ReviewStyle", "Find what in a skill is vague, wordy, or not its style.", **fields)
        self.revise = _predict(
            "ReviseSkill",
            "Rewrite the body of an agent skill, and its description where that is wrong, so that nothing of what was "
            "found is true any more.",
            body=(str, dspy.InputField(desc="Markdown, sections under '## Heading'")),
            task=_TASK,
            plan=_PLAN,
            findings=(list[str], dspy.InputField(desc="what is wrong with it, the gravest first, then what it lacks")),
            description=(str, dspy.OutputField(desc="as planned where nothing is wrong with it, else mended")),
            revised=(str, dspy.OutputField(desc="the whole body in Markdown")),
        )

    def checked(self, draft: Draft, task: str, checks: Sequence[str]) -> list[str]:
        """Return what the model finds, by the `checks` asked for."""
        text = draft.files["SKILL.md"]
        asked = {"semantic_validation": self.semantic, "style_review": self.style}
        problems = [problem for check in checks for problem in asked[check](task=task, skill=text).problems or []]
        return [shortened(" ".join(str(problem).split()), 300) for problem in problems if str(problem).strip()]
