"""Candidates of past runs, as the estimate of influence takes them."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from skillfleet_nb.data.influence import DemoSet, matched
from skillfleet_nb.programs.state import predictor_states
from skillfleet_nb.store import queries
from skillfleet_nb.store.blobs import Blobs

if TYPE_CHECKING:
    from skillfleet_nb.data.dataset import Dataset
    from skillfleet_nb.store import Store


def candidates(store: Store, rows: Dataset) -> list[DemoSet]:
    """Return the candidates of all runs that had examples of a set among their demos."""
    tried, blobs = [], Blobs(store.home)
    for job, instructions, state, score, n in queries.programs_with_demos(store).itertuples(index=False, name=None):
        demos = [d for p in predictor_states(json.loads(blobs.put_back(state))).values() for d in p.get("demos") or ()]
        tried.append((job, instructions, demos, float(score), int(n)))
    every = iter(matched([d for _, _, demos, _, _ in tried for d in demos], rows))
    kept = []
    for job, instructions, demos, score, n in tried:
        ids = frozenset(e for e in islice(every, len(demos)) if e is not None)
        kept.append(DemoSet((job, instructions), ids, len(demos), score, n))
    return [c for c in kept if c.demos]
