"""From what people have (lists, frames, data sets) to `dspy.Example` objects with their inputs set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from skillfleet_nb.data.identity import own_inputs, row_fields
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dspy

_READERS = {".parquet": "read_parquet({})", ".json": "read_json({})", ".jsonl": "read_json({}, lines=True)"}
_TOGETHER = 10_000  # rows of a frame that are made into mappings at a time


def to_examples(
    rows: object, *, input_fields: Sequence[str], output_fields: Sequence[str] | None = None, name: str = "train"
) -> list[dspy.Example]:
    """Turn rows into examples a program can be optimised on.

    Parameters
    ----------
    rows
        A sequence of mappings or `dspy.Example` objects, a pandas or polars DataFrame, an Arrow
        table, or a `datasets.Dataset`.
    input_fields
        Names of the program's input fields: every row must have them.
    output_fields
        Fields to keep beside the inputs; all of them by default.
    name
        What to call the set in messages.

    Returns
    -------
    list of dspy.Example
        With their inputs set: an example's own where it has them, else `input_fields`.  Missing
        values of frames (NaN, NaT, NA) are None.

    Raises
    ------
    InputError
        If `rows` is of another kind, or a row lacks a field: says which, what it has instead, and
        the nearest name.

    Examples
    --------
    >>> to_examples([{"text": "hi", "intent": "greet"}], input_fields=["text"])
    [Example({'text': 'hi', 'intent': 'greet'}) (input_keys={'text'})]
    """
    import dspy

    examples = []
    for number, row in enumerate(records(rows, name)):
        fields = row_fields(row)
        own = own_inputs(row)
        for needed in (*input_fields, *(output_fields or ())):
            if needed not in fields:
                # a label is no input, however near its name
                near = get_close_matches(needed, [f for f in fields if own is None or f in own], n=1, cutoff=0.4)
                meant = f"; did you mean {near[0]!r}?" if near else "."
                raise InputError(
                    f"{name} row {number} has no field {needed!r}, only {', '.join(map(repr, fields)) or 'none'}{meant}"
                    " Rename the column to the program's field."
                )
        if own is not None and (labelled := [f for f in input_fields if f not in own]):
            raise InputError(
                f"{name} row {number} has {', '.join(map(repr, labelled))} among its outputs and the program takes it "
                f"as input: use .with_inputs({', '.join(map(repr, input_fields))})."
            )
        if output_fields is not None:
            kept = {*input_fields, *output_fields, *(own or ())}
            fields = {k: v for k, v in fields.items() if k in kept}
        examples.append(dspy.Example(**fields).with_inputs(*(own or input_fields)))
    return examples


def records(rows: object, name: str) -> Sequence[object]:
    """Return rows as a sequence.

    Frames are recognised by their looks, so that none needs to be installed, and of them only the
    rows that are asked for are made into mappings: a sample of a million costs what the sample does.
    """
    source = cast("Any", rows)
    if hasattr(rows, "to_pylist") and hasattr(rows, "take"):  # Arrow
        _check_columns(getattr(source, "column_names", ()), name)
        return _Frame(len(source), lambda numbers: source.take(numbers).to_pylist())
    if hasattr(rows, "to_dicts"):  # polars
        return _Frame(len(source), lambda numbers: source[numbers].to_dicts())
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # pandas
        _check_columns(source.columns, name)
        source = source.copy(deep=False)
        return _Frame(len(source), lambda numbers: _without_nan(source.iloc[numbers].to_dict("records")))
    if hasattr(rows, "to_list") and hasattr(rows, "select") and hasattr(rows, "column_names"):  # datasets
        return _Frame(len(source), lambda numbers: source.select(numbers).to_list())
    if isinstance(rows, Mapping):
        raise InputError(
            f"{name} is a mapping with the keys {', '.join(map(repr, rows)) or 'none'}: "
            "give the rows, such as one of its sets, as a list of mappings."
        )
    if isinstance(rows, str | os.PathLike):
        file = os.fspath(source)
        reader = _READERS.get(Path(file).suffix.lower(), "read_csv({})").format(repr(file))
        raise InputError(
            f"{name} is {file!r}: commands read a file; here give its rows, as a list of mappings or a DataFrame: "
            f"pandas.{reader}"
        )
    if isinstance(rows, bytes) or not isinstance(rows, Iterable):
        raise InputError(
            f"{name} is a {type(rows).__name__}: give a list of mappings or dspy.Example objects, "
            "a DataFrame or a data set."
        )
    return rows if isinstance(rows, _Frame) else list(rows)


def _check_columns(columns: Iterable[object], name: str) -> None:
    """Refuse two columns of one name: a mapping would keep the last alone."""
    twice = next((column for column, n in Counter(map(str, columns)).items() if n > 1), None)
    if twice is not None:
        raise InputError(f"{name} has two columns named {twice!r}: give each a name of its own, or drop one.")


def first_row(rows: Sequence[object]) -> tuple[list[str], list[str]]:
    """Tell which inputs the first row declares, if any, and which fields it has."""
    row = next(iter(rows), None)
    return ([], []) if row is None else (list(own_inputs(row) or ()), list(row_fields(row)))


def picked(rows: Sequence[object], numbers: Sequence[int]) -> list[object]:
    """Return the rows of :func:`records` with these numbers, in this order."""
    return rows.take(numbers) if isinstance(rows, _Frame) else [rows[i] for i in numbers]


class _Frame(Sequence[object]):
    """Rows of a frame, made into mappings as they are asked for."""

    def __init__(self, count: int, take: Callable[[list[int]], list[Any]]) -> None:
        self._count, self._take = count, take

    def take(self, numbers: Sequence[int]) -> list[Any]:
        return self._take(list(numbers))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int | slice) -> Any:
        chosen = range(self._count)[index]
        return self.take(chosen) if isinstance(chosen, range) else self.take([chosen])[0]

    def __iter__(self) -> Iterator[object]:
        for start in range(0, self._count, _TOGETHER):
            yield from self.take(range(start, min(start + _TOGETHER, self._count)))


def _without_nan(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: None if is_missing(v) else v for k, v in row.items()} for row in rows]
