"""Routes about the home as a whole: questions in SQL."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from skillfleet_nb.server.answers import columns, records
from skillfleet_nb.server.route import Answer, Asked, Call, route


class Query(Asked):
    """A question in SQL."""

    query: str = Field(min_length=1, max_length=100_000, description="one statement that only reads")
    parameters: dict[str, Any] = Field(default_factory=dict, description="values by name, for `:name` in it")
    rows: int | None = Field(
        default=None, ge=1, le=10**9, description="rows at most; the server has a limit of its own"
    )


class Answered(Answer):
    """What a query answers."""

    columns: list[str]
    rows: list[dict[str, Any]]
    truncated: bool


@route("POST", "sql", "ask anything of the recorded facts; it only reads", "read", takes=Query, gives=Answered)
def _sql(c: Call[Query]) -> object:
    limits = c.fleet.settings.serving
    most = min(limits.sql_rows, c.asked.rows or limits.sql_rows)
    frame = c.fleet.sql(c.asked.query, c.asked.parameters, seconds=limits.sql_seconds, rows=most + 1)
    return Answered(columns=columns(frame), rows=records(frame.iloc[:most]), truncated=len(frame) > most)
