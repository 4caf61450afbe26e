"""What speaks for and against moving an alias, as far as versions and moves tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.programs.registry import Move, ProgramVersion


@dataclass(frozen=True)
class Evidence:
    """How a version compares with the one that an alias stands for.

    Attributes
    ----------
    text
        What is known, in a sentence.
    objection
        Why the alias should not be moved; None where nothing speaks against it.
    """

    text: str
    objection: str | None = None


def not_comparable(old: ProgramVersion, new: ProgramVersion) -> str | None:
    """Say why two versions cannot be compared; None where they can."""
    for version in (new, old):
        if not version.is_scored:
            return f"version {version.version} was not scored on a test split"
    if old.setup.get("metric_hash") != new.setup.get("metric_hash"):
        return f"they were scored by different metrics ({old.setup.get('metric')}, {new.setup.get('metric')})"
    if old.setup.get("data", {}).get("test") != new.setup.get("data", {}).get("test"):
        return "they were tested on different data"
    return None


def stood_before(moves: Sequence[Move]) -> int | None:
    """Return the version that an alias stood for before its present one, rollbacks undone."""
    stood: list[int] = []
    for move in moves:
        if move.how == "rollback" and move.version in stood:
            del stood[stood.index(move.version) + 1 :]
        else:
            stood.append(move.version)
    return stood[-2] if len(stood) > 1 else None
