"""A draft of a skill: the document that becomes of what a model wrote, and what is wrong with it.

Nothing is added to please a metric.  The front matter is made conformant, a title stands above the body, and the files
of a hub are linked; all else is the model's.  What it left empty or wrote twice is taken out, and told.  A link to a
file that the skill does not hold, as documents that were read have them, is its text.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import shortened
from skillfleet_nb.skills._edit import scalar
from skillfleet_nb.skills.creator.similar import terms
from skillfleet_nb.skills.document import slug
from skillfleet_nb.skills.markdown import outline, unlinked
from skillfleet_nb.skills.scoring.score import score_skill
from skillfleet_nb.skills.scoring.semantic import semantic_similarity
from skillfleet_nb.skills.similarity.index import EXTEND
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.skills.style import Style

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from skillfleet_nb.skills.scoring.score import SkillScore
    from skillfleet_nb.skills.scoring.semantic import Embed

_PAGE: Final = "SKILL.md"
_LONGEST_DESCRIPTION: Final = 1_024
_LONGEST_NAME: Final = 48
_WORDS_OF_A_NAME: Final = 4
_IN_THE_HUB: Final = 3  # sections of a hub that stay on its page whatever their length
_OF_A_FILE: Final = 60  # words of a section from which it becomes a file of a hub: fewer are read sooner where they are
_LEVEL: Final = 2
_FENCED = re.compile(r"\A\s*```(?:markdown|md)?[ \t]*\n(.*)\n```\s*\Z", re.DOTALL)
_FRONT = re.compile(r"\A\s*---\s*\n.*?\n---\s*\n", re.DOTALL)
_SPACE = re.compile(r"\s+")
_LETTERS = re.compile(r"[^\W_]+")
_LEAST_WORDS: Final = 3  # of a section that says something
_LEAST_COVERED: Final = 0.5  # of the task's words, in a draft that is about it
_STEM: Final = 5  # letters by which two forms of a word are one
_SHOWN: Final = 6
_KEPT: Final = 0.8  # of a description's words, in one that takes its place
_MOST_ADVICE: Final = 5  # a model follows a short list
_FEWEST: Final = 3  # words by which a task can be told from another


class SkillPlan(BaseModel):
    """What a skill is to be called, and be: as it will stand in the front matter."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    taxonomy_path: str = ""
    style: Style = "minimal"
    keywords: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What of the model's plan could not be used."""

    @classmethod
    def of(
        cls, task: str, *, name: object, description: object, taxonomy_path: object, style: Style, keywords: object
    ) -> SkillPlan:
        """Make the plan that a model gave allowed: a name of a folder, a description of one line."""
        notes = []
        called = slug(_plain(name))[:_LONGEST_NAME].strip("-")
        if not called:
            called = "-".join(slug(task).split("-")[:_WORDS_OF_A_NAME])[:_LONGEST_NAME].strip("-")
            called = called or f"skill-{hashlib.sha256(_encodable(task).encode()).hexdigest()[:8]}"
            notes.append(f"the model gave no usable name ({shortened(_plain(name), 40)!r}): it is called {called!r}")
        about = shortened(_plain(description), _LONGEST_DESCRIPTION)
        if not about:
            about = shortened(_plain(task), _LONGEST_DESCRIPTION)
            notes.append("the model gave no description: the task stands in its place")
        words = [_plain(word) for word in keywords] if isinstance(keywords, list | tuple) else []
        path = "/".join(part for part in map(slug, _plain(taxonomy_path).split("/")) if part)
        return cls(
            name=called, description=about, taxonomy_path=path, style=style,
            keywords=tuple(dict.fromkeys(word for word in words if word)), notes=tuple(notes),
        )  # fmt: skip

    def described(self, description: object) -> SkillPlan:
        """Return the plan with another description, or as it is: see :func:`mended`."""
        return self.model_copy(update={"description": mended(self.description, description)})

    def text(self) -> str:
        """Return it as a few lines, as a model and a person read it."""
        parts = {
            "name": self.name, "description": self.description, "path": self.taxonomy_path,
            "style": self.style, "keywords": ", ".join(self.keywords),
        }  # fmt: skip
        return "\n".join(f"{word}: {said}" for word, said in parts.items() if said)


