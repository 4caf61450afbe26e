"""What ``Fleet`` has of what all runs say: shortcuts to this room."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.insights.insight import Insights
    from skillfleet_nb.insights.knowledge import Knowledge
    from skillfleet_nb.insights.money import MoneyReport
    from skillfleet_nb.insights.score_forecast import ScoreForecast
    from skillfleet_nb.insights.trends import Trends
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store


class InsightMethods(ABC):
    """What all runs of a home say together."""

    store: Store

    @abstractmethod
    def job(self, name_or_id: Job | str) -> Job:
        """Find a job."""

    @cached_property
    def notes(self) -> Knowledge:
        """The knowledge base: notes and pinned insights, searched by meaning, exported as Markdown."""
        from skillfleet_nb.insights.knowledge import Knowledge

        return Knowledge(self.store, self.job, lambda: self.insights(everything=True))

    def insights(self, task: str | None = None, *, everything: bool = False) -> Insights:
        """Say what the home's runs show: ranked sentences, each with evidence, confidence and what to do.

        Parameters
        ----------
        task
            Only runs of this task: a domain, a program, or the name of a job on it.
        everything
            Whether to tell what was dismissed too.

        Raises
        ------
        JobError, NotFoundError
            If no run has been tested yet; if there is no such task.
        """
        from skillfleet_nb.insights.insight import insights
        from skillfleet_nb.insights.outcomes import outcomes
        from skillfleet_nb.insights.unsolved import unsolved
        from skillfleet_nb.store import queries

        runs = outcomes(self.store, task)
        never = unsolved(self.store, None if task is None else {o.task for o in runs})
        return insights(runs, never, queries.insight_decisions(self.store), everything=everything)

    def trends(self, by: str = "optimizer", *, task: str | None = None, relative: float = 0.2) -> Trends:
        """Say what runs gained on their sealed tests, by group and over time.

        Parameters
        ----------
        by
            ``"optimizer"``, ``"task"``, ``"model"``, ``"tag"`` or ``"week"``.
        task
            Only runs of this task.
        relative
            What counts as a large gain, as a share of the score before.

        Raises
        ------
        JobError, NotFoundError, InputError
            If no run has been tested yet; if there is no such task; if runs cannot be grouped so.
        """
        from skillfleet_nb.errors import InputError
        from skillfleet_nb.insights.outcomes import outcomes
        from skillfleet_nb.insights.trends import trends

        if not 0 < relative < float("inf"):
            raise InputError(f"relative {relative:g}: give a share above 0, such as 0.2")
        return trends(outcomes(self.store, task), by, relative)

    def roi(
        self,
        value_per_point: float | str | None = None,
        *,
        currency: str | None = None,
        rate: float | None = None,
        per: int = 1000,
        by: str = "optimizer",
        task: str | None = None,
    ) -> MoneyReport:
        """Reckon the return on money: what a point cost, and from how many answers on runs have paid for themselves.

        Parameters
        ----------
        value_per_point
            What one point of score, of 100, is worth over `per` answers; ``"40 EUR"`` says the currency too.
        currency
            Of that value, which has to be said.
        rate
            USD for one unit of another currency.
        per
            Answers that the value is said for.
        by, task
            As of :meth:`trends`.

        Raises
        ------
        JobError, NotFoundError, InputError
            As :meth:`trends`; if no run has a price, or the value is not one.
        """
        from skillfleet_nb.insights.money import point_value, returns
        from skillfleet_nb.insights.outcomes import outcomes
        from skillfleet_nb.store import queries

        value = None if value_per_point is None else point_value(value_per_point, currency, rate, per)
        runs = outcomes(self.store, task)
        costs = queries.answer_costs(self.store, [o.job_id for o in runs]).dropna()
        extra = {str(job): float(after - before) for job, before, after in costs.itertuples(index=False, name=None)}
        return returns(runs, extra, by, value)

    def forecast_score(self, job: Job | str, calls: int | None = None) -> ScoreForecast:
        """Say what `calls` more would add to a job's best score on validation, with an interval of 80%.

        Parameters
        ----------
        job
            It, or its name or id; it may run.
        calls
            How far to look ahead; by default half of what it has made.

        Raises
        ------
        NotFoundError, JobError, InputError
            If there is no such job; if nothing of it was scored; if `calls` is no number of calls.
        """
        from skillfleet_nb.insights.score_forecast import score_forecast

        asked = self.job(job)
        return score_forecast(self.store, asked.id, asked.name, calls)
