"""A saved program onto changed code: every field gets its own text, or the difference is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.programs.loading import field_differences, load, load_state
from skillfleet_nb.programs.signatures import SavedPredictor, signature_version, version_of
from skillfleet_nb.programs.state import dump_state, save

if TYPE_CHECKING:
    from pathlib import Path

TYPES: dict[str, Any] = {"str": str, "int": int, "list[str]": list[str], "Literal['a', 'b']": Literal["a", "b"]}
NAMES = ["text", "lang", "tone", "intent", "team", "reason"]


class Shape:
    """A signature to be edited: fields as [name, role, type]."""

    def __init__(self, fields: list[list[str]]) -> None:
        self.fields = fields

    def program(self, *, chain: bool) -> dspy.Module:
        made = {
            name: (TYPES[kind], (dspy.InputField if role == "input" else dspy.OutputField)(desc=f"code's {name}"))
            for name, role, kind in self.fields
        }
        return (dspy.ChainOfThought if chain else dspy.Predict)(dspy.Signature(made, "Do."))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique=True))
    roles = ["input", *draw(st.lists(st.sampled_from(["input", "output"]), min_size=len(names) - 2, max_size=3))]
    roles = [*roles[: len(names) - 1], "output"]
    return Shape([[n, r, draw(st.sampled_from(sorted(TYPES)))] for n, r in zip(names, roles, strict=True)])


@st.composite
def edited(draw: st.DrawFn, shape: Shape) -> Shape:
    fields = [list(field) for field in shape.fields]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(fields) - 1))
        free = [n for n in NAMES if n not in {f[0] for f in fields}]
        edit = draw(st.sampled_from(["rename", "reorder", "insert", "drop", "retype"]))
        if edit == "rename" and free:
            fields[at][0] = draw(st.sampled_from(free))
        elif edit == "reorder":
            fields = list(draw(st.permutations(fields)))
        elif edit == "insert" and free:
            kind = draw(st.sampled_from(sorted(TYPES)))
            fields.insert(at, [draw(st.sampled_from(free)), draw(st.sampled_from(["input", "output"])), kind])
        elif edit == "drop" and sum(f[1] == fields[at][1] for f in fields) > 1:
            del fields[at]
        elif edit == "retype":
            fields[at][2] = draw(st.sampled_from(sorted(TYPES)))
    return Shape(fields)


def optimised(program: dspy.Module) -> dspy.Module:
    """Give every field a description that names it, as an optimizer would write one."""
    program = program.deepcopy()
    (predictor,) = program.predictors()
    for name in predictor.signature.fields:
        predictor.signature = predictor.signature.with_updated_fields(
            name, desc=f"tuned {name}", prefix=f"My {name} is"
        )
    return program


def descriptions(program: dspy.Module) -> dict[str, str]:
    (predictor,) = program.predictors()
    return {name: info.json_schema_extra["desc"] for name, info in predictor.signature.fields.items()}


@given(data=st.data(), shape=shapes(), chain=st.booleans())
def test_no_field_ever_gets_its_neighbours_text(data: st.DataObject, shape: Shape, chain: bool) -> None:  # noqa: FBT001
    code = data.draw(edited(shape))
    was = {name: (role, kind) for name, role, kind in shape.fields}
    now = {name: (role, kind) for name, role, kind in code.fields}
    state = json.loads(json.dumps(dump_state(optimised(shape.program(chain=chain)))))
    program = code.program(chain=chain)
    told = {(d.was or d.now).name for d in field_differences(program, state)}  # type: ignore[union-attr]
    assert told == {name for name in {**was, **now} if was.get(name) != now.get(name)}
    if told:
        with pytest.raises(InputError, match="fields are not those it was saved with") as caught:
            load_state(program, state)
        assert all(f"{name} " in str(caught.value) for name in told)
    else:
        assert descriptions(load_state(program, state)) == {n: f"tuned {n}" for n in descriptions(program)}
    migrated = descriptions(load_state(program, state, differences="migrate"))
    reasoning = {"reasoning"} if chain else set()
    assert migrated == {n: f"tuned {n}" if n in {*was, *reasoning} else f"code's {n}" for n in migrated}
    assert migrated.keys() == {*now, *reasoning}
    kept = descriptions(load_state(program, state, differences="keep"))
    assert kept == {n: f"tuned {n}" for n in {*was, *reasoning}}


def test_what_dspy_saved_alone_is_matched_by_what_its_prefixes_say(tmp_path: Path) -> None:
    saved = dspy.Predict("text, lang -> label")
    saved.signature = saved.signature.with_updated_fields("lang", desc="a language")
    saved.signature = saved.signature.with_updated_fields("label", prefix="The right label is")  # as COPRO does
    saved.save(tmp_path / "dspy.json")
    assert descriptions(load(dspy.Predict("text, lang -> label"), tmp_path / "dspy.json"))["lang"] == "a language"
    with pytest.raises(InputError, match=r"the_right_label_is \(output\) is gone"):
        load(dspy.Predict("lang, text -> label"), tmp_path / "dspy.json")
    saved.signature = saved.signature.with_updated_fields("label", prefix="Label:")
    saved.save(tmp_path / "dspy.json")
    assert descriptions(load(dspy.Predict("lang, text -> label"), tmp_path / "dspy.json"))["lang"] == "a language"
    with pytest.raises(InputError, match=r"team \(output, str\) is new; label \(output\) is gone"):
        load(dspy.Predict("text, lang -> team"), tmp_path / "dspy.json")


def test_demos_that_fit_no_more_stay_behind() -> None:
    saved = dspy.Predict("text, n: int -> label: str")
    saved.demos = [
        dspy.Example(augmented=True, text="a", n=1, label="b"),
        dspy.Example(text="c", n=2, label="no number"),
        dspy.Example(text="d", n=3, label="4"),
    ]
    loaded = load_state(dspy.Predict("text -> label: int"), dump_state(saved), differences="migrate")
    assert [dict(demo) for demo in loaded.demos] == [{"text": "d", "label": "4"}]


def test_a_type_that_only_the_old_code_knew_is_told() -> None:
    state = dump_state(dspy.Predict("text -> when"))
    state["metadata"]["skillfleet"]["types"]["self"]["when"] = "Ledger"
    with pytest.raises(InputError, match="when was saved with the type Ledger, which is not known here"):
        load_state(dspy.Predict("text -> when: int"), state, differences="keep")


def test_an_unknown_way_is_refused() -> None:
    program = dspy.Predict("text -> label")
    with pytest.raises(NotFoundError, match="refuse"):
        load_state(program, dump_state(program), differences="refuze")  # type: ignore[arg-type]


def labels(saved: SavedPredictor) -> None:
    saved.rename("intent", "label")


def no_language(saved: SavedPredictor) -> None:
    saved.drop("lang")


@signature_version("1.0")
class First(dspy.Signature):
    """Sort."""

    text: str = dspy.InputField()
    lang: str = dspy.InputField()
    intent: str = dspy.OutputField()


@signature_version("2.0", migrations={"1.0": labels, "1.5": no_language})
class Second(dspy.Signature):
    """Sort."""

    text: str = dspy.InputField()
    label: str = dspy.OutputField()


First.__qualname__ = First.__name__ = "Second"


@pytest.fixture
def of_version_one() -> dict[str, Any]:
    """Return a program's state as it was saved when `Second` was at version 1.0."""
    program = optimised(dspy.ChainOfThought(First))
    program.predict.demos = [dspy.Example(text="a", lang="en", intent="refund", reasoning="r")]
    state = dump_state(program)
    state["metadata"]["skillfleet"]["signatures"] = {"predict": ["Second", "1.0"]}
    return state


