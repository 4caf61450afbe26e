"""The creator as DSPy programs: understanding, complexity, generation, validation, and all of them in order.

Imported on use, for it defines DSPy modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import shortened
from skillfleet_nb.skills.creator.draft import Draft, Judged, Part, SkillPlan, judged
from skillfleet_nb.skills.creator.rules import Branch, PhaseRules
from skillfleet_nb.skills.creator.similar import Similar, closest
from skillfleet_nb.skills.planner import skill_planner
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.skills.style import STYLES, Style
from skillfleet_nb.skills.templates import list_templates, preview

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.skills.templates import Template

Gate = Literal["intent", "plan", "draft"]
Domain = Literal["software", "data", "operations", "security", "design", "writing", "business", "other"]
Level = Literal["beginner", "intermediate", "advanced"]
Kind = Literal["guide", "workflow", "tool", "reference"]
_NONE = "none"
_SECTIONS = (
    "five to ten headings: 'Overview', 'When to Use', and of these what the task needs, or others: 'Quick Start', "
    "'Steps', 'Examples', 'Key Insights', 'Common Mistakes', 'Anti-patterns', 'Red Flags'"
)
_COMPLEXITY = {"simple": 0.2, "normal": 0.5, "complex": 0.9}
_FOR_TESTS = 40  # planning tasks that no prompt may show
_MOST_SECTIONS = 10
_FEWEST_WORDS = 3
_MOST_ROUNDS = 20  # of one gate: a person who revises more often starts anew

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


def weighed_examples() -> list[dspy.Example]:
    """Return the project's planning tasks as examples of how complex a task is; the first forty are left for tests."""
    labels = {row["name"]: row["label"] for row in bundled("skill_complexity")}
    return [
        dspy.Example(
            task=row["task_description"],
            is_simple=labels[row["expected_name"]] == "simple",
            complexity=_COMPLEXITY[labels[row["expected_name"]]],
        ).with_inputs("task")
        for row in bundled("skill_planning")[_FOR_TESTS:]
    ]


