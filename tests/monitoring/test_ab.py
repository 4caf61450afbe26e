"""A/B tests of registered programs: from a start to a promotion, whoever answers, dies or says things twice."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.events.monitoring import ABAnswered
from skillfleet_nb.monitoring import ab, ab_tests
from skillfleet_nb.monitoring.ab_chart import sequence_data, timeline_data
from skillfleet_nb.monitoring.guardrails import read_guardrail, watch
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.monitoring.route import ABRoute


class Says(dspy.Module):  # type: ignore[misc]
    """Answers the same each time."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def forward(self, text: str) -> dspy.Prediction:
        if text == "fail":
            raise ValueError("no answer to that")
        return dspy.Prediction(intent=self.word)


def program(instructions: str) -> dspy.Predict:
    made = dspy.Predict("text -> intent")
    made.signature = made.signature.with_instructions(instructions)
    return made


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    runs = itertools.count()  # the seed of the assignment, else drawn
    monkeypatch.setattr(ab_tests, "secrets", SimpleNamespace(token_hex=lambda _: f"run{next(runs)}"))
    made = Fleet(tmp_path / "home")
    for text in ("Sort.", "Sort it well."):
        made.register(program(text), "intents")
    made.alias("intents", "production", 1)
    return made


def routed(fleet: Fleet, name: str) -> ABRoute:
    route = fleet.ab(name)
    route.programs = {label: Says(label) for label in route.programs}
    return route


def play(route: ABRoute, units: range, chances: dict[str, float]) -> None:
    rng = random.Random(0)
    for unit in units:
        answer = route(unit=unit, text="hello")
        route.feedback(answer, rng.random() < chances[answer.intent])


AB = {"A": "intents@production", "B": "intents@2"}


def test_a_better_version_is_told_and_promoted_with_the_evidence(fleet: Fleet) -> None:
    assert "nothing is scored yet; " in fleet.start_ab("t", AB, effect=0.3).sentence()
    route = routed(fleet, "t")
    play(route, range(200), {"A": 0.4, "B": 0.9})
    status = fleet.ab_status("t")
    assert (status.winner, status.n, status.state) == ("B", 200, "running")
    assert 0 < status.low < status.high < 1
    assert status.sentence().startswith("B is better than A: +")
    assert len(sequence_data(status)) == 200
    drawn = status.chart().svg
    assert drawn.startswith("<svg")
    assert drawn.count('stroke-dasharray="5,4"') == drawn.count('stroke-dasharray="2,3"') == 1  # not one for each row
    move, after = fleet.ab_tests.promote("t")
    assert (move.version, move.previous, after.state) == (2, 1, "promoted")
    assert move.evidence == f"A/B test t: {status.sentence()}"
    assert fleet.program("intents@production", check=False).signature.instructions == "Sort it well."
    assert fleet.ab_tests.promote("t")[0] == move, "a promotion that was cut short goes on where it was"
    assert {routed(fleet, "t")(unit=n, text="x").intent for n in range(20)} == {"B"}, "the winner answers all"
    assert fleet.sql("select name, state, winner from ab_tests").to_numpy().tolist() == [["t", "promoted", "B"]]


def test_equals_have_no_winner_and_none_is_promoted_without_a_reason(fleet: Fleet) -> None:
    status = fleet.start_ab("aa", {"A": "intents@1", "B": "intents@1"})
    assert "an A/A test" in status.sentence()
    play(routed(fleet, "aa"), range(100), {"A": 0.5, "B": 0.5})
    assert fleet.ab_status("aa").winner is None
    fleet.start_ab("t", AB)
    with pytest.raises(JobError, match=r"nothing is promoted: nothing is scored yet.*ab promote t --force REASON"):
        fleet.ab_tests.promote("t")
    assert fleet.ab_tests.stop("t").state == "stopped"
    with pytest.raises(JobError, match="is over: stopped"):
        fleet.ab_tests.stop("t")
    move, status = fleet.ab_tests.promote("t", "candidate", force="asked for")
    assert (move.version, move.forced, status.state) == (1, "asked for", "promoted")


