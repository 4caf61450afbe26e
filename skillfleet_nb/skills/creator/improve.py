"""Improving a skill that is there: rewritten towards what validation found, shown before it is written.

The body is rewritten, and the description where a better one keeps what it says; all else of the front matter and all
other files stay byte for byte.  A rewrite is kept only where it has fewer errors, or no more and the better quality,
and still speaks of what the skill says it is for.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import points, seen_from_here
from skillfleet_nb.html import Readable, items, join, preformatted
from skillfleet_nb.skills import _files
from skillfleet_nb.skills._source import normalised
from skillfleet_nb.skills.creator.draft import bare_body, mended
from skillfleet_nb.skills.creator.similar import terms
from skillfleet_nb.skills.skill import Skill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Revise = Callable[[str, str, Sequence[str]], tuple[str, str]]
    """From a description, a body and what is to be done about them to both rewritten."""

REVISIONS: Final = 2
_ADVICE: Final = 5  # of quality: a model follows a short list
_KEPT: Final = 0.8  # of the description's words that the body spoke of
_FILE: Final = "SKILL.md"


class Improvement(Readable, BaseModel):
    """A skill and a better one, or none.

    Attributes
    ----------
    path
        Folder of the skill.
    before, after
        Text of its ``SKILL.md``; equal where nothing better was written.
    quality
        Quality before and after, in [0, 1].
    findings
        What is wrong with it as proposed.
    mended
        What was wrong with it and is not any more.
    backup
        Where the text before it is kept, once it is applied.
    calls, cost_usd
        What was bought for it.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    before: str
    after: str
    quality: tuple[float, float]
    findings: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    backup: str | None = None
    calls: int = 0
    cost_usd: float | None = None

    @property
    def changed(self) -> bool:
        """Whether something better was written."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """Unified diff of ``SKILL.md``."""
        old, new = (normalised(text).split("\n") for text in (self.before, self.after))
        return "\n".join(difflib.unified_diff(old, new, f"a/{_FILE}", f"b/{_FILE}", lineterm=""))

    def applied(self) -> Improvement:
        """Write it, the text before it into a backup.

        Raises
        ------
        InputError
            If the skill has changed since, or it cannot be written.
        """
        file = Path(self.path) / _FILE
        skill = Skill.load(file.parent)
        if skill.source.text != self.before:
            raise InputError(f"{seen_from_here(self.path)!r} has changed since this was proposed: propose it again")
        if not self.changed:
            return self
        return self.model_copy(
            update={"backup": str(_written(file, skill.dumps(), skill.source.replaced(self.after).encode()))}
        )

    def _head(self) -> str:
        where = seen_from_here(self.path)
        if not self.changed:
            return f"{where}: nothing better was written; quality {points(self.quality[0])}"
        done = f"written; backup in {seen_from_here(self.backup)}" if self.backup else "proposed, not written"
        return f"{where}: {done}; quality {points(self.quality[0])} → {points(self.quality[1])}"

    def text(self) -> str:
        """Return what it came to, the diff, and what is still wrong."""
        lines = [self._head(), *([self.diff] if self.changed else [])]
        lines += [f"mended: {one}" for one in self.mended] + [f"left: {one}" for one in self.findings]
        return "\n".join(lines)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        left = items(self.findings, title="Still wrong") if self.findings else ""
        return join([preformatted(self.diff, title=self._head()), left])


def improved(skill: Skill, revise: Revise, revisions: int = REVISIONS) -> Improvement:
    """Have a skill rewritten, and keep the best of what was written, or the skill as it is.

    Parameters
    ----------
    skill
        As it is on disk.
    revise
        Rewrites a description and a body by findings.
    revisions
        How often at most.

    Raises
    ------
    InputError
        If the skill lies in no folder, or is not UTF-8.
    """
    _refuse_unwritable(skill)
    best = last = skill
    seen = {skill.source.text}
    for _ in range(revisions):
        wrong = _wrong(last)
        todo = [*wrong, *last.score().improvements[:_ADVICE]]
        if not todo:
            break
        description, body = revise(last.description, last.body, todo)
        last = _described(_with_body(skill, body), description)
        if last.source.text in seen:
            break
        seen.add(last.source.text)
        if _is_about(last, skill):
            best = min(best, last, key=_rank)
    return _between(skill, best)


def rewritten(skill: Skill, body: str) -> Improvement:
    """Put another body into a skill, whatever it is worth; nothing is written.

    Raises
    ------
    InputError
        If the skill lies in no folder, or is not UTF-8.
    """
    _refuse_unwritable(skill)
    return _between(skill, skill if body.strip() == skill.body.strip() else _with_body(skill, body))


def _refuse_unwritable(skill: Skill) -> None:
    if skill.folder is None:
        raise InputError("a skill without a folder cannot be written: load it from its folder")
    if not skill.source.is_utf8:  # what is put in need not be of its encoding
        raise InputError(f"{seen_from_here(skill.folder)!r} is not UTF-8: save its SKILL.md as UTF-8 first")


def _between(skill: Skill, best: Skill) -> Improvement:
    before, after = _wrong(skill), _wrong(best)
    return Improvement(
        path=str((skill.folder or Path()).resolve()), before=skill.source.text, after=best.source.text,
        quality=(skill.score().score, best.score().score), findings=tuple(after),
        mended=tuple(one for one in before if one not in after),
    )  # fmt: skip


def undone(folder: str | Path) -> Path:
    """Put the newest backup of a skill back; what it replaces becomes the newest backup.

    Raises
    ------
    InputError
        If there is no backup.
    """
    file = Skill.load(folder).path or Path(folder) / _FILE
    kept = sorted((file.parent / _files.BACKUP_FOLDER).glob(f"*/{_FILE}"), key=lambda one: one.stat().st_mtime_ns)
    now = file.read_bytes()
    others = [one for one in kept if one.read_bytes() != now]
    if not others:
        raise InputError(f"{seen_from_here(str(folder))!r} has no backup to go back to")
    return _written(file, now, others[-1].read_bytes())


def _written(file: Path, old: bytes, new: bytes) -> Path:
    try:
        backup = _files.back_up(file.parent, {_FILE: old})
        _files.write(file, new)
    except OSError as error:
        raise InputError(f"cannot write in {str(file.parent)!r}: {error}. Check its permissions.") from error
    return backup


def _wrong(skill: Skill) -> list[str]:
    return [f"{f.message}. {f.fix}" for f in skill.validate().findings if f.severity != "info"]


def _rank(skill: Skill) -> tuple[int, float]:
    return sum(f.severity == "error" for f in skill.validate().findings), -skill.score().score


def _is_about(new: Skill, old: Skill) -> bool:
    """Tell whether it still speaks of what the old one spoke of."""
    asked = terms(f"{old.name} {old.description}").keys() & terms(old.body).keys()
    return len(asked & terms(new.body).keys()) >= _KEPT * len(asked)


def _described(skill: Skill, description: str) -> Skill:
    """Return the skill with a description that says more; as it is where its front matter cannot be edited."""
    new = mended(skill.description, description)
    try:
        return skill if new == skill.description else skill.with_fields(description=new)
    except InputError:
        return skill


def _with_body(skill: Skill, text: Any) -> Skill:
    """Return the skill with another body: its own title above it, its line ends, the front matter as it is."""
    source = skill.source
    body = bare_body(str(text or "")).strip("\n")
    if not body:
        return skill
    first = next((h for h in skill.outline.headings if h.level == 1), None)
    if first is not None and not body.startswith("# "):
        body = f"# {first.title}\n\n{body}"
    head = source.text[: source.span[2]] if source.span else ""
    old = source.body
    gap = old[: len(old) - len(old.lstrip("\r\n"))]
    return replace(skill, source=source.replaced(f"{head}{gap}{body.replace(chr(10), source.newline)}{source.newline}"))
