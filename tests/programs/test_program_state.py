"""States: safe JSON that DSPy loads, the same id for the same content, and no silent misfit."""

from __future__ import annotations

import copy
import datetime as dt
import json
import threading
from typing import TYPE_CHECKING, Any, Literal

import dspy
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from skillfleet_nb.errors import InputError
from skillfleet_nb.programs.loading import load, load_state
from skillfleet_nb.programs.state import describe, dump_state, program_id, save, unsaved_parts

if TYPE_CHECKING:
    from pathlib import Path


class Triage(dspy.Signature):
    """Find the team for a ticket."""

    text: str = dspy.InputField(desc="what the customer wrote")
    team: Literal["billing", "tech"] = dspy.OutputField(desc="who should answer")


class Pipeline(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.steps = [dspy.ChainOfThought("draft -> better"), dspy.Predict("better -> best")]
        self.by_kind = {"short": dspy.Predict("best -> answer")}


def search(query: str) -> str:
    """Find pages."""
    return query


def optimised(program: dspy.Module) -> dspy.Module:
    """Change each predictor as an optimizer would."""
    program = program.deepcopy()
    for i, (name, predictor) in enumerate(program.named_predictors()):
        predictor.signature = predictor.signature.with_instructions(f"Do {name} · with “{i}”.")
        predictor.demos = [dspy.Example(augmented=True, **dict.fromkeys(predictor.signature.fields, f"väl {i}"))]
    return program


PROGRAMS = {
    "predict": lambda: dspy.Predict(Triage),
    "chain": lambda: dspy.ChainOfThought(Triage),
    "react": lambda: dspy.ReAct("question -> answer", tools=[search]),
    "pipeline": Pipeline,
}


@pytest.fixture(params=PROGRAMS, ids=str)
def fresh(request: pytest.FixtureRequest) -> dspy.Module:
    return PROGRAMS[request.param]()


def content(program: dspy.Module) -> dict[str, Any]:
    return {
        name: (p.signature.instructions, [dict(d.items()) for d in p.demos], p.signature.dump_state())
        for name, p in program.named_predictors()
    }


def test_a_state_travels_through_json(fresh: dspy.Module) -> None:
    best = optimised(fresh)
    state = json.loads(json.dumps(dump_state(best)))
    before = content(fresh)
    loaded = load_state(fresh, state)
    assert content(loaded) == content(best)
    assert content(fresh) == before
    assert program_id(dump_state(loaded)) == program_id(state) != program_id(dump_state(fresh))


def test_files_are_read_by_dspy_and_by_us(fresh: dspy.Module, tmp_path: Path) -> None:
    best = optimised(fresh)
    path = save(best, tmp_path / "best.json")
    theirs = copy.deepcopy(fresh)
    theirs.load(path)
    assert content(theirs) == content(best) == content(load(fresh, path))
    best.save(tmp_path / "dspy.json")
    assert content(load(fresh, tmp_path / "dspy.json")) == content(best)
    assert [p.name for p in tmp_path.glob("*.tmp")] == []


def test_description_counts_demos_and_names_predictors() -> None:
    info = describe(dump_state(optimised(Pipeline())))
    assert info.n_demos == 4
    assert list(info.instructions) == ["draft", "steps[0].predict", "steps[1]", "by_kind['short']"]
    assert "steps[1]:\nDo steps[1] · with" in info.text
    one = describe(dump_state(dspy.Predict(Triage)))
    assert (one.text, one.n_demos) == ("Find the team for a ticket.", 0)


class Secretive:
    """An engine that cannot be dumped, as a user's local model may be."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def complete(self, request: object) -> object:
        raise NotImplementedError


def test_language_models_and_their_secrets_stay_out() -> None:
    program = dspy.ChainOfThought(Triage)
    plain_id = program_id(dump_state(program))
    lm = dspy.LM("openai/gpt-4o-mini", api_key="sk-SECRET", extra_headers={"Authorization": "Bearer SECRET"})
    program.set_lm(lm)
    state = dump_state(program)
    assert "SECRET" not in json.dumps(state)
    assert state["predict"]["lm"] is None
    assert state["metadata"]["skillfleet"]["lms"]["predict"]["model"] == "openai/gpt-4o-mini"
    assert "SECRET" not in json.dumps(state)
    assert program_id(state) == plain_id
    assert program.predict.lm is lm
    assert load_state(program, state).predict.lm is lm
    program.set_lm(dspy.LM("local/undumpable-1", engine=Secretive()))
    assert program_id(dump_state(program)) == plain_id


class Box(BaseModel):
    sides: list[int]


class Opaque:
    def __str__(self) -> str:
        return "an opaque thing"


def test_values_that_json_does_not_know_are_converted(tmp_path: Path) -> None:
    program = dspy.Predict("text, when, box, tags, vector, score, thing, raw -> label")
    values = {
        "text": "bad \ud800 surrogate",
        "when": dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
        "box": Box(sides=[1, 2]),
        "tags": {"b", "a", "c"},
        "vector": np.array([1.5, 2.0]),
        "score": float("nan"),
        "thing": Opaque(),
        "raw": b"\xff\x00",
        "label": (1, 2),
    }
    program.demos = [dspy.Example(**values), {"text": np.float32(0.5), "label": Literal}]
    path = save(program, tmp_path / "p.json")
    first, second = orjson.loads(path.read_bytes())["demos"]
    assert first["text"] == "bad ? surrogate"
    assert first["when"].startswith("2024-05-01T00:00:00")
    assert (first["box"], first["tags"], first["label"]) == ({"sides": [1, 2]}, ["a", "b", "c"], [1, 2])
    assert (first["vector"], first["score"], first["thing"]) == ([1.5, 2.0], "nan", "an opaque thing")
    assert isinstance(first["raw"], str)
    assert second["text"] == 0.5
    program.load(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=50)
@given(
    st.lists(st.fixed_dictionaries({"question": json_values, "answer": json_values}), max_size=3), st.text(max_size=50)
)
def test_any_content_survives_dspys_reader(demos: list[dict], instructions: str) -> None:
    program = dspy.Predict("question -> answer")
    program.signature = program.signature.with_instructions(instructions)
    program.demos = [dspy.Example(**d) for d in demos]
    state = dump_state(program)
    again = orjson.loads(json.dumps(state, allow_nan=False))
    assert program_id(again) == program_id(state)
    loaded = load_state(dspy.Predict("question -> answer"), again)
    assert program_id(dump_state(loaded)) == program_id(state)


def test_id_follows_content_alone() -> None:
    base = dump_state(optimised(dspy.Predict(Triage)))
    reordered = dict(reversed(base.items()))
    reordered["metadata"] = {}
    assert program_id(reordered) == program_id(base)
    for change in (
        lambda s: s["signature"].update(instructions="Other."),
        lambda s: s["signature"]["fields"][1].update(description="other"),
        lambda s: s["demos"].append({"text": "x", "team": "tech"}),
        lambda s: s["demos"][0].update(team="tech"),
    ):
        changed = copy.deepcopy(base)
        change(changed)
        assert program_id(changed) != program_id(base)
    fresh_ids = copy.deepcopy(base)
    fresh_ids["demos"][0]["dspy_uuid"] = "made up on loading"
    assert program_id(fresh_ids) == program_id(base)


def test_another_structure_is_refused_by_name() -> None:
    state = dump_state(Pipeline())
    state["extra"] = state.pop("draft")
    with pytest.raises(InputError, match="lacks draft and has also extra against the program's by_kind"):
        load_state(Pipeline(), state)
    with pytest.raises(InputError, match="lacks self and has also predict"):
        load_state(dspy.Predict(Triage), dump_state(dspy.ChainOfThought(Triage)))


def test_a_broken_state_is_refused_in_one_line() -> None:
    state = dump_state(dspy.Predict(Triage))
    del state["signature"]["fields"][0]["prefix"]
    with pytest.raises(InputError, match="save it again") as caught:
        load_state(dspy.Predict(Triage), state)
    assert "\n" not in str(caught.value)


def test_knn_programs_say_what_cannot_be_saved(tmp_path: Path) -> None:
    train = [dspy.Example(text=f"t{i}", team="tech").with_inputs("text") for i in range(4)]
    embed = dspy.Embedder(lambda texts: np.ones((len(texts), 3)))
    program = dspy.KNNFewShot(k=2, trainset=train, vectorizer=embed).compile(dspy.Predict(Triage))
    (reason,) = unsaved_parts(program)
    assert "KNNFewShot" in reason
    with pytest.raises(InputError, match="cannot be saved as JSON: the program answers with a function"):
        save(program, tmp_path / "knn.json")
    with pytest.raises(InputError, match="not the whole program"):
        load_state(dspy.Predict(Triage), dump_state(program))
    assert list(tmp_path.iterdir()) == []


def test_ensembles_and_frozen_programs_say_what_cannot_be_saved() -> None:
    compiled = dspy.LabeledFewShot(k=1).compile(
        dspy.Predict(Triage), trainset=[dspy.Example(text="t", team="tech").with_inputs("text")]
    )
    ensemble = dspy.Ensemble(reduce_fn=dspy.majority).compile([compiled, compiled])
    assert "save each of its programs" in unsaved_parts(ensemble)[0]
    assert unsaved_parts(compiled) == []

    class Wrapper(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = compiled_chain

    compiled_chain = dspy.ChainOfThought(Triage)
    compiled_chain._compiled = True
    assert "frozen" in unsaved_parts(Wrapper())[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.json", None, "cannot read .*none.json"),
        ("bad.json", "{", "is not JSON"),
        ("binary.json", b"\x80\x04\x95", "is not JSON"),
        ("list.json", "[]", "holds a list"),
        ("empty.json", "{}", "has no predictor with a signature"),
    ],
)
def test_files_that_are_no_states_are_refused(
    tmp_path: Path, name: str, text: str | bytes | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        load(dspy.Predict(Triage), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_only_json_is_written_and_only_where_one_can(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name the file best\.json"):
        save(dspy.Predict(Triage), tmp_path / "best.pkl")
    with pytest.raises(InputError, match=r"cannot write .*No such file"):
        save(dspy.Predict(Triage), tmp_path / "nowhere" / "best.json")


def test_a_predictor_called_signature_is_a_predictor() -> None:
    class Odd(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.signature = dspy.Predict("q -> a")

    state = dump_state(optimised(Odd()))
    assert list(describe(state).instructions) == ["signature"]
    assert content(load_state(Odd(), state)) == content(optimised(Odd()))
