"""Candidates of past runs, as the estimate of influence takes them."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from skillfleet_nb.data.influence import Candidate, matched
from skillfleet_nb.programs.state import predictor_states

if TYPE_CHECKING:
    from skillfleet_nb.data.rows import Rows
    from skillfleet_nb.store import Store

_CANDIDATES = """
    WITH scored AS (
        SELECT job_id, program_id, example_id, avg(coalesce(s.score, 0)) AS score
        FROM scores AS s JOIN trials AS t USING (job_id, trial) WHERE t.split = 'val' GROUP BY ALL
    ), compared AS (
        SELECT *, score - avg(score) OVER (PARTITION BY job_id, example_id) AS above FROM scored
    ), candidates AS (
        SELECT job_id, program_id, avg(above) AS score, count(*) AS n FROM compared GROUP BY ALL
    )
    SELECT c.job_id, any_value(p.instructions), any_value(p.state), c.score, c.n
    FROM candidates AS c JOIN programs AS p USING (job_id, program_id) WHERE p.n_demos > 0
    GROUP BY c.job_id, c.program_id, c.score, c.n ORDER BY c.job_id, c.program_id"""


def candidates(store: Store, rows: Rows) -> list[Candidate]:
    """Return the candidates of all runs that had examples of a set among their demos."""
    found = []
    for job, instructions, state, score, n in store.frame(_CANDIDATES).itertuples(index=False, name=None):
        demos = [d for p in predictor_states(json.loads(state)).values() for d in p.get("demos") or ()]
        found.append((job, instructions, demos, float(score), int(n)))
    every = iter(matched([d for _, _, demos, _, _ in found for d in demos], rows))
    told = []
    for job, instructions, demos, score, n in found:
        ids = frozenset(e for e in islice(every, len(demos)) if e is not None)
        told.append(Candidate((job, instructions), ids, len(demos), score, n))
    return [c for c in told if c.demos]
