"""What a job that created a skill tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.format import duration, points, seen_from_here

if TYPE_CHECKING:
    from skillfleet_nb.events import SkillCreated


def created_rows(created: SkillCreated) -> list[tuple[str, str]]:
    """Tell what was created, as pairs of a word and its value."""
    composite = f"composite {points(created.adjusted)}, by its style's weights; {points(created.original)} by the usual"
    rows = [
        ("skill", f"{created.name}, in {seen_from_here(created.folder)}"),
        ("quality", f"{points(created.score)} ({composite})"),
        ("path", f"{created.path}: {created.reason}"),
        ("drafts", str(created.drafts)),
    ]
    rows += [("backup", seen_from_here(created.backup))] if created.backup else []
    rows += [("similar", f"{', '.join(created.similar)}; proposed: {created.decision}")] if created.similar else []
    rows += [("finding", finding) for finding in created.findings] or [("findings", "none")]
    saved = f"about {duration(created.seconds_saved)} less than the normal path"
    return rows + ([("saved", saved)] if created.seconds_saved else [])
