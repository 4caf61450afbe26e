"""Skills that jobs created."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store.store import Store


def skill_paths(store: Store) -> pd.DataFrame:
    """How often each way to a skill was taken, and what came of it, the cheapest way first.

    Columns: `path`, `skills`, and of them the means `score`, `complexity`, `seconds`, `calls`, `cost_usd` (None where a
    price is unknown), the share `flawless` without a finding, and `seconds_saved` in all.
    """
    return store.frame(
        """
        SELECT path, count(*) AS skills, avg(score) AS score, avg(complexity) AS complexity, avg(seconds) AS seconds,
            avg(calls) AS calls, CASE WHEN count(cost_usd) = count(*) THEN avg(cost_usd) END AS cost_usd,
            avg((len(findings) = 0)::INTEGER) AS flawless, sum(seconds_saved) AS seconds_saved
        FROM skill_paths GROUP BY path ORDER BY list_position(['fast', 'normal', 'expert'], path)"""
    )
