"""What bounds a run, and how it ends where that is reached."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from skillfleet_nb.events import StopKind


class RunStopped(BaseException):
    """Ends a run at its next call of a language model.

    A ``BaseException``, because MIPROv2, SIMBA and GEPA swallow ordinary ones and go on with zero scores.
    """

    def __init__(self, kind: StopKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: StopKind = kind
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """Upper bounds of a run; None means unbounded.

    Attributes
    ----------
    usd
        Money in USD.
    calls
        Bought calls (a cached one costs nothing and is not counted).
    tokens
        Input and output tokens of bought calls together.
    seconds
        Wall time, over all attempts.
    """

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def told(self) -> str:
        """Name them as a reason to stop."""
        bounds = (
            ("" if self.calls is None else counted(self.calls, "call")),
            ("" if self.usd is None else f"${self.usd:g}"),
            ("" if self.tokens is None else counted(self.tokens, "token")),
        )
        return f"budget: {' or '.join(filter(None, bounds))}"

    def less(self, share: Limits) -> Limits:
        """Return these limits with `share` set aside, never below zero."""
        kept = {}
        for f in fields(self):
            bound, part = getattr(self, f.name), getattr(share, f.name)
            kept[f.name] = bound if bound is None or part is None else max(0, bound - part)
        return Limits(**kept)
