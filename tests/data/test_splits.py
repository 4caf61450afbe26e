"""Splits: nothing lost, nothing shared, the same every time, in proportion."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.data import Splits, make_splits
from skillfleet_nb.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import random

Rows = list[dict[str, object]]
rows_strategy = st.lists(
    st.fixed_dictionaries({"q": st.integers(0, 60), "label": st.sampled_from("abcd"), "note": st.text(max_size=3)}),
    min_size=30,
    max_size=120,
).filter(lambda rows: len({r["q"] for r in rows}) >= 10)


def intents(n: int, classes: int = 4, start: int = 0) -> Rows:
    return [{"text": f"message {i}", "intent": f"intent {i % classes}"} for i in range(start, start + n)]


def key(row: dict[str, object]) -> str:
    return json.dumps(row, sort_keys=True)


def everything(splits: Splits) -> Counter[str]:
    return Counter(key(r) for part in (splits.train, splits.val, splits.test) for r in part)


@settings(max_examples=50)
@given(rows_strategy, st.integers(0, 1000))
def test_cut_loses_nothing_and_shares_no_input(rows: Rows, seed: int) -> None:
    splits = make_splits(rows, seed=seed, input_fields=["q"])
    assert everything(splits) == Counter(map(key, rows))
    inputs = [{r["q"] for r in part} for part in (splits.train, splits.val, splits.test)]
    assert len(set().union(*inputs)) == sum(map(len, inputs))
    assert all(inputs)


@settings(max_examples=50)
@given(rows_strategy, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_cut_does_not_depend_on_the_order_of_rows(rows: Rows, seed: int, rnd: random.Random) -> None:
    shuffled = rows.copy()
    rnd.shuffle(shuffled)
    assert make_splits(rows, seed=seed, input_fields=["q"]) == make_splits(shuffled, seed=seed, input_fields=["q"])


@settings(max_examples=50)
@given(st.lists(st.sampled_from("abcde"), min_size=40, max_size=200), st.integers(0, 50))
def test_classes_keep_their_proportion(labels: list[str], seed: int) -> None:
    rows = [{"n": i, "label": label} for i, label in enumerate(labels)]
    splits = make_splits(rows, seed=seed, input_fields=["n"], label="label")
    counts = Counter(labels)
    for part, share in ((splits.train, 0.5), (splits.val, 0.25), (splits.test, 0.25)):
        assert abs(len(part) - share * len(rows)) <= 1
        found = Counter(r["label"] for r in part)
        assert all(abs(found[label] - share * n) <= 2 for label, n in counts.items())


def test_seeds_make_different_cuts() -> None:
    one, two = (make_splits(intents(80), seed=s, input_fields=["text"]) for s in (1, 2))
    assert one.test != two.test
    assert one == make_splits(intents(80), seed=1, input_fields=["text"])


def test_rows_within_a_split_are_mixed() -> None:
    train = make_splits(intents(200), seed=3, input_fields=["text"]).train
    assert len({r["intent"] for r in train[:12]}) >= 3


def test_rare_classes_may_be_fewer_than_splits() -> None:
    rows = [*intents(40), {"text": "odd one", "intent": "rare"}]
    assert sum(everything(make_splits(rows, input_fields=["text"], label="intent")).values()) == 41


def test_the_class_field_is_found() -> None:
    rows = [
        {"q": i, "answer": f"free text {i}", "team": i % 6, "urgent": i % 2 == 0, "weight": i / 7, "tags": ["x"]}
        for i in range(60)
    ]
    assert make_splits(rows, input_fields=["q"]).label == "team"
    assert make_splits(rows, input_fields=["q"], label="urgent").label == "urgent"
    free = [{"q": i, "answer": f"text {i}"} for i in range(60)]
    splits = make_splits(free, input_fields=["q"])
    assert splits.label is None
    assert "random" in splits.origins["val"]


def test_large_sets_leave_the_rest_in_train() -> None:
    splits = make_splits(intents(2400), input_fields=["text"], max_val=100, max_test=200)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [2100, 100, 200]
    splits = make_splits(intents(2400), input_fields=["text"])
    assert [len(splits.train), len(splits.val), len(splits.test)] == [1600, 300, 500]


def test_a_given_test_set_stays_sealed_as_it_is() -> None:
    test = intents(20, start=1000)
    splits = make_splits(intents(60), test=test, input_fields=["text"], seed=5)
    assert splits.test == test
    assert (len(splits.train), len(splits.val)) == (40, 20)
    assert splits.origins == {
        "train": "cut from train (seed 5, balanced on 'intent')",
        "val": "cut from train (seed 5, balanced on 'intent')",
        "test": "given",
    }


def test_a_missing_test_set_is_cut_from_train() -> None:
    val = intents(15, start=1000)
    splits = make_splits(intents(60), val, input_fields=["text"])
    assert splits.val == val
    assert (len(splits.train), len(splits.test)) == (40, 20)


def test_three_given_sets_stay_as_they_are() -> None:
    sets = intents(5), intents(4, start=10), intents(3, start=20)
    splits = make_splits(*sets, input_fields=["text"])
    assert (splits.train, splits.val, splits.test) == sets
    assert set(splits.origins.values()) == {"given"}
    assert splits.label is None


def test_given_sets_that_share_an_input_are_refused() -> None:
    with pytest.raises(InputError, match=r"5 inputs of train are also in test \(text='message 15'\)"):
        make_splits(intents(20), test=intents(20, start=15), input_fields=["text"])
    with pytest.raises(InputError, match="1 input of val is also in test"):
        make_splits(intents(20), intents(3, start=30), intents(3, start=32), input_fields=["text"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": []}, "train is empty"),
        ({"train": intents(20), "val": []}, "val is empty.*leave it out"),
        (
            {"train": intents(9)},
            "9 different inputs, too few to cut val and test from it: give at least 10, or give val= and test=",
        ),
        ({"train": intents(9), "val": intents(3, start=50)}, "too few to cut test"),
        ({"train": [{"text": "same", "intent": f"{i}"} for i in range(30)]}, "1 different input,"),
        ({"train": intents(20), "ratios": (1.0, 0.0, 0.5)}, "three positive shares"),
        ({"train": intents(20), "ratios": (1, 1)}, r"ratios are \(1, 1\): give three positive shares"),
        ({"train": intents(20), "ratios": 0.5}, "ratios are 0.5: give three positive shares"),
        ({"train": intents(12), "ratios": (0.98, 0.01, 0.01)}, "would hold no row"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_splits(**options, input_fields=["text"])
    assert "\n" not in str(caught.value)


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'intent'"):
        make_splits(intents(20), input_fields=["text"], label="intend")


def test_description_shows_sizes_origins_and_classes() -> None:
    splits = make_splits(intents(40), input_fields=["text"], seed=7)
    assert splits.describe().splitlines()[2].startswith("test   10 rows  cut from train (seed 7, balanced on 'intent')")
    assert "sealed" in splits.describe()
    page = splits._repr_html_()
    assert page.count("<tr>") == 4
    assert "<th scope='col'" in page
    rows = [{"q": i, "<b>": f"<i>{i % 2}</i>"} for i in range(40)]
    page = make_splits(rows, input_fields=["q"])._repr_html_()
    assert "<b>" not in page
    assert "&lt;i&gt;0&lt;/i&gt;" in page


def test_examples_are_split_like_rows() -> None:
    dspy = pytest.importorskip("dspy")
    rows = intents(40)
    examples = [dspy.Example(**r).with_inputs("text") for r in rows]
    plain, splits = make_splits(rows, input_fields=["text"], seed=4), make_splits(examples, seed=4)
    assert [e.toDict() for e in splits.test] == plain.test
    assert splits.test[0].inputs().keys() == ["text"]


def test_bank_messages_are_cut_in_proportion() -> None:
    source = Path(__file__).parents[2] / "../shared/data/banking77/train.csv"
    if not source.exists():
        pytest.skip("the banking77 data set is not beside the project")
    import csv

    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    splits = make_splits(rows, input_fields=["text"], seed=1)
    assert splits.label == "category"
    assert len({r["category"] for r in splits.val}) == 77
    assert (len(splits.val), len(splits.test)) == (300, 500)
