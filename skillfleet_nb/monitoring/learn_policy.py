"""Policies of continuous learning: when a program is trained anew, on what budget, and what becomes of the result."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.events.learning import PolicySet
from skillfleet_nb.format import counted
from skillfleet_nb.monitoring.guardrails import read_guardrail
from skillfleet_nb.monitoring.ticker import seconds
from skillfleet_nb.programs.registry import check_name
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMOTIONS = ("ask", "auto", "never")
TRIGGERS = ("drift", "model", "feedback", "every")
"""What begins a cycle: an alarm, another model, so many corrections (``feedback:50``), a time (``every:7d``)."""
_TRIGGER = re.compile(r"(drift|model)|feedback:([1-9][0-9]*)|every:(\S+)")


@dataclass(frozen=True)
class LearnPolicy:
    """When a registered program is trained anew, and what becomes of the result.

    Parameters
    ----------
    name
        The registered program.
    on
        What begins a cycle, one or more: ``"drift"`` (an alarm of a check), ``"model"`` (another model answers now),
        ``"feedback:50"`` (so many corrections since the last cycle), ``"every:7d"``.
    budget_usd, max_calls
        Hard limit of each job, in USD or in calls: one must be given.
    optimizer
        As for ``fleet.optimize``; ``"auto"`` chooses.
    promote
        What becomes of a version that passes the gate: ``"ask"`` waits for a person, ``"auto"`` moves the alias,
        ``"never"`` keeps it registered.
    alias
        The alias that is trained anew and moved.
    gain
        Gain on the golden set that is asked for at least, in [0, 1]; it must be told from chance as well.
    guardrails
        Such as ``"cost<=1.2x"`` of what the alias' version costs on the golden set.
    golden
        The golden set of the gate; by default that of the name.

    Raises
    ------
    InputError, NotFoundError
        Naming what was given, and what is allowed.

    Examples
    --------
    >>> LearnPolicy("intents", on=("drift", "feedback:20"), max_calls=500).on
    ('drift', 'feedback:20')
    """

    name: str
    _: KW_ONLY
    on: Sequence[str] = ("drift",)
    budget_usd: float | None = None
    max_calls: int | None = None
    optimizer: str = "auto"
    promote: str = "ask"
    alias: str = "production"
    gain: float = 0.0
    guardrails: Sequence[str] = ()
    golden: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        check_name(self.alias, "alias")
        on = _triggers(self.on)
        if self.promote not in PROMOTIONS:
            raise unknown("promotion", self.promote, PROMOTIONS)
        if self.budget_usd is None and self.max_calls is None:
            raise InputError("a policy buys without being asked: give it a limit, --budget USD or --max-calls N.")
        for what, limit in (("budget_usd", self.budget_usd), ("max_calls", self.max_calls)):
            if limit is not None and not limit > 0:
                raise InputError(f"{what}={limit!r}: give a limit above 0.")
        if not 0 <= self.gain < 1:
            raise InputError(f"gain={self.gain!r}: give a gain of the mean score in [0, 1), for example 0.02.")
        for text in self.guardrails:
            if read_guardrail(text).what != "cost":
                raise InputError(f"guardrail {text!r}: a golden set tells cost alone: write cost<=1.2x.")
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "guardrails", tuple(self.guardrails))

    def event(self) -> PolicySet:
        """Return it as what is recorded."""
        return PolicySet.model_validate({k: v for k, v in vars(self).items() if k != "_"} | {"by": person()})

    @classmethod
    def of(cls, event: PolicySet) -> LearnPolicy:
        """Make it again from what was recorded."""
        return cls(**event.model_dump(exclude={"kind", "by"}))

    def sentence(self) -> str:
        """Say in one line what it does."""
        limit = f"${self.budget_usd:g}" if self.budget_usd is not None else counted(self.max_calls or 0, "call")
        then = {"ask": "asks before it moves", "auto": "moves", "never": "never moves"}[self.promote]
        return f"{self.name}: on {', '.join(self.on)}, {self.optimizer} within {limit}, {then} {self.alias}"


def _triggers(on: Sequence[str]) -> tuple[str, ...]:
    texts = [on] if isinstance(on, str) else list(on)
    words = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
    if not words:
        raise InputError(f"on={on!r}: say what begins a cycle: drift, model, feedback:50, every:7d.")
    for word in words:
        match = _TRIGGER.fullmatch(word)
        if match is None and word.partition(":")[0] not in TRIGGERS:
            raise unknown("trigger", word, TRIGGERS, hint="Such as drift, model, feedback:50, every:7d.")
        if match is None:
            raise InputError(f"trigger {word!r}: write feedback:50 or every:7d.")
        if match[3]:
            seconds(match[3])
    return words
