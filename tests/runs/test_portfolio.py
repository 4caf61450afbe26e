"""A portfolio: shares of one budget, moved by rounds to the searches that may reach the most."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from made_up import SMALL, Counting, Data, counted_lm, exact, program, rows, until

from skillfleet_nb import Fleet
from skillfleet_nb.charts.lanes import lanes_data
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.lm.calls import Call
from skillfleet_nb.lm.shares import ShareEnded, Shares
from skillfleet_nb.optimizers import Shape, create
from skillfleet_nb.optimizers.portfolio import tail
from skillfleet_nb.widgets.monitor import Monitor

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from skillfleet_nb import Job

MEMBERS = ("bootstrap_random_search", "infer_rules", "gepa")
PARAMS = {"members": MEMBERS, "settings": {name: SMALL[name] for name in MEMBERS}, "requests": 200}
SHARES = "select round, member, requests, used, best, tail, reason from shares order by round, member"


def begun(fleet: Fleet, lm: Any, **options: Any) -> Job:
    given = {"params": PARAMS, "metric": exact, "optimizer": "portfolio", "seed": 2, "num_threads": 2}
    return fleet.optimize(program(), lm=lm, **{**given, **options}, **Data(rows(12)).splits())


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Job, Any, Counting]:
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path_factory.mktemp("portfolio") / "home")
    job = begun(fleet, lm)
    job.result()
    return fleet, job, lm, engine


@pytest.fixture(scope="module")
def shares(ended: tuple[Fleet, Job, Any, Counting]) -> pd.DataFrame:
    return ended[0].sql(SHARES)


def test_all_start_small_and_the_budget_is_kept(ended: tuple[Fleet, Job, Any, Counting], shares: pd.DataFrame) -> None:
    _, job, _, engine = ended
    result = job.result()
    assert (result.state, result.stop_kind) == (JobState.COMPLETED, StopKind.FINISHED)
    data = Data(rows(12))
    assert engine.calls == result.lm_calls <= 200 + len(data.val) + 2 * len(data.test)
    first = shares[shares["round"] == 1]
    assert set(first.member) == set(MEMBERS)
    assert (first.requests.nunique(), first.requests.sum() <= 200 / 2) == (1, True)
    assert shares.groupby("round").requests.apply(lambda given: (given > 0).sum()).iloc[-1] == 1
    used = shares.groupby("member").used.max()
    assert used.sum() <= 200


def test_who_may_reach_the_most_gets_the_next_share_and_why_is_told(shares: pd.DataFrame) -> None:
    for number, decided in shares[shares["round"] > 1].groupby("round"):
        given = decided[decided.requests > 0]
        waits = decided[decided.requests == 0]
        assert waits.empty or given["tail"].min() >= waits["tail"].max(), number
    assert shares.reason.str.len().min() > 10
    assert set(shares[shares["round"] == 1].reason) == {"all start small"}


def test_members_go_on_from_what_another_found_and_are_crossed(
    ended: tuple[Fleet, Job, Any, Counting], shares: pd.DataFrame
) -> None:
    fleet, job, _, _ = ended
    assert any(" from " in name for name in shares.member)
    result, members = job.result(), job.result().members.set_index("member")
    assert result.best_score == pytest.approx(members.score.max())
    assert members[members.state == "chosen"].program_id.tolist() == [job.progress.best_program]
    assert 0 <= members.optimism.dropna().item() <= 1
    assert set(lanes_data(fleet.trials(job.id)).lane) >= set(members[members.score.notna()].index)


def test_the_monitor_shows_the_lanes_and_why(ended: tuple[Fleet, Job, Any, Counting]) -> None:
    job = ended[1]
    shown = job.picture()["lanes"]
    members = job.result().members.set_index("member")
    assert [lane["name"] for lane in shown if lane["state"] == "chosen"] == members.index[
        members.state == "chosen"
    ].tolist()
    best = max(lane["best"] for lane in shown if lane["best"] is not None)
    assert best == pytest.approx(100 * members.score.max(), abs=0.01)
    page = str(Monitor(job).html())
    assert all(f">{lane['name']}<" in page for lane in shown)


def test_it_is_replayed_by_the_same_decisions(
    ended: tuple[Fleet, Job, Any, Counting], shares: pd.DataFrame, tmp_path: Path
) -> None:
    _, job, lm, engine = ended
    before, fleet = engine.calls, Fleet(tmp_path)
    again = begun(fleet, lm)
    assert again.result().state is JobState.COMPLETED
    # Of an evaluation that a share ended, another example than before may be the last one that was asked.
    assert engine.calls - before <= len(MEMBERS)
    assert fleet.sql(SHARES).equals(shares)
    assert again.progress.best_program == job.progress.best_program


def test_a_hard_budget_ends_all_and_fills_in_what_it_pays_for(tmp_path: Path) -> None:
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path)
    given = {k: v for k, v in PARAMS.items() if k != "requests"}
    job = begun(fleet, lm, params=given, max_calls=110)
    result = job.result()
    assert engine.calls == result.lm_calls <= 110
    assert result.test_score is not None
    assert job.progress.spec["params"]["requests"] == 110 - 12 - 33  # the baseline, and what scoring is left


def test_it_is_cancelled_while_members_wait_and_resumed_by_the_same_decisions(
    ended: tuple[Fleet, Job, Any, Counting], tmp_path: Path
) -> None:
    gate = threading.Event()
    lm, engine = counted_lm(Counting(gate=gate, free=110))
    fleet = Fleet(tmp_path)
    job = begun(fleet, lm, name="moved")
    until(lambda: engine.calls > 110)
    job.cancel()
    gate.set()
    assert job.result().state is JobState.CANCELLED
    assert engine.flying == 0
    resumed = fleet.resume("moved", lm=lm)
    assert resumed.result().state is JobState.COMPLETED
    bought = fleet.sql("select prompt, count(*) as n from lm_calls where not cached and role = 'task' group by prompt")
    assert bought.n.max() == 1  # in both attempts together
    assert fleet.sql(SHARES).equals(ended[0].sql(SHARES))
    assert resumed.progress.best_program == ended[1].progress.best_program


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"members": ["gepa"]}, "name two or more"),
        ({"members": "gepa,gepaa"}, "'gepaa'"),
        ({"members": "gepa tiny,copro"}, "'tiny' is no size of gepa, give one of light, medium"),
        ({"members": "gepa,portfolio"}, "'portfolio' cannot be a member"),
        ({"members": "gepa,copro", "requests": 0}, "requests = 0"),
    ],
)
def test_what_makes_no_portfolio_is_refused(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=told):
        begun(Fleet(tmp_path), counted_lm()[0], params=params)


def test_a_budget_below_the_smallest_forecast_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smallest forecast of a member of portfolio"):
        begun(Fleet(tmp_path), counted_lm()[0], params={**PARAMS, "requests": None}, max_calls=15)


def test_money_below_the_smallest_forecast_is_refused_and_is_shared_out_else(tmp_path: Path) -> None:
    lm = counted_lm(Counting(usd_per_1k_tokens=0.001))[0]
    params = {k: v for k, v in PARAMS.items() if k != "requests"}
    with pytest.raises(InputError, match=r"budget_usd = 0.01 pays for about \d+ calls"):
        begun(Fleet(tmp_path), lm, params=params, budget_usd=0.01)
    result = (job := begun(Fleet(tmp_path), lm, params=params, budget_usd=0.1)).result()
    assert result.cost_usd is not None
    assert 0 < result.cost_usd <= 0.1
    assert job.progress.spec["params"]["requests"] > 40


def test_a_forecast_is_what_is_shared_out_at_most() -> None:
    shape = Shape(24, 12, 1)
    whole = create("portfolio", {**PARAMS, "requests": 40}).expected_calls(shape)
    assert all(run.bought <= 40 + 1e-6 for run in whole.runs)


def test_a_curve_that_rises_may_reach_more_and_an_unknown_one_what_is_expected() -> None:
    flat = tail([0.7] * 6, (0.7, 0.05), 600, 300, 100)
    rising = tail([0.5, 0.55, 0.6, 0.65, 0.7, 0.75], (0.7, 0.05), 600, 300, 100)
    assert 0.7 <= flat < rising <= 1
    assert tail([], (0.6, 0.1), 0, 100, 100) == pytest.approx(0.6 + 0.1 * 1.2816, abs=1e-3)


def test_a_share_counts_what_is_new_and_is_ended_alone() -> None:
    turn = threading.Condition()
    shares = Shares(turn)
    shares.give("one", 2)
    calls = [Call(1, 0.0, 0, key=key) for key in (1, 1, 2, 3)]
    with shares.of("one"), turn:
        for call in calls[:3]:
            assert shares.admits(call)
            shares.take(call)
        assert (shares.admits(calls[3]), shares.used("one")) == (False, 2)
        shares.settle(["one"])
        shares.end("one", "enough")
        with pytest.raises(ShareEnded, match="enough"):
            shares.admits(calls[0])
    with shares.of("other"), turn:
        assert shares.admits(calls[3])
