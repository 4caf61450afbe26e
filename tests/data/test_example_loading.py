"""Rows of every kind become examples with their inputs set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skillfleet_nb.data import to_examples
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

dspy = pytest.importorskip("dspy")

ROWS = [{"text": "hi", "intent": "greet", "n": 1}, {"text": "bye", "intent": "leave", "n": 2}]


class Polars:
    """Has the shape of a polars DataFrame, which is not among the project's dependencies."""

    def to_dicts(self) -> list[dict[str, Any]]:
        return ROWS

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, at: list[int]) -> Polars:
        assert at == [0, 1]
        return self


def data_set() -> Any:
    import datasets  # not as tests are collected, which every process does

    return datasets.Dataset.from_list(ROWS)


SOURCES: dict[str, Callable[[], Any]] = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "iterator": lambda: iter(ROWS),
    "pandas": lambda: pd.DataFrame(ROWS),
    "Arrow": lambda: pa.Table.from_pylist(ROWS),
    "Polars": Polars,
    "datasets": data_set,
    "datasets of arrays": lambda: data_set().with_format("numpy"),
    "datasets that stream": lambda: data_set().to_iterable_dataset(),
}


@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("t.csv", "read_csv('t.csv')"), (Path("t.parquet"), "read_parquet('t.parquet')"), ("t", "read_csv('t')"),
        ("t.JSON", "read_json('t.JSON')"), ("t.jsonl", "read_json('t.jsonl', lines=True)"),
    ],
)  # fmt: skip
def test_a_file_is_told_how_to_be_read(file: str | Path, reader: str) -> None:
    begins = re.escape(f"train is '{file}': commands read a file; here give its rows")
    with pytest.raises(InputError, match=begins) as told:
        to_examples(file, input_fields=["text"])
    assert str(told.value).endswith(f": pandas.{reader}")


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_rows_gives_the_same_examples(source: str) -> None:
    examples = to_examples(SOURCES[source](), input_fields=["text"])
    assert [e.toDict() for e in examples] == ROWS
    assert all(e.inputs().keys() == ["text"] for e in examples)


def test_outputs_can_be_chosen() -> None:
    (first, _) = to_examples(ROWS, input_fields=["text"], output_fields=["intent"])
    assert first.toDict() == {"text": "hi", "intent": "greet"}


def test_missing_values_of_frames_are_none() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "x": [1.5, np.nan], "d": [pd.NaT, pd.Timestamp("2024-01-01")]})
    frame["i"] = pd.array([1, pd.NA], dtype="Int64")
    frame["l"] = [np.array([1, 2]), None]
    one, two = to_examples(frame, input_fields=["text"])
    assert (one.d, two.x, two.i, two.l) == (None, None, None, None)
    assert (one.i, one.l.tolist()) == (1, [1, 2])


def test_examples_keep_their_own_inputs() -> None:
    own = dspy.Example(text="hi", lang="en", intent="greet").with_inputs("text", "lang")
    plain = dspy.Example(text="hi", lang="en", intent="greet")
    one, two = to_examples([own, plain], input_fields=["text"])
    assert sorted(one.inputs().keys()) == ["lang", "text"]
    assert two.inputs().keys() == ["text"]
    assert plain._input_keys is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"txt": "hi", "intent": "greet"}], "row 0 has no field 'text', only 'txt', 'intent'; did you mean 'txt'"),
        ([{"text": "hi"}, {}], "row 1 has no field 'text', only none"),
        ({"train": ROWS}, "train is a mapping with the keys 'train'"),
        ("train.csv", "train is 'train.csv': commands read a file"),
        (7, "train is a int"),
        ([["hi"]], "is a list"),
        ([dspy.Example(text="a", intent="b").with_inputs("intent")], "has 'text' among its outputs"),
    ],
)
def test_rows_that_do_not_fit_the_program_are_refused_in_one_line(rows: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        to_examples(rows, input_fields=["text"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame([["hi", "greet", "leave"]], columns=["text", "intent", "intent"]),
        pd.DataFrame([["hi", "greet", "leave"]], columns=["text", 1, "1"]),
        pa.table([["hi"], ["greet"], ["leave"]], names=["text", "intent", "intent"]),
        pa.record_batch([["hi"], ["greet"], ["leave"]], names=["text", "intent", "intent"]),
    ],
)
def test_two_columns_of_one_name_are_refused(rows: object) -> None:
    with pytest.raises(InputError, match=r"train has two columns named '(intent|1)': give each a name of its own"):
        to_examples(rows, input_fields=["text"])


def test_a_mapping_of_data_sets_is_refused_as_one_of_rows_is() -> None:
    import datasets

    with pytest.raises(InputError, match="train is a mapping with the keys 'train'"):
        to_examples(datasets.DatasetDict(train=data_set()), input_fields=["text"])


def test_a_missing_output_is_named() -> None:
    with pytest.raises(InputError, match=r"no field 'intents'.*did you mean 'intent'"):
        to_examples(ROWS, input_fields=["text"], output_fields=["intents"])
