"""Skill quality: twenty-one structural checks with fixed weights.

Each check has a value in [0, 1] and, below 1, one line of advice.  Quality is
``1 - Σ weight · (1 - value)``, so it is exactly 1 where, and only where, there is nothing to advise.

Checks count what is there and never reward what is missing, so taking good content away cannot raise
the quality.  Only the two checks on code look at a share, and only from the fifth block on: there,
deleting a block without a language or with placeholders can help, as it should.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.skills.scoring.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.skills.document import Document

WEIGHTS: Final[dict[str, float]] = {
    "name": 0.03,
    "description": 0.05,
    "trigger": 0.08,
    "title": 0.03,
    "overview": 0.06,
    "sections": 0.06,
    "substance": 0.04,
    "when_to_use": 0.06,
    "quick_start": 0.04,
    "progressive_disclosure": 0.04,
    "patterns": 0.06,
    "examples": 0.06,
    "core_principle": 0.04,
    "strong_guidance": 0.05,
    "good_bad_contrast": 0.05,
    "anti_patterns": 0.04,
    "key_insights": 0.04,
    "common_mistakes": 0.04,
    "red_flags": 0.04,
    "code_language": 0.05,
    "code_complete": 0.04,
}
"""Weight of each check; they sum to 1."""

ENOUGH: Final[dict[str, int]] = {
    "description": 60,  # characters
    "opening": 40,  # characters of prose before the first section that count as an overview
    "sections": 6,  # second-level headings with something below
    "substance": 2_500,  # words of prose; up to `_FILES` files it points at count `_WORDS_A_FILE` each
    "patterns": 6,  # numbered steps and third-level headings
    "examples": 3,
    "strong_guidance": 5,  # lines that command or forbid
    "code": 4,  # blocks in order
}
"""Counts at which a check is full.  Below, it is proportional; substance grows with the logarithm."""

_WORDS_A_FILE: Final = 250
_FILES: Final = 5
_WORDS_UNIT: Final = 100  # of the logarithm: the first hundred words count most

_TRIGGER = re.compile(r"\buse\b[^.]{0,40}?\b(?:when|whenever|before|after|if|while)\b(?:\W+\w+){2}", re.IGNORECASE)
_STRONG = re.compile(
    r"\b(?:MUST|NEVER|ALWAYS|REQUIRED|FORBIDDEN)\b"
    r"|(?i:\b(?:must(?: not)?|never|always|do not|don't|avoid|ensure|make sure|only (?:when|if|after))\b)"
)
_STEP = re.compile(r"^\d{1,3}[.)]\s+\S")
_GOOD = re.compile(r"✅|✓|(?i:\b(?:good|better|right|correct|do this)\b[^.\n]{0,30}:)|(?i:^\W*do\b[^.\n]{0,30}:)")
_BAD = re.compile(r"❌|✗|(?i:\b(?:bad|worse|wrong|incorrect|not this)\b[^.\n]{0,30}:)|(?i:^\W*don't\b[^.\n]{0,30}:)")
_OVER = re.compile(r"\b(?:instead of|rather than|prefer\b[^.\n]{1,60}\b(?:over|to))\b", re.IGNORECASE)
_CUES: Final[dict[str, re.Pattern[str]]] = {
    "core_principle": re.compile(
        r"\b(?:core|key|guiding|first|main) (?:principle|idea|rule)s?\b|\bgolden rule\b|\bphilosophy\b|\bprinciples\b",
        re.IGNORECASE,
    ),
    "anti_patterns": re.compile(
        r"\banti-?patterns?\b|\bwhat not to do\b|\bwhen not to use\b|\bout of scope\b|\bdon'ts\b", re.IGNORECASE
    ),
    "key_insights": re.compile(
        r"\b(?:key (?:insight|point|takeaway|difference|concept|feature)s?|takeaways?|remember|tips?)\b", re.IGNORECASE
    ),
    "common_mistakes": re.compile(
        r"\bcommon (?:mistake|error|issue|problem|pitfall)s?\b|\bpitfalls?\b|\bgotchas?\b|\btroubleshooting\b",
        re.IGNORECASE,
    ),
    "red_flags": re.compile(
        r"\bred flags?\b|\bwarning signs?\b|\bsafety\b|\bescalat\w+|\bstop (?:if|when|and)\b", re.IGNORECASE
    ),
}
_PLACEHOLDER = re.compile(
    r"\b(?:TODO|FIXME|XXX|TBD)\b|\bYOUR_[A-Z_]+\b|<(?:your|insert|placeholder|fill)\b[^>\n]{0,60}>"
    r"|\byour[-_][a-z_-]{1,40}[-_]here\b|^\s*(?:#|//)?\s*(?:\.\.\.|…)\s*$|(?i:lorem ipsum)",
    re.MULTILINE,
)

_ADVICE: Final[dict[str, str]] = {
    "name": "Give the skill a `name` in the front matter.",
    "description": "Say in the description, in 60 characters or more, what the skill does.",
    "trigger": 'End the description with its trigger: "Use when …" and the situation.',
    "title": "Start the body with a first-level heading.",
    "overview": 'Add an "Overview" section of a sentence or two.',
    "sections": "Divide the body into six or more second-level sections.",
    "substance": "Say more where an agent would go wrong, here or in files under references/.",
    "when_to_use": 'Add a "When to Use" section that lists situations.',
    "quick_start": 'Add a "Quick Start" section with the shortest path to a result.',
    "progressive_disclosure": "Move detail to files under references/ and link them.",
    "patterns": "Give named patterns or numbered steps, six or more.",
    "examples": "Show three or more examples.",
    "core_principle": 'State the "Core principle" the rest follows from.',
    "strong_guidance": "Make five or more rules firm: must, never, always, avoid.",
    "good_bad_contrast": "Contrast a good with a bad way (✅ / ❌).",
    "anti_patterns": 'Name the "Anti-patterns": what not to do.',
    "key_insights": 'Add the "Key insights" a reader should remember.',
    "common_mistakes": 'List "Common mistakes" with their remedy.',
    "red_flags": 'List "Red flags": signs to stop and reconsider.',
    "code_language": "Give every code block a language; show four or more.",
    "code_complete": "Replace placeholders in code (TODO, YOUR_…, bare …) by working code in four blocks or more.",
}


class QualityCheck(BaseModel):
    """One check: `value` in [0, 1] counts with `weight`; `advice` is None where the value is 1."""

    model_config = ConfigDict(frozen=True)

    name: str
    weight: float
    value: float
    advice: str | None


def quality_checks(skill: Document | Page | str) -> tuple[QualityCheck, ...]:
    r"""Run every check on a skill, in the order of `WEIGHTS`.

    Parameters
    ----------
    skill
        A skill, or the text of a ``SKILL.md``.

    Examples
    --------
    >>> checks = quality_checks("---\nname: pdf\n---\n# PDF\n")
    >>> [check.name for check in checks if check.value == 1.0]
    ['name', 'title']
    """
    page = skill if isinstance(skill, Page) else Page.of(skill)
    checks = []
    for name, weight in WEIGHTS.items():
        measured = page.states(_CUES[name]) if name in _CUES else _MEASURES[name](page)
        value = min(1.0, float(measured))
        checks.append(
            QualityCheck(name=name, weight=weight, value=value, advice=_ADVICE[name] if value < 1.0 else None)
        )
    return tuple(checks)


def quality_of(checks: tuple[QualityCheck, ...]) -> float:
    """Weigh checks up: ``1 - Σ weight · (1 - value)``, in [0, 1]; exactly 1 where nothing is amiss."""
    lost = math.fsum(check.weight * (1.0 - check.value) for check in checks)
    return max(0.0, 1.0 - lost)


def quality_score(skill: Document | Page | str) -> float:
    r"""Return the quality of a skill, in [0, 1].

    Examples
    --------
    >>> round(quality_score("---\nname: pdf\n---\n# PDF\n"), 2)
    0.06
    """
    return quality_of(quality_checks(skill))


def _overview(page: Page) -> float:
    if page.has_section("overview", "purpose", "introduction", "about", "summary"):
        return 1.0
    return len(page.opening) / ENOUGH["opening"]


def _substance(page: Page) -> float:
    # Slow to fill, so that every section taken away shows; long skills need not be longer still.
    words = sum(len(line.split()) for line in page.lines) + _WORDS_A_FILE * min(_FILES, len(page.outline.references()))
    return math.log1p(words / _WORDS_UNIT) / math.log1p(ENOUGH["substance"] / _WORDS_UNIT)


def _patterns(page: Page) -> float:
    named = sum(s.level > 2 and s.filled for s in page.sections)  # noqa: PLR2004  below the main sections
    return (named + sum(bool(_STEP.match(line)) for line in page.lines)) / ENOUGH["patterns"]


def _contrast(page: Page) -> float:
    lines = [*page.lines, *(f"{s.title}:" for s in page.sections if s.filled)]
    lines += [line for block in page.code_blocks for line in block.text.split("\n")]
    if any(_GOOD.search(line) for line in lines) and any(_BAD.search(line) for line in lines):
        return 1.0
    return 0.5 if any(_OVER.search(line) for line in lines) else 0.0


def _disclosure(page: Page) -> float:
    return float(bool(page.outline.references()) or page.has_section("progressive disclosure"))


def _share(page: Page, good: Callable[[str, str], bool]) -> float:
    blocks = page.code_blocks
    return sum(good(b.language, b.text) for b in blocks) / max(ENOUGH["code"], len(blocks))


_MEASURES: Final[dict[str, Callable[[Page], float]]] = {
    "name": lambda page: bool(page.name),
    "description": lambda page: len(page.description) / ENOUGH["description"],
    "trigger": lambda page: bool(_TRIGGER.search(page.description)),
    "title": lambda page: any(s.level == 1 for s in page.sections),
    "overview": _overview,
    "sections": lambda page: len(page.main_sections) / ENOUGH["sections"],
    "substance": _substance,
    "when_to_use": lambda page: page.has_section("when to use", "when to apply", "use this skill when"),
    "quick_start": lambda page: page.has_section("quick start", "quickstart", "getting started", "quick example"),
    "progressive_disclosure": _disclosure,
    "patterns": _patterns,
    "examples": lambda page: page.n_examples / ENOUGH["examples"],
    "strong_guidance": lambda page: sum(bool(_STRONG.search(x)) for x in page.lines) / ENOUGH["strong_guidance"],
    "good_bad_contrast": _contrast,
    "code_language": lambda page: _share(page, lambda language, _: bool(language)),
    "code_complete": lambda page: _share(page, lambda _, text: bool(text.strip()) and not _PLACEHOLDER.search(text)),
}
