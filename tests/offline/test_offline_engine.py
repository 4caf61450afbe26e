"""The engine's contract: one prompt one answer, everywhere; copies, pickles, saves; money and time."""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from dspy.lm15 import Message, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from offline_toy import tickets, triage

from skillfleet_nb.errors import InputError
from skillfleet_nb.offline import OfflineEngine, offline_lm
from skillfleet_nb.offline.text import literal

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from dspy.lm15 import Message, Request
from skillfleet_nb.offline import OfflineEngine
engine = OfflineEngine()
for system, turns in json.load(sys.stdin):
    made = [Message.user(t) if i % 2 == 0 else Message.assistant(t) for i, t in enumerate(turns)]
    print(json.dumps(engine.complete(Request(model="m", system=system or None, messages=tuple(made))).message.text))
"""


def prompts() -> list[tuple[str, list[str]]]:
    program = triage()
    program.demos = tickets(9)
    plan = dspy.ChainOfThought("task, tags: list[str] -> name, keywords: list[str], size: int, path")
    found = [("", ["just a question, nothing else"])]
    for signature, demos, inputs in (
        (program.signature, program.demos, {"text": "an invoice and a crash"}),
        (plan.predict.signature, [], {"task": "Make a small tool: it sorts 12 photos.", "tags": ["b", "a"]}),
        (dspy.Signature("basic_instruction -> proposed_instruction, proposed_prefix_for_output_field"), [],
         {"basic_instruction": "Sort."}),
    ):  # fmt: skip
        messages = dspy.ChatAdapter().format(signature, demos, inputs)
        found.append((messages[0]["content"], [m["content"] for m in messages[1:]]))
    return found


def ask(engine: OfflineEngine, system: str, turns: list[str]) -> str:
    made = [Message.user(t) if i % 2 == 0 else Message.assistant(t) for i, t in enumerate(turns)]
    return engine.complete(Request(model="m", system=system or None, messages=tuple(made))).message.text


def test_answers_do_not_depend_on_the_process_or_its_hash_seed() -> None:
    told = []
    for seed in ("0", "7"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(prompts()), env=env, cwd=ROOT, text=True,
                              capture_output=True, check=True)  # fmt: skip
        told.append(done.stdout)
    here = "".join(json.dumps(ask(OfflineEngine(), *prompt)) + "\n" for prompt in prompts())
    assert told == [here, here]


def test_answers_do_not_depend_on_threads_or_what_was_asked_before() -> None:
    engine = OfflineEngine()
    asked = prompts() * 20
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda prompt: ask(engine, *prompt), asked))
    assert together == [ask(OfflineEngine(), *prompt) for prompt in prompts()] * 20


def test_one_call_for_many_candidates_gets_different_ones_and_the_same_again(lm: dspy.LM) -> None:
    proposer = dspy.Predict("basic_instruction -> proposed_instruction, proposed_prefix_for_output_field", n=6)
    first = proposer(basic_instruction="Sort the notes.").completions.proposed_instruction
    again = proposer(basic_instruction="Sort the notes.").completions.proposed_instruction
    assert len(set(first)) == 6
    assert first == again
    guessed = dspy.Predict("text -> label: Literal['north', 'south']", n=12, temperature=1.5)(text="neither of them")
    assert set(guessed.completions.label) == {"north", "south"}


def test_price_and_latency_do_not_change_answers() -> None:
    cheap, dear = OfflineEngine(), OfflineEngine(latency_s=0.001, usd_per_1k_tokens=(3.0, 6.0))
    assert cheap.price_per_token() == (0.0, 0.0)
    assert dear.price_per_token() == pytest.approx((0.003, 0.006))
    for prompt in prompts():
        assert ask(cheap, *prompt) == ask(dear, *prompt)


@pytest.mark.parametrize("options", [{"latency_s": -1}, {"usd_per_1k_tokens": float("nan")}, {"latency_s": "fast"},
                                     {"usd_per_1k_tokens": (1.0, -1.0)}])  # fmt: skip
def test_refuses_what_no_clock_or_bill_can_show(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="finite number"):
        offline_lm(**options)


def test_usage_counts_every_text_of_the_prompt() -> None:
    reply = OfflineEngine().complete(Request(model="m", system="s" * 40, messages=(Message.user("u" * 400),)))
    assert reply.usage.input_tokens == 110
    assert reply.usage.total_tokens == 110 + reply.usage.output_tokens > 110


def test_copies_share_the_engine_and_pickles_carry_its_settings() -> None:
    lm = offline_lm(usd_per_1k_tokens=2.0)
    assert copy.deepcopy(lm).engine is lm.engine
    assert lm.copy(temperature=1.0).engine is lm.engine
    thawed = pickle.loads(pickle.dumps(lm))  # noqa: S301  just pickled
    assert thawed.engine.price_per_token() == lm.engine.price_per_token()
    assert ask(thawed.engine, *prompts()[1]) == ask(lm.engine, *prompts()[1])


def test_a_saved_program_brings_its_model_along(tmp_path: Path) -> None:
    program = triage()
    program.demos = tickets(6)
    program.set_lm(offline_lm(usd_per_1k_tokens=(1.0, 2.0), cache=False))
    program.save(tmp_path / "program.json")
    loaded = triage()
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    assert loaded.lm.engine.price_per_token() == (0.001, 0.002)
    assert loaded(text="a refund").label == program(text="a refund").label == "billing"


def test_asynchronous_calls_and_streams_give_the_same_answer(lm: dspy.LM) -> None:
    program = triage()
    assert asyncio.run(program.acall(text="tech support")).label == program(text="tech support").label
    request = Request(model="m", messages=(Message.user("hello there"),))
    events = list(OfflineEngine().stream(request))
    assert events[-1].type == "end"


def test_a_plain_prompt_gets_a_plain_answer(lm: dspy.LM) -> None:
    assert lm("What is the colour of the sky?")[0]


def test_a_hundred_demos_are_read(lm: dspy.LM) -> None:
    program = triage()
    program.demos = tickets(100)
    assert [program(**e.inputs()).label for e in tickets(15, start=200)] == [e.label for e in tickets(15, start=200)]


def test_seventy_labels(lm: dspy.LM) -> None:
    labels = tuple(f"{a} {b}" for a in ("red", "blue", "green", "black", "white", "grey", "pink") for b in
                   ("lamp", "door", "boat", "coat", "bowl", "shoe", "hat", "rope", "tent", "cup"))  # fmt: skip
    program = dspy.Predict(
        dspy.Signature({"text": (str, dspy.InputField()), "item": (Literal[labels], dspy.OutputField())})
    )
    assert all(program(text=f"I lost my {label} yesterday").item == label for label in labels)


@settings(max_examples=settings().max_examples)
@given(system=st.text(max_size=300), turns=st.lists(st.text(min_size=1, max_size=120), min_size=1, max_size=5))
def test_never_raises_and_never_says_nothing(system: str, turns: list[str]) -> None:
    assert ask(OfflineEngine(), system, turns).strip()


@settings(max_examples=100)
@given(data=st.data())
def test_never_raises_on_a_damaged_prompt(data: st.DataObject) -> None:
    system, turns = data.draw(st.sampled_from(prompts()))
    cut = data.draw(st.integers(0, len(system)))
    other = data.draw(st.text(max_size=30))
    assert ask(OfflineEngine(), system[:cut] + other + system[cut + len(other) :], turns)


def test_a_literal_is_read_though_another_thread_disturbs_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython 3.11.7 raised "AST constructor recursion depth mismatch" for a call among many at the same time."""
    read, disturbed = ast.literal_eval, iter([True, False])

    def parse(text: str) -> object:
        if next(disturbed, False):
            raise SystemError("AST constructor recursion depth mismatch (before=117, after=114)")
        return read(text)

    monkeypatch.setattr("ast.literal_eval", parse)
    assert literal("['a', 1]") == ["a", 1]
    with pytest.raises(ValueError, match="no literal"):
        literal("['a'")
