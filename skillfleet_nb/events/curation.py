"""Events of what people make of their jobs afterwards."""

from __future__ import annotations

from typing import Final, Literal

from skillfleet_nb.events.payload import Payload

CURATION: Final = "curation"
"""The stream of the journal that holds these events: a job's own stream is its run's to write."""


class Curated(Payload):
    """A person put a job in order; what is None stays as it was."""

    kind: Literal["curated"] = "curated"
    job: str
    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] | None = None
    archived: bool | None = None
