"""ReAnchor as an optimizer: a threshold is fitted on cached answers, kept with the program, and shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dspy
import pytest
from dspy.adapters.types.decision import Noul
from made_up import Counting, counted_lm

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


class Timid(Counting):
    """Knows what is urgent, and dares say so with a probability of 0.3 only."""

    def complete(self, request: Any) -> Any:
        text = json.dumps({"noul": 0.3 if "now" in str(request.messages[-1].text).split() else 0.1})
        part = dspy.lm15.TextPart(f"[[ ## urgent ## ]]\n{text}\n\n[[ ## completed ## ]]")
        return replace(super().complete(request), message=dspy.lm15.Message.assistant([part]))


def decides() -> dspy.Module:
    urgent = (Annotated[bool, Noul], dspy.OutputField(desc="whether it cannot wait"))
    return dspy.Predict(dspy.Signature({"text": (str, dspy.InputField()), "urgent": urgent}, "Judge the message."))


def messages(split: str, count: int) -> list[dspy.Example]:
    return [
        dspy.Example(text=f"{split} {n} {'please now' if n % 2 else 'whenever you like'}", urgent=bool(n % 2))
        .with_inputs("text")
        for n in range(count)
    ]  # fmt: skip


def right(example: Any, prediction: Any, trace: object = None) -> float:
    return float(example.urgent == prediction.urgent)


def test_threshold_is_fitted_with_a_call_for_each_example_and_stays_with_the_program(tmp_path: Path) -> None:
    lm, engine = counted_lm(Timid())
    fleet = Fleet(tmp_path)
    splits = {"train": messages("t", 20), "val": messages("v", 10), "test": messages("s", 20)}
    estimate = fleet.advice.estimate(decides(), metric=right, optimizer="reanchor", lm=lm, **splits, probe=0)
    job = fleet.optimize(decides(), metric=right, optimizer="reanchor", lm=lm, **splits)
    result = job.result()
    assert (result.test_baseline, result.test_score, result.verdict) == (0.5, 1.0, "improved")
    assert 0.1 < result.program.fields["urgent"]["threshold"] <= 0.3
    assert engine.calls == result.lm_calls == 20 + 10 + 20  # each example once: all else is in the cache
    assert estimate.calls.low <= result.lm_calls <= estimate.calls.high
    changes = str(job.diff())
    assert "threshold of urgent" in changes
    assert "0.2" in changes
    assert "threshold of urgent" in job.diff().html()
    again = Fleet(tmp_path).job(job.id).best_program(decides())
    with dspy.context(lm=lm):
        assert again(text="the house is on fire now").urgent is True


class Biased(Counting):
    """Finds the first choice likelier than it is; names it where it is asked for no probabilities."""

    def complete(self, request: Any) -> Any:
        asked = str(request.messages[-1].text)
        likely = 0.45 if "late" in asked.split() else 0.2
        value = {"probabilities": {"on time": 1 - likely, "late": likely}, "confidence": 0.5}
        said = json.dumps(value) if "Evidence" in asked else "on time"
        part = dspy.lm15.TextPart(f"[[ ## state ## ]]\n{said}\n\n[[ ## completed ## ]]")
        return replace(super().complete(request), message=dspy.lm15.Message.assistant([part]))


def test_labels_that_are_chosen_too_rarely_get_a_weight(tmp_path: Path) -> None:
    state = (Literal["on time", "late"], dspy.OutputField(desc="whether it was late"))
    chooses = dspy.Predict(dspy.Signature({"text": (str, dspy.InputField()), "state": state}, "Judge the train."))

    def journeys(split: str, count: int) -> list[dspy.Example]:
        words = ("on time", "late")
        return [
            dspy.Example(text=f"{split} {n} came {words[n % 2]} today", state=words[n % 2]).with_inputs("text")
            for n in range(count)
        ]

    def same(example: Any, prediction: Any, trace: object = None) -> float:
        return float(example.state == prediction.state)

    lm, _ = counted_lm(Biased())
    fleet = Fleet(tmp_path)
    splits = {"train": journeys("t", 20), "val": journeys("v", 10), "test": journeys("s", 20)}
    estimate = fleet.advice.estimate(chooses, metric=same, optimizer="reanchor", lm=lm, **splits, probe=0)
    result = fleet.optimize(chooses, metric=same, optimizer="reanchor", lm=lm, **splits).result()
    assert (result.test_baseline, result.test_score) == (0.5, 1.0)
    assert estimate.calls.low <= result.lm_calls <= estimate.calls.high
    tokens = int(fleet.sql("SELECT sum(input_tokens + output_tokens) AS n FROM lm_calls WHERE NOT cached").n[0])
    assert estimate.tokens.low <= tokens <= estimate.tokens.high  # probabilities are asked for at greater length


class Undecided(Biased):
    """Finds no choice likely at all."""

    def complete(self, request: Any) -> Any:
        answer = super().complete(request)
        text = re.sub(r"\d\.\d+", "0.0", answer.message.parts[0].text)
        return replace(answer, message=dspy.lm15.Message.assistant([dspy.lm15.TextPart(text)]))


def test_an_answer_without_probabilities_is_named_and_the_given_program_kept(tmp_path: Path) -> None:
    state = (Literal["on time", "late"], dspy.OutputField(desc="whether it was late"))
    chooses = dspy.Predict(dspy.Signature({"text": (str, dspy.InputField()), "state": state}, "Judge the train."))
    rows = [dspy.Example(text=f"{n} came on time", state="on time").with_inputs("text") for n in range(20)]
    lm, _ = counted_lm(Undecided())
    job = Fleet(tmp_path).optimize(
        chooses, train=rows, metric=lambda e, p, trace=None: e.state == p.state, optimizer="reanchor", lm=lm
    )
    result = job.result()
    assert "reanchor failed: LMError: DSPy's ReAnchor ends at the first example without" in result.stop_reason
    assert "Invalid Choice answer for 'state'" in result.stop_reason
    assert result.best_score == 1.0


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("text -> summary", "reanchor fits decisions, and no output of the program is one: bool, Literal"),
        (
            "text -> urgent: bool",
            "reanchor asks how likely 'urgent' is, which has no description: urgent = ",
        ),
    ],
)
def test_program_whose_decisions_cannot_be_asked_for_is_refused(tmp_path: Path, task: str, said: str) -> None:
    lm, engine = counted_lm()
    given = [dspy.Example(text=e.text, urgent=e.urgent, summary="").with_inputs("text") for e in messages("t", 20)]
    with pytest.raises(InputError, match=re.escape(said)):
        Fleet(tmp_path).optimize(
            dspy.Predict(task), train=given, metric=lambda e, p, trace=None: 1.0 * (e.urgent == p.get("urgent")),
            optimizer="reanchor", lm=lm,
        )  # fmt: skip
    assert engine.calls == 0


def test_model_without_a_cache_is_refused(tmp_path: Path) -> None:
    lm, engine = counted_lm(Timid(), cache=False)
    with pytest.raises(InputError, match="reanchor asks the same many times over: give a model with cache=True"):
        Fleet(tmp_path).optimize(decides(), train=messages("t", 20), metric=right, optimizer="reanchor", lm=lm)
    assert engine.calls == 0
