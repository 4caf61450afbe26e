"""Events of the knowledge base: notes, and what people decided of insights."""

from __future__ import annotations

from typing import Final, Literal

from skillfleet_nb.events.payload import Payload

KNOWLEDGE: Final = "knowledge"
"""The stream of the journal that holds these events."""

Decision = Literal["accepted", "dismissed", "pinned"]


class NoteKept(Payload):
    """A person noted what is worth remembering, with the jobs that show it; a `removed` note is taken away."""

    kind: Literal["note"] = "note"
    note_id: str
    text: str = ""
    jobs: tuple[str, ...] = ()
    by: str = ""
    removed: bool = False


class InsightDecided(Payload):
    """A person accepted, dismissed or pinned an insight, or took that back: None; with what it said then."""

    kind: Literal["insight_decided"] = "insight_decided"
    insight_id: str
    decision: Decision | None
    text: str
    confidence: str = ""
    jobs: tuple[str, ...] = ()
    query: str = ""
    by: str = ""


InsightPayload = NoteKept | InsightDecided
"""Every kind of fact of the knowledge base."""
