"""What advice goes by, and what it recommended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from skillfleet_nb.store.store import Store


@dataclass(frozen=True)
class Experience:
    """What a home has seen that advice on a task goes by.

    Attributes
    ----------
    runs
        Completed jobs, oldest first, as rows of ``recommendations``; costs are those without DSPy's cache.
    landmarks
        Those of data sets, by the key of their task.
    probed, headroom
        What was last measured of the task itself; None where it was not.
    """

    runs: tuple[Mapping[str, Any], ...]
    landmarks: Mapping[str, Mapping[str, Any]]
    probed: Mapping[str, Any] | None
    headroom: Mapping[str, Any] | None


def experience(store: Store, task: str) -> Experience:
    """Everything that advice on a task goes by, in one question; `task` is its key."""
    frame = store.frame(
        """
        WITH measured AS (
            SELECT kind, payload,
                row_number() OVER (PARTITION BY kind, payload->>'key' ORDER BY events."at" DESC) AS newest
            FROM events WHERE kind = 'landmarks' OR (kind IN ('probed', 'headroom') AND payload->>'key' = ?)
        )
        SELECT kind, payload::VARCHAR AS body FROM measured WHERE newest = 1
        UNION ALL
        SELECT 'run', to_json(r)::VARCHAR FROM (
            FROM recommendations WHERE job_id IS NOT NULL AND state = 'completed' ORDER BY "at"
        ) AS r""",
        [task],
    )
    facts = [(str(kind), json.loads(body)) for kind, body in frame.itertuples(index=False, name=None)]
    measured = {kind: body for kind, body in facts if kind in {"probed", "headroom"}}
    return Experience(
        runs=tuple(body for kind, body in facts if kind == "run"),
        landmarks={body.pop("key"): body for kind, body in facts if kind == "landmarks"},
        probed=measured.get("probed"),
        headroom=measured.get("headroom"),
    )


def recommendations(store: Store) -> pd.DataFrame:
    """Rows of ``recommendations``."""
    return store.frame("FROM recommendations")


def is_recommended(store: Store, recommendation_id: str) -> bool:
    """Whether a recommendation is recorded."""
    return not store.frame(
        "SELECT 1 FROM recommendations WHERE id = ? AND recommended IS NOT NULL", [recommendation_id]
    ).empty
