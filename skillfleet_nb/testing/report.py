"""What a conformance suite came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable, fill, join, table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Check:
    """One check of a suite.

    Attributes
    ----------
    name
        What is checked.
    passed
        None where it could not be tried, for which `reason` says why.
    reason
        What was seen.
    next_step
        What to do about a check that failed; empty for one that passed.
    """

    name: str
    passed: bool | None
    reason: str
    next_step: str = ""

    @property
    def verdict(self) -> str:
        """Whether it passed, in a word or two."""
        return {True: "passed", False: "failed", None: "not tried"}[self.passed]


@dataclass(frozen=True)
class Conformance(Readable):
    """All checks of a plugin.

    Attributes
    ----------
    of
        What was checked.
    checks
        In the order of the suite.
    """

    of: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check was tried and passed."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def frame(self) -> pd.DataFrame:
        """The checks, one a row."""
        import pandas as pd

        rows = [[c.name, c.verdict, c.reason, c.next_step] for c in self.checks]
        return pd.DataFrame(rows, columns=["check", "verdict", "reason", "next_step"])

    def _summary(self) -> str:
        passed = sum(check.passed is True for check in self.checks)
        untried = sum(check.passed is None for check in self.checks)
        sentence = f"{self.of}: {passed} of {counted(len(self.checks), 'check')} passed"
        sentence += f", {len(self.failed)} failed" if self.failed else ""
        return sentence + (f", {untried} could not be tried" if untried else "")

    def text(self) -> str:
        """Return a line for each check, and below one that failed what to do."""
        width = max(len(check.name) for check in self.checks)
        lines = [self._summary()]
        for check in self.checks:
            lines.append(f"  {check.verdict:<9}  {check.name:<{width}}  {check.reason}")
            if check.next_step:
                lines.append(f"  {'':<9}  {'':<{width}}  → {check.next_step}")
        return "\n".join(lines)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        rows = [[c.name, c.verdict, c.reason, c.next_step] for c in self.checks]
        return join(
            [fill("<div><b>{}</b></div>", self._summary()), table(["check", "", "what was seen", "next"], rows)]
        )
