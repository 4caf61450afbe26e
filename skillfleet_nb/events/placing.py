"""Facts of where a job runs, and of what its calls wait for."""

from __future__ import annotations

from typing import Literal

from skillfleet_nb.events.payload import Payload


class Paused(Payload):
    """The job was told to make no further call until it is told to go on; its state stays `running`."""

    kind: Literal["paused"] = "paused"
    paused: bool


class Paced(Payload):
    """Calls have begun to wait for a limit of their provider, or do so no more; `waited_s` so far in this attempt.

    `limit` is in words: ``"500 requests a minute of openai/*"``.
    """

    kind: Literal["paced"] = "paced"
    waiting: bool
    limit: str
    waited_s: float


class Placed(Payload):
    """An attempt at the job is about to run on a worker of an executor: its address, machine and process."""

    kind: Literal["placed"] = "placed"
    worker: str
