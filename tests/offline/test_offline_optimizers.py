"""DSPy's own optimizers on the offline model: each runs, and those shown examples improve the toy task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dspy
import pytest
from dspy.teleprompt.simba_utils import OfferFeedback
from offline_toy import accuracy, exact, tickets, triage, with_feedback

if TYPE_CHECKING:
    from collections.abc import Callable

TRAIN, VAL, TEST = tickets(15), tickets(15, start=15), tickets(30, start=30)


def random_search() -> dspy.Module:
    tuner = dspy.BootstrapFewShotWithRandomSearch(metric=exact, num_candidate_programs=3, num_threads=2)
    return tuner.compile(triage(), trainset=TRAIN, valset=VAL)


def mipro() -> dspy.Module:
    tuner = dspy.MIPROv2(metric=exact, auto="light", num_threads=2, max_bootstrapped_demos=0, max_labeled_demos=0)
    return tuner.compile(triage(), trainset=TRAIN, valset=VAL)


def gepa() -> dspy.Module:
    tuner = dspy.GEPA(metric=with_feedback, max_metric_calls=200, reflection_lm=dspy.settings.lm, num_threads=2)
    return tuner.compile(triage(), trainset=TRAIN, valset=VAL)


def simba() -> dspy.Module:
    tuner = dspy.SIMBA(metric=exact, bsize=15, num_candidates=4, max_steps=6, num_threads=2)
    return tuner.compile(triage(), trainset=TRAIN)


def infer_rules() -> dspy.Module:
    tuner = dspy.InferRules(
        metric=exact, num_candidates=1, max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=2
    )
    return tuner.compile(triage(), trainset=TRAIN, valset=VAL)


@pytest.mark.parametrize("optimise", [random_search, mipro, gepa, infer_rules])
def test_examples_make_the_program_better(lm: dspy.LM, optimise: Callable[[], dspy.Module]) -> None:
    assert accuracy(optimise(), TEST) > accuracy(triage(), TEST) + 0.2


def test_simba_helps_on_what_it_saw(lm: dspy.LM) -> None:
    assert accuracy(simba(), TRAIN) > accuracy(triage(), TRAIN)


def test_simba_is_advised_by_what_the_data_says(lm: dspy.LM) -> None:
    step = {"module_name": "self", "inputs": {"text": "a leaking tap"}, "outputs": {"label": "sales"}}
    shown = {
        "program_code": "", "modules_defn": "", "program_inputs": '{"text": "a leaking tap"}',
        "oracle_metadata": '{"label": "tech"}', "module_names": ["self"], "worse_reward_value": 0.0,
        "worse_program_trajectory": json.dumps([step]), "worse_program_outputs": '{"label": "sales"}',
        "worse_reward_info": "{}", "better_reward_info": "{}", "better_reward_value": 0.5,
        "better_program_trajectory": "[]", "better_program_outputs": "{}",
    }  # fmt: skip
    advice = dspy.Predict(OfferFeedback)(**shown).module_advice["self"]
    program = triage()
    assert program(text="my tap again").label != "tech"
    program.signature = program.signature.with_instructions("Sort the note.\n\n" + advice)
    assert program(text="my tap again").label == "tech"


def test_the_proposed_instruction_alone_carries_what_was_learned(lm: dspy.LM) -> None:
    for optimise in (mipro, gepa, infer_rules):
        instruction = optimise().signature.instructions
        bare = triage()
        bare.signature = bare.signature.with_instructions(instruction)
        assert "refund" in instruction
        assert accuracy(bare, TEST) > accuracy(triage(), TEST) + 0.2


def test_copro_searches_and_never_gets_worse_on_its_own_examples(lm: dspy.LM) -> None:
    tuned = dspy.COPRO(metric=exact, breadth=4, depth=2).compile(
        triage(), trainset=TRAIN, eval_kwargs={"num_threads": 2, "display_progress": False}
    )
    assert len({c["instruction"] for c in tuned.candidate_programs}) > 4
    assert accuracy(tuned, TRAIN) >= accuracy(triage(), TRAIN)


def test_copro_builds_on_the_best_attempt(lm: dspy.LM) -> None:
    tried = {
        "Sort. Match exact words.": 40.0,
        "Sort.": 50.0,
        "Sort. Give rare and distinctive words the most weight.": 60.0,
    }
    attempts = []
    for i, (text, score) in enumerate(tried.items(), start=1):
        attempts += [f"Instruction #{i}: {text}", f"Prefix #{i}: Label:", f"Resulting Score #{i}: {score}"]
    proposer = dspy.Predict("attempted_instructions -> proposed_instruction, proposed_prefix_for_output_field", n=3)
    made = proposer(attempted_instructions=attempts).completions.proposed_instruction
    assert len(set(made)) == 3
    assert all("rare and distinctive" in text and "exact words" not in text for text in made)


def test_gepa_keeps_what_it_knew(lm: dspy.LM) -> None:
    from dspy.teleprompt.gepa.instruction_proposal import ProposeInstruction

    reflect = dspy.Predict(ProposeInstruction)
    seen = "Sort the note."
    for word, label in (("refund", "billing"), ("crash", "tech"), ("quote", "sales")):
        record = {
            "Inputs": {"text": f"a {word} please"},
            "Generated Outputs": {"label": "?"},
            "Feedback": f"expected {label}",
        }
        with dspy.context(adapter=dspy.JSONAdapter()):
            seen = reflect(current_instruction=seen, examples_with_feedback=[record]).new_instruction
    assert seen.startswith("Sort the note.")
    assert all(word in seen for word in ("refund", "crash", "quote", "`billing`", "`tech`", "`sales`"))


def test_programs_of_several_modules_are_optimised(lm: dspy.LM) -> None:
    class TwoSteps(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.topic = dspy.Predict("text -> topic")
            self.sort = dspy.ChainOfThought("text, topic -> label: Literal['billing', 'tech', 'sales']")

        def forward(self, text: str) -> dspy.Prediction:
            return self.sort(text=text, topic=self.topic(text=text).topic)

    before = accuracy(TwoSteps(), TEST)
    tuner = dspy.MIPROv2(metric=exact, auto="light", num_threads=2)
    assert accuracy(tuner.compile(TwoSteps(), trainset=TRAIN, valset=VAL), TEST) > before + 0.2
    tuner = dspy.GEPA(metric=with_feedback, max_metric_calls=150, reflection_lm=dspy.settings.lm, num_threads=2)
    assert accuracy(tuner.compile(TwoSteps(), trainset=TRAIN, valset=VAL), TEST) > before


def test_an_optimizer_finds_the_same_program_twice(lm: dspy.LM) -> None:
    assert mipro().dump_state() == mipro().dump_state()
    assert gepa().signature.instructions == gepa().signature.instructions