def test_declared_migrations_are_walked_step_by_step(of_version_one: dict[str, Any]) -> None:
    before = json.dumps(of_version_one)
    loaded = load_state(dspy.ChainOfThought(Second), of_version_one)
    assert descriptions(loaded) == {"text": "tuned text", "reasoning": "tuned reasoning", "label": "tuned intent"}
    assert [dict(demo) for demo in loaded.predict.demos] == [{"text": "a", "label": "refund", "reasoning": "r"}]
    assert json.dumps(of_version_one) == before
    assert version_of(loaded.predict.signature) == ("Second", "2.0")
    assert dump_state(loaded)["metadata"]["skillfleet"]["signatures"] == {"predict": ["Second", "2.0"]}


def test_a_version_without_a_way_is_refused_by_name(of_version_one: dict[str, Any]) -> None:
    told = of_version_one["metadata"]["skillfleet"]["signatures"]
    told["predict"] = ["Second", "0.9"]
    with pytest.raises(InputError, match=r"signature Second: it was made for version 0.9, .* from 1.0, 1.5 to 2.0"):
        load_state(dspy.ChainOfThought(Second), of_version_one)
    told["predict"] = ["Second", "3.0"]
    with pytest.raises(InputError, match=r"made for version 3.0 and the code has 2.0: update the code"):
        load_state(dspy.ChainOfThought(Second), of_version_one)


def test_a_migration_that_raises_changes_nothing(of_version_one: dict[str, Any]) -> None:
    of_version_one["metadata"]["skillfleet"]["fields"]["predict"]["inputs"][1] = "tongue"
    with pytest.raises(InputError, match=r"signature Second from 1.5 to 2.0 raised InputError: cannot drop"):
        load_state(dspy.ChainOfThought(Second), of_version_one)


def test_versions_are_checked_as_they_are_declared() -> None:
    with pytest.raises(InputError, match="signature version 'new': write numbers and dots"):
        signature_version("new")
    with pytest.raises(InputError, match=r"a migration from 2\.0 cannot lead to version 1\.5"):
        signature_version("1.5", migrations={"2.0": labels})


def test_files_carry_the_versions(tmp_path: Path) -> None:
    path = save(dspy.Predict(Second), tmp_path / "second.json")
    assert json.loads(path.read_text())["metadata"]["skillfleet"]["signatures"] == {"self": ["Second", "2.0"]}
    assert version_of(load(dspy.Predict(Second), path).signature) == ("Second", "2.0")
