"""What a policy did, on one page: what happened, why, what it cost, and how to undo it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.format import counted, money, one_line, points
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.betting import interval, mean_bets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from skillfleet_nb.events.learning import FeedbackGiven, LearnStep
    from skillfleet_nb.monitoring.learn_policy import LearnPolicy

_OVER = frozenset({"refused", "failed", "promoted", "kept", "rejected"})
_HEADER = ("cycle", "when", "step", "what", "cost")
_RISK, _EFFECT = 0.05, 0.1
_LONG = 300


@dataclass(frozen=True)
class Cycle:
    """A cycle of a policy: its number, and its steps with when each was made (UTC)."""

    number: int
    steps: Sequence[tuple[LearnStep, datetime]]

    @property
    def began(self) -> datetime:
        """When it was triggered."""
        return self.steps[0][1]

    @property
    def state(self) -> str:
        """Its last step."""
        return self.steps[-1][0].step

    @property
    def is_over(self) -> bool:
        """Whether it is decided."""
        return self.state in _OVER

    @property
    def job_id(self) -> str | None:
        """Its job, the last one that was started."""
        return next((one.job_id for one, _ in reversed(self.steps) if one.job_id), None)

    @property
    def version(self) -> int | None:
        """The version that it made."""
        return next((one.version for one, _ in self.steps if one.version is not None), None)

    @property
    def baseline(self) -> int | None:
        """The version that it was to better."""
        return self.steps[0][0].baseline

    @property
    def passed(self) -> bool:
        """Whether the gate was passed."""
        return any(one.passed for one, _ in self.steps)

    def has(self, step: str) -> bool:
        """Tell whether a step was made."""
        return any(one.step == step for one, _ in self.steps)

    def text_of(self, step: str) -> str:
        """Return what was said of a step."""
        return next((one.text for one, _ in self.steps if one.step == step), "")


@dataclass(frozen=True, eq=False, repr=False)
class LearnPage(Readable):
    """A policy and what came of it.

    Attributes
    ----------
    policy, since
        The policy, and when it was set (UTC).
    cycles
        What came of it, the oldest first.
    heard
        Feedback on the program, and when it was given.
    """

    policy: LearnPolicy
    since: datetime
    cycles: Sequence[Cycle]
    heard: Sequence[tuple[FeedbackGiven, datetime]]

    @property
    def state(self) -> str:
        """How the last cycle stands; ``"waiting"`` where there is none."""
        return self.cycles[-1].state if self.cycles else "waiting"

    def sentence(self) -> str:
        """Say in one line how it stands."""
        if not self.cycles:
            return f"{self.policy.sentence()}; nothing has triggered it"
        last = self.cycles[-1]
        return f"{self.policy.sentence()}; cycle {last.number} {last.state}: {last.steps[-1][0].text}"

    def feedback(self) -> str:
        """Say what was heard of the program since the last cycle, with bounds that hold at every look."""
        since = self.cycles[-1].began if self.cycles else self.since
        new = [said for said, at in self.heard if at > since]
        scores = [said.score for said in new if said.score is not None]
        corrected = sum(said.correction is not None for said in new)
        text = f"feedback since {'the last cycle' if self.cycles else 'the policy was set'}: {counted(new, 'row')}"
        text += f", {corrected} with what is right"
        if scores:
            low, high = interval(mean_bets(scores, _EFFECT), _RISK)
            mean = sum(scores) / len(scores)
            text += f"; mean score {points(mean)} ({points(max(0.0, low))} to {points(min(1.0, high))} at every look)"
        return text

    def undo(self) -> list[str]:
        """Return the lines that undo what it changed, or that answer what it asks."""
        name, alias = self.policy.name, self.policy.alias
        if self.state == "asked":
            approve, reject = as_typed(f"learn approve {name}"), as_typed(f"learn reject {name}")
            return [f"{approve} moves {alias} to it, {reject} leaves it"]
        if self.state == "promoted":
            return [f"{as_typed(f'program rollback {name} {alias}')} undoes it"]
        return []

    def _rows(self) -> list[list[str]]:
        return [
            [
                str(cycle.number), f"{at:%Y-%m-%d %H:%M}", step.step, one_line(step.text, _LONG),
                "" if step.calls is None else f"{counted(step.calls, 'call')}, {money(step.cost_usd)}",
            ]
            for cycle in self.cycles for step, at in cycle.steps
        ]  # fmt: skip

    def text(self) -> str:
        """Return it as text."""
        shown = text_table(_HEADER, self._rows()) if self.cycles else ""
        return "\n".join(part for part in (self.sentence(), shown, self.feedback(), *self.undo()) if part)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML."""
        lines = [fill("<div>{}</div>", line) for line in (self.feedback(), *self.undo())]
        shown = table(_HEADER, self._rows(), title=f"Learning: {self.policy.name}") if self.cycles else ""
        return join([fill("<div>{}</div>", self.sentence()), shown, *lines])
