"""Writing documents by what a prompt holds: a section takes what the sources say under its heading, and no more.

A model with weights would add what it knows; this one knows nothing, so a section on which the sources are silent
stays empty.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from skillfleet_nb.offline.text import STOP_WORDS, sentences, stem, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from skillfleet_nb.offline.prompt import Field

    Sources = dict[str, str]

_HEADING: Final = re.compile(r"^#{1,2}\s+(.+?)\s*#*$")
_SECTION: Final = re.compile(r"^##\s+(.+?)\s*#*$", re.MULTILINE)
_QUOTED: Final = re.compile(r"(?<!\w)['\"“`]([^'\"”`\n]{2,40})['\"”`](?!\w)")
_LISTED: Final = re.compile(r"[:(](?=\s|\w)([^.:()\n]*,[^.:()\n]*)")
_MEMBER: Final = re.compile(r",\s*(?:and\s+|or\s+|then\s+)?|\s+and\s+|;\s*")
_MANNER: Final = frozenset({"outline", "plan", "pattern", "template", "templates"})  # how to write, not what of
_SUMMARY: Final = frozenset({"overview", "summary", "introduction", "purpose", "about"})
_STEPS: Final = frozenset(map(stem, ("steps", "procedure", "phases", "workflow", "checklist")))
_SHOWN: Final = frozenset(map(stem, ("example", "sample", "start", "usage")))
_NEVER: Final = re.compile(r"\b(?:never|do not|don't|must not|cannot|avoid|instead of|rather than)\b", re.IGNORECASE)
_ALWAYS: Final = re.compile(r"^(?!.*\b(?:never|not|avoid)\b).*\b(?:must|always|only|ensure|make sure)\b", re.IGNORECASE)
_SPEAKS: Final = (
    (frozenset(map(stem, ("mistakes", "anti", "pitfalls", "flags", "warnings"))), _NEVER),
    (frozenset(map(stem, ("insights", "principle", "rules", "takeaways"))), _ALWAYS),
)
"""By which words a sentence belongs under a heading of that kind."""
_TRIGGER: Final = re.compile(
    r"\buse (?:it |this |this skill )?(?:when|whenever|if|before|after|while)\b[^.!?\n]*[.!?]?", re.IGNORECASE
)
_DESCRIBED: Final = re.compile(r"^description:(.*)$", re.MULTILINE)
_ALIKE: Final = 0.6  # of a heading's words, in what is taken for it
_MOST_BLOCKS: Final = 2
_MOST_FENCES: Final = 3
_MOST_SENTENCES: Final = 6
_CODE = "```"
_FENCE: Final = re.compile(r"^```[^\n]*\n.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NO_PROSE: Final = ("|", "<", "- ", "* ", ">", "#")
_FILE: Final = re.compile(r"\s*\(([^()\s]+\.\w+)\)$")  # behind a heading: where a passage is from
_ON_TASK: Final = 0.35  # of a task's words, in the passages of a file that is about it
_OPENING: Final = 3  # headings that stand before what is special of a document


class Block(NamedTuple):
    """A passage of a source: the heading it stands under, its text, and its file; empty where there is none."""

    heading: str
    text: str
    file: str = ""


def offered(field: Field, advice: str = "") -> list[str]:
    """Return the items of a list that its description offers in quotes, and those that advice on it quotes.

    Examples
    --------
    >>> from skillfleet_nb.offline.prompt import Field
    >>> offered(Field("sections", "headings, such as 'Overview', 'Quick Start'", {}))
    ['Overview', 'Quick Start']
    """
    quotes = _quoted(field.desc)
    if len(quotes) < 2:  # noqa: PLR2004  one is a name, not a choice
        return []
    there = {quote.lower() for quote in quotes}
    return [*quotes, *(one for one in _quoted(advice) if one.lower() not in there and "…" not in one)]


def outlined(headings: Sequence[str], sources: Sources) -> list[str]:
    r"""Return headings, and with them those of the passages that speak of the task.

    Examples
    --------
    >>> notes = "## Revoking keys (keys.md)\n\nList the keys.\n\n## Bread (bread.md)\n\nBake it."
    >>> outlined(["Overview", "Steps"], {"task": "Rotate keys", "notes": notes})
    ['Overview', 'Steps', 'Revoking keys']
    """
    own: dict[str, str] = {}
    for block in _material(sources, "task"):
        is_there = any(_share(_stems(one), _all_stems(block.heading)) >= _ALIKE for one in headings)
        if block.heading and not is_there:
            own.setdefault(block.heading.lower(), block.heading)
    return [*headings[:_OPENING], *own.values(), *headings[_OPENING:]]


def composer(field: Field, inputs: Iterable[str]) -> Callable[[Sources], str] | None:
    """Return what writes `field` as a part of a document, or None where it is none.

    A field beside a `heading` is a section; one beside a `body` and `findings` is that body revised, or where it is
    called so the description of the plan; one whose description speaks of sections is a document with those of another
    input.
    """
    names = set(inputs)
    if "heading" in names:
        return lambda sources: section(sources.get("heading", ""), _material(sources, "heading"), _trigger(sources))
    if {"body", "findings"} <= names:
        return _described if field.name == "description" else _revised
    if "section" in field.desc and "template" in names:
        return _on_a_pattern
    return None


def section(heading: str, material: Sequence[Block], trigger: Sequence[str] = ()) -> str:
    """Write what the material says under a heading; empty where it says nothing.

    Parameters
    ----------
    heading
        Of the section.
    material
        What the sources say.
    trigger
        What was planned of when the document is used.

    Examples
    --------
    >>> said = [Block("", "Rotate keys: list them, issue new ones, revoke the old. Use when a key leaked.")]
    >>> section("When to Use", said), section("Red Flags", said)
    ('- Use when a key leaked.', '')
    """
    asked = _stems(heading)
    if asked & _SUMMARY:
        return _summary(material)
    alike = [block.text for block in material if block.heading and _share(asked, _all_stems(block.heading)) >= _ALIKE]
    if alike:
        return "\n\n".join(alike[:_MOST_BLOCKS])
    if asked & _STEPS and (steps := _members(material)):
        return "\n".join(f"{n}. {step[0].upper()}{step[1:]}" for n, step in enumerate(steps, 1))
    if asked & _SHOWN:
        return "\n\n".join(list(dict.fromkeys(_fences(material)))[:_MOST_FENCES])
    whole = _all_stems(heading)
    said = [*(s for block in material for s in sentences(_prose(block.text))), *trigger]
    picked = [s for s in said if _share(whole, _all_stems(s)) >= _ALIKE]
    for names, speaks in _SPEAKS:
        if asked & names:
            picked += [s for s in said if speaks.search(s)]
    once = {" ".join(words(s)): s for s in reversed(picked)}
    return "\n".join(f"- {s}" for s in list(once.values())[::-1][:_MOST_SENTENCES])


def blocks(text: str) -> list[Block]:
    """Part a text at its headings of the first two levels, those in code left alone."""
    texts, heading, file, lines, fenced = [], "", "", list[str](), False
    for line in [*text.splitlines(), "# "]:
        fenced ^= line.lstrip().startswith(_CODE)
        match = None if fenced else _HEADING.match(line)
        if match is None and line != "# ":
            lines.append(line)
            continue
        if body := "\n".join(lines).strip():
            texts.append(Block(heading, body, file))
        from_file = _FILE.search(match[1]) if match else None
        file = from_file[1] if from_file else ""
        heading, lines = _FILE.sub("", match[1]) if match else "", []
    return texts


def _material(sources: Sources, *without: str) -> list[Block]:
    """Return what the sources say; of files, those of which the passages speak of the task."""
    left_out = _MANNER.union(without)
    material = [block for name, text in sources.items() if name not in left_out for block in blocks(text)]
    asked, spoken = _stems(sources.get("task", "")), dict[str, set[str]]()
    for block in material:
        spoken.setdefault(block.file, set()).update(_stems(f"{block.heading} {block.text}"))
    return [block for block in material if not block.file or _share(asked, spoken[block.file]) >= _ON_TASK]


def _trigger(sources: Sources) -> list[str]:
    """Return the sentences of a plan that tell when what is planned is used."""
    return [m[0].strip() for m in _TRIGGER.finditer(sources.get("plan", ""))]


def _on_a_pattern(sources: Sources) -> str:
    material, trigger = _material(sources), _trigger(sources)
    return _joined((head, section(head, material, trigger)) for head in _SECTION.findall(sources.get("template", "")))


def _revised(sources: Sources) -> str:
    """Keep the body, and add the sections that the findings name and the sources fill."""
    body = sources.get("body", "").strip()
    there = {head.lower() for head in _SECTION.findall(body)}
    quoted = (head for head in _quoted(sources.get("findings", "")) if "…" not in head)  # a phrase, and no heading
    asked = [head for head in quoted if head.lower() not in there]
    material, trigger = _material(sources, "body", "findings"), _trigger(sources)
    added = _joined((head, section(head, material, trigger)) for head in asked)
    return "\n\n".join(filter(None, [body, added]))


def _described(sources: Sources) -> str:
    """Give the description of the plan, with what the task says of when it is used where it says nothing of that."""
    planned = _DESCRIBED.search(sources.get("plan", ""))
    said = planned[1].strip() if planned else ""
    when = "" if _TRIGGER.search(said) else next((m[0].strip() for m in _TRIGGER.finditer(sources.get("task", ""))), "")
    return " ".join(filter(None, [said, when]))


def _joined(parts: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts if text)


def _summary(material: Sequence[Block]) -> str:
    """Take the first two sentences of the first source that say what, and not when."""
    for block in sorted(material, key=lambda one: bool(one.heading)):
        said = [s for s in sentences(_prose(block.text)) if not s.lower().startswith("use ")]
        if said:
            return " ".join(said[:2])
    return ""


def _quoted(text: str) -> list[str]:
    """Return what is quoted in a text, each once, without the marks of a heading."""
    quotes = (one.strip("#\\ ").strip() for one in _QUOTED.findall(text))
    return list({one.lower(): one for one in quotes if one}.values())


def _fences(material: Sequence[Block]) -> list[str]:
    return [fence for block in material for fence in _FENCE.findall(block.text)]


def _prose(text: str) -> str:
    """Return the lines of a text that are sentences: no code, table or list."""
    return "\n".join(line for line in _FENCE.sub("", text).splitlines() if not line.lstrip().startswith(_NO_PROSE))


def _members(material: Sequence[Block]) -> list[str]:
    """Return the longest enumeration behind a colon or in brackets of what stands under no heading."""
    lists = [m[1] for block in material if not block.heading for m in _LISTED.finditer(block.text)]
    parted = [[one.strip() for one in _MEMBER.split(listed) if one.strip()] for listed in lists]
    return max(parted, key=len, default=[])


def _stems(text: str) -> set[str]:
    tokens = words(text)
    return {stem(word) for word in tokens if word not in STOP_WORDS} or {stem(word) for word in tokens}


def _all_stems(text: str) -> set[str]:
    return set(map(stem, words(text)))


def _share(asked: set[str], there: set[str]) -> float:
    return len(asked & there) / len(asked) if asked else 0.0
