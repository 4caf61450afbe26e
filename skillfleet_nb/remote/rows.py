"""Rows that a server sends, as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from skillfleet_nb.remote.connection import Connection

_PAGE = 1000


def all_rows(connection: Connection, path: str, **query: object) -> pd.DataFrame:
    """Return the rows of all pages."""
    page = connection.get(path, limit=_PAGE, **query)
    rows = list(page["rows"])
    while len(rows) < page["total"] and page["rows"]:
        page = connection.get(path, limit=_PAGE, offset=len(rows), **query)
        rows += page["rows"]
    return frame({**page, "rows": rows})


def frame(table: Mapping[str, Any]) -> pd.DataFrame:
    """Make a frame of rows that were sent, times in UTC."""
    import pandas as pd

    made = pd.DataFrame(table["rows"], columns=table["columns"])
    for name in made.columns:
        if str(name).endswith("_at") or name == "at":
            made[name] = pd.to_datetime(made[name], utc=True, format="ISO8601")
    return made
