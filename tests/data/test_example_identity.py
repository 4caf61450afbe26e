"""What counts as the same example."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from skillfleet_nb.data import example_id
from skillfleet_nb.data.identity import canonical_json, parts
from skillfleet_nb.errors import InputError

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
fields = st.dictionaries(st.text(min_size=1), values, max_size=5)


@given(fields, fields)
def test_identity_does_not_depend_on_the_order_of_fields(inputs: dict, outputs: dict) -> None:
    turned = dict(reversed(inputs.items())), dict(reversed(outputs.items()))
    assert example_id(inputs, outputs) == example_id(*turned)
    assert re.fullmatch("[0-9a-f]{16}", example_id(inputs, outputs))


@given(st.text(), st.text())
def test_different_contents_differ(one: str, two: str) -> None:
    same = canonical_json(one) == canonical_json(two)
    assert (example_id({"q": one}, {}) == example_id({"q": two}, {})) == same


def test_inputs_are_not_outputs() -> None:
    assert example_id({"a": 1}, {"b": 2}) != example_id({"b": 2}, {"a": 1})
    assert example_id({"a": 1, "b": 2}, {}) != example_id({"a": 1}, {"b": 2})


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    x: int
    y: list[str]


@dataclass
class Data:
    x: int
    y: list[str]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        (1, 1.0),
        (1, np.int64(1)),
        (0.5, np.float32(0.5)),
        (True, np.True_),
        (None, float("nan")),
        (None, pd.NaT),
        (None, pd.NA),
        (None, np.float64("nan")),
        ([1, 2], (1, 2)),
        ([1, 2], np.array([1, 2])),
        ([[1.5], [2]], np.array([[1.5], [2]])),
        ({1, 2, 3}, [1, 2, 3]),
        ("red", Colour.RED),
        ({"x": 1, "y": ["a"]}, Model(x=1, y=["a"])),
        ({"x": 1, "y": ["a"]}, Data(x=1, y=["a"])),
        (
            dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
            dt.datetime(2024, 5, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        ),
        (dt.datetime(2024, 5, 1), pd.Timestamp("2024-05-01")),  # noqa: DTZ001  naive on purpose
        (dt.datetime(2024, 5, 1), np.datetime64("2024-05-01T00:00:00", "ns")),  # noqa: DTZ001
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}),
    ],
)
def test_equal_contents(one: Any, other: Any) -> None:
    assert example_id({"v": one}, {}) == example_id({"v": other}, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (None, "None"),
        (1, "1"),
        ("a", "A"),
        ("a", "a "),
        ([1, 2], [2, 1]),
        ([], None),
        (2**53, 2**53 + 1),
        (dt.date(2024, 5, 1), dt.datetime(2024, 5, 1)),  # noqa: DTZ001
        (float("inf"), float("-inf")),
    ],
)
def test_unequal_contents(one: Any, other: Any) -> None:
    assert example_id({"v": one}, {}) != example_id({"v": other}, {})


def test_identity_is_the_same_in_another_process() -> None:
    code = "from skillfleet_nb.data import example_id; print(example_id({'b': {3, 'x'}, 'a': 'é'}, {'y': [1.0]}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert out == example_id({"a": "é", "b": {"x", 3}}, {"y": [1]})


def test_lone_surrogates_have_an_identity() -> None:
    assert example_id({"t": "\ud800"}, {}) != example_id({"t": "\ud801"}, {})


def test_contents_without_a_content_are_refused() -> None:
    with pytest.raises(InputError, match="holds a function"):
        example_id({"f": lambda: 0}, {})


def test_examples_know_their_inputs() -> None:
    dspy = pytest.importorskip("dspy")
    example = dspy.Example(q="1+1", a="2").with_inputs("q")
    assert parts(example) == ({"q": "1+1"}, {"a": "2"})
    assert parts(example, ["a"]) == ({"q": "1+1"}, {"a": "2"})
    assert parts(dspy.Example(q="1+1", a="2"), ["q"]) == ({"q": "1+1"}, {"a": "2"})
    with pytest.raises(InputError, match="with_inputs"):
        parts(dspy.Example(q="1+1", a="2"))
    with pytest.raises(InputError, match="is a list"):
        parts(["q"], ["q"])
    assert example_id({"e": example}, {}) == example_id({"e": {"a": "2", "q": "1+1"}}, {})
