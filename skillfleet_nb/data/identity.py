"""What makes two examples the same example: a content hash that survives files, frames and runs.

An example keeps its identity when its fields come in another order, when it travels through CSV,
JSON, a DataFrame or a `dspy.Example`, and on another platform.  Scores, splits and drift checks all
refer to examples by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unicodedata import normalize
from uuid import UUID

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_Example = TypeVar("_Example")

HASH_CHARS = 16  # 64 bits: a collision among a million examples has odds of 1 in 37 million
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))  # to make one takes its time
_EXACT = 2**53  # beyond it a float no longer tells whole numbers apart


def example_id(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """Identify an example by its content.

    Parameters
    ----------
    inputs, outputs
        Field names and values; see :func:`canonical_json` for what counts as equal.

    Returns
    -------
    str
        16 hexadecimal characters.

    Raises
    ------
    InputError
        If a value has no content of its own to hash, such as a function.

    Examples
    --------
    >>> example_id({"text": "hello", "n": 1}, {"label": "greet"})
    'c96e6ac33f0d85f1'
    >>> example_id({"n": 1.0, "text": "hello"}, {"label": "greet"})
    'c96e6ac33f0d85f1'
    """
    return content_hash({"inputs": inputs, "outputs": outputs})


def firsts(examples: Iterable[object]) -> list[int]:
    """Return the places of examples that repeat none before them exactly; a repeat is no further evidence.

    Examples
    --------
    >>> import dspy
    >>> rows = [dspy.Example(n=n, odd=bool(n % 2)).with_inputs("n") for n in (1, 2, 1)]
    >>> firsts(rows)
    [0, 1]
    """
    places: dict[str, int] = {}
    for place, example in enumerate(examples):
        places.setdefault(example_id(*parts(example)), place)
    return list(places.values())


def distinct(examples: Sequence[_Example]) -> list[_Example]:
    """Leave out examples that repeat one before them exactly."""
    return [examples[place] for place in firsts(examples)]


def content_hash(value: object) -> str:
    """Hash :func:`canonical_json` of `value` with SHA-256, cut to 16 hexadecimal characters."""
    return sha256(canonical_json(value).encode(errors="surrogatepass")).hexdigest()[:HASH_CHARS]


def canonical_json(value: object) -> str:
    r"""Write `value` as JSON such that equal contents give equal texts.

    Keys are sorted, texts are in Unicode NFC, and no space is wasted.  Equal are: 1 and 1.0 (but not
    True), None and NaN and NaT (a missing value in a frame), list and tuple, NumPy scalars and
    arrays and the Python values they hold, a model or dataclass and its fields.  Dates and times are
    ISO 8601, aware ones in UTC; an address, a period or a version is its text; a set is a sorted list;
    an enum is its value.  Keys that are not texts become their JSON.

    Raises
    ------
    InputError
        If a value has no content of its own to hash, such as a function.

    Examples
    --------
    >>> canonical_json({"b": (1.0, None), "a": "e\u0301"}) == '{"a":"é","b":[1,null]}'
    True
    """
    return _ENCODER.encode(_plain(value))


def parts(row: object, input_fields: Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate a row's inputs from its outputs.

    Parameters
    ----------
    row
        A mapping, or a `dspy.Example`, whose own input fields win where they are set.
    input_fields
        Names of the input fields, for rows that do not say.

    Returns
    -------
    tuple of dict
        Inputs and outputs; a named input that the row lacks is absent.

    Raises
    ------
    InputError
        If the row is neither, or nothing says which of its fields are inputs.

    Examples
    --------
    >>> parts({"text": "hello", "label": "greet"}, ["text"])
    ({'text': 'hello'}, {'label': 'greet'})
    """
    fields = row_fields(row)
    names = own_inputs(row)
    if names is None:
        names = input_fields
    if names is None:
        raise InputError(
            f"an example with the fields {', '.join(fields) or 'none'} does not say which are inputs: "
            "call .with_inputs(…) on it or give input_fields=."
        )
    return {k: v for k, v in fields.items() if k in names}, {k: v for k, v in fields.items() if k not in names}


def row_fields(row: object) -> dict[str, Any]:
    """Return a mapping's or a `dspy.Example`'s fields as a dict."""
    if not (isinstance(row, Mapping) or _is_example(row)):
        raise InputError(f"an example is a {type(row).__name__}: give mappings of fields or dspy.Example objects.")
    return {str(k): v for k, v in cast("Mapping[str, Any]", row).items()}


def own_inputs(row: object) -> Sequence[str] | None:
    """Return the input fields that a `dspy.Example` was given, None for any other row."""
    names = getattr(row, "_input_keys", None) if _is_example(row) else None  # no public way asks without raising
    return None if names is None else sorted(names)


def _is_example(row: object) -> bool:
    return hasattr(row, "with_inputs") and hasattr(row, "items")  # by its looks: dspy takes seconds to import


def _plain(value: object) -> Any:  # noqa: C901, PLR0911, PLR0912  one case a line reads best
    if type(value) is str:  # most are texts, of rows: asked for first, they take a third less
        return normalize("NFC", value)
    if type(value) is dict:
        return _keyed(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return normalize("NFC", value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal):
        return _number(float(value))
    if isinstance(value, datetime | date | time | timedelta):
        return _moment(value)
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if isinstance(value, PurePath | UUID):
        return str(value)
    if isinstance(value, Mapping) or _is_example(value):
        return _keyed(cast("Mapping[Any, Any]", value))
    if isinstance(value, AbstractSet):
        return sorted((_plain(v) for v in value), key=canonical_json)
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump())
    if hasattr(value, "get_secret_value"):
        return _plain(value.get_secret_value())
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if type(value).__name__ == "datetime64":
        return _plain(cast("Any", value).astype("datetime64[us]").item())  # nanoseconds would become a bare integer
    if hasattr(value, "tolist"):
        return _plain(value.tolist())  # NumPy scalars and arrays
    if isinstance(value, Iterable) and not hasattr(value, "__next__"):
        return [_plain(v) for v in value]
    if repr(value) == "<NA>":
        return None  # pandas' missing value, recognised without importing pandas
    if _tells_itself(value):
        return str(value)
    raise InputError(
        f"a field holds a {type(value).__name__}, which has no content to identify it by: "
        "use texts, numbers, lists, dicts, dates or models."
    )


def _keyed(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {normalize("NFC", k) if isinstance(k, str) else canonical_json(k): _plain(v) for k, v in value.items()}


def _tells_itself(value: object) -> bool:
    """Tell whether a value is what it says: an address, a period, a version, equal to others that say the same."""
    kind = type(value)
    says = "__str__" if kind.__str__ is not object.__str__ else "__repr__"
    return (
        not callable(value)
        and kind.__eq__ is not object.__eq__
        and getattr(kind, says) is not getattr(object, says)
        and f"{id(value):x}" not in str(value)
    )


def _number(value: float) -> float | int | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _moment(value: datetime | date | time | timedelta) -> str | None:
    if value != value:  # noqa: PLR0124  NaT, like NaN, is not equal to itself
        return None
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return value.isoformat()
