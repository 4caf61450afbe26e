"""Routes about what all runs say: insights, trends, the return on money, scores ahead, notes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skillfleet_nb.insights.insight import Insight, Insights
from skillfleet_nb.insights.money import MoneyReport
from skillfleet_nb.insights.score_forecast import ScoreForecast
from skillfleet_nb.insights.trends import Trends
from skillfleet_nb.server.answers import rows
from skillfleet_nb.server.route import Asked, Call, Nothing, Page, Rows, Told, route

_LONGEST = 4000
By = Literal["optimizer", "task", "model", "tag", "week"]


class OfTask(Asked):
    """Of which runs."""

    task: str | None = Field(default=None, description="only runs of this task: a domain, a program, a job on it")


class WhichInsights(OfTask):
    """Which insights."""

    everything: bool = Field(default=False, description="what was dismissed too")


class WhichTrends(OfTask):
    """How to group runs."""

    by: By = "optimizer"
    relative: float = Field(default=0.2, gt=0, description="a large gain, as a share of the score before")


class OfMoney(OfTask):
    """What a point is worth, and how to group runs."""

    by: By = "optimizer"
    value_per_point: str | None = Field(default=None, description="what one point is worth, such as 40, or 40 USD")
    currency: str | None = Field(default=None, description="of that value; it has to be said")
    rate: float | None = Field(default=None, gt=0, description="USD for one unit of another currency")
    per: int = Field(default=1000, ge=1, description="answers that the value is said for")


class Ahead(Asked):
    """How far to look ahead."""

    calls: int | None = Field(default=None, ge=1, description="by default half of what the job has made")


class NewNote(Asked):
    """A note, and what shows it."""

    text: str = Field(min_length=1, max_length=_LONGEST)
    evidence: tuple[str, ...] = Field(default=(), description="names or ids of jobs")


class ToDecide(Asked):
    """What is decided of an insight."""

    decision: Literal["accepted", "dismissed", "pinned"] | None = Field(default=None, description="null takes it back")


@route("GET", "insights", "what the runs say, with evidence", "read", takes=WhichInsights, gives=Insights, kept="home")
def _insights(c: Call[WhichInsights]) -> object:
    return c.fleet.insights(c.asked.task, everything=c.asked.everything)


@route(
    "POST", "insights/{insight}/decision", "accept, dismiss or pin an insight", "write", takes=ToDecide, gives=Insight
)
def _decide(c: Call[ToDecide]) -> object:
    return c.fleet.notes.decide(c.path["insight"], c.asked.decision)


@route("GET", "trends", "what runs gained over time", "read", takes=WhichTrends, gives=Trends, kept="home")
def _trends(c: Call[WhichTrends]) -> object:
    return c.fleet.trends(c.asked.by, task=c.asked.task, relative=c.asked.relative)


@route("GET", "roi", "what a point cost, and when runs pay", "read", takes=OfMoney, gives=MoneyReport, kept="home")
def _roi(c: Call[OfMoney]) -> object:
    return c.fleet.roi(**c.asked.model_dump())


@route("GET", "jobs/{job}/forecast", "what further calls would add to a job's score", "read", takes=Ahead,
       gives=ScoreForecast, kept="home")  # fmt: skip
def _forecast(c: Call[Ahead]) -> object:
    return c.fleet.forecast_score(c.path["job"], c.asked.calls)


@route("GET", "notes", "notes and pinned insights", "read", takes=Page, gives=Rows, kept="home")
def _notes(c: Call[Page]) -> object:
    return rows(c.fleet.notes.listing(), c.asked.offset, c.asked.limit)


@route("POST", "notes", "keep a note, with the jobs that show it", "write", takes=NewNote, gives=Told, status=201)
def _note(c: Call[NewNote]) -> object:
    return Told(told=c.fleet.notes.add(c.asked.text, c.asked.evidence))


@route("POST", "notes/{note}/remove", "take a note away", "write", takes=Nothing, gives=Told)
def _remove(c: Call[Nothing]) -> object:
    return Told(told=c.fleet.notes.remove(c.path["note"]))
