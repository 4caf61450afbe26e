"""Facts of the searches that one job makes at the same time."""

from __future__ import annotations

from typing import Literal

from skillfleet_nb.events.payload import Payload


class MemberTold(Payload):
    """Where one of several searches of a job is: `state` is running, searched, failed, stopped, scored or chosen.

    `score` is on validation; `optimism` tells by how much that of the chosen one is flattered by the choice.  Calls,
    USD and seconds are the member's own so far.
    """

    kind: Literal["member"] = "member"
    member: str
    state: Literal["running", "searched", "failed", "stopped", "scored", "chosen"]
    program_id: str | None = None
    score: float | None = None
    optimism: float | None = None
    lm_calls: int = 0
    cached_calls: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    error: str | None = None


class ShareTold(Payload):
    """What one of several searches of a job gets of the budget in a round, and why; no `requests` where it waits.

    `used` counts the requests it has made, `best` is its best score on validation, `tail` what it may reach.
    """

    kind: Literal["share"] = "share"
    round: int
    member: str
    requests: int
    used: int
    best: float | None = None
    tail: float | None = None
    reason: str
