"""Pages of the dashboard about all runs of a home: trends, insights, money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import JobError, SkillfleetError, unknown
from skillfleet_nb.format import one_line, points_change
from skillfleet_nb.html import fill
from skillfleet_nb.insights.outcomes import BY
from skillfleet_nb.messages import as_typed
from skillfleet_nb.widgets.page import NOTHING, Act, Listed, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.insights.insight import Insight

TRENDS, INSIGHTS, MONEY = "@trends", "@insights", "@money"
_WIDE = 60  # characters of a cell
_DECISIONS = {"accepted": "Accept", "pinned": "Pin", "dismissed": "Dismiss"}
_DEFAULT_BY = "optimizer"


def home_page(fleet: Fleet, path: Sequence[str]) -> Page:
    """Make the page that a path beginning with ``@`` names; where nothing is to be seen yet, it says what is needed.

    Raises
    ------
    NotFoundError
        If there is no such page.
    """
    makers: dict[str, Callable[[Fleet, Sequence[str]], Page]] = {TRENDS: _trends, INSIGHTS: _insights, MONEY: _money}
    if path[0] not in makers:
        raise unknown("page", path[0], makers)
    try:
        return makers[path[0]](fleet, path)
    except JobError as exc:
        title = path[0].removeprefix("@").capitalize()
        return Page(path=list(path), title=title, crumbs=[], html=str(fill("<p>{}</p>", exc)), list=NOTHING, use="")


def _groupings(page: str, rest: Sequence[str] = ()) -> list[tuple[str, list[str]]]:
    return [(f"by {by}", [page, by, *rest]) for by in BY]


def _trends(fleet: Fleet, path: Sequence[str]) -> Page:
    by = path[1] if len(path) > 1 else _DEFAULT_BY
    html = fleet.trends(by).html()
    return Page(path=[TRENDS, by], title="Trends", crumbs=_groupings(TRENDS), html=str(html), list=NOTHING, use="")


def _money(fleet: Fleet, path: Sequence[str]) -> Page:
    by, value = [*path[1:], _DEFAULT_BY, ""][:2] if len(path) != 2 else [path[1], ""]  # noqa: PLR2004  page and grouping
    rest = [value] if value else []
    try:
        html = fleet.roi(value or None, by=by).html()
    except JobError:
        raise
    except SkillfleetError as exc:
        html = fill("<p role='alert'>{}</p>", exc)
    form = {"label": "a point is worth, over 1,000 answers", "value": value, "hint": "40 USD", "path": [MONEY, by]}
    return Page(path=[MONEY, by, *rest], title="Money", crumbs=_groupings(MONEY, rest), html=str(html), list=NOTHING,
                use="", form=form)  # fmt: skip


def _insights(fleet: Fleet, path: Sequence[str]) -> Page:
    said = fleet.insights(everything=len(path) > 1)
    if len(path) > 1:
        insight = said.find(path[1])
        if insight is None:
            raise unknown("insight", path[1], [one.id for one in said.insights])
        return _insight(fleet, insight)
    rows = [
        {"path": [INSIGHTS, one.id], "cells": [one.text, one.confidence, one.decision or "", as_typed(one.command)]}
        for one in said.insights
    ]
    listed = Listed(title="What the runs say, the surest first", header=["insight", "confidence", "decided", "next"],
                    rows=rows)  # fmt: skip
    below = fill("<p>{}</p>", said.below)
    return Page(path=[INSIGHTS], title="Insights", crumbs=[], html=str(below), list=listed, use="")


def _insight(fleet: Fleet, insight: Insight) -> Page:
    """Show the evidence of an insight: the runs it is about, each a row that leads to its page."""
    from skillfleet_nb.store import queries

    rows: list[dict[str, Any]] = []
    if insight.jobs:
        for job in queries.jobs(fleet.store, ids=insight.jobs).to_dict("records"):
            ends = points_change(job["test_delta_low"]), points_change(job["test_delta_high"])
            cells = [
                one_line(job["name"], _WIDE),
                job["optimizer"],
                f"{points_change(job['test_delta'])} [{', '.join(ends)}]",
            ]
            rows.append({"path": [job["job_id"]], "cells": cells})
    facts = fill(
        "<p>{}: {} runs, {} tasks; p = {:.2g} for all looks together</p><pre style='white-space:pre-wrap'>{}</pre>",
        insight.confidence, insight.runs, insight.tasks, insight.p_value, f"%%skillfleet sql\n{insight.query}",
    )  # fmt: skip
    acts = [
        Act(text=text, message={"do": "decide", "insight": insight.id, "decision": decision})
        for decision, text in _DECISIONS.items() if decision != insight.decision
    ]  # fmt: skip
    if insight.decision:
        acts.append(Act(text=f"Take back: {insight.decision}", message={"do": "decide", "insight": insight.id}))
    listed = Listed(title="Evidence", header=["job", "optimizer", "gain on test [95%]"], rows=rows)
    return Page(path=[INSIGHTS, insight.id], title=insight.text, crumbs=[("All insights", [INSIGHTS])], html=str(facts),
                list=listed, use="", acts=acts)  # fmt: skip
