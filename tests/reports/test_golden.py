"""Golden answers: kept with a version, looked up at no cost as it is loaded, asked anew only within a budget."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, counted_lm, exact, program, rows, until

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.reports.golden import KEPT, GoldenWarning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Turning(Counting):
    """The offline engine, which answers the first label whatever it is asked once it has turned."""

    turned = False

    def _reply(self, system: str, turns: Any, candidate: int, temperature: float) -> str:
        right = super()._reply(system, turns, candidate, temperature)
        return "[[ ## intent ## ]]\naccess_request\n\n[[ ## completed ## ]]" if self.turned else right


class WithTools(dspy.Module):
    tools = ("a tool",)

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict("text -> intent")

    def forward(self, text: str) -> Any:
        raise AssertionError("it is run")


@pytest.fixture
def engine() -> Turning:
    return Turning()


@pytest.fixture
def lm(engine: Turning) -> Iterator[dspy.LM]:
    made = counted_lm(engine)[0]
    with dspy.context(lm=made):
        yield made


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lm: dspy.LM) -> Fleet:
    """Make a home where the best program of a job is registered and in production."""
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / "home"))
    made = Fleet()
    made.optimize(
        program(), train=rows(), metric=exact, optimizer="labeled_fewshot", params={"k": 2}, lm=lm, name="few"
    ).result()
    made.register("few", "intents")
    made.alias("intents", "production", 1)
    return made


def test_a_version_of_a_job_is_looked_up_for_free_and_says_nothing_where_it_answers_as_it_did(
    fleet: Fleet, engine: Turning
) -> None:
    calls = engine.calls
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fleet.program("intents@production")(text=rows()[0].text).intent
    engine.calls = calls
    found = fleet.registry.golden("intents@production")
    assert (found.checked, found.ok, found.calls, engine.calls) == (KEPT, True, 0, calls)
    assert len({json.dumps(dict(answer.was)) for answer in found.answers}) > 1, "of several answers"
    assert found.sentence() == "intents@1 answers 5 of 5 kept inputs as it did when it was registered"


def test_a_difference_is_told_before_the_program_is_used(fleet: Fleet, engine: Turning) -> None:
    dspy.cache.reset_memory_cache()
    other, engine.turned = counted_lm(engine)[0], True
    with dspy.context(lm=other):
        with pytest.warns(
            GoldenWarning, match="intents@1 was not checked: the cache does not hold all, and 0 calls may"
        ):
            fleet.program("intents@production")
        calls = engine.calls
        with pytest.warns(GoldenWarning, match=r"answers \d of 3 kept inputs otherwise: intent: \w+ → access_request"):
            fleet.program("intents@production", check=3)
        assert engine.calls - calls == 3, "no more is bought than was allowed"
        fleet.home.config.write_text("golden_calls = 5\n", encoding="utf-8")
        with pytest.warns(GoldenWarning, match="of 5 kept inputs otherwise"):
            fleet.program("intents@production")
        assert engine.calls - calls == 5, "three are in the cache by now"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fleet.program("intents@production", check=False)
            fleet.program("intents@1")
    told = fleet.sql("select count(*)::int as n from lm_calls where job_id like 'try-%'").n[0]
    assert told == 5, "they are metered and recorded"


def test_what_cannot_be_checked_is_said(fleet: Fleet, engine: Turning) -> None:
    with dspy.context(lm=None), pytest.warns(GoldenWarning, match="was not checked: no model is configured"):
        fleet.program("intents@production")
    fleet.register(WithTools(), "tools", golden=None)
    kept = fleet.registry.show("intents@1").version.golden
    assert kept is not None
    (fleet.home.programs_dir / f"{kept}.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fleet.program("intents@production")
    assert "no answers were kept" in fleet.registry.golden("intents").sentence()


def test_a_program_with_tools_is_not_run_unless_it_is_asked_for(fleet: Fleet) -> None:
    from skillfleet_nb.programs.registry import Registry
    from skillfleet_nb.programs.state import dump_state
    from skillfleet_nb.reports import golden

    assert golden.keep(fleet.home, [({"text": "hi"}, float("nan"))]) is None  # a frame's word for no output
    kept = golden.keep(fleet.home, [({"text": "hi"}, '{"intent":"bug"}')])
    Registry(fleet.home).register("tools", dump_state(WithTools()), {"golden": kept})
    fleet.alias("tools", "production", 1)
    with pytest.warns(GoldenWarning, match="it has tools, which would be run"):
        fleet.program("tools@production", WithTools())
    with pytest.warns(GoldenWarning, match="it fails: AssertionError: it is run"):
        fleet.program("tools@production", WithTools(), check=True)


def test_answers_may_be_asked_for_as_a_program_is_registered(
    fleet: Fleet, engine: Turning, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = program()
    bare.signature = bare.signature.with_instructions("Guess.")
    calls = engine.calls
    version = fleet.register(bare, "guess", golden=[{"text": row.text} for row in rows()])
    assert engine.calls - calls == KEPT
    assert version.golden is not None
    found = fleet.registry.golden("guess")
    assert (found.checked, found.ok) == (KEPT, True)
    assert main(["program", "check", "guess", "--home", str(fleet.home.root)]) == 0
    assert "guess@1 answers 5 of 5 kept inputs as it did" in capsys.readouterr().out


def test_a_live_program_is_checked_beside_its_calls(fleet: Fleet, engine: Turning) -> None:
    bare = program()
    bare.signature = bare.signature.with_instructions("Guess.")
    fleet.register(bare, "intents", golden=[{"text": row.text} for row in rows()])
    live = fleet.live("intents@production")
    assert live.differs == ""
    dspy.cache.reset_memory_cache()
    fleet.home.config.write_text("golden_calls = 5\n", encoding="utf-8")
    other, engine.turned = counted_lm(engine)[0], True
    with dspy.context(lm=other), warnings.catch_warnings():
        warnings.simplefilter("ignore", GoldenWarning)
        fleet.alias("intents", "production", 2, force="a guess is enough")
        until(lambda: live.version.version == 2)
        assert live(text="hello").intent == "access_request"
        assert "intents@2 answers" in until(lambda: live.differs)
    live.close()


def test_no_texts_are_kept_where_prompts_are_not(tmp_path: Path, lm: dspy.LM) -> None:
    fleet = Fleet(tmp_path / "quiet")
    fleet.optimize(
        program(), train=rows(), metric=exact, optimizer="labeled_fewshot", lm=lm, name="few", record_prompts=False
    ).result()
    assert fleet.register("few", "intents").golden is None
