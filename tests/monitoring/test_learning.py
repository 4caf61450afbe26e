"""Continuous learning: a policy, a trigger, a job, a gate and a decision, to the same end wherever a process dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events.learning import LearnStep
from skillfleet_nb.monitoring.golden_sets import Asked
from skillfleet_nb.monitoring.learn_gate import gate, most_worse, why_shut
from skillfleet_nb.monitoring.learn_policy import LearnPolicy
from skillfleet_nb.store import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.monitoring.golden_sets import GoldenSet

WORDS = ("apple", "brick", "cloud", "drum")
INTENTS = ["amber", "bronze", "coral", "denim"]  # which word is which is told by examples alone
ROWS = [{"text": f"The {WORDS[n % 4]} is case {n}.", "intent": INTENTS[n % 4]} for n in range(240)]


def metric(example: dspy.Example, pred: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.intent == pred.intent)


def prepared(home: Path) -> Fleet:
    """Make a home with a program that a job made of too little, in production, and a scored golden set."""
    fleet = Fleet(home)
    program = dspy.Predict(f"text -> intent: Literal{INTENTS}")
    few = fleet.optimize(
        program, train=ROWS[:8], val=ROWS[8:24], test=ROWS[24:40], metric=metric, optimizer="labeled_fewshot",
        params={"k": 1}, lm=offline_lm(), name="few",
    )  # fmt: skip
    few.result()
    fleet.register(few, "intents")
    fleet.alias("intents", "production", 1)
    fleet.golden_sets.add("intents", ROWS[40:120], metric=metric, lm=offline_lm(), score=True)
    return fleet


POLICY = LearnPolicy("intents", on=("feedback:30",), max_calls=500, optimizer="labeled_fewshot", promote="auto")


def corrections(fleet: Fleet, n: int) -> None:
    """Tell what is right of so many messages; some of them are in the golden set."""
    fleet.learning.feedback_rows("intents", [{**row, "score": 0} for row in ROWS[110 : 110 + n]])


def end(fleet: Fleet) -> Any:
    """Return what a home has come to: the steps, the versions, the alias."""
    cycles = fleet.learning.cycles("intents")
    steps = [(cycle.number, step.step, step.version, step.passed) for cycle in cycles for step, _ in cycle.steps]
    versions = fleet.versions("intents").content_id.tolist()
    return steps, versions, fleet.registry.aliases("intents"), len(fleet.jobs())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(prepared(tmp_path_factory.mktemp("learning") / "home").home.root)


@pytest.fixture
def fleet(made: Path, tmp_path: Path) -> Fleet:
    return Fleet(shutil.copytree(made, tmp_path / "home"))


def test_corrections_trigger_a_job_whose_version_passes_the_gate_and_is_promoted(fleet: Fleet) -> None:
    page = fleet.learn(POLICY)
    assert page.sentence().endswith("nothing has triggered it")
    corrections(fleet, 29)
    assert fleet.learn("intents").state == "waiting"
    corrections(fleet, 60)
    page = fleet.learn("intents")
    assert page.state == "promoted", str(page)
    assert [step.step for step, _ in page.cycles[0].steps] == ["triggered", "started", "trained", "gated", "promoted"]
    assert fleet.registry.aliases("intents") == {"production": 2}
    asked = fleet.job("intents-learn-1").parcel().request
    golden = {row.inputs["text"] for row in fleet.golden("intents").rows}
    sizes = (len(asked.train), len(asked.val), len(asked.test))
    assert sizes == (8 + 34, 16 + 16, 16), "corrections join training and validation; those of the golden set neither"
    assert not golden & {row["text"] for row in (*asked.train, *asked.val)}
    assert "feedback: 60 corrections since the last cycle" in str(page)
    assert "program rollback intents production undoes it" in str(page)
    assert [step.calls for step, _ in page.cycles[0].steps if step.step == "gated"] == [160], "both versions, anew"
    assert "passed: improved" in fleet.sql("select evidence from alias_history order by move").evidence.tolist()[-1]
    assert fleet.learn("intents").state == "promoted", "nothing has triggered another one"
    assert set(fleet.golden_sets.history("intents").how) == {"added", "learn"}
    told = fleet.sql("select step, count(*) as n from learn_steps group by step order by step").to_numpy().tolist()
    assert told == [["gated", 1], ["promoted", 1], ["started", 1], ["trained", 1], ["triggered", 1]]
    assert fleet.sql("select count(*) as n, count(correction) as c from feedback").to_numpy().tolist() == [[60, 60]]


KILLED = """
import os, sys
sys.path.insert(0, {folder!r})
import test_learning as t
t.journal.Journal.append = t.dying_at("after started", lambda: os._exit(9))
t.Fleet(sys.argv[1]).learn("intents")
"""


class Died(BaseException):
    """What ends a pass at a step as a kill does: nothing after it happens."""


def dying_at(moment: str, die: Callable[[], object]) -> Any:
    """Make a journal's `append` that dies before or after it has written a step."""
    append = journal.Journal.append

    def dying(self: Any, payload: Any, **more: Any) -> int:
        step = payload.step if isinstance(payload, LearnStep) else None
        if moment == f"before {step}":
            die()
        number = append(self, payload, **more)
        if moment == f"after {step}":
            die()
        return number

    return dying


