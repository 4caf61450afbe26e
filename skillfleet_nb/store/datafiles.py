"""Examples from a person's files, read exactly or refused in one line that says what to mend.

JSON and CSV are parsed here rather than by DuckDB, which would infer dates from text, fill rows of
different shapes with NULL, skip lines it takes for a preamble, and read ``*`` in a name as a wildcard.
Three of four tests of exact values and of refusals fail with its readers, and they are no quicker.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from decimal import Decimal
from difflib import get_close_matches
from io import StringIO
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ENDINGS = (".json", ".jsonl", ".csv", ".parquet")
"""Kinds of files `read_examples` knows."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INT = re.compile(r"-?[1-9]\d{0,17}|0")  # longer ones are identifiers, and so is 007
_FLOAT = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?([eE][+-]\d+)?|-?(0|[1-9]\d*)\.\d+[eE]\d+")
_LONG_INT = re.compile(r"[:,\[\s-][0-9]{19,}[\s,\]}]")
_BOOLS = {"true": True, "false": False}
_LONGEST_FIELD = 1 << 27


def read_examples(path: str | Path, *, mixed: bool = False) -> list[dict[str, Any]]:
    r"""Read a data set, one dictionary an example, all with the same fields in the file's order.

    Parameters
    ----------
    path
        ``.json`` (a list of objects), ``.jsonl`` (an object a line), ``.csv`` (with a header;
        separated by comma, semicolon, tab or bar) or ``.parquet``.  Text is UTF-8, or UTF-16/32
        with a byte-order mark.
    mixed
        Take examples whose fields differ, for an analysis that tells of them.

    Returns
    -------
    list of dict
        At least one.  JSON values are as written.  A CSV column is int, float or bool where every
        value in it is clearly one, with None for empty cells, and text otherwise; numbers with
        leading zeros or more than 18 digits are text.

    Raises
    ------
    InputError
        If there is no such file, its ending or encoding is another, it holds no example, or a row
        cannot be read or has other fields than the first; the row's line is named.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp()) / "train.csv"
    >>> _ = file.write_text("question,zip,answer\n1+1?,01067,2\n")
    >>> read_examples(file)
    [{'question': '1+1?', 'zip': '01067', 'answer': 2}]
    """
    path = expanded(path)
    ending = path.suffix.lower()
    if not path.is_file():
        _refuse_missing(path)
    if ending not in ENDINGS:
        raise InputError(f"cannot read '{path}': its ending must be {', '.join(ENDINGS)}.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty: write at least one example to it.")
        if ending == ".parquet":
            rows = _parquet(path)
        else:
            text = _text(path)
            rows = _csv(path, text) if ending == ".csv" else _objects(path, text, ending, mixed=mixed)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}.") from error
    if not rows:
        raise InputError(f"'{path}' holds no examples: write at least one to it.")
    return rows


def _refuse_missing(path: Path) -> NoReturn:
    folder = path if path.is_dir() else path.parent
    names = [p.name for p in folder.iterdir() if p.suffix.lower() in ENDINGS] if folder.is_dir() else []
    if path.is_dir():
        listed = f": name a file in it ({', '.join(sorted(names)[:8])})" if names else ", and holds no data files"
        raise InputError(f"'{path}' is a folder{listed}.")
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    meant = f": did you mean '{folder / near[0]}'?" if near else f"; looked in '{folder.absolute()}'."
    raise InputError(f"there is no file '{path}'{meant}")


def _text(path: Path) -> str:
    data = path.read_bytes()
    bom, encoding = next(((b, e) for b, e in _BOMS if data.startswith(b)), (b"", "utf-8"))
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(bom) + error.start) + 1
        byte = f"byte 0x{data[len(bom) + error.start]:02x} in line {line}"
        hint = "" if bom else f", or from Windows-1252 with Path({path.name!r}).read_text('cp1252')"
        raise InputError(f"'{path}' is not {encoding.upper()} text ({byte}): save it as UTF-8{hint}.") from error
    if "\0" in text:
        raise InputError(f"'{path}' holds NUL bytes: it is UTF-16 without its mark, or not text; save it as UTF-8.")
    return text


def _objects(path: Path, text: str, ending: str, *, mixed: bool) -> list[dict[str, Any]]:
    rows, places = (_json if ending == ".json" else _jsonl)(path, text)
    _check_objects(path, rows, places)
    if not mixed:
        _check_uniform(path, rows, places)
    return rows


