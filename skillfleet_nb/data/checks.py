"""Is a data set fit to optimise on?  Asked before anything is spent.

What makes the result wrong or the run impossible is an :class:`~skillfleet_nb.errors.InputError`;
what a person should know but may have meant is an :class:`Issue`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.data.identity import canonical_json, content_hash, example_id, own_inputs, parts, row_fields
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, shortened

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

_ID_FIELDS = ("id", "example_id")  # names under which people keep an identity of their own
_TESTED = ("test", "data")  # sets that a verdict is made on: of their rows each is evidence once
_SHOWN = 60  # characters of an example in a message
_NUMBERED = 8  # rows that are named by their numbers


@dataclass(frozen=True, slots=True)
class Issue:
    """Something a person should know about a data set that does not stop a run.

    `rows` counts the rows concerned.
    """

    code: Literal["duplicates", "conflicts", "missing values"]
    rows: int
    text: str

    def __str__(self) -> str:
        return self.text


def check_examples(
    rows: Sequence[object],
    *,
    input_fields: Sequence[str] | None = None,
    minimum: int = 1,
    name: str = "train",
    holds_test: bool = False,
) -> list[Issue]:
    """Check one data set.

    Parameters
    ----------
    rows
        Mappings or `dspy.Example` objects.
    input_fields
        The input fields every row must have; rows that are examples may say them themselves.
    minimum
        Fewest rows the caller can work with.
    name
        What to call the set in messages: ``"train"``.
    holds_test
        Whether the test will be cut from it.

    Returns
    -------
    list of Issue
        Exact duplicates; the same input with different outputs; fields without a value.  Empty
        where all is well.

    Raises
    ------
    InputError
        If the set is empty or below `minimum`; a row is not an example, lacks an input field, has
        no output, or has other fields than the first; or an ``id`` column repeats itself.

    Examples
    --------
    >>> rows = [{"text": "hi", "intent": "greet"}, {"text": "hi", "intent": "leave"}]
    >>> [str(f) for f in check_examples(rows, input_fields=["text"])]
    ["train: 1 input has more than one answer, the first at rows 0 and 1: text='hi'; correct the labels or drop it."]
    """
    if len(rows) == 0:
        raise InputError(f"{name} is empty: give at least {counted(max(1, minimum), 'example')}.")
    if len(rows) < minimum:
        raise InputError(
            f"{name} has {counted(rows, 'example')} and {minimum} are needed: add {minimum - len(rows)} more."
        )
    split_rows = [_checked_parts(name, number, row, input_fields) for number, row in enumerate(rows)]
    _check_content(name, [{**i, **o} for i, o in split_rows])
    _check_schema(name, [{**i, **o} for i, o in split_rows])
    _check_ids(name, [{**i, **o} for i, o in split_rows])
    return [*_repeats(name, split_rows, holds_test=holds_test), *_missing_values(name, split_rows)]


def check_leaks(splits: Mapping[str, Sequence[object]], *, input_fields: Sequence[str] | None = None) -> None:
    """Refuse splits that share an input: a score on a seen example says nothing about an unseen one.

    Parameters
    ----------
    splits
        Rows by the split's name.
    input_fields
        Input fields of rows that do not say.

    Raises
    ------
    InputError
        If two splits share an input, naming both, how many, and one of them.

    Examples
    --------
    >>> check_leaks({"train": [{"q": "1+1"}], "test": [{"q": "1+1"}]}, input_fields=["q"])
    Traceback (most recent call last):
    ...
    skillfleet_nb.errors.InputError: 1 input of train is also in test (q='1+1'): remove it from one of them.
    """
    seen = {
        name: {content_hash(_as_read(i)): i for i, _ in (parts(r, input_fields) for r in rows)}
        for name, rows in splits.items()
    }
    for one, other in combinations(seen, 2):
        shared = [i for key, i in seen[one].items() if key in seen[other]]
        if shared:
            count, verb, them = (
                ("1 input", "is", "it") if len(shared) == 1 else (f"{len(shared)} inputs", "are", "them")
            )
            raise InputError(
                f"{count} of {one} {verb} also in {other} ({brief(shared[0])}): remove {them} from one of them."
            )


def _as_read(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Write numbers as a model reads them: those of a file with a text in the column are texts."""
    return {k: canonical_json(v) if isinstance(v, int | float) else v for k, v in inputs.items()}


def brief(fields: Mapping[str, Any]) -> str:
    """Show fields in a few words, for a message."""
    text = ", ".join(f"{k}={v!r}" for k, v in fields.items())
    return shortened(text, _SHOWN)


