"""What the metrics look at in a skill: its sections, prose, lines and code blocks, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.skills.document import Document
from skillfleet_nb.skills.markdown import outline

if TYPE_CHECKING:
    from skillfleet_nb.skills.markdown import CodeBlock, Outline

_LEVEL_OF_SECTIONS = 2
_SAID = 20  # characters after a cue that make it a statement and not a mere mention
_TREE = re.compile(r"[├└│]")
# Possessive, for a long line of dashes would be tried in every division of it.
_EXAMPLE = re.compile(r"^\W*+(?:\d++\.)?+\W*+(?:(?:example|for example|input)\b|e\.g\.)[^:]{0,60}:", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A heading and the prose below it, up to the next heading of its level or a higher one.

    `text` holds no code, but keeps the headings of lower levels.  `filled` tells whether anything
    but blank lines stands below the heading, code included.
    """

    level: int
    title: str
    text: str
    filled: bool


@dataclass(frozen=True)
class Page:
    r"""A skill as the metrics see it.

    Examples
    --------
    >>> page = Page.of("---\nname: a\n---\n# A\n\n## When to Use\n- On Mondays.\n")
    >>> page.has_section("when to use"), len(page.sections)
    (True, 2)
    """

    name: str
    description: str
    body: str
    outline: Outline

    @classmethod
    def of(cls, skill: Document | str) -> Page:
        """Read a skill, or the text of a ``SKILL.md``."""
        if isinstance(skill, str):
            skill = Document.parse(skill)
        body = skill.body.replace("\r\n", "\n").replace("\r", "\n")
        return cls(skill.name, skill.description, body, outline(body))

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Lines of the prose, headings and code left out, without blank ones."""
        titles = {heading.line for heading in self.outline.headings}
        lines = self.outline.prose.split("\n")
        return tuple(line.strip() for number, line in enumerate(lines, 1) if number not in titles and line.strip())

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Every heading with what stands below it, in order."""
        headings = self.outline.headings
        prose, full = self.outline.prose.split("\n"), self.body.split("\n")
        ends = [len(prose)] * len(headings)
        open_: list[int] = []
        for index, heading in enumerate(headings):  # one pass: a heading closes those of its level and below
            while open_ and headings[open_[-1]].level >= heading.level:
                ends[open_.pop()] = heading.line - 1
            open_.append(index)
        return tuple(
            Section(
                heading.level,
                heading.title,
                "\n".join(prose[heading.line : end]).strip(),
                any(line.strip() for line in full[heading.line : end]),
            )
            for heading, end in zip(headings, ends, strict=True)
        )

    @cached_property
    def opening(self) -> str:
        """Prose before the first second-level heading, the title left out."""
        below = [h.line for h in self.outline.headings if h.level >= _LEVEL_OF_SECTIONS]
        titles = {h.line for h in self.outline.headings}
        lines = self.outline.prose.split("\n")[: below[0] - 1 if below else None]
        return " ".join(line.strip() for number, line in enumerate(lines, 1) if number not in titles).strip()

    @cached_property
    def main_sections(self) -> tuple[Section, ...]:
        """Second-level sections that hold something."""
        return tuple(s for s in self.sections if s.level == _LEVEL_OF_SECTIONS and s.filled)

    @cached_property
    def code_blocks(self) -> tuple[CodeBlock, ...]:
        """Fenced blocks that need a language: drawings of a folder tree without one do not count."""
        return tuple(b for b in self.outline.code_blocks if b.language or not _TREE.search(b.text))

    @cached_property
    def n_examples(self) -> int:
        """Examples: fenced blocks, headings that say so, lines that start with ``Example:``."""
        titled = sum("example" in s.title.lower() and s.filled for s in self.sections)
        return len(self.code_blocks) + titled + sum(bool(_EXAMPLE.match(line)) for line in self.lines)

    def has_section(self, *phrases: str) -> bool:
        """Tell whether a section that holds something has one of `phrases` (lower case) in its title."""
        return any(s.filled and any(p in s.title.lower() for p in phrases) for s in self.sections)

    def states(self, cue: re.Pattern[str]) -> bool:
        """Tell whether a filled section's title, or a line with more to say, matches `cue`."""
        if any(s.filled and cue.search(s.title) for s in self.sections):
            return True
        return any(len(line) - len(m[0]) >= _SAID for line in self.lines if (m := cue.search(line)))
