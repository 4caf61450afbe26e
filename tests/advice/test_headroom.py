"""Headroom: what is in the way is found before money is spent, with evidence."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, LMError

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.advice.headroom import Headroom

MANY = rows(24)


def _look(home: Path, **changed: Any) -> tuple[Headroom, Counting]:
    lm, engine = counted_lm()
    given = {"train": MANY, "metric": exact, "lm": lm, "n": 12, "k": 3, **changed}
    return Fleet(home).advice.headroom(program(), **given), engine


def test_a_task_that_can_be_learned_is_worth_trying(tmp_path: Path) -> None:
    found, engine = _look(tmp_path)
    assert found.verdict == "worth trying"
    assert found.baseline is not None
    assert found.best_of_k is not None
    assert found.best_of_k > found.baseline
    assert found.baseline_interval[0] < found.baseline < found.baseline_interval[1]
    assert engine.calls == found.calls > 0
    assert found.label_agreement > found.agreement_by_chance
    for said in (found.text(), found._repr_html_()):
        assert "worth trying" in said


def test_shuffled_labels_are_told_before_a_call(tmp_path: Path) -> None:
    labels = [row.intent for row in MANY]
    random.Random(4).shuffle(labels)
    shuffled = [dspy.Example(text=r.text, intent=i).with_inputs("text") for r, i in zip(MANY, labels, strict=True)]
    found, engine = _look(tmp_path, train=shuffled)
    assert found.verdict == "fix the data first"
    assert "inputs that are alike do not share labels" in found.evidence[0]
    assert engine.calls == 0


def test_inputs_that_repeat_with_other_labels_are_told(tmp_path: Path) -> None:
    others = {"access_request": "bug_report"}
    twice = [
        dspy.Example(text=f"{r.text} ", intent=others.get(r.intent, "access_request")).with_inputs("text")
        for r in MANY[:20]
    ]
    found, _ = _look(tmp_path, train=[*MANY, *twice])
    assert found.verdict == "fix the data first"
    assert len(found.conflicts) >= 8
    first, second = found.conflicts[0]
    assert first.strip() == second.strip()


def test_a_program_that_is_right_already_has_little_to_gain(tmp_path: Path) -> None:
    class Knows(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.guess = dspy.Predict("text -> intent")

        def forward(self, text: str) -> Any:
            self.guess(text=text)
            return dspy.Prediction(intent=known[text])

    known = {r.text: r.intent for r in MANY}
    lm, _ = counted_lm()
    found = Fleet(tmp_path).advice.headroom(Knows(), train=MANY, metric=exact, lm=lm, n=12, k=2)
    assert found.verdict == "little to gain"
    assert found.baseline == 1.0


def _constant(example: Any, pred: Any, trace: Any = None) -> float:
    return 0.5


def _generous(example: Any, pred: Any, trace: Any = None) -> float:
    return 1.0 if example.intent == pred.intent else 0.97


def _wrong(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent != pred.intent)


def _noisy() -> Any:
    rng = random.Random(0)

    def noisy(example: Any, pred: Any, trace: Any = None) -> float:
        return rng.random()

    return noisy


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (_constant, "is constant"),
        (_generous, "is saturated"),
        (_wrong, "what is right should score near 1"),
        (_noisy(), "is noisy"),
    ],
)
def test_a_metric_that_cannot_tell_is_told_before_a_call(tmp_path: Path, metric: Any, said: str) -> None:
    found, engine = _look(tmp_path, metric=metric)
    assert found.verdict == "fix the metric first"
    assert said in found.evidence[0]
    assert engine.calls == 0


def test_advice_knows_what_headroom_found(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    lm, _ = counted_lm()
    given = {**Data().splits(), "metric": exact, "lm": lm}
    found = fleet.advice.headroom(program(), **given, n=8, k=2)
    made = fleet.advice.recommend(program(), **given, probe=0)
    assert made.headroom == found.verdict
    assert made.features["baseline"] == pytest.approx(found.baseline)


def test_no_zero_stands_for_an_answer_that_did_not_come(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        if number % 4 == 0:
            raise RuntimeError("overloaded")

    whole, _ = _look(tmp_path / "whole")
    lm, _ = counted_lm(Counting(fail), num_retries=0)
    found, _ = _look(tmp_path / "failing", lm=lm, k=2)
    assert found.n == whole.n - 3
    assert found.baseline is not None

    def turn(number: int) -> None:
        if number > 4:
            raise RuntimeError("gone")

    lm, _ = counted_lm(Counting(turn), num_retries=0)
    with pytest.raises(LMError, match=r"could not be scored on 12 examples: .*gone"):
        _look(tmp_path / "turned", lm=lm)


def test_a_budget_ends_the_look(tmp_path: Path) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=0.01))
    with pytest.raises(LMError, match=r"budget: \$1e-05"):
        Fleet(tmp_path).advice.headroom(program(), train=MANY, metric=exact, lm=lm, budget_usd=1e-5)
    assert engine.calls == 0


@pytest.mark.parametrize("budget_usd", [0, -1.0, float("nan"), float("inf"), True, "much"])
@pytest.mark.parametrize("what", ["headroom", "noise"])
def test_a_budget_that_means_nothing_is_refused(tmp_path: Path, what: str, budget_usd: Any) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=0.01))
    with pytest.raises(InputError, match=r"budget_usd = .*: give more than 0 USD"):
        getattr(Fleet(tmp_path).advice, what)(program(), train=MANY, metric=exact, lm=lm, budget_usd=budget_usd)
    assert engine.calls == 0


@pytest.mark.parametrize("what", ["headroom", "noise"])
def test_a_budget_for_a_model_without_a_price_says_how_to_state_one(tmp_path: Path, what: str) -> None:
    lm = dspy.LM("acme/unheard-of")
    with pytest.raises(LMError, match=r"budget_usd = 1 cannot be compared: 'acme/unheard-of' .* add to config.toml"):
        getattr(Fleet(tmp_path).advice, what)(program(), train=MANY, metric=exact, lm=lm, budget_usd=1.0)


@pytest.mark.parametrize(
    ("changed", "said"), [({"n": 0}, "n = 0: give a whole number"), ({"k": -1}, "k = -1"), ({"metric": None}, "metric")]
)
def test_what_cannot_be_looked_at_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        _look(tmp_path, **changed)
    assert said in str(caught.value)


class Chatty(Counting):
    """Answers in plain words, which no adapter reads, unless it is asked for JSON, or has tokens enough."""

    def __init__(self, *, enough: int = 10**6, is_told_by_json: bool = True) -> None:
        super().__init__()
        self.enough, self.is_told_by_json = enough, is_told_by_json

    def complete(self, request: Any) -> Any:
        answer = super().complete(request)
        asked = str(request.messages[-1].text)
        if ("JSON" in asked and self.is_told_by_json) or (request.config.max_tokens or 0) >= self.enough:
            return answer
        message = dspy.lm15.Message.assistant([dspy.lm15.TextPart("I would say it is the second.")])
        return replace(answer, message=message)


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        (Chatty(), r"with dspy.configure\(adapter=dspy.JSONAdapter\(\)\) 8 of 8 that could not be read were"),
        (Chatty(enough=200, is_told_by_json=False), "with max_tokens=400 in the model 8 of 8 that could not be read"),
    ],
)
def test_another_form_of_asking_comes_before_optimising(tmp_path: Path, engine: Chatty, line: str) -> None:
    lm, _ = counted_lm(engine, max_tokens=100)
    with dspy.context(adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
        found, _ = _look(tmp_path, lm=lm)
    assert found.verdict == "fix the format first"
    assert found.evidence[0] == "12 of 12 answers could not be read"
    assert re.match(line, found.evidence[1])
    assert found.baseline is None  # none of its answers is known
    assert found.calls == engine.calls
    assert "fix the format first" in found.text()


def test_form_that_helps_nothing_is_not_proposed(tmp_path: Path) -> None:
    lm, engine = counted_lm(Chatty(is_told_by_json=False))
    with (
        dspy.context(adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        pytest.raises(LMError, match="could not be scored on 12 examples"),
    ):
        _look(tmp_path, lm=lm)
    assert engine.calls > 0
