"""Coverage: are the sections that every skill needs there, and enough examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from skillfleet_nb.skills.scoring.page import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.skills.document import Document

MANDATORY: Final[dict[str, tuple[str, ...]]] = {
    "Overview": ("overview", "purpose", "introduction", "about", "summary"),
    "When to Use": ("when to use", "when to apply", "use this skill when"),
    "Quick Start": ("quick start", "quickstart", "getting started", "quick example", "example", "workflow"),
}
"""Sections every skill needs, each with the words in a heading that mean it."""

EXAMPLES: Final = 2
_SECTIONS_SHARE: Final = 0.7
_OPENING: Final = 40  # characters before the first section that stand for an overview


class Coverage(NamedTuple):
    """Coverage in [0, 1], with what is missing."""

    score: float
    missing: tuple[str, ...]
    examples: int
    wanted_examples: int


def coverage_score(
    skill: Document | Page | str,
    mandatory: Mapping[str, Sequence[str]] = MANDATORY,
    examples: int = EXAMPLES,
) -> Coverage:
    r"""Measure coverage: ``0.7 · share of mandatory sections + 0.3 · min(1, examples / wanted)``.

    Parameters
    ----------
    skill
        A skill, or the text of a ``SKILL.md``.
    mandatory
        Section names to the lower-case words in a heading that mean them.  Opening prose stands for
        an overview.
    examples
        How many examples (code blocks, example headings, ``Example:`` lines) are wanted.

    Examples
    --------
    >>> coverage_score("# A\n\n## When to use\n- Now.\n").missing
    ('Overview', 'Quick Start')
    """
    page = skill if isinstance(skill, Page) else Page.of(skill)
    missing = tuple(
        name
        for name, words in mandatory.items()
        if not page.has_section(*words) and not (name == "Overview" and len(page.opening) >= _OPENING)
    )
    sections = 1 - len(missing) / len(mandatory) if mandatory else 1.0
    shown = min(1.0, page.n_examples / examples) if examples else 1.0
    score = 1.0 if sections == shown == 1.0 else _SECTIONS_SHARE * sections + (1 - _SECTIONS_SHARE) * shown
    return Coverage(score, missing, page.n_examples, examples)