def test_feedback_on_answers_after_the_end_is_taken_and_counts_for_nothing(fleet: Fleet) -> None:
    fleet.start_ab("t", AB)
    route = routed(fleet, "t")
    before = route(unit="ann", text="hi")
    fleet.ab_tests.stop("t")
    route, elsewhere = routed(fleet, "t"), routed(Fleet(fleet.home.root), "t")
    for answer in (route(unit="ann", text="hi"), asyncio.run(route.acall(unit="bob", text="hi"))):
        assert not route.feedback(answer, 1.0)
        assert not elsewhere.feedback(route.id_of(answer), 1.0)
        with pytest.raises(InputError, match=r"in \[0, 1\]"):
            route.feedback(answer, 7)
    assert not route.feedback(before, 0.5), "what was answered while it ran is scored, however late"
    assert fleet.sql("select score from ab_feedback").score.tolist() == [0.5]
    assert fleet.sql("select count(*) as n from ab_answers").n.tolist() == [1]


def test_a_promotion_that_is_refused_leaves_the_test_running(fleet: Fleet) -> None:
    fleet.start_ab("t", AB)
    for alias, says in (("bad alias", "alias 'bad alias'"), ("newest", "stands for the last version already")):
        with pytest.raises(InputError, match=says):
            fleet.ab_tests.promote("t", alias, force="asked for")
    assert fleet.ab_status("t").state == "running"
    assert fleet.registry.aliases("intents") == {"production": 1}
    move, status = fleet.ab_tests.promote("t", force="asked for")
    assert (move.version, status.state) == (1, "promoted"), "it stood there already"
    assert fleet.ab_tests.promote("t", force="asked for")[0] == move


def test_units_stay_with_their_variant_and_are_split_as_asked(fleet: Fleet) -> None:
    fleet.start_ab("t", AB, split="80:20")
    one, other = routed(fleet, "t"), routed(Fleet(fleet.home.root), "t")
    variants = [one.variant(n) for n in range(4000)]
    assert variants == [other.variant(n) for n in range(4000)]
    assert Counter(variants)["B"] / 4000 == pytest.approx(0.2, abs=0.02)


def test_feedback_counts_once_whenever_and_from_wherever_it_comes(fleet: Fleet) -> None:
    fleet.start_ab("t", AB)
    route = routed(fleet, "t")
    first, second = route(unit="ann", text="hi"), asyncio.run(route.acall(unit="ann", text="hi"))
    elsewhere = routed(Fleet(fleet.home.root), "t")
    assert elsewhere.feedback(route.id_of(first), 0.25)
    route.feedback(first, 1.0)
    route.feedback(second, 0.5)
    told = fleet.sql("select score, times from ab_feedback order by score")
    assert told.to_numpy().tolist() == [[0.25, 2], [0.5, 1]]
    assert fleet.ab_status("t").scores.score.tolist() == [0.25], "a unit counts once"
    with pytest.raises(ValueError, match="no answer"):
        route(unit="bob", text="fail")
    assert [arm.errors for arm in fleet.ab_status("t").arms].count(1) == 1
    for score in (np.int64(1), np.float32(0.5), np.True_):
        assert route.feedback(route(unit="eve", text="hi"), score)
    fleet.ab_tests.stop("t")
    with pytest.raises(InputError, match="is no call of this test"):
        route.feedback("x-1", 1)
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        route.feedback(first, 7)
    with pytest.raises(InputError, match="score='good'"):
        route.feedback(first, "good")
    with pytest.raises(InputError, match="unit=None: say who"):
        route(text="hi")
    with pytest.raises(InputError, match="Prediction is no answer"):
        route.feedback(dspy.Prediction(intent="A"), 1)


def test_a_ramp_goes_on_and_units_keep_what_they_had(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ab, "_RAMP_UNITS", 2)
    fleet.start_ab("t", AB, split="ramp")
    route = routed(fleet, "t")
    before = {unit: route(unit=unit, text="x").intent for unit in range(100)}
    assert Counter(before.values())["A"] > 90
    play(route, range(100, 500), {"A": 0.5, "B": 0.6})
    splits = fleet.sql("select split[2] as b, why from ab_splits order by epoch")
    assert splits.b.tolist() == [0.01, 0.05, 0.25, 0.5][: len(splits)]
    assert len(splits) > 1
    assert "scored units of B at 1%, no guardrail broken" in splits.why[1]
    timeline = timeline_data(fleet.ab_status("t"))
    shares = timeline[timeline.why != ""].share.tolist()
    assert shares == [1, 5, 25, 50][: len(shares)]
    assert len(shares) >= len(splits)  # what was scored last may have moved it on
    assert fleet.ab_status("t").timeline().svg.startswith("<svg")
    elsewhere = routed(Fleet(fleet.home.root), "t")
    assert {unit: elsewhere.variant(unit) for unit in range(100)} == before
    assert fleet.ab_status("t").mismatch == ""


