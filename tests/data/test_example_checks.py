"""Checks: what is refused, what is reported, and what passes in silence."""

from __future__ import annotations

import pytest

from skillfleet_nb.data import check_examples, check_leaks
from skillfleet_nb.errors import InputError

GOOD = [{"text": f"message {i}", "intent": "ab"[i % 2]} for i in range(10)]


def test_a_good_set_has_no_findings() -> None:
    assert check_examples(GOOD, input_fields=["text"], minimum=10) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "train is empty: give at least 3 examples"),
        (GOOD[:2], "train has 2 examples and 3 are needed: add 1 more"),
        ([*GOOD, {"txt": "x", "intent": "a"}], r"train row 10 has no input 'text' \(its fields: txt, intent\)"),
        ([*GOOD, {"text": "x"}], r"train row 10 has only inputs \(text\)"),
        ([*GOOD, {"text": "x", "intent": "a", "lang": "en"}], "train row 10 adds lang against row 0"),
        ([{**GOOD[0], "lang": "en"}, *GOOD], "train row 1 lacks lang against row 0"),
        ([*GOOD, {"text": "x", "label": "a"}], "train row 10 lacks intent and adds label"),
        ([*GOOD, "text"], "train row 10: an example is a str"),
        ([*GOOD, None], "train row 10: an example is a NoneType"),
        ([{**r, "id": i // 2} for i, r in enumerate(GOOD)], r"5 repeated values in 'id', such as 0 \(2 times\)"),
    ],
)
def test_unusable_sets_are_refused_in_one_line(rows: list, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_examples(rows, input_fields=["text"], minimum=3)
    assert "\n" not in str(caught.value)


def test_rows_that_do_not_name_their_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="train row 0: an example with the fields text, intent does not say which"):
        check_examples(GOOD)
    with pytest.raises(InputError, match="no input field"):
        check_examples(GOOD, input_fields=[])


def test_exact_duplicates_are_counted() -> None:
    (found,) = check_examples([*GOOD, GOOD[3], GOOD[3], GOOD[5]], input_fields=["text"], name="val")
    assert (found.code, found.rows) == ("duplicates", 3)
    assert str(found) == "val: 3 rows repeat another exactly, the first at row 10; they count twice."
    (found,) = check_examples([*GOOD, GOOD[3]], input_fields=["text"], holds_test=True)
    assert str(found).endswith("at row 10; it counts twice, in the test that is cut from it once.")
    (found,) = check_examples([*GOOD, GOOD[3]], input_fields=["text"], name="test")
    assert str(found) == "test: 1 row repeats another exactly, the first at row 10; it counts once."


def test_conflicting_answers_are_shown() -> None:
    rows = [*GOOD, {"text": "message 3", "intent": "c"}, {"text": "message 3", "intent": "d"}]
    (found,) = check_examples(rows, input_fields=["text"])
    assert (found.code, found.rows) == ("conflicts", 3)
    assert "the first at rows 3 and 10: text='message 3'" in found.text


def test_missing_values_are_counted() -> None:
    rows = [*GOOD, {"text": "  ", "intent": "a"}, {"text": "x", "intent": None}, {"text": "y", "intent": float("nan")}]
    (found,) = check_examples(rows, input_fields=["text"])
    assert (found.code, found.rows) == ("missing values", 3)
    assert "no value for text in 1 row (10), intent in 2 rows (11, 12); fill them in" in found.text


def test_leaks_between_splits_name_how_many_and_one() -> None:
    check_leaks({"train": GOOD[:5], "val": GOOD[5:]}, input_fields=["text"])
    long = [{"text": "word " * 50, "intent": "a"}]
    with pytest.raises(InputError, match=r"1 input of train is also in test \(text='word word .*…\): remove it"):
        check_leaks({"train": GOOD + long, "val": [], "test": long}, input_fields=["text"])


def test_the_same_input_with_another_answer_leaks_too() -> None:
    with pytest.raises(InputError, match="1 input of train"):
        check_leaks({"train": GOOD, "val": [{"text": "message 1", "intent": "z"}]}, input_fields=["text"])


def test_a_number_and_its_text_are_one_input() -> None:
    with pytest.raises(InputError, match=r"1 input of train is also in test \(n=2\)"):
        check_leaks({"train": [{"n": 2}, {"n": 2.5}], "test": [{"n": "2"}, {"n": "x"}]}, input_fields=["n"])


def test_examples_are_checked_by_their_own_inputs() -> None:
    dspy = pytest.importorskip("dspy")
    examples = [dspy.Example(**r).with_inputs("text") for r in GOOD]
    assert check_examples(examples) == []
    with pytest.raises(InputError, match="row 10 has no input 'texts'"):
        check_examples([*examples, dspy.Example(text="x", intent="a").with_inputs("texts")])
    with pytest.raises(InputError, match=r"row 10: .*does not say which are inputs"):
        check_examples([*examples, dspy.Example(text="x", intent="a")])
