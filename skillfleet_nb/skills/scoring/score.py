"""Score of a skill: every metric, the weights, and what to improve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable, items, table
from skillfleet_nb.skills.document import Document
from skillfleet_nb.skills.scoring.composite import METRICS, Metric, Proposal, Weights, adapt_weights, composite_score
from skillfleet_nb.skills.scoring.coverage import coverage_score
from skillfleet_nb.skills.scoring.entities import entity_f1
from skillfleet_nb.skills.scoring.page import Page
from skillfleet_nb.skills.scoring.quality import QualityCheck, quality_checks, quality_of
from skillfleet_nb.skills.scoring.readability import readability_score
from skillfleet_nb.skills.scoring.semantic import semantic_similarity
from skillfleet_nb.skills.style import Style, detect_style

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.skills.scoring.coverage import Coverage
    from skillfleet_nb.skills.scoring.readability import Readability
    from skillfleet_nb.skills.scoring.semantic import Embed


class SkillScore(Readable, BaseModel):
    """What :func:`score_skill` found.  All scores are in [0, 1], higher is better.

    Attributes
    ----------
    score
        Skill quality: what depends on the skill alone.  Taking good content away never raises it.
    original, adjusted
        Composite of the metrics measured, with the original weights and with those adapted to the
        style.
    values
        The metrics measured; ``semantic`` and ``entities`` need a reference.
    weights, adjusted_weights
        Weights of the two composites, normalised over the metrics measured.
    checks
        The checks that make up the quality.
    reasons
        Why this style and these weights, and what was not measured.
    improvements
        What to do, the most rewarding first; empty where, and only where, every metric is 1.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    style: Style
    score: float
    original: float
    adjusted: float
    values: dict[Metric, float]
    weights: dict[Metric, float]
    adjusted_weights: dict[Metric, float]
    checks: tuple[QualityCheck, ...]
    reasons: tuple[str, ...]
    improvements: tuple[str, ...]

    def text(self) -> str:
        """Return the score as plain text."""
        lines = [f"{self.name or '(no name)'} · {self.style} · quality {self.score:.3f}", ""]
        lines.append(f"{'metric':<12} {'value':>6} {'weight':>7} {'adjusted':>9}")
        lines += [f"{n:<12} {v:>6.3f} {w:>7.3f} {a:>9.3f}" for n, v, w, a in self._rows()]
        lines.append(f"{'composite':<12} {'':>6} {self.original:>7.3f} {self.adjusted:>9.3f}")
        lines += ["", *(f"· {reason}" for reason in self.reasons), ""]
        lines += ["To improve:" if self.improvements else "Nothing to improve."]
        lines += [f"- {advice}" for advice in self.improvements]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, float, float, float]]:
        return [(n, v, self.weights[n], self.adjusted_weights[n]) for n, v in self.values.items()]

    def html(self) -> str:
        """Show it as HTML."""
        rows = [[n, f"{v:.3f}", f"{w:.3f}", f"{a:.3f}"] for n, v, w, a in self._rows()]
        rows.append(["composite", "", f"{self.original:.3f}", f"{self.adjusted:.3f}"])
        shown = table(
            ["metric", "value", "weight", "adjusted weight"],
            rows,
            title=f"{self.name} · {self.style} · quality {self.score:.3f}",
            numeric=[1, 2, 3],
        )
        todo = items(self.improvements or ["nothing"], title="To improve")
        return f"<div>{shown}{todo}{items(self.reasons, title='Reasons', fold=True)}</div>"


