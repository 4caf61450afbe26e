"""Agent Skills conformance: `skills-ref` decides, this module gives its messages codes and lines.

`skills-ref` raises on some inputs instead of answering (bytes that are not UTF-8, control
characters in the front matter, a thousand nested lists); such a document is not conformant.  One
bound is ours: a front matter over 65,536 characters is not handed over, since strict YAML takes
time in the square of its length, and counts as not conformant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skillfleet_nb.skills import _front_matter
from skillfleet_nb.skills._source import normalised
from skillfleet_nb.skills.document import SPEC_FIELDS, slug
from skillfleet_nb.skills.hosts import for_hosts, readers
from skillfleet_nb.skills.validation_report import Finding

if TYPE_CHECKING:
    from skillfleet_nb.skills.document import Document

# Message of skills-ref 0.1, code, field whose line it is about, fix.
_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    (r"must start with YAML", "SR001", "", "Begin the file with a line '---', the front matter and a line '---'."),
    (r"not properly closed", "SR002", "", "Close the front matter with a line '---'."),
    (r"flow mapping", "SR003", "", "Write lists and mappings one item a line; allowed-tools as 'Read Write Bash'."),
    (r"Duplicate key", "SR003", "", "Remove one of the two."),
    (r"anchor token|alias", "SR003", "", "Write the value out instead of pointing at it."),
    (r"tag tokens", "SR003", "", "Remove the '!type'."),
    (r"mapping values are not allowed", "SR003", "", "Put the value in double quotes: it holds ': '."),
    (r"'\\t'", "SR003", "", "Indent with spaces, not tabs."),
    (r"Invalid YAML", "SR003", "", "Write plain 'key: value' lines, values with special characters in double quotes."),
    (r"must be a YAML mapping", "SR004", "", "Write 'key: value' lines between the two '---'."),
    (r"Unexpected fields", "SR005", "", "Move them under 'metadata:'; migrate does it."),
    (r"field in frontmatter: name|Field 'name'", "SR006", "name", "Add 'name: ' and the folder's name."),
    (r"^Skill name .* exceeds", "SR007", "name", "Shorten the name to 64 characters."),
    (r"must be lowercase", "SR008", "name", "Write the name in lower case."),
    (r"invalid characters", "SR010", "name", "Use letters, digits and single hyphens."),
    (r"hyphen", "SR009", "name", "Single hyphens between words only."),
    (r"must match skill name", "SR011", "name", "Name the folder and the skill alike; migrate sets the name."),
    (
        r"in frontmatter: description|Field 'description'",
        "SR012",
        "description",
        "Say what it does and when to use it.",
    ),
    (r"^Description exceeds", "SR013", "description", "Shorten it to 1,024 characters; details belong in the body."),
    (r"ompatibility", "SR014", "compatibility", "One string of at most 500 characters."),
    (r"Missing required file", "SR015", "", "Name the file SKILL.md."),
)
_WHERE = re.compile(r'in "<unicode string>", ')
_LINE = re.compile(r"line (\d+)")


def check(skill: Document) -> list[Finding]:
    """Return what `skills-ref` has against a skill; an empty list if and only if it is conformant."""
    from skills_ref.errors import SkillError
    from skills_ref.parser import parse_frontmatter
    from skills_ref.validator import validate_metadata

    source = skill.source
    if skill.path is not None and skill.path.name not in ("SKILL.md", "skill.md"):
        return [_finding(skill, "Missing required file: SKILL.md")]
    if not source.is_utf8:
        fix = "Save it as UTF-8; migrate does it." if skill.source.is_text else "Save it as UTF-8."
        return [_own("SR016", "the file is not UTF-8", fix)]
    text = normalised(source.mark.decode() + source.text)
    cut = source.reference_cut
    if cut and not source.mark and cut[1] - cut[0] > _front_matter.MAX_CHARS:
        limit = f"{_front_matter.MAX_CHARS:,} characters"
        return [_own("SR017", f"the front matter is longer than {limit}", "Move the text into the body.")]
    try:
        fields, _ = parse_frontmatter(text)
        return [_finding(skill, message) for message in validate_metadata(fields, skill.folder)]
    except SkillError as error:
        return [_finding(skill, str(error))]
    except Exception as error:  # noqa: BLE001  whatever it fails with, it did not say yes
        why = f"skills-ref cannot read the front matter ({type(error).__name__})"
        return [_own("SR018", why, "Remove control characters and deep nesting.")]


def is_name(name: str) -> bool:
    """Tell whether Agent Skills allow this name."""
    from skills_ref.validator import validate_metadata

    return not validate_metadata({"name": name, "description": "x"}, None)


def _own(code: str, message: str, fix: str) -> Finding:
    return Finding(code=code, severity="error", message=message, fix=fix, line=1)


def _finding(skill: Document, message: str) -> Finding:
    match = next((row for row in _KNOWN if re.search(row[0], message)), None)
    _, code, field, fix = match or ("", "SR099", "", "See the Agent Skills specification.")
    if code == "SR005" and (read := for_hosts(skill.front_matter)):
        hosts = sorted({host for name in read for host in readers(name)})
        fix = f"{', '.join(read)}: read there by {', '.join(hosts)}, and nowhere by others; migrate leaves it."
        if others := [name for name in skill.front_matter if name not in (*SPEC_FIELDS, *read)]:
            fix += f" Move {', '.join(others)} under 'metadata:'; migrate does it."
    if code == "SR011" and skill.folder is not None and not is_name(skill.folder.name):
        fix = f"Rename the folder to {slug(skill.folder.name)!r}, as its name is none that Agent Skills allow."
    if code == "SR001" and skill.source.mark:
        fix = "Remove the byte-order mark at the start of the file; migrate does it."
    shown = " ".join(_WHERE.sub("", message).split())
    return Finding(code=code, severity="error", message=shown, fix=fix, line=_line(skill, code, field, message))


def _line(skill: Document, code: str, field: str, message: str) -> int | None:
    if code == "SR003" and (numbers := _LINE.findall(message)):
        return int(numbers[-1])  # of the text after the first fence, whose line is number 1
    if code == "SR005":
        unknown = (key for key in skill.front_matter if key not in SPEC_FIELDS)
        field = next(unknown, "")
    return field_line(skill, field) if code != "SR015" else None


def field_line(skill: Document, field: str) -> int:
    """Return the line of a top-level field, that of the front matter's start where it has none."""
    span = skill.source.span
    entry = skill.entries.get(field)
    return skill.source.line_at(span[0] + entry.start) if span and entry else 1
