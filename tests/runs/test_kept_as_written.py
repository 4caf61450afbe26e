"""What is kept of programs whose examples hold objects, and of those that answer with a value alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from pydantic import BaseModel

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Fleet

QUESTIONS = [dspy.Example(question=f"What is {n}?", answer=f"it is {n}").with_inputs("question") for n in range(24)]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return sf.Fleet(tmp_path / "home")


def optimize(fleet: Fleet, program: Any, **changed: Any) -> Any:
    given = {"train": QUESTIONS, "optimizer": "labeled_fewshot", "lm": sf.offline_lm()}
    return fleet.optimize(program, **{**given, **changed})


class Person(BaseModel):
    name: str
    age: int = 3


class Described(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Describe who asks."""

    history: dspy.History = dspy.InputField()
    asker: Person = dspy.InputField()
    question: str = dspy.InputField()
    person: Person = dspy.OutputField()


def test_a_predictor_with_types_of_ones_own_is_loaded_by_name(fleet: Fleet) -> None:
    rows = [{"text": f"I am n{n}", "person": Person(name=f"n{n}")} for n in range(24)]
    signature = dspy.Signature({"text": (str, dspy.InputField()), "person": (Person, dspy.OutputField())}, "Who?")
    same = {"metric": lambda e, p: e.person == p.person, "train": rows}
    for program in (dspy.Predict(signature), dspy.ChainOfThought(signature)):
        name = type(program).__name__
        job = optimize(fleet, program, **same)
        job.result()
        fleet.register(job, name)
        assert fleet.program(f"{name}@1").predictors()[0].signature.output_fields["person"].annotation is Person
        assert fleet.registry.check().ok, "what is loaded fits"
    fleet.register(dspy.Predict(signature), "alone")
    with pytest.raises(InputError, match=r"person was saved with the type Person, .*: load it onto the program or the"):
        fleet.program("alone@1")
    assert fleet.program("alone@1", signature).signature is not None
    assert [one.name for one in fleet.registry.check().programs if one.fit == "differs"] == ["alone@1"]


@pytest.mark.filterwarnings("error::skillfleet_nb.reports.golden.GoldenWarning")
def test_a_registered_program_asks_what_was_scored_whatever_its_examples_hold(fleet: Fleet) -> None:
    said = dspy.History(messages=[{"question": "hello", "person": "somebody"}])
    rows = [
        dspy.Example(
            history=said, asker=Person(name=f"n{n}"), question=f"Who is {n}?", person=Person(name=f"n{n}")
        ).with_inputs("history", "asker", "question")
        for n in range(24)
    ]
    lm = sf.offline_lm()
    job = optimize(fleet, dspy.Predict(Described), train=rows, metric=lambda e, p: e.person == p.person, lm=lm)
    best = job.result().program
    fleet.register(job, "people")
    fleet.alias("people", "production", 1)
    with dspy.context(lm=lm):
        loaded = fleet.program("people@production")  # which looks at what was kept, and warns where it differs
    inputs = {name: rows[0][name] for name in ("history", "asker", "question")}
    asked = [dspy.ChatAdapter().format(Described, p.demos, inputs) for p in (best, loaded)]
    assert best.demos
    assert asked[0] == asked[1]


class Bare(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Answers with a value, not with a prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.respond = dspy.Predict("question -> answer")

    def forward(self, question: str) -> str:
        return str(self.respond(question=question).answer)


@pytest.mark.parametrize("optimizer", ["evolve", "tune_signature"])
def test_a_program_may_answer_with_a_value_alone(fleet: Fleet, optimizer: str) -> None:
    lm = sf.offline_lm()
    rows = [{"question": f"What is {n}?", "answer": f"it is {n}"} for n in range(32)]
    job = optimize(fleet, Bare(), train=rows, metric=bare, optimizer=optimizer, lm=lm, max_calls=400)
    assert job.result().state == JobState.COMPLETED


def test_what_answers_with_a_value_alone_is_looked_at_as_others_are(fleet: Fleet) -> None:
    lm = sf.offline_lm()
    job = optimize(fleet, Bare(), metric=bare, lm=lm)
    job.result()
    assert fleet.advice.noise(Bare(), train=QUESTIONS, metric=bare, lm=lm).calls > 0
    assert fleet.advice.headroom(Bare(), train=QUESTIONS, metric=bare, lm=lm)
    fleet.register(job, "bare")
    rows = [dict(e.items()) for e in QUESTIONS[:6]]
    assert fleet.golden_sets.add("bare", rows, score=True, lm=lm).scores


def bare(example: Any, pred: Any) -> bool:
    return bool(pred == example.answer)
