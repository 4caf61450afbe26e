"""What the learner takes from a prompt: names, descriptions, rules, notes, demos; text made by example."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.offline import mine
from skillfleet_nb.offline.induce import TextModel
from skillfleet_nb.offline.notes import CUE_CHARS, EXAMPLE_CHARS, Notes, read_notes, read_prose
from skillfleet_nb.offline.prompt import Example, Field
from skillfleet_nb.offline.text import features, kebab, overlap, stem, words

LABELS = "Literal['lost_card', 'exchange_rate', 'top_up']"


def choose(text: str, instruction: str = "Sort it.", desc: str = "", demos: Any = ()) -> str:
    signature = dspy.Signature(f"text -> label: {LABELS}", instruction)
    program = dspy.Predict(signature.with_updated_fields("label", desc=desc) if desc else signature)
    program.demos = list(demos)
    return program(text=text).label


def test_label_names_are_evidence(lm: dspy.LM) -> None:
    assert choose("I think I have lost my cards") == "lost_card"
    assert choose("what rates do you exchange at") == "exchange_rate"


def test_misspelt_words_still_count(lm: dspy.LM) -> None:
    assert choose("tell me about exchnage") == "exchange_rate"


@pytest.mark.parametrize(
    "instruction",
    [
        "If a message mentions a thief, answer lost_card.",
        'Sort it. "thief" -> lost_card; "euros" -> exchange_rate',
        "thief=>lost_card, euros=>exchange_rate",
        "Messages about a thief or a wallet mean `lost_card`.\nMessages about euros mean `exchange_rate`.",
    ],
)
def test_rules_in_the_instruction_are_followed(lm: dspy.LM, instruction: str) -> None:
    assert choose("a thief came by", instruction) == "lost_card"


def test_a_label_that_is_ruled_out_is_not_spoken_for(lm: dspy.LM) -> None:
    told = read_prose("For a thief choose lost_card, not top_up.", ["lost_card", "top_up"])
    assert {label for label, _ in told} == {"lost_card"}


def test_descriptions_are_evidence(lm: dspy.LM) -> None:
    assert choose("my wallet is gone", desc="lost_card: wallet or purse gone. top_up: add money.") == "lost_card"


def test_demos_are_evidence(lm: dspy.LM) -> None:
    demos = [dspy.Example(text="the machine swallowed it", label="lost_card"),
             dspy.Example(text="yen to pounds please", label="exchange_rate")]  # fmt: skip
    assert choose("a machine kept mine", demos=demos) == "lost_card"
    assert choose("pounds for my trip", demos=demos) == "exchange_rate"


def test_the_more_frequent_label_wins_where_words_say_nothing(lm: dspy.LM) -> None:
    program = dspy.Predict("text -> size: Literal['small', 'large']")
    program.demos = [dspy.Example(text=f"item {w}", size="small" if w == "i" else "large") for w in "abcdefghi"]
    assert program(text="item z").size == "large"


def test_strings_with_few_values_are_a_choice(lm: dspy.LM) -> None:
    rows = [("ball and goal", "red"), ("goal keeper", "red"), ("court and net", "blue"), ("net play", "blue")]
    program = dspy.Predict("text -> team")
    program.demos = [dspy.Example(text=text, team=team) for text, team in rows]
    assert program(text="a late goal").team == "red"


def test_labels_listed_in_a_description(lm: dspy.LM) -> None:
    signature = dspy.Signature("text -> kind").with_updated_fields("kind", desc="one of: fruit, tool or animal")
    assert dspy.Predict(signature)(text="which tools do I need").kind == "tool"


def test_refine_asks_for_another_answer(lm: dspy.LM) -> None:
    tried: list[str] = []

    def reward(args: Any, pred: Any) -> float:
        tried.append(pred.label)
        return float(pred.label == "top_up")

    program = dspy.Predict(f"text -> label: {LABELS}")
    dspy.Refine(program, N=2, reward_fn=reward, threshold=1.0)(text="I lost a card")
    assert tried[0] == "lost_card"
    assert tried[1] != "lost_card"


def learned(pairs: list[tuple[str, str]], text: str, name: str = "out") -> str:
    model = TextModel(Field(name, "", {"type": "string"}), [({"text": source}, value) for source, value in pairs])
    return model.make({"text": text})


@pytest.mark.parametrize(
    ("pairs", "text", "wanted"),
    [
        ([("Order: blue hat", "blue hat"), ("Order: red coat", "red coat")], "Order: old map", "old map"),
        ([("Build a log parser tool: fast", "log-parser"), ("Build an image viewer tool: slow", "image-viewer")],
         "Build a mail sender tool: new", "mail-sender"),
        ([("Draw red fox now", "fox/red"), ("Draw grey owl now", "owl/grey")], "Draw white cat now", "cat/white"),
        ([("x one.", "kind: one"), ("x two.", "kind: two")], "x six.", "kind: six"),
        ([("abc", "yes"), ("def", "yes")], "ghi", "yes"),
        ([('say "hello" now', "HELLO"), ('say "bye" now', "BYE")], 'say "well" now', "WELL"),
        ([("a" * 30, "a" * 10), ("b" * 30, "b" * 10)], "c" * 30, "c" * 10),
    ],
)  # fmt: skip
def test_text_programs_generalise(pairs: list[tuple[str, str]], text: str, wanted: str) -> None:
    assert learned(pairs, text) == wanted


@settings(max_examples=60)
@given(pairs=st.lists(st.tuples(st.text(max_size=40), st.text(max_size=20)), max_size=5), text=st.text(max_size=40))
def test_text_programs_never_fail(pairs: list[tuple[str, str]], text: str) -> None:
    assert isinstance(learned(pairs, text), str)


def test_lists_and_numbers_are_learned_from_demos(lm: dspy.LM) -> None:
    program = dspy.Predict("task -> tags: list[str], total: int")
    program.demos = [dspy.Example(task="pack red boxes: 3 and 4", tags=["pack", "red", "boxes"], total=7),
                     dspy.Example(task="send blue bags: 5 and 1", tags=["send", "blue", "bags"], total=6)]  # fmt: skip
    found = program(task="sort green cups: 2 and 9")
    assert found.tags == ["sort", "green", "cups"]
    assert found.total == 11


def test_grades_are_given_by_evidence(lm: dspy.LM) -> None:
    program = dspy.Predict("review -> stars: int")
    rows = [("dull and slow", 1), ("slow start", 1), ("bright and lively", 5), ("lively cast", 5)]
    program.demos = [dspy.Example(review=review, stars=stars) for review, stars in rows]
    assert program(review="a slow evening").stars == 1
    assert program(review="so lively").stars == 5


def test_worked_examples_in_an_instruction_teach_like_demos(lm: dspy.LM) -> None:
    notes = Notes()
    notes.learn([Example({"task": f"Make a {a} {b} kit: good"}, {"name": f"{a}-{b}"}) for a, b in
                 [("river", "boat"), ("paper", "lamp"), ("stone", "wall")]])  # fmt: skip
    assert notes.examples
    program = dspy.Predict(dspy.Signature("task -> name", "Name it.\n\n" + notes.write()))
    assert program(task="Make a copper pipe kit: cheap").name == "copper-pipe"


NAMES = st.text("abcdefghij", min_size=3, max_size=8)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=8), st.sampled_from(["Q1", "Q2", "Q3"])), min_size=1, max_size=8
    )
)
def test_notes_are_read_as_they_were_written(rows: list[tuple[list[str], str]]) -> None:
    notes = Notes()
    notes.learn([Example({"text": " ".join(text)}, {"label": label}) for text, label in rows], labels=["label"])
    text = notes.write()
    again, rest = read_notes("Do it.\n\n" + text)
    assert rest == "Do it."
    assert again.seen == notes.seen
    assert all(
        notes.cues["label"][label][cue] == n for label, cues in again.cues["label"].items() for cue, n in cues.items()
    )


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_reading_notes_keeps_other_text(text: str) -> None:
    _, rest = read_notes(text)
    assert words(rest) == words(text) or "Cues for" in text or "Worked examples" in text


def test_merging_adds_counts_and_loses_nothing() -> None:
    one, two = Notes(), Notes()
    one.learn([Example({"t": "apple tree"}, {"l": "X"})], labels=["l"])
    two.learn([Example({"t": "apple pie"}, {"l": "X"}), Example({"t": "stone"}, {"l": "Y"})], labels=["l"])
    one.merge(two)
    assert one.cues["l"]["X"][stem("apple")] == 2
    assert one.seen["l"] == {"X": 2, "Y": 1}
    assert {stem("tree"), stem("pie")} <= one.cues["l"]["X"].keys()


def test_notes_stay_within_bounds() -> None:
    notes = Notes()
    notes.learn([Example({"t": " ".join(f"w{i}x{j}" for j in range(50))}, {"l": f"label {i}", "made": "z" * 500})
                 for i in range(100)], labels=["l"])  # fmt: skip
    assert len(notes.write()) < 2 * (CUE_CHARS + EXAMPLE_CHARS)


@pytest.mark.parametrize(
    ("given_", "feedback", "right"),
    [
        ({"label": "a"}, "expected b, got a", {"label": "b"}),
        ({"label": "a"}, "The correct label is 'big b'.", {"label": "big b"}),
        ({"label": "a"}, "Wrong: should be b (not a)", {"label": "b"}),
        ({"label": "a"}, "Correct.", {"label": "a"}),
        ({"label": "a"}, "This trajectory got a score of 1.0.", {"label": "a"}),
        ({"label": "a"}, "This trajectory got a score of 0.0.", {}),
        ({"label": "a"}, "incorrect", {}),
        ({"x": "1", "y": "2"}, "x: expected '3'\ny: expected '4'", {"x": "3", "y": "4"}),
        ({"x": "1", "y": ["2"]}, "y: expected ['a', 'b']", {"y": "['a', 'b']"}),
    ],
)
def test_feedback_tells_what_is_right(given_: dict[str, Any], feedback: str, right: dict[str, Any]) -> None:
    assert mine.right_outputs(given_, feedback) == right


def test_examples_are_read_as_dspy_shows_them() -> None:
    rows = [
        dspy.Example(text='it\'s "odd" })', label="x", extra=None).with_inputs("text"),
        dspy.Example(text="b", label="y").with_inputs("text"),
    ]
    assert mine.from_reprs(repr(rows)) == [
        Example({"text": "it's \"odd\" })"}, {"label": "x"}), Example({"text": "b"}, {"label": "y"}),
    ]  # fmt: skip
    shown = "Text: one\ntwo\nReasoning: since\nLabel: x\n\nText: three\nReasoning: so\nLabel: y\n\n"
    assert mine.from_prefixed(shown, ["text"], ["reasoning", "label"]) == [
        Example({"text": "one\ntwo"}, {"label": "x"}), Example({"text": "three"}, {"label": "y"}),
    ]  # fmt: skip


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_mining_never_fails(text: str) -> None:
    for read in (mine.from_reprs, mine.from_rules_text, mine.from_feedback):
        assert isinstance(read(text), list)
    assert isinstance(mine.right_outputs({"a": 1, "b": 2}, text), dict)


@settings(max_examples=100)
@given(st.text(max_size=80))
def test_text_tools_hold_their_promises(text: str) -> None:
    assert 0 <= overlap(text, text[::-1]) <= 1
    assert overlap(text, text) == 1
    assert kebab(kebab(text)) == kebab(text)
    assert all(stem(word) for word in words(text))
    assert all(weight > 0 for weight in features(text).values())
