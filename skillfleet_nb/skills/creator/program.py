"""The creator as a DSPy program: its phases in order, on the way that the rules choose.

Imported on use, for it defines DSPy modules.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.errors import InputError
from skillfleet_nb.events import SkillCard
from skillfleet_nb.format import points, shortened
from skillfleet_nb.skills.creator.draft import Draft, Judged, Part, SkillPlan, judged
from skillfleet_nb.skills.creator.rules import Branch, PhaseRules
from skillfleet_nb.skills.creator.similar import Similar, closest, copied
from skillfleet_nb.skills.creator.streaming import streamed
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.skills.style import STYLES, Style
from skillfleet_nb.skills.templates import list_templates, preview

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.skills.creator.research import Found
    from skillfleet_nb.skills.scoring.semantic import Embed
    from skillfleet_nb.skills.templates import Template

Gate = Literal["research", "intent", "plan", "draft"]
_NONE = "none"
_INTENT = ("task", "intent", "domain", "level", "kind")
_FEWEST_WORDS = 3
_MOST_ROUNDS = 20  # of one gate: a person who revises more often starts anew


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
    readiness, read
        How well the documents prepared for it, None where none were given, and the passages that were read.
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
    docs
        Folders of documents in which a task is researched before it is written; none by default.
    review
        Where to ask a person.
    ask
        Asks: from the gate, a question and what to show, to a text to revise by, empty to go on.
    embed
        Texts to unit vectors, such as ``skillfleet_nb.skills.similarity.Embedder()``: skills are then near-duplicates,
        and a draft on its task, by meaning as well as by words.
    """

    def __init__(
        self,
        rules: PhaseRules | None = None,
        path: str = "auto",
        template: str | None = None,
        templates: Sequence[str] = (),
        root: str | None = None,
        docs: Sequence[str] = (),
        review: Sequence[Gate] = (),
        ask: Callable[[str, str, Mapping[str, str]], str] | None = None,
        embed: Embed | None = None,
    ) -> None:
        from skillfleet_nb.skills.creator.phases import (
            SkillComplexity,
            SkillGeneration,
            SkillUnderstanding,
            SkillValidation,
        )

        super().__init__()
        self.root, self.embed = root, embed
        self.replaced_under: str | None = None  # the root in which the new skill takes the place of its namesake
        self.tell: Callable[[SkillCard], None] | None = None  # hears what is known of the skill, as it comes to be
        self.configure(rules or PhaseRules(), path, template, templates, docs, review, ask)
        self.understanding, self.complexity = SkillUnderstanding(), SkillComplexity()
        self.generation, self.validation = SkillGeneration(), SkillValidation()

    def configure(
        self,
        rules: PhaseRules,
        path: str,
        template: str | None,
        templates: Sequence[str],
        docs: Sequence[str],
        review: Sequence[Gate],
        ask: Callable[[str, str, Mapping[str, str]], str] | None,
    ) -> None:
        """Set how it goes about a task; its instructions and demos stay as they are."""
        from skillfleet_nb.skills.creator.research import SkillResearch

        self.rules, self.path, self.chosen_template, self.templates = rules, path, template, tuple(templates)
        self.review, self.ask = tuple(review), ask
        self.docs = tuple(docs)
        self.research = SkillResearch(self.docs) if self.docs else None

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
        research, answers = self._researched(task)
        notes = "\n".join(filter(None, [notes, *answers]))
        decision = self._decision(task, there)
        intent, notes = self._intent(task, notes, decision, there)
        template, suggested = self._template(task)
        plan, notes = self._plan(task, intent, notes)
        verdict = self.complexity(task=task)
        complexity = min(1.0, max(0.0, float(verdict.complexity or 0.0)))
        branch = self.rules.branch(complexity, simple=bool(verdict.is_simple), template=suggested)
        if self.path != "auto":
            branch = Branch(self.path, f"path {self.path} was asked for")  # type: ignore[arg-type]
        self._show("path", {"complexity": f"{complexity:.2f}", "path": branch.path, "because": branch.reason})
        notes = "\n\n".join(filter(None, [notes, research.material if research is not None else ""]))
        best, drafts = self._drafted(task, plan, template, branch, notes, there)
        return CreatedSkill(
            skill_md=best.draft.files["SKILL.md"],
            files=dict(best.draft.files),
            name=plan.name,
            description=best.draft.plan.description,
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
            readiness=research.readiness if research is not None else None,
            read=[one.name for one in research.passages] if research is not None else [],
        )

    def _researched(self, task: str) -> tuple[Found | None, list[str]]:
        """Look for what the documents say of a task, and ask about the rest; return both."""
        if self.research is None:
            return None, []
        research: Found = self.research(task=task).found
        read = "\n".join(one.name for one in research.passages) or "nothing"
        self._show("research", {"readiness": f"{research.readiness:.2f}", "read": read})
        asked = [
            (q, self._asked("research", q.question, {"options": " / ".join(q.options)}, 1)) for q in research.questions
        ]
        return research, [f"{q.question} {said}" for q, said in asked if said]

    def _decision(self, task: str, similar: Sequence[Similar]) -> str:
        if not similar:
            self._show("similar", {"similar": "none", "proposed": "new"})
            return "new"
        lines = "\n".join(f"{one.name}: {one.description}" for one in similar)
        verdict = self.understanding.compare(task=task, existing=lines)
        decision = f"extend {similar[0].name}" if verdict.decision == "extend" else "new"
        why = "\n".join(f"{one.name} ({one.score:.2f}): {one.reason}" for one in similar)
        self._show("similar", {"similar": why, "proposed": decision, "because": str(verdict.reason or "")})
        return decision

    def _intent(self, task: str, notes: str, decision: str, similar: Sequence[Similar]) -> tuple[str, str]:
        for turn in range(1, _MOST_ROUNDS + 1):
            intent = self.understanding.intent(task=task, notes=notes)
            shown = {
                "task": task, "intent": intent.intent,
                "domain": intent.domain, "level": intent.level, "kind": intent.kind,
                **({"similar": "; ".join(f"{one.name} ({one.score:.2f})" for one in similar)} if similar else {}),
                "proposed": decision,
            }  # fmt: skip
            self._show("intent", {word: str(shown[word]) for word in _INTENT})
            said = self._asked("intent", "Is this what the skill is for?", shown, turn)
            if not said:
                return " ".join(str(intent.intent or "").split()), notes
            notes = f"{notes}\n{said}".strip()
        return " ".join(str(intent.intent or "").split()), notes

    def _template(self, task: str) -> tuple[Template | None, str | None]:
        chosen, why = self._chosen_template(task)
        if chosen is None:
            self._show("template", {"template": _NONE, "because": why})
            return None, None
        facts = {"template": f"{chosen.name}: {chosen.description}", "because": why}
        self._show("template", facts, Skill.load(chosen.folder).body.strip())
        return chosen, chosen.name

    def _chosen_template(self, task: str) -> tuple[Template | None, str]:
        if self.chosen_template is not None:
            return preview(self.chosen_template, *self.templates), "it was asked for"
        templates = {template.name: template for template in list_templates(*self.templates)}
        what = "; ".join(f"{name}: {template.description}" for name, template in templates.items())
        predict = self.understanding.template
        signature = predict.signature.with_updated_fields(
            "template", type_=Literal[(*templates, _NONE)], desc=f"{what}; {_NONE}: no template fits"
        )
        answer = predict(task=task, signature=signature)
        return templates.get(answer.template), str(answer.reason or "")

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
            self._show("plan", {"plan": plan.text()})
            said = self._asked("plan", "Is the skill to be called and described like this?", shown, turn)
            if not said:
                break
            notes = f"{notes}\n{said}".strip()
        return plan, notes

    def _drafted(
        self,
        task: str,
        plan: SkillPlan,
        template: Template | None,
        branch: Branch,
        notes: str,
        similar: Sequence[Similar],
    ) -> tuple[Judged, int]:
        fast = branch.path == "fast" and template is not None
        heard = self._show_writing if self.tell is not None else None  # nobody is told: nothing is streamed
        if template is not None and fast:
            draft = self.generation.from_template(task, plan, template, notes, heard)
        else:
            draft = self.generation.in_sections(task, plan, notes, self._show_section, heard)
        checks = self.rules.expert.checks if branch.path == "expert" else ()
        tried, is_shown = [self._judged(draft, task, checks, similar)], True
        self._show_draft(tried, tried[0])
        while not fast and len(tried) <= self.rules.revisions and not tried[-1].is_enough(self.rules.enough):
            revised = self._revised(tried[-1], task, tried[-1].findings, len(tried))
            if revised == tried[-1].draft:  # a model that changes nothing when told what is wrong will not next time
                is_shown = False
                break
            tried.append(self._judged(revised, task, checks, similar))
            self._show_draft(tried, tried[-1])
        best = max(tried, key=lambda one: one.rank)
        if best is not tried[-1] or not is_shown:
            self._show_draft(tried, best)
        for turn in range(1, _MOST_ROUNDS + 1):
            shown = {
                "draft": best.draft.files["SKILL.md"], "quality": f"{best.score.score:.3f}",
                "findings": "; ".join(best.findings) or "none",
            }  # fmt: skip
            said = self._asked("draft", "Is this the skill?", shown, turn)
            if not said:
                break
            revised = self._revised(best, task, [said], len(tried))  # a person's word first
            best = self._judged(revised, task, checks, similar)
            tried.append(best)
            self._show_draft(tried, best)
        return best, len(tried)

    def _judged(self, draft: Draft, task: str, checks: Sequence[str], similar: Sequence[Similar]) -> Judged:
        replaced = Path(self.replaced_under, draft.plan.name) if self.replaced_under is not None else None
        others = [one for one in similar if replaced is None or Path(one.path) != replaced]
        findings = [*self.validation.checked(draft, task, checks), *copied(draft.skill, others, self.embed)]
        return judged(draft, task, findings, self.embed)

    def _revised(self, last: Judged, task: str, findings: Sequence[str], n: int) -> Draft:
        """Have a draft rewritten, of which there are `n` by now."""
        todo = [*findings, *last.further] or ["Say more exactly what to do."]
        heard = partial(self._show_revising, n + 1) if self.tell is not None else None
        plan = last.draft.plan
        asked = {"body": last.draft.body, "task": task, "plan": plan.text(), "findings": todo}
        answer = streamed(self.validation.revise, "revised", heard, **asked)
        return Draft.of_body(plan.described(answer.description), answer.revised or "")

    def _show_section(self, part: Part, n: int, of: int) -> None:
        self._show("section", {"written": f"{n} of {of} sections"}, f"## {part.heading}\n\n{part.content}".strip())

    def _show_writing(self, part: Part, n: int, of: int) -> None:
        heading = f"## {part.heading}\n\n" if part.heading else ""
        self._show("writing", {"written": f"{n - 1} of {of} sections"} if heading else {}, f"{heading}{part.content}")

    def _show_revising(self, n: int, text: str) -> None:
        self._show("writing", {"draft": f"{n}"}, text)

    def _show_draft(self, tried: Sequence[Judged], one: Judged) -> None:
        near = one.score.values.get("semantic")
        facts = {
            "draft": f"{tried.index(one) + 1}", "drafts": f"{len(tried)}",
            "closeness": "" if near is None else points(near),
        }  # fmt: skip
        self._show("draft", facts, one.draft.files["SKILL.md"], score=one.score.score, findings=one.findings)

    def _show(self, card: Any, facts: Mapping[str, str] | None = None, text: str = "", **judgement: Any) -> None:
        if self.tell is not None:
            said = {word: fact for word, fact in (facts or {}).items() if fact}
            self.tell(SkillCard(card=card, facts=said, text=text, **judgement))

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
