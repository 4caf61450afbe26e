"""The label of a data set: one rule, and everything that looks for a label keeps to it."""

from __future__ import annotations

import random
from typing import Any

import dspy
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skillfleet_nb as sf
from skillfleet_nb.advice.headroom import label_evidence
from skillfleet_nb.advice.sizing import categories as advised
from skillfleet_nb.config import Settings
from skillfleet_nb.data import analyze, make_splits, to_examples
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.data.dataset import lay_out
from skillfleet_nb.data.labels import categories, find_label, labelled
from skillfleet_nb.data.landmarks import landmarks
from skillfleet_nb.runs.request import TaskRequest
from skillfleet_nb.runs.task import check_task


def embed(texts: list[str]) -> np.ndarray:
    """Put texts in all directions, the same ones every time."""
    found = np.array([np.random.default_rng(len(t) * 1000 + sum(map(ord, t))).normal(size=8) for t in texts])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def rows_of(values: int, each: int) -> list[dict[str, Any]]:
    return [{"text": f"word{n % values} number {n}", "kind": f"k{n % values}"} for n in range(values * each)]


def labels_everywhere(rows: list[dict[str, Any]]) -> dict[str, str | None]:
    """Ask everything that looks for the label of rows with the input `text`."""
    examples = to_examples(rows, input_fields=["text"])
    return {
        "splits": make_splits(rows, input_fields=["text"]).label,
        "splits of examples": make_splits(examples).label,
        "rows": lay_out(rows, input_fields=["text"]).label,
        "rows of a frame": lay_out(pd.DataFrame(rows), input_fields=["text"]).label,
        "rows of examples": lay_out(examples).label,
        "labelled": labelled(examples, 1000, random.Random(0))[0],
    }


@pytest.mark.parametrize(("values", "each", "label"), [(15, 4, None), (12, 5, "kind"), (2, 5, "kind"), (1, 60, None)])
def test_a_label_has_five_rows_a_value_wherever_it_is_looked_for(values: int, each: int, label: str | None) -> None:
    rows = rows_of(values, each)
    assert set(labels_everywhere(rows).values()) == {label}
    assert analyze(rows, embed=embed, input_fields=["text"]).label == label
    examples = to_examples(rows, input_fields=["text"])
    assert (landmarks(examples).words is not None) == (label is not None)
    enough = to_examples([*rows, *rows], input_fields=["text"])
    assert (label_evidence(enough)["label_agreement"] is not None) == (find_label([*rows, *rows]) is not None)
    others = [[{"text": f"{part} {n}", "kind": "k0"} for n in range(5)] for part in ("val", "test")]
    request = TaskRequest(dspy.Predict("text -> kind"), train=rows, val=others[0], test=others[1], lm=sf.offline_lm())
    assert advised(check_task(request, Settings())) == (values if label else None)


values = st.one_of(st.sampled_from(["a", "b", "c"]), st.integers(0, 2), st.booleans(), st.none(), st.floats(0, 1))
columns = st.integers(12, 40).flatmap(
    lambda n: st.dictionaries(
        st.sampled_from(["kind", "team", "Answer"]), st.lists(values, min_size=n, max_size=n), min_size=1
    )
)


@settings(max_examples=settings().max_examples // 4)
@given(columns, st.randoms(use_true_random=False))
def test_everything_finds_the_same_label_in_any_order(columns: dict[str, list[Any]], rng: random.Random) -> None:
    n = len(next(iter(columns.values())))
    rows = [{"text": f"text {i}", **{name: column[i] for name, column in columns.items()}} for i in range(n)]
    shuffled = [dict(rng.sample(list(row.items()), len(row))) for row in rng.sample(rows, n)]
    found = labels_everywhere(rows)
    assert found == labels_everywhere(shuffled)
    assert len(set(found.values())) == 1, found
    label = found["splits"]
    assert (label is not None) == any(categories(column) for column in columns.values())
    assert label is None or len(categories(columns[label])) == max(len(categories(c)) for c in columns.values())


def test_splits_are_stratified_by_the_label_of_the_whole_set() -> None:
    splits = make_splits(rows_of(12, 5), input_fields=["text"])
    assert splits.label == "kind"
    assert "balanced on 'kind'" in splits.origins["test"]
    assert "random" in make_splits(rows_of(15, 4), input_fields=["text"]).origins["test"]


def test_whole_numbers_are_the_same_label_in_a_frame_that_has_made_them_floats() -> None:
    rows = [{"text": f"text {n}", "grade": None if n == 0 else n % 3} for n in range(40)]
    frame = pd.DataFrame(rows)
    assert frame["grade"].dtype == float
    assert set(labels_everywhere(rows).values()) == {"grade"}
    assert lay_out(frame, input_fields=["text"]).label == "grade"
    assert set(lay_out(frame, input_fields=["text"]).labels) == {None, "0", "1", "2"}


def test_the_label_is_looked_for_in_the_whole_set_and_not_in_what_is_drawn_of_it() -> None:
    rows = [dspy.Example(**row).with_inputs("text") for row in rows_of(60, 5)]
    name, pairs = labelled(rows, 100, random.Random(0))
    assert name == "kind"
    assert len(pairs) == 100
    assert all(row["kind"] == label for row, label in pairs)
    assert landmarks(rows).words is not None, "of the 200 rows that are drawn, 60 labels would be none"


def test_rows_without_a_label_are_left_out() -> None:
    rows = [dspy.Example(text=f"text {n}", kind=None if n < 5 else "ab"[n % 2]).with_inputs("text") for n in range(30)]
    name, pairs = labelled(rows, 100, random.Random(0))
    assert (name, len(pairs)) == ("kind", 25)
    assert {label for _, label in pairs} == {"a", "b"}
    assert labelled([], 100, random.Random(0)) == (None, [])


def test_of_a_skill_plan_the_style_repeats() -> None:
    plans = [dspy.Example(**r).with_inputs("task_description") for r in bundled("skill_planning")]
    assert labelled(plans, 100, random.Random(0))[0] == "expected_skill_style"
