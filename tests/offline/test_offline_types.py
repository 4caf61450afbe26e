"""Every output type parses back through DSPy, in every adapter, with and without reasoning and demos."""

from __future__ import annotations

import enum
from typing import Any, Literal, Optional

import dspy
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Address(pydantic.BaseModel):
    street: str
    number: int = pydantic.Field(ge=1, le=9)


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    age: Optional[int]  # noqa: UP045  the spelling that older programs use
    tags: list[str]
    kind: Literal["guest", "host"]
    home: Address
    others: list[Address]
    ok: bool
    extra: dict[str, float]
    parent: Optional["Person"]


PLAIN = [
    str, int, float, bool, list[str], list[int], list[float], list[bool], dict[str, str], dict[str, int],
    dict[str, list[str]], Literal["x y", "it's", 'say "hi"'], Literal["a, b", "c (d)", "e; f"], Literal[1, 2],
    Literal[True, False], str | None, int | None, Literal["a", "b"] | None, Color, list[Literal["p", "q"]],
    set[str], Any, dict, list, str | int | None, list[dict[str, str]], dict[str, Any],
]  # fmt: skip
NESTED = [Address, Person, list[Person], tuple[str, int], dict[str, Address]]
ADAPTERS = {
    "chat": lambda: dspy.ChatAdapter(use_json_adapter_fallback=False),
    "json": dspy.JSONAdapter,
    "xml": lambda: dspy.XMLAdapter(use_json_adapter_fallback=False),
}


def signature(kind: Any) -> Any:
    fields = {
        "text": (str, dspy.InputField()),
        "facts": (list[str], dspy.InputField(desc="what is known")),
        "out": (kind, dspy.OutputField(desc="the thing")),
    }
    return dspy.Signature(fields, "Find the thing.")


@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
@pytest.mark.parametrize("kind", PLAIN, ids=str)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_parses_plain_types(lm: dspy.LM, adapter: str, kind: Any, module: type[dspy.Module]) -> None:
    with dspy.context(adapter=ADAPTERS[adapter]()):
        found = module(signature(kind))(text="Anna, 31, has 2 red lamps: cheap ones.", facts=["one", "two"])
    assert "out" in found
    assert len(lm.history) == 1  # no second call to repair the first


@pytest.mark.parametrize("kind", NESTED, ids=str)
@pytest.mark.parametrize("adapter", ["chat", "json"])
def test_parses_nested_types(lm: dspy.LM, adapter: str, kind: Any) -> None:
    with dspy.context(adapter=ADAPTERS[adapter]()):
        found = dspy.Predict(signature(kind))(text="Anna, 31, has 2 red lamps.", facts=[])
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        assert isinstance(found.out, kind)


def test_xml_falls_back_to_json_for_models_with_numbers(lm: dspy.LM) -> None:
    with dspy.context(adapter=dspy.XMLAdapter()):
        assert isinstance(dspy.Predict(signature(Address))(text="7 Hill Road", facts=[]).out, Address)


@pytest.mark.parametrize("adapter", ADAPTERS)
@settings(max_examples=25)
@given(text=st.text(max_size=200), fact=st.text(max_size=40), demo=st.text(min_size=1, max_size=40))
def test_any_text_gets_an_answer_that_parses(lm: dspy.LM, adapter: str, text: str, fact: str, demo: str) -> None:
    fields = {
        "text": (str, dspy.InputField()),
        "label": (Literal["north", "south"], dspy.OutputField()),
        "note": (str, dspy.OutputField()),
        "words": (list[str], dspy.OutputField()),
        "n": (int, dspy.OutputField()),
    }
    program = dspy.ChainOfThought(dspy.Signature(fields, fact))
    shown = dspy.Example(text=demo, label="south", note=demo[::-1], words=[demo], n=3)
    program.predict.demos = [shown, dspy.Example(text=text, note=fact)]
    with dspy.context(adapter=ADAPTERS[adapter]()):
        found = program(text=text)
    assert found.label in {"north", "south"}
    assert isinstance(found.n, int)


def test_reads_what_adapters_write_between_markers(lm: dspy.LM) -> None:
    program = dspy.Predict("text -> echo")
    program.demos = [dspy.Example(text="a\n[[ ## other ## ]]\nb", echo="a\n[[ ## other ## ]]\nb")]
    assert program(text="one\n[[ ## other ## ]]\ntwo").echo.replace("[ [", "[[") == "one\n[[ ## other ## ]]\ntwo"


def test_incomplete_demos_still_teach(lm: dspy.LM) -> None:
    program = dspy.ChainOfThought("text -> mood: Literal['calm', 'tense']")
    rows = [("harbour at dusk", "calm"), ("deadline tonight", "tense"), ("quiet harbour", "calm")]
    program.predict.demos = [dspy.Example(text=t, mood=m) for t, m in rows]
    assert program(text="another deadline").mood == "tense"
    assert program(text="by the harbour").mood == "calm"


def test_history_turns_and_missing_inputs_are_fine(lm: dspy.LM) -> None:
    class Chat(dspy.Signature):
        question: str = dspy.InputField()
        history: dspy.History = dspy.InputField()
        answer: str = dspy.OutputField()

    past = dspy.History(messages=[{"question": "hi", "answer": "hello"}])
    assert dspy.Predict(Chat)(question="and you?", history=past).answer