def _json(path: Path, text: str) -> tuple[list[Any], list[str]]:
    try:
        rows = _parsed(text)
    except ValueError as error:
        hint = " It looks like one object a line: name it .jsonl." if _is_object(text.partition("\n")[0]) else ""
        raise InputError(f"'{path}' is not JSON: {error}.{hint}") from error
    if not isinstance(rows, list):
        kind = f"an object with {', '.join(map(repr, list(rows)[:5]))}" if isinstance(rows, dict) else repr(rows)[:40]
        raise InputError(f"'{path}' holds {kind}: it must hold a list of objects.")
    return rows, [f"item {number}" for number in range(1, len(rows) + 1)]


def _parsed(text: str) -> Any:
    """Read JSON; a whole number beyond 64 bits, of which orjson makes a float, keeps its digits."""
    value = orjson.loads(text)
    return json.loads(text) if _LONG_INT.search(text) else value


def _jsonl(path: Path, text: str) -> tuple[list[Any], list[str]]:
    rows, places = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_parsed(line))
        except ValueError as error:
            hint = " A list of objects belongs in a .json file." if number == 1 and line.startswith("[") else ""
            raise InputError(f"'{path}' line {number} is not JSON: {error}.{hint}") from error
        places.append(f"line {number}")
    return rows, places


def _csv(path: Path, text: str) -> list[dict[str, Any]]:
    # the limit is the process's; raising it takes nothing from anybody
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    head = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    delimiter = max(",;\t|", key=head.count)  # the first of equals
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    line = 1
    try:
        header = [name.strip() for name in next(row for row in reader if row)]
        _check_header(path, header)
        line = reader.line_num + 1
        for row in reader:
            if row:
                if len(row) != len(header):
                    raise InputError(
                        f"'{path}' line {line} has {counted(row, 'value')}, the header has {len(header)}: "
                        f"put values that contain {delimiter!r} or a line break between double quotes."
                    )
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"'{path}' line {line} is not CSV: {error}; double the quotes inside quoted values."
        ) from error
    except StopIteration:
        return []
    columns = [_typed([row[i] for row in rows]) for i in range(len(header))]
    return [dict(zip(header, values, strict=True)) for values in zip(*columns, strict=True)]


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not all(header):
        raise InputError(f"'{path}' has no name for column {header.index('') + 1}: name every column in line 1.")
    _check_names(path, header)


def _check_names(path: Path, header: Sequence[str]) -> None:
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        raise InputError(f"'{path}' has two columns named {twice!r}: give each a name of its own.")


def _typed(cells: Sequence[str]) -> list[Any]:
    """Convert a column where every value is clearly a number or a truth value."""
    filled = [cell for cell in cells if cell]
    convert: Callable[[str], Any]
    if not filled:
        return list(cells)
    if all(map(_INT.fullmatch, filled)):
        convert = int
    elif all(map(_FLOAT.fullmatch, filled)):
        convert = float
    elif all(cell.lower() in _BOOLS for cell in filled):
        convert = _truth
    else:
        return list(cells)
    return [convert(cell) if cell else None for cell in cells]


def _truth(cell: str) -> bool:
    return _BOOLS[cell.lower()]


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
        _check_names(path, table.column_names)
        rows = table.to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"'{path}' is not Parquet: {' '.join(str(error).split())[:120].rstrip('.')}.") from error
    return [{k: float(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in rows]


def _check_objects(path: Path, rows: Sequence[Any], places: Sequence[str]) -> None:
    for row, place in zip(rows, places, strict=True):
        if not isinstance(row, dict):
            raise InputError(f"'{path}' {place} is {repr(row)[:40]}: each example must be an object of named fields.")


def _check_uniform(path: Path, rows: Sequence[dict[str, Any]], places: Sequence[str]) -> None:
    for row, place in zip(rows, places, strict=True):
        if row.keys() != rows[0].keys():
            odd = min(row.keys() ^ rows[0].keys())
            has, lacks = (place, places[0]) if odd in row else (places[0], place)
            raise InputError(
                f"'{path}' {has} has the field {odd!r} and {lacks} has not: "
                "give every example the same fields, null where there is no value."
            )


def _is_object(line: str) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
