"""Hosts of agent skills: where each looks for them in a repository, and which fields it reads beside the standard's.

The standard allows six fields at the top of the front matter, and `skills-ref` refuses all others; hosts read some of
these all the same, there and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.skills.document import SPEC_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable


class Host(NamedTuple):
    """What one host does, as its documentation says.

    Attributes
    ----------
    folders
        Where it looks within a repository.
    fields
        What it reads at the top of the front matter and the standard does not have.
    version, source
        Of the documentation.
    """

    name: str
    folders: tuple[str, ...]
    fields: tuple[str, ...]
    version: str
    source: str


HOSTS = (
    Host(
        "Claude Code",
        (".claude/skills",),
        (
            *("agent", "argument-hint", "arguments", "context", "disable-model-invocation", "disallowed-tools"),
            *("effort", "hooks", "model", "paths", "shell", "user-invocable", "when_to_use"),
        ),
        "2026-11",
        "https://code.claude.com/docs/en/skills",
    ),
    Host(
        "VS Code, GitHub Copilot",
        (".github/skills", ".agents/skills", ".claude/skills"),
        ("argument-hint", "disable-model-invocation", "user-invocable"),
        "2026-11",
        "https://code.visualstudio.com/docs/agent-customization/agent-skills",
    ),
    Host(
        "Cursor",
        (".cursor/skills", ".agents/skills", ".claude/skills", ".codex/skills"),
        ("disable-model-invocation",),
        "2.4",
        "https://cursor.com/docs/context/skills",
    ),
    Host("Codex", (".agents/skills", ".codex/skills"), (), "2026-11", "https://developers.openai.com/codex/skills"),
    Host(
        "OpenCode",
        (".opencode/skills", ".claude/skills", ".agents/skills"),
        (),
        "1",
        "https://opencode.ai/v1/docs/skills/",
    ),
    Host(
        "Gemini CLI",
        (".gemini/skills", ".agents/skills"),
        (),
        "2026-11",
        "https://geminicli.com/docs/cli/creating-skills.md",
    ),
)
"""Hosts whose documentation was read, see ``docs/skills.md``."""


def readers(field: str) -> list[str]:
    """Name the hosts that read a field which the standard does not have."""
    return [host.name for host in HOSTS if field in host.fields]


def for_hosts(fields: Iterable[str]) -> list[str]:
    """Pick the fields that hosts read and the standard does not have."""
    return [field for field in fields if field not in SPEC_FIELDS and readers(field)]
