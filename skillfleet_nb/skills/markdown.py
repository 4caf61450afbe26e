"""Outline of a Markdown body: headings, code blocks, links, with line numbers.

Only what rules and metrics look at, in one linear pass each: CommonMark's ATX headings and fenced
code, inline links and reference definitions.  Nothing inside a code block counts as a heading or a
link.  Every pattern is bounded, so 10 MB of brackets take as long as 10 MB of prose; markdown-it-py finds the same
headings, code and lines in real skills at nine times the time, and takes 260 times as long for brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCE_FOLDERS = ("references", "guides", "templates", "scripts", "examples", "assets")
"""Sub-folders a v2 skill may have."""

_MARKS = re.compile(r"^ {0,3}(?:(`{3,}|~{3,})([^\n]*)|(#{1,6})(?:[ \t]+([^\n]*)|(?=\n|\Z)))", re.MULTILINE)
_CLOSING_HASHES = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[([^\[\]]{0,1000})\]\([ \t]*<?([^\s<>()\[\]]{1,2000})>?")
_REST = re.compile(r"""[ \t]{0,9}(?:"[^"\n]{0,300}"|'[^'\n]{0,300}')?[ \t]{0,9}\)""")  # of a link, behind its target
_DEFINITION = re.compile(r"^ {0,3}\[([^\[\]\n]{1,200})\]:[ \t]*<?([^\s<>\[\]]{1,2000})", re.MULTILINE)
_MENTION = re.compile(r"(?<![\w./-])((?:" + "|".join(RESOURCE_FOLDERS) + r")/[\w][\w./-]{0,200})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|#")


@dataclass(frozen=True)
class Heading:
    """A heading: `level` 1 to 6, its text without markup at the ends, its line from 1."""

    level: int
    title: str
    line: int


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block: `language` is the first word after the fence, ``""`` where there is none."""

    language: str
    text: str
    line: int
    closed: bool


@dataclass(frozen=True)
class Link:
    """A link, an image, or (not `linked`) a path named in the text; `target` is as written."""

    text: str
    target: str
    line: int
    linked: bool = True

    @property
    def path(self) -> str | None:
        """Path in the skill's folder, percent-decoded, without query and fragment; None for a URL."""
        if _SCHEME.match(self.target):
            return None
        return unquote(self.target.split("#")[0].split("?")[0]) or None


@dataclass(frozen=True)
class Outline:
    """What a body holds.

    Attributes
    ----------
    prose
        The body with code blocks blanked out: same length and lines.
    mentions
        Paths under a resource folder named in the prose without being a link's target.
    """

    headings: tuple[Heading, ...]
    code_blocks: tuple[CodeBlock, ...]
    links: tuple[Link, ...]
    mentions: tuple[Link, ...]
    prose: str

    def find_heading(self, *phrases: str) -> Heading | None:
        """Return the first heading that contains one of `phrases`, whatever the case."""
        wanted = [phrase.lower() for phrase in phrases]
        return next((h for h in self.headings if any(phrase in h.title.lower() for phrase in wanted)), None)

    def references(self) -> tuple[str, ...]:
        """Return the distinct local files the body points at, in order of appearance."""
        paths = [link.path for link in sorted(self.links + self.mentions, key=lambda link: link.line)]
        return tuple(dict.fromkeys(str(PurePosixPath(path)) for path in paths if path))


def outline(body: str, first_line: int = 1) -> Outline:
    r"""Read a body whose line ends are ``"\n"``; its first line is number `first_line` of the file.

    Examples
    --------
    >>> found = outline("# A\n```python\n# no heading\n```\n[b](references/b.md)\n")
    >>> [h.title for h in found.headings], found.code_blocks[0].language, found.links[0].line
    (['A'], 'python', 5)
    """
    headings: list[Heading] = []
    blocks: list[CodeBlock] = []
    kept: list[str] = []
    lines = _Lines(body, first_line)
    fence = ""
    opened: re.Match[str] | None = None
    prose_from = 0
    for match in _MARKS.finditer(body):
        mark, info = match[1], match[2]
        if opened is not None:
            if mark and mark.startswith(fence) and not info.strip():
                blocks.append(_block(body, opened, match.start(), lines, closed=True))
                kept.append(_blank(body[opened.start() : match.end()]))
                prose_from, opened = match.end(), None
        elif mark and not (mark[0] == "`" and "`" in info):
            opened, fence = match, mark
            kept.append(body[prose_from : match.start()])
        elif match[3]:
            title = _CLOSING_HASHES.sub("", match[4] or "").strip().strip("*_` ")
            headings.append(Heading(len(match[3]), title, lines.at(match.start())))
    if opened is None:
        kept.append(body[prose_from:])
    else:
        blocks.append(_block(body, opened, len(body), lines, closed=False))
        kept.append(_blank(body[opened.start() :]))
    prose = "".join(kept)
    links, mentions = _links(prose, first_line)
    return Outline(tuple(headings), tuple(blocks), links, mentions, prose)


def unlinked(body: str, leads: Callable[[str], bool]) -> str:
    """Return a body in which links to local files that lead nowhere are their text.

    Examples
    --------
    >>> unlinked("See [keys](keys.md) and [rules](rules.md).", lambda path: path == "keys.md")
    'See [keys](keys.md) and rules.'
    """
    linked = _without_code(outline(body).prose)
    kept, done = list[str](), 0
    for match in _LINK.finditer(linked):
        path, rest = Link(match[1], match[2], 0).path, _REST.match(linked, match.end())
        if path is None or rest is None or leads(path):
            continue
        start = match.start() - linked.startswith("!", match.start() - 1) if match.start() else 0
        kept += [body[done:start], body[match.start(1) : match.end(1)]]
        done = rest.end()
    return "".join([*kept, body[done:]])


class _Lines:
    """Line numbers of growing offsets, each line counted once."""

    def __init__(self, text: str, first: int) -> None:
        self._text, self._offset, self._line = text, 0, first

    def at(self, offset: int) -> int:
        self._line += self._text.count("\n", self._offset, offset)
        self._offset = offset
        return self._line


def _links(prose: str, first_line: int) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    lines = _Lines(prose, first_line)
    linked = _without_code(prose)
    links = [Link(prose[m.start(1) : m.end(1)], m[2], lines.at(m.start())) for m in _LINK.finditer(linked)]
    lines = _Lines(prose, first_line)
    links += [Link(m[1], m[2], lines.at(m.start())) for m in _DEFINITION.finditer(linked)]
    taken = {link.path for link in links}
    lines = _Lines(prose, first_line)
    mentions = [Link("", m[1].rstrip("./-"), lines.at(m.start()), linked=False) for m in _MENTION.finditer(prose)]
    # A folder named by itself ("references/") is no file; neither is a target already linked.
    return tuple(links), tuple(m for m in mentions if m.path not in taken and "." in PurePosixPath(m.target).name)


def _without_code(prose: str) -> str:
    return _INLINE_CODE.sub(lambda m: " " * len(m[0]), prose)


def _block(body: str, opened: re.Match[str], end: int, lines: _Lines, *, closed: bool) -> CodeBlock:
    words = opened[2].split()
    language = words[0].strip("{}.").lower() if words else ""
    return CodeBlock(language, body[opened.end() + 1 : end], lines.at(opened.start()), closed)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
