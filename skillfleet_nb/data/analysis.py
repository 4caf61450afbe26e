"""From a training set to the report on it."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from functools import cache as once
from typing import TYPE_CHECKING, Any, Protocol

from skillfleet_nb.blobs import referred
from skillfleet_nb.data.dataset import MAX_ROWS, Dataset, lay_out, text_of
from skillfleet_nb.data.duplicates import NEAR, Pair, find_twins
from skillfleet_nb.data.findings import Bands, Judged, Likeness, Performer, Suspect
from skillfleet_nb.data.gaps import uncovered, underrepresented
from skillfleet_nb.data.geometry import VERSION, Geometry, measure
from skillfleet_nb.data.identity import content_hash, row_fields
from skillfleet_nb.data.influence import columns
from skillfleet_nb.data.load import picked, records
from skillfleet_nb.data.scoring import HIGH, LOW, RankWeights, score
from skillfleet_nb.data.splits import check_seed
from skillfleet_nb.data.suggestions import recommend
from skillfleet_nb.data.trainset_report import TrainsetReport
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from skillfleet_nb.data.duplicates import Twins
    from skillfleet_nb.data.example_history import ExampleHistory
    from skillfleet_nb.data.gaps import Gap, Region
    from skillfleet_nb.data.geometry import Floats
    from skillfleet_nb.data.influence import Influence
    from skillfleet_nb.data.roles import Roles

    Embed = Callable[[Sequence[str]], Floats]

_TOP = 10
_PROVENANCE = {"source", "split", "origin"}  # where a row comes from is no gap
_TRIED = 3  # times an example must have been tried before it counts as never solved


class Cache(Protocol):
    """Keeps arrays under a key."""

    def get(self, key: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Return what is kept, None where there is nothing."""

    def put(self, key: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep arrays."""


def analyze(
    data: object,
    *,
    embed: Embed,
    label: str | None = None,
    input_fields: Sequence[str] | None = None,
    roles: Sequence[Roles] = (),
    name: str = "train",
    weights: Mapping[str, Any] | RankWeights | None = None,
    past: Mapping[str, ExampleHistory] | None = None,
    ratings: Mapping[str, float] | None = None,
    relevance: Callable[[Dataset], Sequence[float]] | None = None,
    judge: Callable[[Dataset], Judged] | None = None,
    influence: Callable[[Dataset], Mapping[str, Influence]] | None = None,
    reference: object = None,
    test: object = None,
    target: Mapping[str, float] | None = None,
    expected: Mapping[str, Sequence[str]] | None = None,
    near: float = NEAR,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    cache: Cache | None = None,
) -> TrainsetReport:
    """Analyse a training set.

    Parameters
    ----------
    data, label, input_fields, roles, name, max_rows, seed
        The set, as :func:`~skillfleet_nb.data.dataset.lay_out` takes it.
    embed
        Turns texts into unit vectors, shape (len(texts), d).
    weights
        How components add up; what is not named keeps its default.
    past
        What runs came to, by example id.
    ratings
        Ratings by a person in [0, 1], by example id.
    relevance
        Tells how well each row fits the program, in [0, 1].
    judge
        Grades rows; asked last, when nothing else can fail.
    influence
        Estimates what examples did to scores as demos, by example id.
    reference
        Test or production inputs: texts, or rows with the set's input fields.  Only inputs are read.
    test
        Test rows: an example with the input of one is never selected.
    target
        Weight of each category the set should have; uniform by default.
    expected
        By field, the values there should be: one without a row is a gap too.
    near
        Cosine from which inputs are near-duplicates, in (0, 1].
    cache
        Keeps what embeddings tell about a set, so that a second analysis needs no model.

    Returns
    -------
    TrainsetReport
        Its ``examples`` has one row an example, best rank first.

    Raises
    ------
    InputError, NotFoundError
        If the set is empty or is none, or a field, weight or threshold is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> rows = [{"text": f"{w} {i}", "kind": w} for w in ("pay", "card") for i in range(6)]
    >>> report = analyze(rows, embed=lambda ts: np.array([[t[0] == "p", t[0] == "c"] for t in ts], np.float32), near=1)
    >>> report.total_examples, report.categories
    (12, {'pay': 6, 'card': 6})
    """
    if not 0 < near <= 1:
        raise InputError(f"near = {near!r}: give a cosine above 0 and up to 1, such as 0.95.")
    check_seed(seed)
    weights = RankWeights.of(weights)
    source = records(data, name)
    rows = lay_out(source, label=label, input_fields=input_fields, roles=roles, name=name, max_rows=max_rows, seed=seed)
    vectors = once(lambda: embedded(rows.texts, embed))
    geometry = _geometry(rows, vectors, embed, cache, seed)
    twins = find_twins(rows, geometry, near=near)
    gaps = _gaps(rows, target, {**(rows.roles.expected if rows.roles else {}), **(expected or {})})
    regions, sampled = _regions(reference, rows, geometry, vectors, embed, max_rows, seed)
    judged = judge(rows) if judge else None
    frame = score(
        rows,
        geometry,
        twins,
        weights=weights,
        past=past or {},
        ratings=ratings or {},
        relevance=relevance(rows) if relevance else None,
        grades=judged.grades if judged else None,
    ).assign(**columns(influence(rows) if influence else {}, rows.ids))
    order = (-frame["rank"].to_numpy()).argsort(kind="stable")
    report = _report(name, rows, frame, order, twins, gaps, regions, judged, sampled)
    return report.of(source, lambda: vectors()[order], _sealed(test, rows))


def embedded(texts: Sequence[str], embed: Embed) -> Floats:
    """Embed texts, short ones first: a batch takes as long as its longest text."""
    import numpy as np

    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    computed = np.asarray(embed([texts[i] for i in order]), np.float32)
    vectors = np.empty_like(computed)
    vectors[order] = computed
    return vectors


def _report(
    name: str,
    rows: Dataset,
    frame: pd.DataFrame,
    order: NDArray[np.intp],
    twins: Twins,
    gaps: list[Gap],
    regions: list[Region],
    judged: Judged | None,
    sampled: list[str],
) -> TrainsetReport:
    """Put the report together from scored rows and what was found of them."""
    low, poor = (frame[frame[c] < LOW].sort_values([c, "row"])["row"].tolist() for c in ("quality", "judged"))
    high = int((frame["quality"] >= HIGH).sum())
    never = frame.loc[(frame["trials"] >= _TRIED) & (frame["solved"] == 0), "row"].tolist()
    harmful = frame[frame["influence_high"] < 0].sort_values(["influence", "row"])["row"].tolist()
    conflicts, duplicates = ([_alike(p, rows) for p in pairs] for pairs in (twins.conflicts, twins.duplicates))
    suspects = _suspects(frame)
    counts = Counter(c for c in rows.categories if c is not None)
    single = [category for category, n in counts.items() if n == 1]
    singles = {rows.category_field or "label": single} if single else {}
    ranked = frame.iloc[order].reset_index(drop=True)
    return TrainsetReport(
        name=name,
        total_examples=rows.total,
        analysed=len(rows),
        quality_distribution=Bands(high=high, medium=len(rows) - high - len(low), low=len(low)),
        top_performers=_best(ranked, rows),
        underrepresented=gaps,
        uncovered=regions,
        recommendations=recommend(
            low=low,
            poor=poor,
            gaps=gaps,
            regions=regions,
            conflicts=conflicts,
            duplicates=duplicates,
            suspects=suspects,
            never_solved=never,
            harmful=harmful,
            singles=singles,
        ),
        conflicts=conflicts,
        duplicates=duplicates,
        suspects=suspects,
        never_solved=never,
        singles=singles,
        facets=rows.facets(),
        label=rows.label,
        inputs=list(rows.inputs),
        categories=dict(counts.most_common()),
        runs=int((frame["runs"] > 0).sum()),
        judge=judged,
        notes=[*rows.notes, *sampled],
        examples=ranked,
    )


def _geometry(rows: Dataset, vectors: Callable[[], Floats], embed: Embed, cache: Cache | None, seed: int) -> Geometry:
    key = content_hash([VERSION, getattr(embed, "fingerprint", ""), seed, rows.ids, rows.texts, rows.labels])
    kept = cache.get(key) if cache is not None else None
    if kept is not None:
        with suppress(TypeError):
            return Geometry.of_arrays(kept)
    geometry = measure(vectors(), rows.labels, seed=seed)
    if cache is not None:
        cache.put(key, geometry.arrays())
    return geometry


def _gaps(rows: Dataset, target: Mapping[str, float] | None, expected: Mapping[str, Sequence[str]]) -> list[Gap]:
    """Find the categories, and the values of other short fields, that have too few rows."""
    seen = {rows.category_field or "label": list(rows.categories)}
    others = {*rows.facets(), *(f for f in expected if f in rows.fields)} - {*seen, *rows.inputs, *_PROVENANCE}
    seen |= {f: [_str(v.get(f)) for v in rows.contents] for f in rows.fields if f in others}
    gaps = []
    for place, (field, values) in enumerate(seen.items()):
        wanted = dict.fromkeys([*expected.get(field, ()), *(v for v in values if v is not None)], 1.0)
        gaps += underrepresented(values, field, target if place == 0 and target is not None else wanted or None)
    return gaps


def _regions(
    reference: object,
    rows: Dataset,
    geometry: Geometry,
    vectors: Callable[[], Floats],
    embed: Embed,
    most: int,
    seed: int,
) -> tuple[list[Region], list[str]]:
    """Find the regions of the reference that no example is near, and what to note of it."""
    if reference is None:
        return [], []
    texts, notes = _reference(reference, rows, most, seed)
    nearest = geometry.similarities[:, 0] if len(rows) > 1 else geometry.similarities.ravel()
    return uncovered(vectors(), nearest, embedded(texts, embed), texts), notes


def _reference(reference: object, rows: Dataset, most: int, seed: int) -> tuple[list[str], list[str]]:
    """Return the texts of the reference's inputs, of many a random sample, and what to note of them."""
    every = records(reference, "reference")
    numbers: Sequence[int] = range(len(every))
    notes = []
    if len(every) > most:
        numbers = sorted(random.Random(seed).sample(numbers, most))
        notes.append(f"{most:,} of {len(every):,} inputs of the reference were looked at, drawn at random")
    texts = []
    for number, row in zip(numbers, picked(every, numbers), strict=True):
        if isinstance(row, str):
            texts.append(row)
            continue
        fields = row_fields(row)
        if absent := [f for f in rows.inputs if f not in fields]:
            raise InputError(
                f"reference row {number} has no input {absent[0]!r} (its fields: {', '.join(fields) or 'none'}): "
                "give texts, or rows with the inputs of the set."
            )
        texts.append(text_of({f: fields[f] for f in rows.inputs}))
    if not texts:
        raise InputError("reference is empty: give inputs to compare the set with, or leave it out.")
    return texts, notes


def _sealed(test: object, rows: Dataset) -> set[str]:
    """Return the ids of rows with the input of a test row."""
    if test is None:
        return set()
    inputs = ({f: v for f, v in row_fields(row).items() if f in rows.inputs} for row in records(test, "test"))
    hashes = {content_hash(i) for i in inputs}
    return {i for i, key in zip(rows.ids, rows.input_ids, strict=True) if key in hashes}


def _alike(pair: Pair, rows: Dataset) -> Likeness:
    return Likeness(
        rows=tuple(rows.numbers[i] for i in pair.rows),
        labels=tuple(rows.labels[i] for i in pair.rows),
        similarity=pair.similarity,
        exact=pair.exact,
        text=one_line(rows.texts[pair.rows[0]]),
    )


def _suspects(frame: pd.DataFrame) -> list[Suspect]:
    suspects = frame[frame["suspect"]].sort_values("suspicion", ascending=False, kind="stable")
    shown = ["row", "label", "suggested", "suspicion", "text"]
    return [
        Suspect(row=int(row), label=label, suggested=suggested, suspicion=float(suspicion), text=one_line(text))
        for row, label, suggested, suspicion, text in suspects[shown].itertuples(index=False)
    ]


def _best(ranked: pd.DataFrame, rows: Dataset) -> list[Performer]:
    """Return the best examples, by their title where the set has one, else by their text."""
    title = rows.roles.title if rows.roles else ""
    names = {row: str(v[title]) for row, v in zip(rows.numbers, rows.contents, strict=True) if v.get(title)}
    return [
        Performer(name=names.get(row) or one_line(text), score=float(rank), row=int(row))
        for row, rank, text in zip(ranked["row"][:_TOP], ranked["rank"][:_TOP], ranked["text"][:_TOP], strict=True)
    ]


def _str(value: object) -> str | None:
    return None if value is None else referred(str(value))
