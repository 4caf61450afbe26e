"""Style of a skill, detected by rules on its size and shape.

A *navigation hub* is a short page that points at files, a *comprehensive* skill holds everything
itself, a *minimal* one says little.  Which one it is decides what may be expected of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted
from skillfleet_nb.skills._source import normalised
from skillfleet_nb.skills.markdown import RESOURCE_FOLDERS

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.skills.document import Document

Style = Literal["minimal", "navigation_hub", "comprehensive"]
STYLES: tuple[Style, ...] = get_args(Style)

HUB_CHARACTERS = (2_000, 4_000)
HUB_REFERENCES = 3
COMPREHENSIVE_CHARACTERS = 8_000
COMPREHENSIVE_HEADINGS = 5


class StyleVerdict(BaseModel):
    """A style and why.

    Attributes
    ----------
    style
        The style that holds: the declared one where there is one.
    detected
        What the rules say.
    reasons
        The figures behind it, in words.
    """

    model_config = ConfigDict(frozen=True)

    style: Style
    detected: Style
    reasons: tuple[str, ...]

    def text(self) -> str:
        """Return the verdict as one line."""
        return f"{self.style}: {'; '.join(self.reasons)}"

    def __str__(self) -> str:
        return self.text()


def classify_style(characters: int, references: int, headings: int) -> Style:
    """Apply the rules, first match first: hub, comprehensive, minimal.

    Parameters
    ----------
    characters
        Length of the body without surrounding blank space.
    references
        Pointers into the skill's own files (see `detect_style`).
    headings
        Second-level headings.

    Examples
    --------
    >>> classify_style(3_000, 3, 6), classify_style(3_000, 0, 6), classify_style(3_000, 0, 2)
    ('navigation_hub', 'comprehensive', 'minimal')
    """
    if HUB_CHARACTERS[0] <= characters <= HUB_CHARACTERS[1] and references >= HUB_REFERENCES:
        return "navigation_hub"
    if characters > COMPREHENSIVE_CHARACTERS or headings >= COMPREHENSIVE_HEADINGS:
        return "comprehensive"
    return "minimal"


def detect_style(skill: Document) -> StyleVerdict:
    """Detect the style of a skill; ``skill_style`` in its metadata overrides the rules.

    References are counted as a reader meets them, each link or path to a file of the skill's own,
    also where two lead to the same file; files it holds without naming them count too.
    """
    characters = len(normalised(skill.body).strip())
    headings = sum(heading.level == 2 for heading in skill.outline.headings)  # noqa: PLR2004  the second level
    pointers = [link.path for link in skill.outline.links + skill.outline.mentions if link.path]
    held = _resource_files(skill.folder) if skill.folder else set()
    references = max(len(pointers), len(held | set(skill.outline.references())))
    detected = classify_style(characters, references, headings)
    declared: Any = skill.metadata.get("skill_style")
    reasons = [
        f"{characters:,} characters",
        counted(references, "reference"),
        counted(headings, "second-level heading"),
    ]
    if declared in STYLES and declared != detected:
        reasons.insert(0, f"declared (the rules say {detected})")
    return StyleVerdict(style=declared if declared in STYLES else detected, detected=detected, reasons=tuple(reasons))


def _resource_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for name in RESOURCE_FOLDERS
        if (folder / name).is_dir()
        for path in (folder / name).iterdir()
        if path.is_file()
    }