def test_wherever_a_process_dies_the_next_one_comes_to_the_same_end(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.learn(POLICY)
    corrections(fleet, 60)
    whole = Fleet(shutil.copytree(fleet.home.root, tmp_path / "whole"))
    whole.learn("intents")

    def died() -> None:
        raise Died

    def die_at(moment: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(journal.Journal, "append", dying_at(moment, died))
            with pytest.raises(Died):
                Fleet(fleet.home.root).learn("intents")

    for moment in ("before triggered", "after triggered"):
        die_at(moment)
    script = KILLED.format(folder=str(Path(__file__).parent))
    killed = subprocess.run(
        [sys.executable, "-c", script, str(fleet.home.root)], env=os.environ, capture_output=True, check=False
    )
    assert killed.returncode == 9, killed.stderr.decode()[-2000:]
    for step in ("trained", "gated", "promoted"):
        die_at(f"before {step}")
        die_at(f"after {step}")
    Fleet(fleet.home.root).learn("intents")
    assert end(Fleet(fleet.home.root)) == end(whole)


def test_what_passes_asks_first_where_the_policy_says_so(fleet: Fleet) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    home = f"--home {fleet.home.root}"

    def say(line: str) -> Any:
        return shell.run_line_magic("skillfleet", f"{line} {home}")

    shell.push(
        {"said": [{"text": r["text"], "intent": r["intent"], "score": 0.5, "id": r["text"]} for r in ROWS[140:200]]}
    )
    line = "learn policy intents --on drift --on every:7d --max-calls 500 --optimizer labeled_fewshot"
    assert "labeled_fewshot within 500 calls, asks before it moves production" in str(say(line))
    assert "60 rows are kept" in str(say("learn feedback intents --from said"))
    assert "60 rows, 60 with what is right; mean score 50.0" in str(say("learn status intents"))
    page = say("learn run intents --now")
    assert page.state == "asked"
    assert "learn approve intents moves production to it" in str(page)
    assert say("learn run intents").state == "asked", "a cycle that asks waits"
    assert fleet.registry.aliases("intents") == {"production": 1}
    assert say("learn approve intents").state == "promoted"
    assert fleet.registry.aliases("intents") == {"production": 2}
    for wrong, said in (
        ("learn approve intents", "the policy of intents asks nothing"),
        ("learn run none", "unknown policy 'none'"),
        ("learn policy intents --on drift", "give it a limit"),
        ("learn policy intents --on often --budget 1", "unknown trigger 'often'"),
        ("learn policy intents --on feedback:many --budget 1", "write feedback:50 or every:7d"),
        ("learn policy intents --budget 1 --guardrail 'latency<=2x'", "a golden set tells cost alone"),
    ):
        with pytest.raises(UsageError, match=said):
            say(wrong)
    ticker = fleet.learning.every("intents", 60, times=1)
    assert ticker.wait(300)
    assert (ticker.trouble, ticker.done) == ("", 1)


TICKETS = [{**row, "urgent": "yes", "source": "mail"} for row in ROWS[:80]]


@pytest.fixture(scope="module")
def tickets_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home as `prepared` does: a program of two outputs, and a column that it neither takes nor gives."""
    fleet = Fleet(tmp_path_factory.mktemp("tickets") / "home")
    few = fleet.optimize(
        dspy.Predict(f"text -> intent: Literal{INTENTS}, urgent"), train=TICKETS[:8], val=TICKETS[8:16],
        test=TICKETS[16:24], metric=metric, optimizer="labeled_fewshot", params={"k": 1}, lm=offline_lm(), name="few",
    )  # fmt: skip
    few.result()
    fleet.register(few, "tickets")
    fleet.alias("tickets", "production", 1)
    fleet.golden_sets.add("tickets", TICKETS[24:64], metric=metric, lm=offline_lm(), score=True)
    fleet.learn(LearnPolicy("tickets", max_calls=500, optimizer="labeled_fewshot", promote="never"))
    return Path(fleet.home.root)


@pytest.fixture
def tickets(tickets_home: Path, tmp_path: Path) -> Fleet:
    return Fleet(shutil.copytree(tickets_home, tmp_path / "home"))


def test_no_correction_stops_a_policy_and_those_that_cannot_be_trained_on_are_counted(tickets: Fleet) -> None:
    def right(place: int, **other: str) -> dict[str, str]:
        return {**{field: TICKETS[place][field] for field in ("intent", "urgent")}, **other}

    said = [(place, right(place)) for place in range(64, 70)]
    said += [(place, {"intent": TICKETS[place]["intent"]}) for place in (70, 71)]  # one of two outputs
    said += [(place, right(place)) for place in (16, 24)]  # of the test set, and of the golden set
    said += [(place, right(place, urgent="no")) for place in (0, 8)]  # of training and validation, and answered anew
    for place, correction in said:
        tickets.learning.feedback("tickets", {"text": TICKETS[place]["text"]}, correction=correction)
    assert tickets.learning.feedback_rows("tickets", [{**right(72), "text": "a row", "source": "x", "team": "b"}]) == 1
    page = tickets.learning.run("tickets", now=True)
    assert page.state == "kept", str(page)
    assert page.cycles[0].text_of("started") == (
        "job tickets-learn-1; 2 corrections left out, of examples that judge; "
        "2 corrections left out, without all of text, intent, urgent"
    )
    asked = tickets.job("tickets-learn-1").parcel().request
    texts = [[row["text"] for row in rows] for rows in (asked.train, asked.val)]
    assert (len(texts[0]), len(texts[1])) == (8 + 6, 8 + 3)
    assert (texts[0].count(TICKETS[0]["text"]), texts[1].count(TICKETS[8]["text"])) == (2, 2), "where it stood"
    new = [row for row in (*asked.train, *asked.val) if row["source"] is None]
    assert {frozenset(row.keys()) for row in new} == {frozenset(TICKETS[0])}
    assert len(new) == 9


def test_feedback_on_a_version_or_an_alias_is_feedback_on_its_program(tickets: Fleet) -> None:
    heard = len(tickets.learning.heard("tickets"))
    tickets.alias("tickets", "live", 1, force="a test")
    tickets.learning.feedback("tickets@live", {"text": "by its alias"}, score=1)
    assert tickets.learning.feedback_rows("tickets@1", [{"text": "by its version", "score": 0.5}]) == 1
    said = [one.inputs["text"] for one, _ in tickets.learning.heard("tickets")[heard:]]
    assert said == ["by its alias", "by its version"]
    assert tickets.sql("select distinct name from feedback where name like 'tickets%'").name.tolist() == ["tickets"]
    with pytest.raises(NotFoundError, match="unknown version or alias of tickets 'lve': did you mean 'live'"):
        tickets.learning.feedback("tickets@lve", {"text": "x"}, score=1)


def test_feedback_that_could_not_be_trained_on_is_refused(tickets: Fleet) -> None:
    feedback, text = tickets.learning.feedback, TICKETS[0]["text"]
    with pytest.raises(InputError, match=r"^the correction has intnt: give intent, urgent\.$"):
        feedback("tickets", {"text": text}, correction={"intnt": "amber", "urgent": "no"})
    with pytest.raises(InputError, match=r"^feedback has the inputs txt: give text\.$"):
        feedback("tickets", {"txt": text}, score=1)
    rows = tickets.learning.feedback_rows
    with pytest.raises(InputError, match=r"^feedback row 0 has 'intnt' and no 'intent': rename the column"):
        rows("tickets", [{"text": text, "intnt": "amber", "score": 0}])
    with pytest.raises(InputError, match="feedback row 0 has no field 'text', only 'txt', 'score'; did you mean"):
        rows("tickets", [{"txt": text, "score": 0}])
    with pytest.raises(InputError, match=r"^feedback row 1: score='good': give a number in \[0, 1\], or a bool\.$"):
        rows("tickets", [{"text": text, "score": 1}, {"text": text, "score": "good"}])
    assert tickets.learning.heard("tickets") == [], "none is kept"
    feedback("tickets", {"text": text}, score=np.float32(0.5))
    tickets.register(dspy.Predict("text -> intent"), "bare")
    with pytest.raises(InputError, match="the correction has intnt: give intent"):
        feedback("bare", {"text": text}, correction={"intnt": "amber"})


def test_an_alarm_of_drift_triggers_and_a_shut_gate_refuses_before_anything_is_bought(fleet: Fleet) -> None:
    fleet.learn(LearnPolicy("intents", on=("drift",), max_calls=500, optimizer="labeled_fewshot", gain=0.9))
    assert fleet.learn("intents").state == "waiting"
    live = [{"text": "x", "intent": "bug_report"}] * 60
    assert fleet.check_drift("intents@production", live, kinds=["output"], alpha=0.2).alarm
    jobs = len(fleet.jobs())
    page = fleet.learn("intents")
    assert page.state == "refused"
    assert "drift: the outputs have drifted" in str(page)
    assert "no version can pass: intents@1 with 80 examples shows gains from" in str(page)
    assert len(fleet.jobs()) == jobs
    fleet.register(dspy.Predict("text -> intent"), "bare")
    fleet.alias("bare", "production", 1)
    with pytest.raises(InputError, match="bare@1 comes from no job"):
        fleet.learn(LearnPolicy("bare", max_calls=5))
    with pytest.raises(NotFoundError, match="unknown policy 'bare'"):
        fleet.learn("bare")
    with pytest.raises(InputError, match="give a score in"):
        fleet.learning.feedback("intents", {"text": "x"})
    with pytest.raises(InputError, match="score=7"):
        fleet.learning.feedback("intents", {"text": "x"}, score=7)


def test_a_gate_wants_a_gain_no_more_worse_than_noise_and_unbroken_guardrails(fleet: Fleet) -> None:
    golden: GoldenSet = fleet.golden("intents")
    before = Asked([None] * 80, [0.0] * 40 + [1.0] * 40, 80, 1.0)

    def after(scores: Callable[[int], float], usd: float = 1.0) -> Asked:
        return before._replace(scores=[scores(n) for n in range(80)], cost_usd=usd)

    better = after(lambda n: float(n >= 20))
    assert gate(golden, before, better, 0.0, ()).passed
    assert "50.0 points are asked for" in gate(golden, before, better, 0.5, ()).text
    assert "no gain is told" in gate(golden, before, before, 0.0, ()).text
    mixed = gate(golden, before, after(lambda n: float(n < 70)), 0.0, ())
    assert not mixed.passed
    assert "10 examples are worse, and noise explains 4" in mixed.text
    assert (
        "cost<=1.2x is broken: 2x"
        in gate(golden, before, after(lambda n: float(n >= 20), 2.0), 0.0, ["cost<=1.2x"]).text
    )
    assert most_worse(100, 0.0) == 0
    assert why_shut(golden, 0.0) == ""
