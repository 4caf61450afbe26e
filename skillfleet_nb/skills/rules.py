"""Rules of this project, each under a stable code; they never touch the conformance verdict.

A rule is a generator of findings over a skill; which ones apply depends on the format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from skillfleet_nb.errors import unknown
from skillfleet_nb.skills import _values, conformance
from skillfleet_nb.skills.document import Document, FormatChoice
from skillfleet_nb.skills.markdown import RESOURCE_FOLDERS
from skillfleet_nb.skills.style import COMPREHENSIVE_CHARACTERS, detect_style
from skillfleet_nb.skills.validation_report import Finding, Report, Severity, ordered

if TYPE_CHECKING:
    from skillfleet_nb.skills.markdown import Link

MAX_LINES = 500
# Headings that count for a section, the first being the one to write.
WHEN_TO_USE = ("When to Use",)
OVERVIEW = ("Overview", "Purpose")
QUICK_START = ("Quick Start", "Quickstart", "Quick Example", "Getting Started")
SKILL_TYPES = ("cognitive", "technical", "domain", "tool", "mcp", "specialization", "task_focus", "memory")
WEIGHTS = ("lightweight", "medium", "heavyweight")
LOAD_PRIORITIES = ("always", "task_specific", "on_demand", "dormant")

_TRIGGER = re.compile(r"\b(?:use|load|invoke)\b[^.]{0,60}\b(?:when|whenever|if|for|to)\b", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SEMVER = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_V1_FIELDS: dict[str, type | tuple[type, ...]] = {
    "skill_id": str, "version": str, "type": str, "weight": str, "load_priority": str,
    "dependencies": list, "capabilities": list,
}  # fmt: skip
_V1_REQUIRED = ("skill_id", "version", "type")
_V1_CHOICES = {"type": SKILL_TYPES, "weight": WEIGHTS, "load_priority": LOAD_PRIORITIES}


def validate(skill: Document, format: FormatChoice = "auto", *, strict: bool = False) -> Report:  # noqa: A002  the user's word
    """Check one skill; see `Skill.validate`."""
    if format not in get_args(FormatChoice):
        raise unknown("format", format, get_args(FormatChoice))
    applied = skill.format if format == "auto" else format
    rules = _FILE_RULES + (_V1_RULES if applied == "v1" else _V2_RULES)
    findings = [*conformance.check(skill), *(finding for rule in rules for finding in rule(skill))]
    verdict = detect_style(skill)
    return Report(
        name=skill.name,
        path=str(skill.path) if skill.path else None,
        format=applied,
        style=verdict.style,
        style_reasons=verdict.reasons,
        strict=strict,
        findings=ordered(findings),
    )


# --- the file


def _characters(skill: Document) -> Iterator[Finding]:
    text = skill.source.text
    if match := _CONTROL.search(text):
        line = skill.source.line_at(match.start())
        yield _finding("SF101", "warning", f"control character {match[0]!r}", "Remove it.", line)
    ends = {end for end in ("\r\n", "\r", "\n") if end in text.replace("\r\n", "" if len(end) == 1 else "\r\n")}
    if len(ends) > 1:
        yield _finding("SF102", "info", "line ends of several kinds", "Save the file with one kind.")


def _place(skill: Document) -> Iterator[Finding]:
    if skill.path and skill.folder and skill.path.is_symlink() and not _inside(skill.path, skill.folder):
        yield _finding("SF103", "error", "SKILL.md is a link to a file outside its folder", "Put the file here.")


def _fences(skill: Document) -> Iterator[Finding]:
    source = skill.source
    if source.span and source.reference_cut and source.reference_cut[1] < source.span[1]:
        message = "'---' within the front matter: agents stop reading it there"
        line = source.line_at(source.reference_cut[1])
        yield _finding("SF104", "warning", message, "Rewrite it without three hyphens in a row.", line)


# --- v2


def _description(skill: Document) -> Iterator[Finding]:
    if skill.description and not _TRIGGER.search(skill.description):
        line = conformance.field_line(skill, "description")
        fix = "Say when to use it: 'Use when …'."
        yield _finding("SF201", "warning", "the description does not say when to use the skill", fix, line)


def _sections(skill: Document) -> Iterator[Finding]:
    wanted: tuple[tuple[str, Severity, tuple[str, ...], str], ...] = (
        ("SF301", "error", WHEN_TO_USE, "Add '## When to Use' with the situations, and those where not."),
        ("SF302", "error", OVERVIEW, "Add '## Overview': what the skill does, in a few sentences."),
        ("SF303", "warning", QUICK_START, "Add '## Quick Start' with the shortest example that works."),
    )
    for code, severity, phrases, fix in wanted:
        if not skill.outline.find_heading(*phrases):
            need = "required" if severity == "error" else "recommended"
            yield _finding(code, severity, f"no {phrases[0]!r} heading, which is {need}", fix)


def _length(skill: Document) -> Iterator[Finding]:
    lines = skill.source.line_at(len(skill.source.text.rstrip()))
    if lines >= MAX_LINES:
        fix = "Move details into references/ and link them."
        yield _finding("SF304", "warning", f"{lines:,} lines; under {MAX_LINES} keeps an agent's context free", fix)
    characters = len(skill.body.strip())
    if characters > COMPREHENSIVE_CHARACTERS and not skill.outline.references():
        fix = "Move details into references/ and link them where they are needed."
        message = f"{characters:,} characters without a link to a file of its own (progressive disclosure)"
        yield _finding("SF305", "warning", message, fix)


def _code(skill: Document) -> Iterator[Finding]:
    for block in skill.outline.code_blocks:
        if not block.closed:
            yield _finding("SF306", "warning", "code block without an end", "Close it with the same fence.", block.line)


def _style(skill: Document) -> Iterator[Finding]:
    verdict = detect_style(skill)
    if verdict.style != verdict.detected:
        message = f"declared {verdict.style}, but the rules say {verdict.detected}"
        yield _finding("SF307", "info", message, "Change skill_style, or the document.")


def _folders(skill: Document) -> Iterator[Finding]:
    if skill.folder is None or not skill.folder.is_dir():
        return
    for child in sorted(skill.folder.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and child.name not in RESOURCE_FOLDERS:
            allowed = ", ".join(f"{name}/" for name in RESOURCE_FOLDERS)
            yield _finding("SF401", "error", f"folder {child.name}/ has no place in a skill", f"Use one of {allowed}.")


def _links(skill: Document) -> Iterator[Finding]:
    seen: set[str] = set()
    for link in skill.outline.links + skill.outline.mentions:
        if skill.folder and link.path and link.path not in seen:
            seen.add(link.path)
            yield from _link(skill.folder, link.path, link)


def _link(folder: Path, path: str, link: Link) -> Iterator[Finding]:
    # A path out of the folder is told by its text and by where links on the disk lead.
    leaves = Path(path).is_absolute() or os.path.normpath(path).startswith("..")
    if leaves or not _inside(folder / path, folder):
        fix = "Put the file into the skill's folder: a skill is installed alone."
        yield _finding("SF403", "error", f"{path!r} leads out of the skill's folder", fix, link.line)
    elif not _exists(folder / path):
        fix = "Add the file or correct the path."
        code: tuple[str, Severity] = ("SF402", "error") if link.linked else ("SF404", "warning")
        yield _finding(*code, f"{path!r} does not exist", fix, link.line)


def _inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL in the path, a loop of links
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the disk
        return False


def _redundant(skill: Document) -> Iterator[Finding]:
    if skill.metadata_json is not None and not skill.uncovered():
        message = "metadata.json can go: the front matter holds all of it"
        yield _finding("SF405", "info", message, "Remove it once no v1 reader needs it.")


# --- v1


def _metadata_json(skill: Document) -> Iterator[Finding]:
    if skill.metadata_bytes is None:
        yield _finding("SF501", "error", "no metadata.json, which v1 requires", "Add one, or check it as v2.")
        return
    data = skill.metadata_json
    if data is None:
        yield _finding("SF502", "error", "metadata.json is not a JSON object in UTF-8", "Write '{…}' in UTF-8.")
        return
    for key in _V1_REQUIRED:
        if key not in data:
            yield _finding("SF503", "error", f"metadata.json has no {key!r}", f"Add {key!r}.")
    for key, kind in _V1_FIELDS.items():
        if key in data and not isinstance(data[key], kind):
            expected = "list" if kind is list else "string"
            yield _finding("SF504", "error", f"metadata.json: {key!r} is not a {expected}", f"Make it a {expected}.")
    for key, allowed in _V1_CHOICES.items():
        if isinstance(value := data.get(key), str) and value not in allowed:
            message = f"metadata.json: {key!r} is {value[:60]!r}"
            yield _finding("SF505", "warning", message, f"Use one of {', '.join(allowed)}.")
    version = data.get("version")
    if isinstance(version, str) and not _SEMVER.fullmatch(version):
        yield _finding("SF506", "warning", f"version {version[:60]!r} is not like 1.2.3", "Use a semantic version.")
    yield from _disagreements(skill, data)


def _disagreements(skill: Document, data: dict[str, Any]) -> Iterator[Finding]:
    origin = skill.provenance()
    for key, value in data.items():
        if origin.get(key) == "front matter" and not _values.same(skill.fields[key], value):
            message = f"{key!r} differs between the front matter (which counts) and metadata.json"
            yield _finding("SF507", "warning", message, "Make them equal, or migrate to v2.")


_Rule = Callable[[Document], Iterator[Finding]]
_FILE_RULES: tuple[_Rule, ...] = (_characters, _place, _fences)
_V2_RULES: tuple[_Rule, ...] = (_description, _sections, _length, _code, _style, _folders, _links, _redundant)
_V1_RULES: tuple[_Rule, ...] = (_metadata_json,)


def _finding(code: str, severity: Severity, message: str, fix: str, line: int | None = None) -> Finding:
    return Finding(code=code, severity=severity, message=message, fix=fix, line=line)