def mended(description: str, by: object) -> str:
    """Return what a model made of a description; the description itself where that says less, or something else.

    Examples
    --------
    >>> mended("Rotates API keys.", "Rotates API keys. Use when a key leaked.")
    'Rotates API keys. Use when a key leaked.'
    >>> mended("Rotates API keys.", "Use when bread is baked.")
    'Rotates API keys.'
    """
    new, said = shortened(_plain(by), _LONGEST_DESCRIPTION), terms(description)
    kept = len(said.keys() & terms(new).keys()) >= _KEPT * len(said)
    return new if new and kept and new != _plain(description) else description


class Part(NamedTuple):
    """A section as it was written: its heading, and what stands below it."""

    heading: str
    content: str

    @property
    def words(self) -> str:
        """Its words alone, by which one that says the same is known."""
        return " ".join(_LETTERS.findall(self.content.lower()))


@dataclass(frozen=True)
class Draft:
    """A skill as a model wrote it.

    Parameters
    ----------
    plan
        What it is called.
    opening
        What stands before the first section.
    parts
        Its sections, in order.
    dropped
        What of the model's text was taken out, and why.
    """

    plan: SkillPlan
    opening: str
    parts: tuple[Part, ...]
    dropped: tuple[str, ...] = ()

    @classmethod
    def of_body(cls, plan: SkillPlan, body: str) -> Draft:
        """Read a body in Markdown, of which second-level headings are the sections."""
        body = bare_body(body)
        lines = body.split("\n")
        heads = [(h.line - 1, h.title) for h in outline(body).headings if h.level <= _LEVEL]
        stops = [*(line for line, _ in heads), len(lines)][1:]
        first = heads[0][0] if heads else len(lines)
        opening = "\n".join(lines[:first])
        parts = []
        for n, ((line, title), stop) in enumerate(zip(heads, stops, strict=True)):
            content = "\n".join(lines[line + 1 : stop])
            if n == 0 and lines[line].startswith("# "):
                opening = f"{opening}\n{content}"  # the title is the draft's own
            else:
                parts.append(Part(title, content))
        return cls.of_parts(plan, parts, opening)

    @classmethod
    def of_parts(cls, plan: SkillPlan, parts: Sequence[Part], opening: str = "") -> Draft:
        """Take sections that say something, each once; what is left out is told."""
        kept: dict[str, Part] = {}
        dropped = []
        for written in parts:
            part = Part(_plain(written.heading).lstrip("# ").strip(), _section(written.content))
            if not part.heading:
                continue
            if len(part.words.split()) < _LEAST_WORDS:
                dropped.append(f"section {part.heading!r} is empty")
            elif part.words in kept:
                dropped.append(f"section {part.heading!r} says what {kept[part.words].heading!r} says")
            else:
                kept[part.words] = part
        return cls(plan, _section(opening), tuple(kept.values()), tuple(dropped))

    @property
    def body(self) -> str:
        """Its body in Markdown, without the title: what a model is given to revise."""
        sections = (f"## {part.heading}\n\n{part.content}" for part in self.parts)
        return "\n\n".join(filter(None, [self.opening, *sections]))

    @cached_property
    def files(self) -> dict[str, str]:
        """Its files by path within the skill: ``SKILL.md``, and of a hub what it leads to."""
        hub = self.plan.style == "navigation_hub"
        beside = [part for part in self.parts[_IN_THE_HUB:] if hub and len(part.content.split()) >= _OF_A_FILE]
        on_page = [part for part in self.parts if part not in beside]
        names: dict[str, Part] = {}
        for part in beside:
            name = slug(part.heading) or "part"
            names[next(n for n in (name, *(f"{name}-{i}" for i in range(2, 99))) if n not in names)] = part
        links = [f"- [{part.heading}](references/{name}.md)" for name, part in names.items()]
        sections = [f"## {part.heading}\n\n{part.content}" for part in on_page]
        sections += ["## References\n\n" + "\n".join(links)] if links else []
        title = self.plan.name.replace("-", " ").capitalize()
        text = "\n\n".join(filter(None, [f"# {title}", self.opening, *sections]))
        pages = {f"references/{name}.md": f"# {part.heading}\n\n{part.content}" for name, part in names.items()}
        texts = {_PAGE: text, **pages}
        files = {path: f"{unlinked(own, partial(_leads, texts, path))}\n" for path, own in texts.items()}
        return files | {_PAGE: f"{self._front}\n\n{files[_PAGE]}"}

    @property
    def _front(self) -> str:
        plan = self.plan
        metadata = {
            "skill_style": plan.style,
            "taxonomy_path": plan.taxonomy_path,
            "keywords": ", ".join(plan.keywords),
        }
        lines = ["---", f"name: {scalar(plan.name)}", f"description: {scalar(plan.description)}", "metadata:"]
        lines += [f"  {key}: {scalar(value)}" for key, value in metadata.items() if value]
        return "\n".join([*lines, "---"])

    @property
    def skill(self) -> Skill:
        """The skill it is, not written anywhere."""
        return Skill.parse(self.files[_PAGE])