def test_a_test_is_planned_on_the_scores_of_the_golden_set_and_says_what_its_units_tell(fleet: Fleet) -> None:
    blind = fleet.start_ab("blind", AB, units=400)
    assert blind.sentence().startswith("nothing is scored yet; 5,080 scored units are planned, by which 5.0 points are")
    assert "400 units tell differences from 17.8 points on" in blind.sentence()
    rows = [{"text": f"text {n}", "intent": "text"} for n in range(100)]
    fleet.golden_sets.add(
        "intents", rows, metric=lambda e, p, trace=None: e.text != "text 7", lm=offline_lm(), score=True
    )
    known = fleet.start_ab("known", AB)
    assert known.test.started.rows < 0.3 * blind.test.started.rows
    assert "of scores as on golden set intents@1 (99.0; asked twice, 0 of 100 examples differed)" in known.sentence()
    with pytest.raises(InputError, match="units=0: give the units"):
        fleet.start_ab("none", AB, units=0)


def test_a_test_of_which_one_variant_is_scored_says_so(fleet: Fleet) -> None:
    fleet.start_ab("t", AB)
    route = routed(fleet, "t")
    route.feedback(route(unit="ann", text="hi"), 1)
    (scored,) = [arm.label for arm in fleet.ab_status("t").arms if arm.scored]
    assert fleet.ab_status("t").sentence() == (
        f"no winner yet: {scored} alone has scores, 1 scored unit of 5,080 planned"
    )


def test_a_test_of_three_is_planned_for_the_units_of_all(fleet: Fleet) -> None:
    status = fleet.start_ab("t", ["intents@1", "intents@2", "intents@1"], effect=0.3, units=300)
    rows = status.test.started.rows
    assert f"nothing is scored yet; {rows:,} scored units are planned, by which 30.0 points are told" in str(status)
    play(routed(fleet, "t"), range(20), {"A": 0.5, "B": 0.5, "C": 0.5})
    assert f"on 20 scored units of {rows:,} planned" in fleet.ab_status("t").sentence()
    with pytest.raises(
        InputError, match=r"^9 units tell no difference at all: 2\d tell one of 100 points, 2\d\d one of 30"
    ):
        fleet.start_ab("few", ["intents@1", "intents@2", "intents@1"], effect=0.3, units=9)


def test_an_adaptive_test_gives_more_to_what_seems_better(fleet: Fleet) -> None:
    fleet.start_ab("t", AB, split="adaptive", effect=0.3)
    play(routed(fleet, "t"), range(200), {"A": 0.2, "B": 0.8})
    status = fleet.ab_status("t")
    assert status.test.splits[-1][1] > 0.8
    assert (status.winner, status.mismatch) == ("B", "")


def test_a_broken_guardrail_ends_the_test(fleet: Fleet) -> None:
    status = fleet.start_ab("t", AB, guardrails=["cost<=1.2x", "latency<=3x"])
    run = status.test.started.run
    with Journal(fleet.home, f"ab.{run}-elsewhere") as journal:
        for unit in range(200):
            b = bool(unit % 2)
            told = {"run": run, "call": str(unit), "unit": f"{unit:016x}", "variant": "AB"[b], "epoch": 0}
            journal.append(ABAnswered.model_validate(told | {"latency_s": 1.0, "cost_usd": 1.5 if b else 1.0}))
    status = fleet.ab_status("t")
    assert (status.state, status.test.ended and status.test.ended.winner) == ("guardrail", "A")
    assert "B breaks cost<=1.2x: 100% of its calls are above it" in status.sentence()
    assert [w.broken for w in status.watches] == [True, False]
    units = pd.DataFrame({"variant": ["A", "B"] * 100, "latency_s": [1.0, 1.1] * 100})
    assert not watch(read_guardrail("latency<=1.2x"), "B", "A", units, 0.05).broken


