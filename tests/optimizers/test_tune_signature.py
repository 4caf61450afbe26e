"""Signature tuning: failures by kind, proposals for them, and that only proven gains are taken."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Literal

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError
from made_up import INTENTS, Counting, Data, counted_lm, program, rows, told

from skillfleet_nb import Fleet, signature_version
from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.failures import LOW, UNREADABLE, Failures, Row, kinds_of
from skillfleet_nb.optimizers.reflection import improved
from skillfleet_nb.programs.signatures import version_of

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job

DECISIONS = """select payload->>'program_id' as program_id, (payload->>'accepted')::boolean as accepted,
    payload->>'reasons' as reasons, payload->>'evidence' as evidence from events where kind = 'decision' order by seq"""


def example(**values: Any) -> dspy.Example:
    return dspy.Example(**values).with_inputs("text")


def row(score: float = 0.0, given: Any = None, error: Exception | None = None, **values: Any) -> Row:
    prediction = None if given is None else dspy.Prediction(**given)
    return Row(example(text="t", **values), prediction, score, None, error)


def tune(fleet: Fleet, lm: Any, given: dspy.Module | None = None, **changed: Any) -> Job:
    known = rows(40)  # enough to prove a gain of some points on
    options = {"train": known[:48], "val": known[48:128], "test": known[128:]}
    options |= {"metric": told, "optimizer": "tune_signature", "lm": lm, "seed": 3, "num_threads": 2}
    return fleet.optimize(given or program(), **{**options, **changed})


class Saying(Counting):
    """The offline engine, which proposes what it is told to."""

    def __init__(self, instructions: str) -> None:
        super().__init__()
        self.instructions = instructions

    def _reply(self, system: str, turns: Any, candidate: int, temperature: float) -> str:
        answer = super()._reply(system, turns, candidate, temperature)
        if "improved_instructions" not in system:
            return answer
        values = {"reasons": "told so", "improved_instructions": self.instructions, "field_descriptions": ""}
        return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items())


def test_failures_are_told_by_kind() -> None:
    parse = AdapterParseError(adapter_name="ChatAdapter", signature=dspy.Signature("text -> team"), lm_response="x")
    assert kinds_of(row(error=parse)) == (UNREADABLE,)
    assert kinds_of(row(error=KeyError("team"))) == ("raised KeyError",)
    assert kinds_of(row(given={"other": 1}, team="tech")) == (LOW,)
    assert kinds_of(row(given={"team": "tech", "n": 1}, team="tech", n=2)) == ("n: not the right value",)


def test_every_kind_of_failure_is_shown_before_any_is_shown_twice() -> None:
    wrong = [row(given={"team": "a"}, team="b") for _ in range(10)] + [row(given={"team": "b"}, team="a")] * 1
    right = [row(1.0, given={"team": "b"}, team="b"), row(1.0, given={"team": "a"}, team="a")] * 3
    found = Failures.of([*wrong, *right, row(error=ValueError("no"), team="a")])
    assert len(found.rows) == 12
    assert found.told().splitlines() == [
        "10 of 12: team: 'a' instead of 'b'", "1 of 12: raised ValueError", "1 of 12: team: 'b' instead of 'a'",
    ]  # fmt: skip
    chosen = found.chosen(4, {}, random.Random(1))
    assert {kind for r in chosen for kind in kinds_of(r, ["team"])} == set(found.counts())
    again = found.chosen(4, {id(r.example): 1 for r in chosen}, random.Random(1))
    assert sum(id(r) in {id(r) for r in chosen} for r in again) == 2, "the only ones of their kinds"
    assert sorted(r.example.team for r in found.kept(2, {}, random.Random(1))) == ["a", "b"]


def test_a_signature_is_changed_in_words_alone() -> None:
    @signature_version("1.0")
    class Sort(dspy.Signature):
        """Sort."""

        text: str = dspy.InputField()
        team: Literal["billing", "tech"] = dspy.OutputField(desc="who answers")

    made = improved(Sort, "Sort by team.", "- `team`: who answers it\n**text** - no\nteams: none")
    assert made is not None
    assert made.instructions == "Sort by team."
    assert made.fields["team"].json_schema_extra["desc"] == "who answers it"
    assert (list(made.fields), made.fields["team"].annotation) == (["text", "team"], Sort.fields["team"].annotation)
    assert version_of(made) == version_of(Sort)
    assert (Sort.instructions, Sort.fields["team"].json_schema_extra["desc"]) == ("Sort.", "who answers")
    assert improved(Sort, " ", "team: who answers") is None


def test_what_is_proven_is_taken_with_its_reasons(tmp_path: Path) -> None:
    fleet, (lm, engine) = Fleet(tmp_path), counted_lm()
    result = tune(fleet, lm).result()
    decisions = fleet.sql(DECISIONS)
    first = decisions.iloc[0]
    assert first.accepted
    assert first.evidence.startswith("accepted: +")
    assert "instead of" in first.reasons
    assert result.best_score > result.baseline_score + 0.05
    assert result.verdict == "improved"
    assert "Cues for `intent`" in result.program.signature.instructions
    assert result.program.signature.fields["intent"].json_schema_extra["desc"].startswith("the value that the notes")
    proposing = [prompt for prompt in engine.prompts if "kinds_of_failures" in prompt]
    assert len(proposing) <= 3
    assert all(any(e.text in prompt for e in rows(40)[:48]) for prompt in proposing)
    assert not any(e.text in prompt for prompt in proposing for e in rows(40)[48:]), "it judges by what it did not show"


def test_what_is_not_proven_is_not_taken_however_well_it_scored(tmp_path: Path) -> None:
    fleet, (lm, _) = Fleet(tmp_path), counted_lm()
    job = tune(fleet, lm, **Data().splits(), race="exact")
    result = job.result()
    assert any("judges candidates by all of validation, and nothing is raced" in note for note in job.progress.warnings)
    decisions = fleet.sql(DECISIONS)
    assert len(decisions)
    assert not decisions.accepted.any()
    assert decisions.evidence.str.contains("chance may explain").any()
    best = fleet.sql("select max(score) as s from trials where split = 'val' and full_eval").s[0]
    assert best > result.best_score == result.baseline_score
    assert result.program.signature.instructions == program().signature.instructions
    assert "nothing proved better than the given program" in result.summary


@pytest.mark.parametrize(
    "proposal", ["Classify the message by intent.", "Answer with any intent, never the right one."]
)
def test_what_gains_nothing_is_never_taken(tmp_path: Path, proposal: str) -> None:
    fleet, (lm, engine) = Fleet(tmp_path), counted_lm(Saying(proposal))
    result = tune(fleet, lm).result()
    assert result.best_score == result.baseline_score
    assert not fleet.sql(DECISIONS).accepted.any()
    tried = [prompt for prompt in engine.prompts if "tried_before" in prompt]
    assert len(tried) == 3
    judged = proposal != program().signature.instructions
    assert ("not accepted: " in tried[1]) is judged, "the next proposal is told of it"


def test_a_program_of_several_steps_is_shown_what_each_was_given(tmp_path: Path) -> None:
    class TwoSteps(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gist = dspy.Predict("text -> gist")
            self.sort = dspy.Predict(
                dspy.Signature(
                    {"gist": (str, dspy.InputField()), "intent": (Literal[INTENTS], dspy.OutputField())}, "Sort."
                )
            )

        def forward(self, text: str) -> dspy.Prediction:
            if "invoice" in text.lower():
                raise KeyError("no invoices")
            return self.sort(gist=self.gist(text=text).gist)

    fleet, (lm, engine) = Fleet(tmp_path), counted_lm()
    result = tune(fleet, lm, TwoSteps(), params={"rounds": 1}).result()
    assert result.stop_reason == "the optimizer finished"
    proposing = [prompt for prompt in engine.prompts if "[[ ## step ## ]]" in prompt]
    steps = {prompt.partition("[[ ## step ## ]]\n")[2].partition("\n")[0]: prompt for prompt in proposing}
    assert set(steps) == {"gist", "sort"}
    assert all("raised KeyError" in prompt for prompt in proposing)
    shown = json.loads(steps["sort"].partition("[[ ## failures ## ]]\n")[2].partition("\n\n[[ ##")[0])
    assert all(set(record["inputs"]) == {"gist"} and set(record["right"]) == {"intent"} for record in shown)


@pytest.mark.parametrize("times", [1, 10])
def test_too_few_examples_to_prove_anything_are_refused_before_a_call(times: int, tmp_path: Path) -> None:
    lm, engine = counted_lm()
    with pytest.raises(InputError, match=r"4 examples can prove nothing in 3 rounds: give at least 7, or choose gepa"):
        tune(Fleet(tmp_path), lm, train=rows()[8:], val=rows()[:4] * times, test=rows()[4:8])
    assert engine.calls == 0
