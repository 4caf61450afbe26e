"""What is known of examples, over all jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store.store import Store


def example_history(store: Store) -> pd.DataFrame:
    """Rows of ``example_history``, each example's runs in order."""
    return store.frame("FROM example_history ORDER BY example_id, run")


def ratings(store: Store) -> dict[str, float]:
    """What people rated, by example id."""
    frame = store.frame("SELECT DISTINCT example_id, rating FROM examples WHERE rating IS NOT NULL")
    return {str(e): float(r) for e, r in frame.itertuples(index=False, name=None)}


def grades(store: Store, judge: str) -> dict[str, tuple[float, str]]:
    """What a judge graded and why, by example id; `judge` is the key it records its grades under."""
    frame = store.frame(
        "SELECT payload->>'example_id' AS id, (payload->>'grade')::DOUBLE AS grade, payload->>'reason' AS reason "
        "FROM events WHERE kind = 'judged' AND payload->>'judge' = ? ORDER BY \"at\"",
        [judge],
    )
    return {str(i): (float(g), str(r)) for i, g, r in frame.itertuples(index=False, name=None)}


def last_analysis(store: Store, dataset: str) -> str | None:
    """The key of what the last analysis of a data set came to; None where it was never analysed."""
    frame = store.frame(
        "SELECT arg_max(payload->>'key', events.at) AS key FROM events "
        "WHERE kind = 'examples' AND payload->>'dataset' = ?",
        [dataset],
    )
    return next(iter(frame["key"].dropna()), None)