class SkillComplexity(dspy.Module):  # type: ignore[misc]
    """How much there is to do for a task."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluate = _predict(
            "EvaluateComplexity",
            "Tell how complex a skill is to write, before it is written: simple is a short card or a list of links, "
            "complex is where several systems, or steps that rest on each other, have to go together.",
            task=_TASK,
            is_simple=(bool, dspy.OutputField(desc="whether one short page from a template will do")),
            complexity=(float, dspy.OutputField(desc="from 0, a single command, to 1, several systems that interact")),
            reason=(str, dspy.OutputField(desc="why, in a sentence")),
        )
        self.evaluate.demos = weighed_examples()


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

    def from_template(self, task: str, plan: SkillPlan, template: Template, notes: str) -> Draft:
        """Write it in one answer."""
        shown = Skill.load(template.folder).body.strip()
        return Draft.of_body(plan, self.fill(task=task, plan=plan.text(), template=shown, notes=notes).body or "")

    def in_sections(self, task: str, plan: SkillPlan, notes: str) -> Draft:
        """Write it section by section."""
        outlined = self.outline(task=task, plan=plan.text(), notes=notes).sections or []
        heads = list(dict.fromkeys(" ".join(str(head).lstrip("#").split()) for head in outlined))[:_MOST_SECTIONS]
        heads = [head for head in heads if head]
        texts = (
            self.section(heading=head, task=task, plan=plan.text(), outline=heads, notes=notes).content
            for head in heads
        )
        return Draft.of_parts(plan, [Part(head, text or "") for head, text in zip(heads, texts, strict=True)])


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
            "Rewrite the body of an agent skill so that nothing of what was found is true any more.",
            body=(str, dspy.InputField(desc="Markdown, sections under '## Heading'")),
            task=_TASK,
            plan=_PLAN,
            findings=(list[str], dspy.InputField(desc="what is wrong with it, the gravest first, then what it lacks")),
            revised=(str, dspy.OutputField(desc="the whole body in Markdown")),
        )

    def checked(self, draft: Draft, task: str, checks: Sequence[str]) -> list[str]:
        """Return what the model finds, by the `checks` asked for."""
        text = draft.files["SKILL.md"]
        asked = {"semantic_validation": self.semantic, "style_review": self.style}
        problems = [problem for check in checks for problem in asked[check](task=task, skill=text).problems or []]
        return [shortened(" ".join(str(problem).split()), 300) for problem in problems if str(problem).strip()]


class CreatedSkill(dspy.Prediction):  # type: ignore[misc]
    """What the creator answers; its fields are plain values.

    Attributes
    ----------
    skill_md, files
        Its text, and all of its files by path.
    path, complexity, reason
        The way it took, and why.
    score, original, adjusted
        Quality, and the composites with the original weights and those of its style.
    findings
        What is still wrong with it; empty where nothing is.
    similar, decision
        Skills that are there, and ``new`` or ``extend NAME``.
    template, drafts
        The template that fits, and how many drafts were written.
    """

    @property
    def skill(self) -> Skill:
        """The skill."""
        return Skill.parse(self.skill_md)


class SkillCreator(dspy.Module):  # type: ignore[misc]
    """Creates a skill for a task; made by :func:`skillfleet_nb.skill_creator`.

    Parameters
    ----------
    rules
        Which way a task takes.
    path
        A way to take whatever the rules say, or ``"auto"``.
    template
        Name of the template to use; by default the model chooses.
    templates
        Folders of templates of one's own.
    root
        Folder of skills, among which similar ones are looked for.
    review
        Where to ask a person.
    ask
        Asks: from the gate, a question and what to show, to a text to revise by, empty to go on.
    """

    def __init__(
        self,
        rules: PhaseRules | None = None,
        path: str = "auto",
        template: str | None = None,
        templates: Sequence[str] = (),
        root: str | None = None,
        review: Sequence[Gate] = (),
        ask: Callable[[str, str, Mapping[str, str]], str] | None = None,
    ) -> None:
        super().__init__()
        self.root = root
        self.configure(rules or PhaseRules(), path, template, templates, review, ask)
        self.understanding, self.complexity = SkillUnderstanding(), SkillComplexity()
        self.generation, self.validation = SkillGeneration(), SkillValidation()

    def configure(
        self,
        rules: PhaseRules,
        path: str,
        template: str | None,
        templates: Sequence[str],
        review: Sequence[Gate],
        ask: Callable[[str, str, Mapping[str, str]], str] | None,
    ) -> None:
        """Set how it goes about a task; its instructions and demos stay as they are."""
        self.rules, self.path, self.chosen_template, self.templates = rules, path, template, tuple(templates)
        self.review, self.ask = tuple(review), ask

    def forward(
        self, task: str, similar: Sequence[Similar | Mapping[str, Any]] | None = None, notes: str = ""
    ) -> CreatedSkill:
        """Create a skill.

        Parameters
        ----------
        task
            What it should enable an agent to do.
        similar
            Skills that are there, or their fields; by default they are looked for under the root.
        notes
            What is known of it besides, such as what research found.

        Raises
        ------
        InputError
            If the task says too little to write a skill from.
        """
        task = checked_task(task)
        if similar is None:
            similar = closest(task, self.root) if self.root is not None else ()
        there = [Similar.model_validate(one) for one in similar]
        decision = self._decision(task, there)
        intent, notes = self._intent(task, notes, decision, there)
        template, suggested = self._template(task)
        plan, notes = self._plan(task, intent, notes)
        verdict = self.complexity.evaluate(task=task)
        complexity = min(1.0, max(0.0, float(verdict.complexity or 0.0)))
        branch = self.rules.branch(complexity, simple=bool(verdict.is_simple), template=suggested)
        if self.path != "auto":
            branch = Branch(self.path, f"path {self.path} was asked for")  # type: ignore[arg-type]
        best, drafts = self._drafted(task, plan, template, branch, notes)
        return CreatedSkill(
            skill_md=best.draft.files["SKILL.md"],
            files=dict(best.draft.files),
            name=plan.name,
            description=plan.description,
            taxonomy_path=plan.taxonomy_path,
            skill_style=plan.style,
            keywords=list(plan.keywords),
            intent=intent,
            path=branch.path,
            reason=branch.reason,
            complexity=complexity,
            score=best.score.score,
            original=best.score.original,
            adjusted=best.score.adjusted,
            findings=list(best.findings),
            decision=decision,
            similar=[one.model_dump() for one in there],
            template=suggested,
            drafts=drafts,
        )

    def _decision(self, task: str, similar: Sequence[Similar]) -> str:
        if not similar:
            return "new"
        lines = "\n".join(f"{one.name}: {one.description}" for one in similar)
        verdict = self.understanding.compare(task=task, existing=lines)
        return f"extend {similar[0].name}" if verdict.decision == "extend" else "new"

    def _intent(self, task: str, notes: str, decision: str, similar: Sequence[Similar]) -> tuple[str, str]:
        for turn in range(1, _MOST_ROUNDS + 1):
            intent = self.understanding.intent(task=task, notes=notes)
            shown = {
                "task": task, "intent": intent.intent,
                "domain": intent.domain, "level": intent.level, "kind": intent.kind,
                **({"similar": "; ".join(f"{one.name} ({one.score:.2f})" for one in similar)} if similar else {}),
                "proposed": decision,
            }  # fmt: skip
            said = self._asked("intent", "Is this what the skill is for?", shown, turn)
            if not said:
                return " ".join(str(intent.intent or "").split()), notes
            notes = f"{notes}\n{said}".strip()
        return " ".join(str(intent.intent or "").split()), notes

    def _template(self, task: str) -> tuple[Template | None, str | None]:
        if self.chosen_template is not None:
            return preview(self.chosen_template, *self.templates), self.chosen_template
        templates = {template.name: template for template in list_templates(*self.templates)}
        what = "; ".join(f"{name}: {template.description}" for name, template in templates.items())
        predict = self.understanding.template
        signature = predict.signature.with_updated_fields(
            "template", type_=Literal[(*templates, _NONE)], desc=f"{what}; {_NONE}: no template fits"
        )
        chosen = templates.get(predict(task=task, signature=signature).template)
        return chosen, chosen.name if chosen is not None else None

    def _plan(self, task: str, intent: str, notes: str) -> tuple[SkillPlan, str]:
        for turn in range(1, _MOST_ROUNDS + 1):
            asked = "\n".join(filter(None, [task, f"Note: {notes}" if notes else ""]))
            answer = self.understanding.plan(task_description=asked)
            style: Style = answer.skill_style if answer.skill_style in STYLES else "minimal"
            plan = SkillPlan.of(
                task, name=answer.name, description=answer.description, taxonomy_path=answer.taxonomy_path, style=style,
                keywords=answer.keywords,
            )  # fmt: skip
            shown = {"intent": intent, "plan": plan.text()}
            said = self._asked("plan", "Is the skill to be called and described like this?", shown, turn)
            if not said:
                break
            notes = f"{notes}\n{said}".strip()
        return plan, notes

    def _drafted(
        self, task: str, plan: SkillPlan, template: Template | None, branch: Branch, notes: str
    ) -> tuple[Judged, int]:
        fast = branch.path == "fast" and template is not None
        if template is not None and fast:
            draft = self.generation.from_template(task, plan, template, notes)
        else:
            draft = self.generation.in_sections(task, plan, notes)
        checks = self.rules.expert.checks if branch.path == "expert" else ()
        best = last = self._judged(draft, task, checks)
        drafts = 1
        while not fast and drafts <= self.rules.revisions and not last.is_enough(self.rules.enough):
            revised = self._revised(last, task, plan, last.findings)
            if revised == last.draft:  # a model that changes nothing when told what is wrong will not the next time
                break
            last = self._judged(revised, task, checks)
            best, drafts = max(best, last, key=lambda one: one.rank), drafts + 1
        for turn in range(1, _MOST_ROUNDS + 1):
            shown = {
                "draft": best.draft.files["SKILL.md"], "quality": f"{best.score.score:.3f}",
                "findings": "; ".join(best.findings) or "none",
            }  # fmt: skip
            said = self._asked("draft", "Is this the skill?", shown, turn)
            if not said:
                break
            best = self._judged(self._revised(best, task, plan, [said]), task, checks)  # a person's word goes first
            drafts += 1
        return best, drafts

    def _judged(self, draft: Draft, task: str, checks: Sequence[str]) -> Judged:
        return judged(draft, task, self.validation.checked(draft, task, checks))

    def _revised(self, last: Judged, task: str, plan: SkillPlan, findings: Sequence[str]) -> Draft:
        todo = [*findings, *last.further] or ["Say more exactly what to do."]
        answer = self.validation.revise(body=last.draft.body, task=task, plan=plan.text(), findings=todo)
        return Draft.of_body(plan, answer.revised or "")

    def _asked(self, gate: Gate, question: str, shown: Mapping[str, Any], turn: int) -> str:
        if gate not in self.review or self.ask is None:
            return ""
        details = {word: str(value) for word, value in shown.items()}
        # The same question with the same details is one question: the turn tells a further one from it.
        return self.ask(gate, question, details | ({"version": str(turn)} if turn > 1 else {}))


def checked_task(task: object) -> str:
    """Return a task tidied; refuse one that says too little.

    Raises
    ------
    InputError
        Saying what to give.
    """
    said = " ".join(task.split()) if isinstance(task, str) else ""
    # A language without spaces says much in one word.
    if not said or (len(said.split()) < _FEWEST_WORDS and len(said.encode()) < _FEWEST_WORDS * 8):
        raise InputError(
            f"task = {shortened(repr(task), 60)}: say in a sentence what the skill should enable an agent to do, such "
            "as 'Use when a team must rotate API keys without downtime'"
        )
    return said
