"""Answers that were bought and cannot be read: counted by role, told while it matters, and read where they can be."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import SMALL, Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.lm.reading import proposed
from skillfleet_nb.runs.jobs.picture import picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb import Job

WANTED = dspy.Signature("examples -> new_instruction")
UNREADABLE = '{"ideas": ["be brief"], "mood": "good"}'


class Styled(Counting):
    """The offline engine, its answers put into another form."""

    def __init__(self, style: Callable[[str], str]) -> None:
        super().__init__()
        self._style = style

    def complete(self, request: Any) -> Any:
        from dspy.lm15 import Message, Response, TextPart

        made = super().complete(request)
        text = self._style(made.message.text or "")
        message = Message.assistant([TextPart(text)])
        return Response(id=None, model=made.model, message=message, finish_reason="stop", usage=made.usage)


def instruction(text: str) -> str:
    return str(json.loads(text)["new_instruction"]) if '"new_instruction"' in text else text


FORMS: dict[str, Callable[[str], str]] = {
    "plain": instruction,
    "fenced": lambda text: f"Sure, here it is:\n\n```text\n{instruction(text)}\n```\nGood luck!",
    "fenced JSON": lambda text: f"```json\n{text}\n```",
    "marked": lambda text: f"[[ ## new_instruction ## ]]\n{instruction(text)}\n\n[[ ## completed ## ]]",
    "another name": lambda text: json.dumps({"instruction": instruction(text)}),
}


def run(home: Path, optimizer: str, style: Callable[[str], str], *, task: Any = None, **changed: Any) -> Job:
    proposer, _ = counted_lm(Styled(style))
    given = {"metric": told, "lm": task or counted_lm()[0], "prompt_lm": proposer, "seed": 3, "num_threads": 2}
    given |= {"params": SMALL[optimizer], "optimizer": optimizer, **Data().splits()}
    job = Fleet(home).optimize(program(), **{**given, **changed})
    job.wait()
    return job


@pytest.mark.parametrize("form", FORMS)
def test_proposals_are_read_in_the_forms_that_models_give(tmp_path: Path, form: str) -> None:
    job = run(tmp_path / "asked", "gepa", FORMS[form])
    as_asked = run(tmp_path / "as_asked", "gepa", str)
    assert job.progress.unread == {}
    assert job.result().best_score == as_asked.result().best_score
    assert job.progress.programs == as_asked.progress.programs
    assert len(job.progress.programs) > 2


def test_proposals_that_nobody_can_read_are_counted_and_told(tmp_path: Path) -> None:
    job = run(tmp_path / "home", "gepa", lambda _: UNREADABLE)
    result, fleet = job.result(), Fleet(tmp_path / "home")
    n = job.progress.unread["reflection"]
    assert n >= 5
    why = "JSONAdapter finds no 'new_instruction' in an answer that begins"
    assert job.progress.warnings[0].startswith(f"5 of 5 proposals could not be read, the last: {why}")
    assert any(w.startswith(f"{n} of {n} proposals could not be read, the last: {why}") for w in job.progress.warnings)
    assert result.summary.endswith(f"{n} of {n} proposals could not be read, so that there was nothing to choose from")
    assert "\n" not in "".join(job.progress.warnings)
    calls = fleet.sql("select count(*) as n, count(unread) as unread from lm_calls where role = 'reflection'")
    assert calls.unread[0] == n
    assert fleet.sql("select unread.reflection as r, unread.task as t from jobs").iloc[0].tolist() == [n, 0]
    assert why in fleet.sql("select any_value(unread) as why from lm_calls where role = 'reflection'").why[0]
    assert picture(job.progress)["unread"] == [("proposals", n)]
    lost = f"no evidence; {n} of {n} proposals could not be read, so that there was nothing to choose from"
    assert ("verdict", lost) in job.summary()
    assert f"could not be read: {n} proposals" in fleet.monitor(job).html()
    assert f"{n} of {n} proposals could not be read, so that" in fleet.monitor(job).html().partition("notes")[0]


def test_reasons_quote_nothing_where_prompts_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLFLEET_RECORD_PROMPTS", "false")
    job = run(tmp_path / "home", "gepa", lambda _: UNREADABLE)
    assert job.progress.unread["reflection"] >= 5
    for file in (tmp_path / "home" / "journal").glob("*/*.jsonl"):
        assert "be brief" not in file.read_text("utf-8")


@pytest.mark.parametrize("optimizer", ["copro", "miprov2", "infer_rules"])
def test_a_search_that_fails_for_want_of_proposals_says_so_in_one_line(tmp_path: Path, optimizer: str) -> None:
    job = run(tmp_path / "home", optimizer, lambda _: UNREADABLE)
    assert job.progress.unread["prompt"] > 0
    stopped = str(job.progress.stop_reason)
    assert "\n" not in stopped
    assert stopped.startswith(f"{optimizer} failed: AdapterParseError: JSONAdapter finds no '")
    assert len(stopped) < 200


def as_json(text: str) -> str:
    return json.dumps({"intent": text.split("\n")[1]}) if text.startswith("[[ ##") else text


def test_an_estimate_tells_of_a_model_that_is_asked_twice(tmp_path: Path) -> None:
    lm, engine = counted_lm(Styled(as_json))
    splits = Data().splits()
    told = Fleet(tmp_path).advice.estimate(program(), lm=lm, optimizer="labeled_fewshot", probe=3, **splits)
    assert engine.calls == 6
    assert any(note.startswith("3 of 3 requests were asked twice") for note in told.notes)
    assert "JSONAdapter" in told.text()


def test_a_model_that_answers_json_to_the_chat_form_is_asked_twice_and_that_is_told(tmp_path: Path) -> None:
    task, engine = counted_lm(Styled(as_json))
    job = run(tmp_path / "home", "labeled_fewshot", str, task=task)
    asked = job.progress.unread["task"]
    assert engine.calls == 2 * asked
    first, last = job.progress.warnings[0], job.progress.warnings[-1]
    assert re.match(r"5 of [567] requests were asked twice: the model answers as JSON", first)  # others are under way
    assert f"{asked} of {asked} requests were asked twice: the model answers as JSON" in "".join(job.progress.warnings)
    assert "dspy.configure(adapter=dspy.JSONAdapter())" in last

    with dspy.context(adapter=dspy.JSONAdapter()):
        again, engine = counted_lm(Styled(as_json))
        job = run(tmp_path / "other", "labeled_fewshot", str, task=again)
    assert engine.calls == asked
    assert job.progress.unread == {}
    assert not any("asked twice" in w for w in job.progress.warnings)


def test_of_several_proposals_in_one_call_those_that_can_be_read_are_kept(tmp_path: Path) -> None:
    asked = iter(range(1000))

    def every_third(text: str) -> str:
        return UNREADABLE if next(asked) % 3 == 2 else text

    job = run(tmp_path / "home", "copro", every_third, params={"breadth": 5, "depth": 1})
    assert job.progress.unread == {"prompt": 1}
    assert job.result().stop_reason == "the optimizer finished"
    calls = Fleet(tmp_path / "home").sql(
        "select count(*) as n, count(unread) as unread from lm_calls where role = 'prompt'"
    )
    assert calls.iloc[0].tolist() == [1 + 4, 1]  # whether it answers at all, then four, none of them twice


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("Name the intent.", "Name the intent."),
        ("```\nName the intent.\n```", "Name the intent."),
        ("First:\n```\na\n```\nthen:\n```\nb\n```", "First:\n```\na\n```\nthen:\n```\nb\n```"),  # fences of its own
        ('{"new_instruction": "Name it."}', "Name it."),
        ('["Name it."]', "Name it."),
        ("[[ ## instruction ## ]]\nName it.\n[[ ## completed ## ]]", "Name it."),
        ("[[ ## a ## ]]\nName it.\n[[ ## b ## ]]\nWell.", None),
        ('{"a": "Name it.", "b": "Well."}', None),
        ('{"score": 3}', None),
        ("{not JSON, but an instruction}", "{not JSON, but an instruction}"),
        ("  \n", None),
    ],
)
def test_one_text_is_taken_out_of_what_was_said(text: str, instruction: str | None) -> None:
    assert proposed(WANTED, text) == (None if instruction is None else {"new_instruction": instruction})


def test_reasoning_may_be_missing_and_other_fields_may_not() -> None:
    thinking = dspy.ChainOfThought("examples -> rules").predict.signature
    assert proposed(thinking, "1. Be brief.") == {"reasoning": "", "rules": "1. Be brief."}
    assert proposed(dspy.Signature("examples -> instruction, prefix"), "Be brief.") is None
    assert proposed(dspy.Signature("examples -> advice: dict[str, str]"), "Be brief.") is None


def test_the_adapter_that_somebody_has_set_stays_as_it_was(tmp_path: Path) -> None:
    adapter = dspy.ChatAdapter()
    before = dict(vars(adapter))
    with dspy.context(adapter=adapter):
        run(tmp_path / "home", "gepa", str)
    assert vars(adapter) == before
    assert "_call_postprocess" not in vars(adapter)