@dataclass(frozen=True)
class Judged:
    """A draft, its score, and what is wrong with it, the gravest first."""

    draft: Draft
    score: SkillScore
    findings: tuple[str, ...]
    grave: int
    """How many of them, from the first on, are of what it says, and not of what was left out."""
    further: tuple[str, ...] = ()
    """What would raise its score."""

    @property
    def rank(self) -> tuple[bool, int, float]:
        """By which the best draft is chosen: one that says something, fewest grave findings, the better score."""
        return bool(self.draft.parts), -self.grave, self.score.score

    def is_enough(self, least: float) -> bool:
        """Tell whether nothing is wrong with it and its quality reaches `least`."""
        return not self.findings and self.score.score >= least


def judged(draft: Draft, task: str, further: Sequence[str] = (), embed: Embed | None = None) -> Judged:
    """Check a draft without a model: conformance, rules, quality, readability, coverage, and whether it is on the task.

    Parameters
    ----------
    draft
        What was written.
    task
        What it was asked for.
    further
        Findings of others, such as of a model.
    embed
        Texts to vectors: a draft that hardly has a word of the task is on it where its meaning is close, and the
        composites count how close it is.
    """
    skill = draft.skill
    score = score_skill(skill, reference=task, embed=embed, style=draft.plan.style)
    # Links and sections of a hub are of its files as well, which are checked where they are written.
    problems = [f.message for f in skill.validate("v2").findings if f.severity == "error" and f.code != "SF402"]
    written = "\n".join([draft.opening, *(f"{part.heading}\n{part.content}" for part in draft.parts)])
    if not draft.parts:
        problems.append("nothing was written: no section says anything")
    elif all(part.words in _words(task) for part in draft.parts):
        problems.append("every section only repeats the task")
    missing = _unspoken(task, written) if draft.parts else []
    if missing and (embed is None or semantic_similarity(written, task, embed) < EXTEND):
        problems.append(f"it says nothing of {', '.join(missing[:_SHOWN])}, of which the task speaks")
    grave = list(dict.fromkeys([*problems, *further]))
    return Judged(
        draft, score, (*grave, *draft.dropped, *draft.plan.notes), len(grave), score.improvements[:_MOST_ADVICE]
    )


def _leads(texts: Container[str], page: str, path: str) -> bool:
    """Tell whether a path that a page names is one of the files."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) in texts


def _unspoken(task: str, written: str) -> list[str]:
    """Return the words of a task that are not in a text, whatever their form; none where it has most of them."""
    asked = terms(task)
    spoken = {word[:_STEM] for word in terms(written)}
    missing = [word for word in asked if word[:_STEM] not in spoken]
    return missing if len(asked) >= _FEWEST and len(missing) > (1 - _LEAST_COVERED) * len(asked) else []


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return _SPACE.sub(" ", _encodable(text)).strip()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # half of a surrogate pair has no place in a file


def _words(text: str) -> str:
    return " ".join(_LETTERS.findall(text.lower()))


def bare_body(text: str) -> str:
    """Take a model's wrapping off: a code fence around all, and front matter of its own."""
    text = _encodable(text).replace("\r\n", "\n")
    if (fenced := _FENCED.match(text)) is not None:
        text = fenced[1]
    return _FRONT.sub("", text, count=1)


def _section(text: str) -> str:
    """Tidy what stands below a heading: no heading of a section's own level within it."""
    text = bare_body(text).strip("\n").rstrip()
    lines = text.split("\n")
    for heading in outline(text).headings:
        if heading.level <= _LEVEL:
            line = heading.line - 1
            lines[line] = f"### {heading.title}"
    return "\n".join(lines).strip()
