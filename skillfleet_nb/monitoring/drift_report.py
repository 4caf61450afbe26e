"""What a check for drift says: of each kind that was looked for, and of all together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.format import counted, one_line
from skillfleet_nb.html import Readable, fill, join, table, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.charts.chart import Chart

KINDS = ("input", "output", "quality", "model")
"""Kinds of drift that are told apart."""


class Moved(NamedTuple):
    """A live input from where there are more than there were, and the reference's nearest to it."""

    live: str
    nearest: str
    similarity: float


class Share(NamedTuple):
    """Of an answer that comes often, its share among those of the reference and among live ones, in [0, 1]."""

    field: str
    answer: str
    reference: float
    live: float


class Details(NamedTuple):
    """A table that shows what an alarm is about."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Finding:
    """What was found of a kind of drift.

    Attributes
    ----------
    kind
        One of :data:`KINDS`.
    p_value
        Chance of a difference as large without drift.
    spent
        Risk of a false alarm of this test; an alarm is a p-value up to it.
    divergence
        How far apart, in [0, 1]: how far, not how surely.
    n, n_reference
        What was compared.
    rows
        How many would tell the drift that is planned for; None where no number of them would.
    drifted, steady, small
        What to say of an alarm, of none, and of what so few can show.
    share
        Smallest drift that so many tell in 8 of 10 checks, at best; None where none.
    details
        What an alarm is about.
    """

    kind: str
    p_value: float
    spent: float
    divergence: float
    n: int
    n_reference: int
    rows: int | None
    drifted: str
    steady: str
    small: str
    share: float | None = None
    details: Sequence[Details] = ()

    @property
    def alarm(self) -> bool:
        """Whether drift is told."""
        return self.p_value <= self.spent

    @property
    def is_small(self) -> bool:
        """Whether so few would hardly tell the drift that is planned for."""
        return self.rows is None or self.n < self.rows

    def sentence(self) -> str:
        """Say in one line what it came to."""
        by = f"p = {self.p_value:.2g} against {self.spent:.2g}"
        if self.alarm:
            return f"{self.drifted}: {by}; divergence {self.divergence:.2f}"
        return f"too few to tell: {by}; {self.small}" if self.is_small else f"{self.steady}: {by}"


@dataclass(frozen=True, eq=False, repr=False)
class DriftReport(Readable):
    """What a check says.

    Attributes
    ----------
    of, look
        What was checked, and its number among the checks of that name; None and 1 for a check by itself.
    findings
        Of each kind that was looked for.
    alpha, spent
        Risk of a false alarm over all checks of the name, and of this one, which its kinds share.
    moved
        Live inputs from where there are more than there were.
    left
        Inputs of the reference from where there are fewer.
    shares
        Of answers that come often, before and now.
    """

    of: str | None
    look: int
    findings: Sequence[Finding]
    alpha: float
    spent: float
    moved: Sequence[Moved] = ()
    left: Sequence[str] = ()
    shares: Sequence[Share] = ()
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of drift that were looked for."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def drifted(self) -> tuple[str, ...]:
        """Kinds of drift that are told."""
        return tuple(finding.kind for finding in self.findings if finding.alarm)

    @property
    def alarm(self) -> bool:
        """Whether drift of any kind is told."""
        return bool(self.drifted)

    @property
    def ok(self) -> bool:
        """Whether there is no alarm."""
        return not self.alarm

    @cached_property
    def _first(self) -> Finding:
        """Of what is surest."""
        return min(self.findings, key=lambda finding: finding.p_value)

    @property
    def p_value(self) -> float:
        """Chance that any kind differs as surely without drift."""
        return min(1.0, self._first.p_value * len(self.findings))

    @property
    def divergence(self) -> float:
        """How far apart, in [0, 1], of the kind that is told most surely."""
        return self._first.divergence

    @property
    def is_small(self) -> bool:
        """Whether there is too little of any kind to hardly tell the drift that is planned for."""
        return any(finding.is_small for finding in self.findings)

    def __getitem__(self, kind: str) -> Finding:
        return next(finding for finding in self.findings if finding.kind == kind)

    def sentence(self) -> str:
        """Say in one line what it came to."""
        alarms = [finding for finding in self.findings if finding.alarm]
        return "; ".join(finding.sentence() for finding in alarms or self.findings)

    def map(self) -> Chart:
        """Draw inputs of the reference and live ones on a plane; raises `InputError` where none were compared."""
        from skillfleet_nb.monitoring.drift_chart import map_chart

        return map_chart(self)

    def share_chart(self) -> Chart:
        """Draw the shares of answers before and now; raises `InputError` where none were compared."""
        from skillfleet_nb.monitoring.drift_chart import share_chart

        return share_chart(self)

    def _details(self) -> list[Details]:
        return [details for finding in self.findings if finding.alarm for details in finding.details]

    def text(self) -> str:
        """Return it as text."""
        sentences = [finding.sentence() for finding in self.findings]
        lines = "\n".join(f"{finding.kind:<8}{said}" for finding, said in zip(self.findings, sentences, strict=True))
        shown = [text_table(one.header, one.rows) for one in self._details()]
        return "\n\n".join([sentences[0] if len(sentences) == 1 else lines, *shown])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML; an alarm as a banner."""
        pieces = [fill("<div>{}</div>", f"{finding.kind}: {finding.sentence()}") for finding in self.findings]
        if not self.alarm:
            return join(pieces)
        name = f"drift of {self.of}" if self.of else "drift"
        head = fill("<div><b>{}</b> ({})</div>", name, counted(self.look, "check"))
        banner = fill(
            "<div role='alert' style='border-left:5px solid #d55e00;padding:4px 10px'>{}{}</div>", head, join(pieces)
        )
        tables = [table(one.header, [[one_line(cell) for cell in row] for row in one.rows]) for one in self._details()]
        return join([banner, *tables])
