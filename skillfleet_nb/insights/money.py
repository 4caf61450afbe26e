"""The return on money: what a point of score costs, and from how many answers on a gain has paid for itself."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, money, one_line, points_change
from skillfleet_nb.html import Readable, join, table, text_table
from skillfleet_nb.insights.outcomes import grouped
from skillfleet_nb.insights.pooling import pooled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.insights.outcomes import RunOutcome

PER = 1000
"""Answers over which the value of a point is said."""
_AMOUNT = re.compile(r"\s*([0-9.eE+-]+)\s*([A-Za-z]{3})?\s*")
_WIDEST = 40


class PointValue(BaseModel):
    """What one point of score is worth over so many answers, as a person said it.

    `rate` is what one unit of the currency is in USD.
    """

    model_config = ConfigDict(frozen=True)

    amount: float
    currency: str
    rate: float = 1.0
    per: int = PER

    @property
    def usd(self) -> float:
        """In USD, for one answer."""
        return self.amount * self.rate / self.per


def point_value(value: float | str, currency: str | None, rate: float | None, per: int) -> PointValue:
    """Read the value of a point.

    Raises
    ------
    InputError
        If it is no amount, its currency is not said, or what another currency is in USD is not.
    """
    match = _AMOUNT.fullmatch(str(value))
    try:
        amount = math.nan if match is None else float(match[1])
    except ValueError:
        amount = math.nan
    if match is None or not math.isfinite(amount) or amount <= 0:
        raise InputError(f"value per point {value!r}: give an amount above 0, such as 40 with currency USD")
    said = match[2] or currency
    if said is None:
        raise InputError(f"value per point {value}: in which currency? Say --currency USD, or write '{value} USD'")
    said = said.strip().upper()
    if currency is not None and currency.strip().upper() != said:
        raise InputError(f"value per point {value!r} and currency {currency!r} differ: say one of them")
    if not re.fullmatch(r"[A-Z]{3}", said):
        raise InputError(f"currency {said!r}: give its three letters, such as USD or EUR")
    if said != "USD" and rate is None:
        raise InputError(f"costs are in USD: say what one {said} is in USD with --rate, such as --rate 1.08")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(f"rate {rate:g}: give USD for one {said}, above 0")
    if per < 1:
        raise InputError(f"per {per}: give the answers that the value of a point is said for, 1 or more")
    return PointValue(amount=amount, currency=said, rate=1.0 if said == "USD" or rate is None else rate, per=per)


class Return(BaseModel):
    """What the runs of a group cost, and what they won for it.

    Attributes
    ----------
    runs, unpriced
        Runs counted, and those left out because a price is unknown.
    cost_usd
        What they cost together.
    gain, low, high
        Their mean gain, in [-1, 1], and its 95% interval.
    usd_per_point, usd_per_point_low, usd_per_point_high
        Cost of a run by points gained, with the interval that follows from that of the gain; None where no gain was
        told from chance, so that there is no end to it.
    extra_usd
        What an answer costs more after a run than before, on average; None where not known.
    break_even
        Answers from which on a run of mean cost and gain has paid for itself; None without the value of a point, or
        where it never does.
    break_even_low, break_even_high
        The same at the ends of the gain's interval.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    runs: int
    unpriced: int
    cost_usd: float
    gain: float
    low: float
    high: float
    usd_per_point: float | None
    usd_per_point_low: float | None
    usd_per_point_high: float | None
    extra_usd: float | None
    break_even: int | None = None
    break_even_low: int | None = None
    break_even_high: int | None = None

    def cells(self, *, valued: bool) -> list[str]:
        """Write it as a row."""
        row = [
            one_line(self.group, _WIDEST), f"{self.runs:,}", money(self.cost_usd),
            f"{points_change(self.gain)} [{points_change(self.low)}, {points_change(self.high)}]",
            _span(self.usd_per_point, self.usd_per_point_low, self.usd_per_point_high, money),
            "not known" if self.extra_usd is None else f"{1000 * self.extra_usd:+.4f}",
        ]  # fmt: skip
        ends = (self.break_even, self.break_even_low, self.break_even_high)
        return [*row, _span(*ends, lambda n: f"{n:,}")] if valued else row


