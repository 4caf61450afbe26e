"""What all runs say: sentences that hold, intervals and money reckoned by hand, notes with their evidence."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from made_up_runs import OPTIMIZERS, outcome, run_events, write_runs

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.events import StateChanged
from skillfleet_nb.insights.extrapolation import BestSoFar, PastCurves, extrapolate
from skillfleet_nb.insights.insight import insights
from skillfleet_nb.insights.money import point_value, returns
from skillfleet_nb.insights.pooling import held, pooled, shrunken, wrong_sign
from skillfleet_nb.insights.trends import trends
from skillfleet_nb.insights.unsolved import unsolved
from skillfleet_nb.store import Home, Journal
from skillfleet_nb.widgets.actions import Actions
from skillfleet_nb.widgets.monitor import Monitor
from skillfleet_nb.widgets.opened import opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    root = tmp_path_factory.mktemp("runs") / ".skillfleet"
    write_runs(root)
    return Fleet(root)


def test_an_optimizer_that_gains_more_is_said_to_with_the_runs_that_show_it(fleet: Fleet) -> None:
    said = fleet.insights()
    best = next(one for one in said.insights if one.text.startswith("gepa gains"))
    assert (best.confidence, best.runs, best.tasks) == ("strong", 9, 9)
    assert 0.06 < best.effect < 0.10  # 8 points, as it was made
    assert sorted(fleet.sql(best.query)["job_id"]) == sorted(best.jobs)
    assert set(fleet.sql(best.query)["optimizer"]) == {"gepa"}
    assert "odd" not in str(said), "what makes no difference is not said"


def test_effects_that_are_not_there_are_seldom_said_to_be_sure() -> None:
    """Of 60 homes without any effect, 5 % may say something above weak: 7 or more would come once in 40 times."""
    rng = random.Random(5)
    sure = 0
    for _ in range(60):
        runs = [
            outcome(n, rng.gauss(0, 0.05), optimizer=rng.choice(OPTIMIZERS), task_key=f"t{n % 10}",
                    tags=(rng.choice("ab"),), rows=rng.randrange(20, 99), baseline=rng.random())
            for n in range(40)
        ]  # fmt: skip
        sure += any(one.confidence != "weak" for one in insights(runs).insights)
    assert sure < 7


def test_of_fewer_than_eight_runs_nothing_is_said() -> None:
    said = insights([outcome(n, 0.2, task_key=f"t{n}") for n in range(7)])
    assert said.insights == ()
    assert "8 runs are needed" in said.text()
    assert insights([outcome(n, 0.2, task_key=f"t{n}") for n in range(8)]).insights[0].confidence == "strong"


def test_of_two_optimizers_one_comparison_is_told_and_a_mean_is_not_shrunken() -> None:
    runs = [
        outcome(n, 0.10 + 0.02 * (n % 2) + 0.001 * (n % 5), optimizer=OPTIMIZERS[n % 2], task_key=f"t{n // 2}")
        for n in range(16)
    ]
    said = insights(runs).insights
    assert [one.text.split(" gain")[0] for one in said] == ["Runs", "gepa"]
    assert said[0].effect == pytest.approx(0.112, abs=0.002)


def test_many_runs_on_one_task_do_not_pass_for_many_tasks() -> None:
    one_task = insights([outcome(n, 0.2 + 0.01 * (n % 3)) for n in range(30)])
    assert one_task.insights[0].tasks == 1


def test_a_mean_over_runs_that_differ_has_the_interval_of_hartung_and_knapp() -> None:
    told = pooled([0.0, 0.1, 0.2], [1e-6] * 3)
    assert told.mean == pytest.approx(0.1, abs=1e-6)
    assert told.high - told.mean == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-3)  # t of 2 degrees, sd 0.1
    alike = pooled([0.1] * 4, [0.01] * 4)
    assert alike.high - alike.mean == pytest.approx(3.182446 * 0.1 / 2, rel=1e-6)  # no narrower than a fixed effect's


@pytest.mark.parametrize("gains", [[0.9], [0.9, 0.2], [-0.9, -0.2]])
def test_no_interval_of_a_gain_reaches_beyond_all_points(gains: list[float]) -> None:
    runs = [outcome(n, gain, low=gain - 0.3, high=gain + 0.3) for n, gain in enumerate(gains)]
    trend, back = trends(runs, "task").total, returns(runs, {}, "task", None).total
    assert {-1.0, 1.0} & {trend.low, trend.high}
    assert -1 <= trend.low <= trend.gain <= trend.high <= 1
    assert (back.low, back.high) == (trend.low, trend.high)


def test_p_values_are_held_to_how_many_there_are_and_effects_to_one_another() -> None:
    assert held([0.001, 0.5, 0.02]) == pytest.approx([0.003, 0.5, 0.04])
    small, large = shrunken([0.01, 0.10], [0.02, 0.02])
    assert 0 < small[0] < 0.01
    assert 0.05 < large[0] < 0.10
    assert wrong_sign(0.0, 1.0) == pytest.approx(0.5)


def test_trends_count_runs_and_large_gains_by_group(fleet: Fleet) -> None:
    told = fleet.trends("optimizer")
    assert (told.groups[0].group, told.groups[0].runs, told.groups[0].tasks) == ("gepa", 9, 9)
    assert told.total.runs == 36
    assert told.groups[0].low < 0.11 < told.groups[0].high
    runs = [outcome(0, 0.1), outcome(1, 0.2), outcome(2, 0.0, baseline=0.0), outcome(3, 0.1, baseline=0.0)]
    large = trends(runs, "task", 0.3).total
    assert large.large == 0.5, "40 % of 0.5, and anything of nothing"
    assert (large.large_low, large.large_high) == pytest.approx((0.150039, 0.849961), abs=1e-5)  # Wilson, 2 of 4
    assert fleet.trends("tag").total.runs == 36
    assert sum(t.runs for t in fleet.trends("tag").groups) == 36
    assert len(fleet.trends("tag").chart.data) == 36


def test_money_is_reckoned_as_one_would_by_hand(fleet: Fleet) -> None:
    runs = [outcome(n, 0.10, cost_usd=5.0) for n in range(3)] + [outcome(9, 0.1, cost_usd=None)]
    value = point_value("40 EUR", None, 1.25, 1000)
    told = returns(runs, {"job-0": 0.1}, "optimizer", value).total
    assert (told.runs, told.unpriced, told.cost_usd) == (3, 1, 15.0)
    assert told.usd_per_point == pytest.approx(0.5)
    # 10 points at 50 USD for 1,000 answers are 0.50 USD an answer, which costs 0.10 USD more: 5 / 0.40, rounded up
    assert told.break_even == 13
    measured = fleet.roi("1 USD").total
    # the test of both cost 0.15 USD for 50 answers each, and the program given costs 0.001 an answer
    assert measured.extra_usd == pytest.approx(0.15 / 50 - 0.001 - 0.001)


@pytest.mark.parametrize(
    ("value", "currency", "rate", "words"),
    [
        ("40", None, None, "in which currency"),
        ("40 EUR", None, None, "--rate"),
        ("40 EUR", "USD", None, "differ"),
        ("-1", "USD", None, "above 0"),
        ("nan", "USD", None, "above 0"),
        ("1e999", "USD", None, "above 0"),
        ("40", "dollars", None, "three letters"),
        ("40", "EUR", float("nan"), "above 0"),
    ],
)
def test_a_value_that_is_none_is_refused(value: str, currency: str | None, rate: float | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        point_value(value, currency, rate, 1000)


def test_a_curve_that_still_rises_is_expected_to_rise_further_than_one_that_stopped() -> None:
    rising = BestSoFar.of([(20 * 2**k, 0.3 + 0.06 * k) for k in range(6)])
    stopped = BestSoFar.of([(20, 0.3), (40, 0.36), *((60 + 20 * k, 0.3) for k in range(30))])
    more, less = (extrapolate(curve, 640, 640, PastCurves()) for curve in (rising, stopped))
    assert more.chance > less.chance
    assert more.gain > less.gain == less.low == 0.0
    assert less.chance < 0.5 < more.chance
    assert extrapolate(rising, 640, 640, PastCurves()) == more, "the same every time"


@pytest.mark.parametrize("more", [20, 40, 60, 80, 100, 160, 320, 1280])
def test_a_score_ahead_lies_in_its_interval_however_unlikely_a_rise_is(more: int) -> None:
    for rises in range(5):
        curve = BestSoFar.of([(20 * 2**k, 0.3 + 0.1 * k) for k in range(rises + 1)])
        ahead = extrapolate(curve, 640, more, PastCurves())
        assert 0 <= ahead.low <= ahead.gain <= ahead.high <= 1 - ahead.best
        assert (ahead.gain > 0) is (ahead.chance > 0.5)


def test_a_score_ahead_is_told_with_its_interval(fleet: Fleet) -> None:
    told = fleet.forecast_score("run-1", 400)
    assert (told.more, told.calls, told.runs) == (400, 160, 35)
    assert told.low <= told.gain <= told.high
    with pytest.raises(InputError, match="1 or more"):
        fleet.forecast_score("run-1", 0)
    monitor = Monitor(fleet.job("run-1"))
    monitor.forecast(400)
    assert told.sentence() in repr(monitor)


def test_a_job_that_ended_early_offers_to_say_what_more_calls_would_add(tmp_path: Path) -> None:
    events = run_events(0, 0, "gepa", 0.1)[:-2]
    with Journal(Home.find(tmp_path / "h"), "job-0") as journal:
        journal.append_many([*events, StateChanged(state="cancelled", stop_kind="cancelled")])
    actions = Actions(Fleet(tmp_path / "h").job("job-0"))
    assert "ahead" in [action.do for action in actions.offered()]
    assert actions.ahead().more == 80


def test_examples_that_nothing_solved_are_found(fleet: Fleet) -> None:
    assert unsolved(fleet.store) == [], "these runs kept no scores of examples"


def test_a_home_without_a_tested_run_says_what_is_needed_first(tmp_path: Path) -> None:
    empty = Fleet(tmp_path / "none")
    for ask in (empty.insights, empty.trends, empty.roi):
        with pytest.raises(JobError, match="optimize"):
            ask()
    assert "no run of this home has been tested yet" in opened(empty, ["@money"])["html"]


def test_the_page_about_money_says_what_a_value_lacks(fleet: Fleet) -> None:
    assert "in which currency" in opened(fleet, ["@money", "task", "40"])["html"]
    assert "pays from answers on" in opened(fleet, ["@money", "task", "40 USD"])["html"]
    with pytest.raises(NotFoundError, match="unknown page"):
        opened(fleet, ["@monies"])


def test_a_task_is_named_by_its_domain_or_a_job_of_it(fleet: Fleet) -> None:
    assert fleet.trends("optimizer", task="task 3").total.runs == 4
    assert fleet.trends("optimizer", task="run-3").total.runs == 4
    with pytest.raises(NotFoundError, match="did you mean 'task 3'"):
        fleet.insights("task 33")


def test_what_a_person_decides_of_an_insight_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "h"
    write_runs(home, 27)
    fleet, there = Fleet(home), ["--home", str(home)]
    first = fleet.insights().insights[0]
    assert main(["insights", "dismiss", first.id, *there]) == 0
    assert fleet.insights().find(first.id) is None
    assert fleet.insights().dismissed == 1
    assert fleet.insights(everything=True).find(first.id) is not None
    assert main(["insights", "pin", first.id, *there]) == 0
    assert fleet.insights().insights[0].decision == "pinned"
    assert main(["notes", "add", "hot *sampling* helps", "--evidence", "run-1", *there]) == 0
    capsys.readouterr()
    assert list(fleet.notes.listing()["kind"]) == [f"pinned, {first.confidence}", "note"]
    text = fleet.notes.export(tmp_path / "kept.md").read_text("utf-8")
    assert first.text.split("(")[0] in text
    assert "hot \\*sampling\\* helps" in text
    assert "`run-1`, copro: +" in text
    (note,) = fleet.notes.names
    assert fleet.notes.remove(note) == "hot *sampling* helps"
    assert fleet.notes.names == []


def test_a_job_is_named_or_given_as_it_is(fleet: Fleet) -> None:
    job = fleet.job("run-0")
    assert fleet.forecast_score(job) == fleet.forecast_score("run-0")
    note = fleet.notes.add("seen here", [job, "run-1"])
    assert fleet.notes.listing()["jobs"].tolist() == [["job-000", "job-001"]]
    fleet.notes.remove(note)


def test_a_note_needs_words_and_evidence_that_exists(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(fleet.home.root)
    for line, words in [
        (["notes", "add", "x", "--evidence", "run-999"], "unknown job 'run-999'"),
        (["notes", "add", " "], "a note of 0 characters"),
        (["notes", "remove", "n-0"], "unknown note"),
        (["notes", "search", "x"], "nothing is noted"),
        (["notes", "export", "x.txt"], "end it in .md"),
        (["insights", "pin", "i-0"], "unknown insight"),
        (["roi", "--value-per-point", "40"], "--currency USD"),
        (["trends", "--relative", "-1"], "above 0"),
        (["forecast", "score", "none"], "unknown job"),
    ]:
        assert main([*line, "--home", home]) == 2
        assert words in capsys.readouterr().err
