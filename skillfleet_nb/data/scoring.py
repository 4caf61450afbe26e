r"""How good an example is: components in [0, 1], and one rank made of them.

=============  ==================================================================================
component      formula
=============  ==================================================================================
completeness   share of the set's fields that say something (see ``dataset.is_blank``)
length         1 inside the fences of the log length, ``exp(-excess / IQR)`` outside; the fences are
               Tukey's, 1.5 IQR beyond the quartiles
label_fit      probability of the given label over the likeliest one's (``geometry``); 0 where the
               same input has another label too
uniqueness     1 for the first of its kind, 0 for an exact repeat, and for a near-duplicate of cosine
               s above the threshold t ``(1 - s) / (1 - t)``
clarity        where the kind of set says how (see ``roles``): share of its checks on form that hold
practice       likewise: share of the signs of use
judged         where a model was asked to judge: mean of its three answers, yes 1, partly 0.5, no 0
=============  ==================================================================================

Quality is their weighted mean, over the components a row has; where a model judged some rows, the
others count with the mean of its grades, or being asked would be a drawback.  A rating by a person
counts half.
Of past runs come a moving average of quality (0.8 old, 0.2 new) and of success (0.9, 0.1), see
``history``.  Without any, success is 0.5: an unseen example is not known to be good.  Then::

    rank = min(1, category weight * (0.6 quality + 0.4 success) * relevance + bonus * diversity)

with relevance 1 where nothing was asked of it, and diversity ``1 - mean cosine`` to the 5 nearest.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.data.dataset import is_blank
from skillfleet_nb.data.example_history import PRIOR, ExampleHistory, moved
from skillfleet_nb.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from skillfleet_nb.data.dataset import Dataset
    from skillfleet_nb.data.duplicates import Twins
    from skillfleet_nb.data.geometry import Geometry

    Column = NDArray[np.float64]

HIGH, LOW = 0.8, 0.5
"""Quality is high from 0.8, low below 0.5, medium between."""

_NEAR = 5  # neighbours that decide how much a row adds
_LEAST_IQR = 0.1  # of the log length: or in a set of equal lengths one letter more would be an outlier


@dataclass(frozen=True)
class RankWeights:
    """How components add up; every number is from 0, and only proportions within a group count.

    `quality` and `success` make the rank; `bonus` is what diversity can add to it; `categories`
    multiplies the rank of a category's rows (1 where it is not named).
    """

    completeness: float = 0.3
    length: float = 0.15
    label_fit: float = 0.4
    uniqueness: float = 0.15
    clarity: float = 0.2
    practice: float = 0.2
    judged: float = 0.4
    quality: float = 0.6
    success: float = 0.4
    bonus: float = 0.1
    categories: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {k: v for k, v in asdict(self).items() if k != "categories"} | dict(self.categories)
        for name, value in named.items():
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise InputError(f"weight {name} = {value!r}: give a number from 0.")
        if self.quality + self.success == 0 or not any(named[c] for c in COMPONENTS):
            raise InputError("all weights are 0: leave at least one above it.")

    @classmethod
    def of(cls, weights: Mapping[str, Any] | RankWeights | None) -> RankWeights:
        """Make weights of what a person gives: those not named keep their defaults.

        Examples
        --------
        >>> RankWeights.of({"label_fit": 1.0}).label_fit
        1.0
        """
        if isinstance(weights, RankWeights):
            return weights
        for name in weights or ():
            if name not in cls.__dataclass_fields__:
                raise unknown("weight", name, cls.__dataclass_fields__)
        return replace(cls(), **dict(weights or {}))


COMPONENTS = ("completeness", "length", "label_fit", "uniqueness", "clarity", "practice", "judged")
"""Components of quality, in the order they are shown."""


def score(
    rows: Dataset,
    geometry: Geometry,
    twins: Twins,
    *,
    weights: RankWeights,
    past: Mapping[str, ExampleHistory],
    ratings: Mapping[str, float],
    relevance: Sequence[float] | None = None,
    grades: Mapping[str, tuple[float, str]] | None = None,
) -> pd.DataFrame:
    """Score every row.

    Parameters
    ----------
    rows, geometry, twins
        The set, laid out and measured.
    weights
        How components add up.
    past
        What runs came to, by example id.
    ratings
        Ratings by a person in [0, 1], by example id.
    relevance
        In [0, 1], one a row.
    grades
        What a model judged, by example id: a grade in [0, 1], and why.

    Returns
    -------
    pandas.DataFrame
        One row an example: `row` (its number in the set given), `example_id`, `text`, `label`,
        `category`, the components (NaN where one does not apply), `judged_why`, `intrinsic` (their mean,
        before runs and ratings), `quality`, `success`, `runs`, `trials`, `solved`, `relevance`,
        `diversity`, `rating`, `suspicion`, `suspect`, `suggested`, `rank`, `x`, `y`, `characters`.
    """
    import numpy as np
    import pandas as pd

    n = len(rows)
    grades = grades or {}
    columns = _components(rows, geometry, twins)
    columns["judged"] = np.array([grades[i][0] if i in grades else np.nan for i in rows.ids], float)
    quality = _weighted(columns, weights)
    rated = np.array([ratings.get(i, np.nan) for i in rows.ids], float)
    runs = [past.get(i) for i in rows.ids]
    intrinsic = quality
    quality = np.array([moved(float(q), p.quality_seen, 0.2) if p else q for q, p in zip(quality, runs, strict=True)])
    quality = np.where(np.isnan(rated), quality, (quality + rated) / 2)
    success = np.array([moved(PRIOR, p.success_seen, 0.1) if p else PRIOR for p in runs])
    relevant = np.ones(n) if relevance is None else np.asarray(relevance, float)
    diversity = 1 - np.clip(geometry.similarities[:, :_NEAR].mean(axis=1) if n > 1 else np.zeros(n), 0, 1)
    shares = np.array([weights.quality, weights.success]) / (weights.quality + weights.success)
    factor = np.array([weights.categories.get(c, 1.0) if c is not None else 1.0 for c in rows.categories])
    rank = np.minimum(1.0, factor * (shares[0] * quality + shares[1] * success) * relevant + weights.bonus * diversity)
    names = sorted({v for v in rows.labels if v is not None})
    return pd.DataFrame(
        {
            "row": list(rows.numbers),
            "example_id": list(rows.ids),
            "text": list(rows.texts),
            "label": pd.Series(list(rows.labels), dtype=object),
            "category": pd.Series(list(rows.categories), dtype=object),
            **columns,
            "judged_why": pd.Series([grades[i][1] if i in grades else None for i in rows.ids], dtype=object),
            "intrinsic": intrinsic,
            "quality": quality,
            "success": success,
            "runs": [p.runs if p else 0 for p in runs],
            "trials": [p.trials if p else 0 for p in runs],
            "solved": [p.solved if p else np.nan for p in runs],
            "relevance": relevant,
            "diversity": diversity,
            "rating": rated,
            "suspicion": geometry.suspicion.astype(float),
            "suspect": geometry.suspect,
            "suggested": pd.Series([names[s] if s >= 0 else None for s in geometry.suggested], dtype=object),
            "rank": rank,
            "x": geometry.place[:, 0],
            "y": geometry.place[:, 1],
            "characters": [len(t) for t in rows.texts],
        }
    )


def relevance_to(
    rows: Dataset,
    inputs: Sequence[str],
    outputs: Mapping[str, Sequence[str] | None],
    wanted: Mapping[str, str] | None = None,
) -> list[float]:
    """Tell how well each row fits a program.

    Parameters
    ----------
    rows
        The set.
    inputs
        The program's input fields.
    outputs
        Its output fields, each with the values it may take, None where any will do.
    wanted
        Values wanted, by field: a row that has another counts half.

    Returns
    -------
    list of float
        Share of these fields that the row fills with a value they may take.  A program's outputs
        that no row has, such as a reasoning, are not asked for.
    """
    present = {k: v for k, v in outputs.items() if k in rows.fields}
    asked = [*inputs, *present]
    shares = []
    for values in rows.contents:
        fits = [not is_blank(values.get(f)) for f in inputs]
        fits += [
            not is_blank(values.get(f)) and (allowed is None or str(values[f]) in allowed)
            for f, allowed in present.items()
        ]
        share = sum(fits) / len(asked) if asked else 1.0
        as_wanted = all(values.get(field) == value for field, value in (wanted or {}).items())
        shares.append(share if as_wanted else share / 2)
    return shares


def _components(rows: Dataset, geometry: Geometry, twins: Twins) -> dict[str, Column]:
    import numpy as np

    n = len(rows)
    full = [sum(not is_blank(v.get(f)) for f in rows.fields) / len(rows.fields) for v in rows.contents]
    label = geometry.agreement.astype(float)
    for conflict in twins.conflicts:
        if conflict.exact:
            label[list(conflict.rows)] = 0.0
    missing = [rows.label is not None and v is None for v in rows.labels]
    label[missing] = 0.0
    none = np.full(n, np.nan)
    return {
        "completeness": np.array(full),
        "length": _lengths([len(t) for t in rows.texts]),
        "label_fit": label,
        "uniqueness": np.array(twins.uniqueness),
        "clarity": np.array([rows.roles.clarity(v) for v in rows.contents]) if rows.roles else none,
        "practice": np.array([rows.roles.practice(v) for v in rows.contents]) if rows.roles else none,
    }


def _lengths(characters: Sequence[int]) -> Column:
    import numpy as np

    logs = np.log1p(np.asarray(characters, float))
    low, high = np.quantile(logs, [0.25, 0.75])
    spread = max(float(high - low), _LEAST_IQR)
    excess = np.maximum(0, np.maximum(low - 1.5 * spread - logs, logs - high - 1.5 * spread))
    scores: Column = np.exp(-excess / spread)
    return np.where(np.asarray(characters) == 0, 0.0, scores)


def _weighted(columns: Mapping[str, Column], weights: RankWeights) -> Column:
    import numpy as np

    table = np.column_stack([columns[c] for c in COMPONENTS])
    judged = table[:, COMPONENTS.index("judged")]
    if not np.isnan(judged).all():
        judged[np.isnan(judged)] = np.nanmean(judged)  # a view: the column of the table
    each = np.array([getattr(weights, c) for c in COMPONENTS])
    there = np.where(np.isnan(table), 0.0, each)
    total = there.sum(axis=1)
    means: Column = np.divide(
        (np.nan_to_num(table) * there).sum(axis=1), total, out=np.zeros(len(table)), where=total > 0
    )
    return means
