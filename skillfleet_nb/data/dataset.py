"""A data set laid out for analysis: identities, labels, categories and texts, row by row.

Unlike a run, which refuses a set that is not fit, an analysis takes what there is: rows of mixed
shape, missing labels and values that are no text.  What it had to put up with is told in `notes`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.blobs import referred
from skillfleet_nb.data.identity import canonical_json, content_hash, example_id, own_inputs, row_fields
from skillfleet_nb.data.labels import find_label, label_text
from skillfleet_nb.data.load import picked, records
from skillfleet_nb.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from skillfleet_nb.data.roles import Roles

MAX_ROWS = 20_000  # rows analysed; of a larger set a random sample
_MAX_FACET = 20  # values of a field that is counted by value
_BRIEF = 70
_BLANK = re.compile(r"^[\W_]*$|^(n/?a|none|null|nan|todo|tbd|unknown|\?+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Dataset:
    """`n` rows laid out for analysis; every sequence but `fields` and `notes` has one entry a row.

    Attributes
    ----------
    numbers
        Number of each row in the set that was given, from 0.
    ids
        :func:`~skillfleet_nb.data.identity.example_id` of each.
    input_ids
        Content hash of the inputs alone: equal inputs with different outputs conflict.
    contents
        All fields of each row, missing values as None.
    texts
        The inputs as one text, which is what is embedded.
    labels
        The label as text, None where it is missing or the set has none.
    categories
        What rows are balanced by: the label, or what the roles of the columns say.
    fields, inputs, label, category_field
        Names of all fields, of the inputs, of the label, and of what the categories are taken from.
    roles
        What the columns mean, where the set is of a kind that is known.
    total
        Rows in the set that was given; more than `n` where it was sampled.
    notes
        What was odd, in words.
    """

    numbers: tuple[int, ...]
    ids: tuple[str, ...]
    input_ids: tuple[str, ...]
    contents: tuple[dict[str, Any], ...]
    texts: tuple[str, ...]
    labels: tuple[str | None, ...]
    categories: tuple[str | None, ...]
    fields: tuple[str, ...]
    inputs: tuple[str, ...]
    label: str | None
    category_field: str | None
    roles: Roles | None
    total: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def facets(self) -> dict[str, dict[str, int]]:
        """Count the values of each short field that has at most 20 of them, such as style and source."""
        facets = {}
        for field in self.fields:
            values = [v[field] for v in self.contents if isinstance(v.get(field), str | bool)]
            counts = Counter(str(v) for v in values)
            if 1 < len(counts) <= _MAX_FACET and len(values) >= 2 * len(counts):
                facets[field] = dict(counts.most_common())
        return facets


def lay_out(
    data: object,
    *,
    label: str | None = None,
    input_fields: Sequence[str] | None = None,
    roles: Iterable[Roles] = (),
    name: str = "train",
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> Dataset:
    """Lay out a data set for analysis.

    Parameters
    ----------
    data
        What :func:`~skillfleet_nb.data.to_examples` takes: mappings, examples, a frame, an
        Arrow table or a `datasets.Dataset`.
    label
        The output to check and to balance on; without it, the set's label (see `data.labels`).
    input_fields
        The inputs of rows that do not say; by default those of the set's roles, else all fields but
        the label.
    roles
        What the columns of kinds of sets mean; the first whose columns are all there counts.
    name
        What to call the set in messages.
    max_rows, seed
        Of a larger set a random sample of so many rows is analysed.

    Raises
    ------
    InputError
        If the set is empty, or no set of examples.
    NotFoundError
        If no row has the label, with the nearest field; or an input field.

    Examples
    --------
    >>> rows = lay_out([{"text": "hi", "intent": "greet"}, {"text": "bye", "intent": None}], label="intent")
    >>> rows.texts, rows.labels
    (('hi', 'bye'), ('greet', None))
    """
    if max_rows < 1:
        raise InputError(f"max_rows = {max_rows}: give a whole number from 1.")
    every = records(data, name)
    if len(every) == 0:
        raise InputError(f"{name} is empty: give at least one example.")
    numbers = _drawn(len(every), max_rows, seed)
    notes = []
    if len(every) > max_rows:
        notes.append(f"{max_rows:,} of {len(every):,} rows were analysed, drawn at random (seed {seed})")
    chosen = picked(every, numbers)
    values = [_filled(row_fields(row)) for row in chosen]
    fields = tuple(dict.fromkeys(f for v in values for f in v))
    kind = next((r for r in roles if r.recognised_by <= set(fields)), None)
    own = input_fields or own_inputs(chosen[0]) or (kind.inputs if kind else None)
    labelled = values
    if label is None and len(values) < min(len(every), MAX_ROWS):  # a small sample has few rows of each value
        labelled = [_filled(row_fields(row)) for row in picked(every, _drawn(len(every), MAX_ROWS, seed))]
    chosen_label, inputs = _label_and_inputs(labelled, fields, label, own)
    notes += _oddities(values, fields, chosen_label)
    split = [({f: v[f] for f in v if f in inputs}, {f: v[f] for f in v if f not in inputs}) for v in values]
    labels = tuple(_text_or_none(v.get(chosen_label)) if chosen_label else None for v in values)
    balanced = kind if label is None else None
    return Dataset(
        numbers=tuple(numbers),
        ids=tuple(example_id(i, o) for i, o in split),
        input_ids=tuple(content_hash(i) for i, _ in split),
        contents=tuple(values),
        texts=tuple(text_of(i) for i, _ in split),
        labels=labels,
        categories=tuple(map(balanced.category, values)) if balanced else labels,
        fields=fields,
        inputs=inputs,
        label=chosen_label,
        category_field=balanced.category_field if balanced else chosen_label,
        roles=kind,
        total=len(every),
        notes=tuple(notes),
    )


def text_of(inputs: Mapping[str, Any]) -> str:
    r"""Write inputs as one text: a single one as it is, several a line each; an image or the like as a reference.

    Examples
    --------
    >>> text_of({"question": "1+1?", "n": [1]})
    'question: 1+1?\nn: [1]'
    """
    texts = {k: v if isinstance(v, str) else canonical_json(v) for k, v in inputs.items() if v is not None}
    one = len(inputs) == 1 and texts
    return referred(_sound(next(iter(texts.values())) if one else "\n".join(f"{k}: {v}" for k, v in texts.items())))


def is_blank(value: object) -> bool:
    """Tell whether a value says nothing: missing, empty, or a placeholder such as ``n/a`` or ``TODO``.

    Examples
    --------
    >>> [is_blank(v) for v in (None, " ", "n/a", [], 0, "no")]
    [True, True, True, True, False, False]
    """
    if isinstance(value, str):
        # emoji are no word characters, and yet they say something
        return bool(_BLANK.match(value.strip())) and all(ord(c) < 0x2190 for c in value)  # noqa: PLR2004  arrows begin here
    return value is None or (isinstance(value, list | tuple | dict | set) and not value)


def _drawn(n: int, most: int, seed: int) -> Sequence[int]:
    """Draw as many numbers of `n` rows as are to be looked at, in their order."""
    return range(n) if n <= most else sorted(random.Random(seed).sample(range(n), most))


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace what frames hold for a missing value by None."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in fields.items()}  # noqa: PLR0124  NaN


def _label_and_inputs(
    rows: list[dict[str, Any]], fields: tuple[str, ...], label: str | None, inputs: Sequence[str] | None
) -> tuple[str | None, tuple[str, ...]]:
    """Decide which field is the label, by the rows given for it, and which are inputs."""
    if label is not None and label not in fields:
        raise unknown("label", label, fields)
    for name in inputs or ():
        if name not in fields:
            raise unknown("input field", name, fields)
    if label is None:
        outputs = [f for f in fields if f not in (inputs or ())]
        label = find_label([{f: row[f] for f in outputs if f in row} for row in rows])
    chosen = tuple(f for f in fields if (f in inputs if inputs is not None else f != label))
    if not chosen:
        raise InputError(f"the set has no field but {label!r}: give rows with inputs as well.")
    return label, chosen


def _oddities(values: list[dict[str, Any]], fields: tuple[str, ...], label: str | None) -> list[str]:
    notes = []
    shapes = Counter(frozenset(v) for v in values)
    if len(shapes) > 1:
        odd = len(values) - shapes.most_common(1)[0][1]
        notes.append(f"{odd:,} row{'s have' if odd > 1 else ' has'} other fields than the rest: mixed schemas")
    mixed = [f for f in fields if len({_kind(v[f]) for v in values if v.get(f) is not None}) > 1]
    if mixed:
        notes.append(f"values of different types in {', '.join(map(repr, mixed))}")
    if label is not None and (missing := sum(is_blank(v.get(label)) for v in values)):
        notes.append(f"{missing:,} row{'s have' if missing > 1 else ' has'} no {label!r}")
    return notes


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _text_or_none(value: object) -> str | None:
    if is_blank(value):
        return None
    return _sound(label_text(value))


def _sound(text: str) -> str:
    """Replace halves of a surrogate pair, which neither frames nor models take."""
    return text.encode("utf-8", "replace").decode()