def _checked_parts(
    name: str, number: int, row: object, input_fields: Sequence[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        inputs, outputs = parts(row, input_fields)
    except InputError as error:
        raise InputError(f"{name} row {number}: {error}") from None
    needed = input_fields or own_inputs(row) or ()
    if absent := [f for f in needed if f not in inputs]:
        have = ", ".join(row_fields(row)) or "none"
        raise InputError(
            f"{name} row {number} has no input {', '.join(map(repr, absent))} (its fields: {have}): "
            "rename the column or correct with_inputs(…)."
        )
    if not inputs:
        raise InputError(f"{name} row {number} has no input field: say which fields are inputs with input_fields=.")
    if not outputs:
        raise InputError(
            f"{name} row {number} has only inputs ({', '.join(inputs)}): add a field with the expected answer."
        )
    return inputs, outputs


def _check_content(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a value that has no content to identify it by, such as a function, naming its row and field."""
    for number, row in enumerate(rows):
        for field, value in row.items():
            if isinstance(value, str | int | float | None):
                continue
            try:
                canonical_json(value)
            except InputError as error:
                raise InputError(f"{name} row {number}, field {field!r}: {error}") from None


def _check_schema(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for number, row in enumerate(rows):
        lacking, extra = sorted(rows[0].keys() - row.keys()), sorted(row.keys() - rows[0].keys())
        if lacking or extra:
            faults = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"adds {', '.join(extra)}"] * bool(extra)
            raise InputError(
                f"{name} row {number} {' and '.join(faults)} against row 0: give all rows the same fields."
            )


def _check_ids(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for field in _ID_FIELDS:
        ids = [canonical_json(row[field]) for row in rows if row.get(field) is not None]
        key, count = Counter(ids).most_common(1)[0] if ids else ("", 0)
        if count > 1:
            repeated = len(ids) - len(set(ids))
            raise InputError(
                f"{name} has {counted(repeated, 'repeated value')} in {field!r}, such as {key} "
                f"({count} times): make them unique or rename the column."
            )


def _repeats(name: str, rows: Sequence[tuple[dict[str, Any], dict[str, Any]]], *, holds_test: bool) -> list[Issue]:
    by_input: dict[str, list[int]] = defaultdict(list)
    for index, (inputs, _) in enumerate(rows):
        by_input[content_hash(inputs)].append(index)
    copies: list[int] = []
    conflicts: list[list[int]] = []
    for group in (g for g in by_input.values() if len(g) > 1):
        firsts: dict[str, int] = {}
        copies += [index for index in group if firsts.setdefault(example_id(*rows[index]), index) != index]
        if len(firsts) > 1:
            conflicts.append(list(firsts.values()))
    issues = []
    if copies:
        row, count = ("row repeats", "it counts") if len(copies) == 1 else ("rows repeat", "they count")
        times = "once" if name in _TESTED else "twice, in the test that is cut from it once" if holds_test else "twice"
        text = f"{name}: {len(copies)} {row} another exactly, the first at row {min(copies)}; {count} {times}."
        issues.append(Issue("duplicates", len(copies), text))
    if conflicts:
        first = min(conflicts)
        count = "1 input has" if len(conflicts) == 1 else f"{len(conflicts)} inputs have"
        text = (
            f"{name}: {count} more than one answer, the first at rows {first[0]} and {first[1]}: "
            f"{brief(rows[first[0]][0])}; correct the labels or drop it."
        )
        issues.append(Issue("conflicts", sum(map(len, conflicts)), text))
    return issues


def told_of_blanks(name: str, rows: Sequence[object], *, but: Container[str] = ()) -> str:
    """Say in how many rows of a split a field has no value, for the verdict that rests on them; empty where in none.

    Parameters
    ----------
    but
        Fields that may be without one.

    Examples
    --------
    >>> import dspy
    >>> rows = [dspy.Example(text="hi", intent=None), dspy.Example(text="bye", intent="leave")]
    >>> told_of_blanks("test", [row.with_inputs("text") for row in rows])
    '1 of 2 test rows has no value for intent: what it scores says nothing'
    """
    blanks = _blanks([parts(row, None) for row in rows])
    blanks = {field: numbers for field, numbers in blanks.items() if field not in but}
    concerned = {number for numbers in blanks.values() for number in numbers}
    if not concerned:
        return ""
    has, it = ("has", "it scores") if len(concerned) == 1 else ("have", "they score")
    return f"{len(concerned)} of {len(rows)} {name} rows {has} no value for {', '.join(blanks)}: what {it} says nothing"


def _missing_values(name: str, rows: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[Issue]:
    blanks = _blanks(rows)
    if not blanks:
        return []
    listed = ", ".join(f"{field} in {_numbered(numbers)}" for field, numbers in blanks.items())
    concerned = {number for numbers in blanks.values() for number in numbers}
    return [Issue("missing values", len(concerned), f"{name}: no value for {listed}; fill them in or drop the rows.")]


def _blanks(rows: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, list[int]]:
    """Find the rows in which a field has no value, by field."""
    empty: dict[str, list[int]] = defaultdict(list)
    for index, (inputs, outputs) in enumerate(rows):
        for field, value in (inputs | outputs).items():
            blank = isinstance(value, str) and not value.strip()
            if blank or (not isinstance(value, str) and canonical_json(value) == "null"):
                empty[field].append(index)
    return empty


def _numbered(numbers: Sequence[int]) -> str:
    """Name rows by their numbers, the first of many."""
    first = ", ".join(map(str, numbers[:_NUMBERED])) + (", …" if len(numbers) > _NUMBERED else "")
    return f"{counted(numbers, 'row')} ({first})"