def _span(value: float | None, low: float | None, high: float | None, write: object) -> str:
    if value is None or not callable(write):
        return "never"
    return f"{write(value)} [{'…' if low is None else write(low)}, {'no end' if high is None else write(high)}]"


class MoneyReport(Readable, BaseModel):
    """The return on money, by group and over all."""

    model_config = ConfigDict(frozen=True)

    by: str
    value: PointValue | None
    groups: tuple[Return, ...]
    total: Return

    def _header(self) -> list[str]:
        header = [self.by, "runs", "cost", "mean gain [95%]", "USD per point [95%]", "USD more per 1,000 answers"]
        return [*header, "pays from answers on [95%]"] if self.value else header

    def _cells(self) -> list[list[str]]:
        return [r.cells(valued=self.value is not None) for r in (*self.groups, self.total)]

    def notes(self) -> list[str]:
        """Say what is reckoned with."""
        parts = [f"{counted(self.total.unpriced, 'run')} of unknown price left out"] if self.total.unpriced else []
        if self.value is None:
            return [*parts, "say what a point is worth to see when runs pay: --value-per-point 40 --currency USD"]
        v = self.value
        usd = "" if v.currency == "USD" else f" ({v.amount * v.rate:g} USD)"
        return [*parts, f"a point is worth {v.amount:g} {v.currency}{usd} over {v.per:,} answers"]

    def text(self) -> str:
        """Return the groups as a table."""
        return "\n".join([text_table(self._header(), self._cells(), numeric=[1, 2]), *self.notes()])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        shown = table(self._header(), self._cells(), title=f"Return on money, by {self.by}", numeric=[1, 2])
        return join([shown, table([], [["reckoned", note] for note in self.notes()])])


def returns(
    outcomes: Sequence[RunOutcome], extra: Mapping[str, float], by: str, value: PointValue | None
) -> MoneyReport:
    """Reckon the return on money.

    Parameters
    ----------
    outcomes
        Of runs.
    extra
        What an answer costs more after a run, by job, in USD.
    by
        What to group by.
    value
        Of a point; without it there is no break-even.

    Raises
    ------
    InputError
        If no run has a price, or there is no such grouping.
    """
    total = _return("all", outcomes, extra, value)
    if total is None:
        raise InputError(
            "no run has a known price, so there is no return to reckon: models of one's own have a price "
            "once the setting prices names them"
        )
    named = grouped(outcomes, by)
    groups = [_return(name, members, extra, value) for name, members in named.items()]
    ranked = sorted((g for g in groups if g is not None), key=lambda g: (g.usd_per_point or math.inf, -g.gain))
    return MoneyReport(by=by, value=value, groups=tuple(ranked), total=total)


def _return(
    group: str, outcomes: Sequence[RunOutcome], extra: Mapping[str, float], value: PointValue | None
) -> Return | None:
    priced = [o for o in outcomes if o.cost_usd is not None]
    if not priced:
        return None
    cost = sum(o.cost_usd or 0.0 for o in priced)
    mean = pooled([o.gain for o in priced], [o.variance for o in priced])
    more = [extra[o.job_id] for o in priced if o.job_id in extra]
    extra_usd = sum(more) / len(more) if more else None
    a_run = cost / len(priced)
    per_point = [a_run / (100 * g) if g > 0 else None for g in (mean.mean, mean.high, mean.low)]
    pays = [
        None if value is None else _break_even(a_run, g, extra_usd, value) for g in (mean.mean, mean.high, mean.low)
    ]
    return Return(
        group=group, runs=len(priced), unpriced=len(outcomes) - len(priced), cost_usd=cost,
        gain=mean.mean, low=mean.low, high=mean.high, extra_usd=extra_usd,
        usd_per_point=per_point[0], usd_per_point_low=per_point[1], usd_per_point_high=per_point[2],
        break_even=pays[0], break_even_low=pays[1], break_even_high=pays[2],
    )  # fmt: skip


def _break_even(cost: float, gain: float, extra_usd: float | None, value: PointValue) -> int | None:
    """Return the least number of answers whose gain in value, less what they cost more, covers the cost of a run."""
    each = 100 * gain * value.usd - (extra_usd or 0.0)
    return math.ceil(cost / each) if each > 0 else None
