"""Events of who did what, the audit trail of a home, and of what was kept out of it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from skillfleet_nb.events.payload import Payload

AUDIT: Final = "audit"
"""The stream of the journal that holds these events, and no others."""


class Audited(Payload):
    """Somebody did, or asked a server for, what changes, reveals, deletes or costs something.

    `action` is a word and its part, as ``job.start``, or the method and path of a server's route, `target` what it was
    done to, `detail` what else there is to say.  Of a request, `status` is what was answered, `job` the job that was
    started, `budget_usd` its limit.

    `previous` is the SHA-256 of the line before, `key` tells apart whose key made `seal`, which is an HMAC of all other
    fields; both are empty where this user has no place for a key.
    """

    kind: Literal["audited"] = "audited"
    user: str
    action: str
    target: str = ""
    detail: str = ""
    status: int | None = None
    error: str | None = None
    job: str | None = None
    budget_usd: float | None = None
    previous: str = ""
    key: str = ""
    seal: str = ""


class Redacted(Payload):
    """So much was taken out of what a writer wrote, by kind: ``"email"``, or a pattern's own name."""

    kind: Literal["redacted"] = "redacted"
    counts: dict[str, int]


AuditPayload: TypeAlias = Audited | Redacted
