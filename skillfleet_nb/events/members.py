"""Facts of the searches that one job makes at the same time, and of the programs that one breeds."""

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


class IndividualTold(Payload):
    """A program as it stood in a generation of an evolution.

    `score` is on all of validation, None where screening ended it; `screened` its mean on the examples it was screened
    on.  It sends about `tokens` with each answer, and its instructions have `length` words.  `front` is 0 where none of
    its generation is better in one of the three and as good in the others.
    """

    kind: Literal["individual"] = "individual"
    generation: int
    program_id: str
    operator: str
    parent_ids: tuple[str, ...] = ()
    score: float | None = None
    screened: float | None = None
    tokens: int
    length: int
    front: int | None = None
    survives: bool
    member: str | None = None
