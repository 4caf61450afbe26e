"""Facts of the limits of providers that calls wait for."""

from __future__ import annotations

from typing import Literal

from skillfleet_nb.events.payload import Payload


class Paced(Payload):
    """Calls have begun to wait for a limit of their provider, or do so no more; `waited_s` so far in this attempt.

    `limit` is in words: ``"500 requests a minute of openai/*"``.
    """

    kind: Literal["paced"] = "paced"
    waiting: bool
    limit: str
    waited_s: float