def score_skill(
    skill: Document | str,
    *,
    reference: Document | str | None = None,
    embed: Embed | None = None,
    style: Style | None = None,
    weights: Weights | None = None,
    advisor: Callable[[str], Proposal] | None = None,
) -> SkillScore:
    r"""Score a skill with every metric that can be measured.

    Parameters
    ----------
    skill
        A skill, or the text of a ``SKILL.md``.
    reference
        What the skill should be about: a model skill, or the text of a task.  Entity F1 needs it.
    embed
        Texts to vectors; semantic similarity needs it and `reference`.
    style
        Overrides the detected style.
    weights
        The original weights; by default those of ``Weights()``.
    advisor
        Proposes style and weights from the skill's text, see :func:`lm_advisor`.

    Examples
    --------
    >>> found = score_skill("---\nname: pdf\ndescription: Fill forms.\n---\n# PDF\n")
    >>> found.values["coverage"], found.improvements[0]
    (0.0, 'End the description with its trigger: "Use when …" and the situation.')
    """
    skill = Document.parse(skill) if isinstance(skill, str) else skill
    page = Page.of(skill)
    checks = quality_checks(page)
    read, covered = readability_score(page), coverage_score(page)
    values: dict[Metric, float] = {"quality": quality_of(checks), "readability": read.score, "coverage": covered.score}
    todo = [(check.weight * (1 - check.value), check.advice) for check in checks if check.advice]
    improvements = [advice for _, advice in sorted(todo, key=lambda pair: -pair[0])]
    if reference is None:
        reasons = ["no reference given: semantic similarity and entity F1 are not measured"]
    else:
        text = f"{skill.name}\n{skill.description}\n{page.body}"
        measured, missing, reasons = _against(text, _text_of(reference), embed)
        values |= measured
        improvements += missing
    improvements += [*_coverage_advice(covered), *_readability_advice(read)]
    verdict = detect_style(skill)
    adapted = adapt_weights(style or verdict.style, advisor(skill.source.text) if advisor else None)
    shown = f"style {style} given" if style else verdict.text()
    original = weights or Weights()
    values = {name: values[name] for name in METRICS if name in values}
    return SkillScore(
        name=skill.name,
        style=adapted.style,
        score=values["quality"],
        original=composite_score(values, original),
        adjusted=composite_score(values, adapted.weights),
        values=values,
        weights=original.over(values),
        adjusted_weights=adapted.weights.over(values),
        checks=checks,
        reasons=(shown, *adapted.reasons, *reasons),
        improvements=tuple(dict.fromkeys(improvements)),
    )


def _against(text: str, wanted: str, embed: Embed | None) -> tuple[dict[Metric, float], list[str], list[str]]:
    """Measure a text against a reference: the metrics, what to improve, and what was not measured."""
    values: dict[Metric, float] = {}
    improvements, reasons = [], []
    if embed is None:
        reasons.append("no embedder given: semantic similarity is not measured")
    else:
        values["semantic"] = semantic_similarity(text, wanted, embed)
        if values["semantic"] < 1:
            improvements.append("Stay closer to the meaning of the reference.")
    entities = entity_f1(text, wanted)
    values["entities"] = entities.f1
    if entities.missing:
        improvements.append(f"Mention {', '.join(entities.missing[:8])}.")
    elif entities.extra:
        improvements.append(f"Leave out what the reference does not name: {', '.join(entities.extra[:8])}.")
    return values, improvements, reasons


def _coverage_advice(covered: Coverage) -> list[str]:
    advice = []
    if covered.missing:
        advice.append(f"Add the missing section: {', '.join(covered.missing)}.")
    if covered.examples < covered.wanted_examples:
        advice.append(f"Show {counted(covered.wanted_examples, 'example')}; there are {covered.examples}.")
    return advice


def _readability_advice(read: Readability) -> list[str]:
    if read.score >= 1:
        return []
    if not read.words:
        return ["Write some prose."]
    grades = f"Flesch-Kincaid grade {read.flesch_kincaid}, fog {read.gunning_fog}"
    return [f"Shorten sentences and use plainer words ({grades})."]


def _text_of(reference: Document | str) -> str:
    if isinstance(reference, Document):
        return f"{reference.name}\n{reference.description}\n{reference.body}"
    return reference
