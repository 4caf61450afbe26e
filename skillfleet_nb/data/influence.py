"""What an example does to a program's score as a demo: an estimate from the candidates of past runs.

Optimizers that draw demos at random score many subsets of the training set.  As in data models (Ilyas
et al. 2022), the score is regressed on which examples were in the subset, so that an example's
coefficient estimates its leave-one-out influence: how much the mean validation score rises when it
joins the demos.  No call is made for it.  Candidates are compared with those of the same run and the
same instructions, and how many demos they have is taken out.  The regression is a Bayesian ridge
(MacKay 1992): with few candidates the estimates shrink towards 0 and their intervals are wide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.data.identity import content_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.data.dataset import Dataset

    Floats = NDArray[np.float64]

FEWEST = 8
"""Candidates that must be comparable before anything is estimated."""

_LEAST = 2  # comparable candidates that must have an example, and that must lack it
_MOST = 500  # examples estimated: those that occur most
_SURE = 1.96  # standard deviations of a 95 % interval


@dataclass(frozen=True)
class DemoSet:
    """The demos of a program that was scored, and its score.

    Attributes
    ----------
    run
        What it is compared within: a run, and instructions.
    demos
        Ids of the examples among its demos.
    size
        Number of its demos, those of other sets included.
    score
        Its mean score on validation, less that of all candidates on the same examples.
    weight
        Validation examples it was scored on.
    """

    run: Hashable
    demos: frozenset[str]
    size: int
    score: float
    weight: int


@dataclass(frozen=True)
class Influence:
    """Estimated change of the mean validation score, in [-1, 1], with a 95 % interval.

    `candidates` is how many had the example among their demos.
    """

    effect: float
    low: float
    high: float
    candidates: int


def estimate(candidates: Sequence[DemoSet]) -> dict[str, Influence]:
    """Estimate the influence of every example that was a demo of some candidates and not of others.

    Parameters
    ----------
    candidates
        Of any number of runs.

    Returns
    -------
    dict
        By example id; empty where fewer than eight candidates can be compared.

    Examples
    --------
    >>> runs = [DemoSet("a", frozenset(d), 2, s, 50) for d, s in [("xy", 0.1), ("xz", 0.1), ("yz", -0.2)] * 4]
    >>> found = estimate(runs)
    >>> found["x"].effect > found["y"].effect, found["x"].low > 0
    (True, True)
    """
    import numpy as np
    from sklearn.linear_model import BayesianRidge

    runs = Counter(c.run for c in candidates if c.demos)
    compared = [c for c in candidates if c.demos and runs[c.run] > 1]
    counts = Counter(e for c in compared for e in c.demos)
    some = [e for e, n in counts.most_common(_MOST) if _LEAST <= n <= len(compared) - _LEAST]
    if len(compared) < FEWEST or not some:
        return {}
    place = {e: i for i, e in enumerate(some)}
    table = np.zeros((len(compared), len(some) + 2))  # the examples, how many demos, the score
    for row, candidate in enumerate(compared):
        table[row, [place[e] for e in candidate.demos if e in place]] = 1
        table[row, -2:] = candidate.size, candidate.score
    weights = np.array([c.weight for c in compared], float)
    table = _within(table, [c.run for c in compared], weights)
    size = table[:, -2]
    if (spread := float(size @ (weights * size))) > 0:
        table -= np.outer(size, (weights * size) @ table / spread)
    varied = np.flatnonzero((table[:, :-2] ** 2).sum(axis=0) > 1e-9)  # noqa: PLR2004  beside rounding
    if not len(varied):
        return {}
    model = BayesianRidge(fit_intercept=False)
    model.fit(table[:, varied], table[:, -1], sample_weight=weights / weights.mean())
    errors = _SURE * np.sqrt(np.maximum(np.diag(model.sigma_), 0))
    return {
        some[i]: Influence(float(b), float(b - error), float(b + error), counts[some[i]])
        for i, b, error in zip(varied, model.coef_, errors, strict=True)
    }


def columns(influences: Mapping[str, Influence], ids: Sequence[str]) -> dict[str, Any]:
    """Lay estimates out by row: `influence`, `influence_low`, `influence_high` (NaN where unknown), `as_demo`."""
    import numpy as np

    none = Influence(np.nan, np.nan, np.nan, 0)
    rows = [influences.get(i, none) for i in ids]
    return {
        "influence": [r.effect for r in rows],
        "influence_low": [r.low for r in rows],
        "influence_high": [r.high for r in rows],
        "as_demo": [r.candidates for r in rows],
    }


def matched(demos: Iterable[Mapping[str, Any]], rows: Dataset) -> list[str | None]:
    """Find the example that each demo was made from: by all its fields, else by its inputs.

    Parameters
    ----------
    demos
        Fields of demos, as a program's state has them.  A bootstrapped one has outputs of its own.
    rows
        The set.

    Returns
    -------
    list of str or None
        Example ids; None where there is none, or inputs that several examples share leave it open.
    """
    indexes: dict[frozenset[str], dict[str, str | None]] = {}

    def lookup(fields: Mapping[str, Any], names: Collection[str]) -> str | None:
        key = frozenset(names)
        if not key:
            return None
        if key not in indexes:
            ids: dict[str, set[str]] = defaultdict(set)
            for example, content in zip(rows.ids, rows.contents, strict=True):
                ids[content_hash({k: content.get(k) for k in key})].add(example)
            indexes[key] = {h: next(iter(i)) if len(i) == 1 else None for h, i in ids.items()}
        return indexes[key].get(content_hash({k: fields[k] for k in key}))

    matches = []
    for demo in demos:
        fields = {k: v for k, v in demo.items() if k in rows.fields}
        whole = lookup(fields, fields) if len(fields) == len(rows.fields) else None
        matches.append(whole or lookup(fields, [k for k in fields if k in rows.inputs]))
    return matches


def _within(table: Floats, runs: Sequence[Hashable], weights: Floats) -> Floats:
    """Take the weighted mean of its run out of every row."""
    import numpy as np

    by_run: dict[Hashable, list[int]] = defaultdict(list)
    for i, run in enumerate(runs):
        by_run[run].append(i)
    centred = table.copy()
    for rows in by_run.values():
        centred[rows] -= np.average(table[rows], axis=0, weights=weights[rows])
    return centred
