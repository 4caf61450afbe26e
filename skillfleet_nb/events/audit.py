"""Events of who asked the server for what."""

from __future__ import annotations

from typing import Final, Literal

from skillfleet_nb.events.payload import Payload

AUDIT: Final = "audit"
"""The stream of the journal that holds these events."""


class Requested(Payload):
    """Somebody asked the server for what changes or costs something.

    `route` is the route's method and path, `target` the names in it; `status` is what was answered, `job` the job that
    was started, `budget_usd` its limit.
    """

    kind: Literal["requested"] = "requested"
    user: str
    route: str
    target: str = ""
    status: int
    error: str | None = None
    job: str | None = None
    budget_usd: float | None = None