@pytest.mark.parametrize(
    "text", ["cost<=0.00001x", "cost<=1.2x", "latency<=3x", "cost<=1.23456789x", "cost<=12345678x"]
)
def test_a_guardrail_is_told_as_it_was_written(fleet: Fleet, text: str) -> None:
    fleet.start_ab("t", AB, guardrails=[text])
    assert [str(one.guardrail) for one in fleet.ab_status("t").watches] == [text]


KILLED = """
import os, signal, sys
from test_ab import AB, Fleet, routed
route = routed(Fleet(sys.argv[1]), "t")
for unit in range(50):
    route.feedback(route(unit=unit, text="x"), 1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_answered_and_scored_outlives_the_process(fleet: Fleet, request: pytest.FixtureRequest) -> None:
    fleet.start_ab("t", AB)
    here = str(request.path.parent)
    died = subprocess.run([sys.executable, "-c", KILLED, str(fleet.home.root)], check=False, cwd=here)
    assert died.returncode == -signal.SIGKILL
    status = fleet.ab_status("t")
    assert (status.n, sum(arm.units for arm in status.arms)) == (50, 50)
    play(routed(fleet, "t"), range(50), {"A": 1.0, "B": 1.0})
    assert fleet.ab_status("t").n == 50, "the same units, by the same variants"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": 1.5}, r"alpha=1.5: give a number between 0 and 1"),
        ({"split": "50:60"}, r"sums to 110"),
        ({"split": "1:2:3"}, r"3 shares for 2 variants"),
        ({"split": "half"}, r"give shares such as 50:50"),
        ({"split": (1.0, 0.0)}, r"at least 1 %"),
        ({"guardrails": ["cost<2"]}, r"write cost<=1.2x"),
        ({"variants": {"A": "intents@1"}}, r"give at least two"),
    ],
)
def test_what_cannot_be_tested_is_refused(fleet: Fleet, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fleet.start_ab("t", **{"variants": AB, **options})
    assert fleet.ab_tests.names == []


def test_unknown_versions_and_tests_are_told_by_name(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError, match="intents has no version 9"):
        fleet.start_ab("t", ["intents@1", "intents@9"])
    fleet.start_ab("checkout", ["intents@1", "intents@2"])
    with pytest.raises(NotFoundError, match="did you mean 'checkout'"):
        fleet.ab_status("chekout")
    with pytest.raises(JobError, match=r"'checkout' is running: .*skillfleet ab stop checkout"):
        fleet.start_ab("checkout", ["intents@1", "intents@2"])


def right(example: dspy.Example, answer: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.intent == answer.intent)


def test_the_magic_replays_logged_rows_and_says_how_it_stands(fleet: Fleet) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    logged = [{"text": f"text {n}", "intent": "a"} for n in range(20)]
    shell.push({"logged": logged, "few": logged[:12], "right": right, "lm": offline_lm()})
    home = f"--home {fleet.home.root}"
    start = f"ab start t A=intents@1 B=intents@2 --replay logged --metric right --lm lm {home}"
    status = shell.run_line_magic("skillfleet", start)
    assert (status.n, status.test.started.metric) == (20, "right")
    assert fleet.sql("select count(*) as n from lm_calls where job_id like 'replay%'").n[0] == 20
    assert "no winner yet" in str(shell.run_line_magic("skillfleet", f"ab status t {home}"))
    assert "running" in str(shell.run_line_magic("skillfleet", f"ab status {home}"))
    for line, says in (
        ("ab start u A=intents@1 intents@2", "variant 'intents@2': write LABEL=REF"),
        ("ab start u A=intents@1 B=intents@2 --replay logged", "name the metric with --metric"),
        (
            "ab start u A=intents@1 B=intents@2 --replay few --metric right",
            "12 units tell no difference at all",
        ),
        ("ab promote t", "%skillfleet ab promote t --force REASON promotes"),
    ):
        with pytest.raises(UsageError, match=says):
            shell.run_line_magic("skillfleet", f"{line} {home}")
    assert "stopped by hand; A answers all" in str(shell.run_line_magic("skillfleet", f"ab stop t {home}"))
