"""What runs gained over time: by optimizer, task, model, tag or week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted, money, one_line, percent, points_change
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.insights.outcomes import BY, grouped
from skillfleet_nb.insights.pooling import pooled
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.charts import Chart
    from skillfleet_nb.insights.outcomes import RunOutcome

RELATIVE = 0.2
"""The least gain, as a share of the score before, that counts as a large one."""
_WIDEST = 40


class Trend(BaseModel):
    """What the runs of a group gained; scores in [0, 1].

    Attributes
    ----------
    gain, low, high
        Mean gain on the sealed test, over runs that differ by more than chance, and its 95% interval.
    improved
        Runs whose gain was told from chance.
    large, large_low, large_high
        Share of runs that gained so much of the score before or more, and its 95% interval (Wilson).
    cost_usd
        What they cost together; None where a price is unknown.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    runs: int
    tasks: int
    gain: float
    low: float
    high: float
    improved: int
    large: float
    large_low: float
    large_high: float
    cost_usd: float | None

    @classmethod
    def of(cls, group: str, outcomes: Sequence[RunOutcome], relative: float) -> Trend:
        """Sum up the outcomes of a group."""
        mean = pooled([o.gain for o in outcomes], [o.variance for o in outcomes])
        share = mean_interval([float(o.relative >= relative) for o in outcomes])
        costs = [o.cost_usd for o in outcomes if o.cost_usd is not None]
        return cls(
            group=group, runs=len(outcomes), tasks=len({o.task_key for o in outcomes}),
            gain=mean.mean, low=mean.low, high=mean.high, improved=sum(o.low > 0 for o in outcomes),
            large=share.mean, large_low=share.low, large_high=share.high,
            cost_usd=sum(costs) if len(costs) == len(outcomes) else None,
        )  # fmt: skip

    def cells(self) -> list[str]:
        """Write it as a row."""
        return [
            one_line(self.group, _WIDEST), f"{self.runs:,}", f"{self.tasks:,}",
            f"{points_change(self.gain)} [{points_change(self.low)}, {points_change(self.high)}]", f"{self.improved:,}",
            f"{percent(self.large)} [{percent(self.large_low)}, {percent(self.large_high)}]", money(self.cost_usd),
        ]  # fmt: skip


class RunGain(BaseModel):
    """The gain of one run, in the group it is drawn in."""

    model_config = ConfigDict(frozen=True)

    job: str
    group: str
    finished_at: str
    gain: float
    low: float
    high: float


class Trends(Readable, BaseModel):
    """What runs gained, by group, and over all; in a notebook with each run over time.

    Attributes
    ----------
    by
        What they are grouped by.
    relative
        What counts as a large gain, as a share of the score before.
    groups, total
        Of each group, and of all runs.
    gains
        Of each run, in the order in which they ended.
    """

    model_config = ConfigDict(frozen=True)

    by: str
    relative: float
    groups: tuple[Trend, ...]
    total: Trend
    gains: tuple[RunGain, ...]

    def _header(self) -> list[str]:
        large = f"≥ {percent(self.relative)} relative [95%]"
        return [self.by, "runs", "tasks", "mean gain [95%]", "improved", large, "cost"]

    def _cells(self) -> list[list[str]]:
        return [t.cells() for t in (*self.groups, self.total)]

    def text(self) -> str:
        """Return the groups as a table."""
        note = "gains in points on the sealed test; a group of few runs has a wide interval"
        return f"{text_table(self._header(), self._cells(), numeric=[1, 2, 4, 6])}\n{note}"

    __repr__ = Readable.__str__

    @property
    def chart(self) -> Chart:
        """The gain of each run by when it ended."""
        import pandas as pd

        from skillfleet_nb.charts import Chart
        from skillfleet_nb.charts.gains_over_time import gains_over_time, gains_over_time_data

        runs = pd.DataFrame([g.model_dump() for g in self.gains], columns=[*RunGain.model_fields])
        data = gains_over_time_data(runs.assign(finished_at=pd.to_datetime(runs["finished_at"], utc=True)))
        title = f"Gains over time, by {self.by}"
        return Chart(title, data, gains_over_time(data, title=title))

    def html(self) -> str:
        """Show it as HTML."""
        title = f"What {counted(self.total.runs, 'run')} gained, by {self.by}"
        shown = table(self._header(), self._cells(), title=title, numeric=[1, 2, 4, 6])
        drawn = "<div style='overflow-x:auto;margin-top:12px' tabindex='0' role='region' aria-label='chart'>{}</div>"
        return join([shown, fill(drawn, self.chart.svg)])


def trends(outcomes: Sequence[RunOutcome], by: str, relative: float = RELATIVE) -> Trends:
    """Sum up outcomes by group, the group with the highest mean gain first; weeks in their order."""
    groups = [Trend.of(name, members, relative) for name, members in grouped(outcomes, by).items()]
    if by != "week":
        groups.sort(key=lambda t: -t.gain)
    gains = [
        RunGain(job=o.name, group=name, finished_at=o.finished_at.isoformat(), gain=o.gain, low=o.low, high=o.high)
        for o in outcomes for name in BY[by](o)
    ]  # fmt: skip
    total = Trend.of("all", outcomes, relative)
    return Trends(by=by, relative=relative, groups=tuple(groups), total=total, gains=tuple(gains))
