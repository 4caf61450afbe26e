"""Several optimizers at the same time: one job, one ledger, and what they find side by side."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from made_up import SMALL, Counting, Data, counted_lm, exact, program, rows, until

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.charts.lanes import lanes_data
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.optimizers import Shape, create
from skillfleet_nb.optimizers.ensemble import optimism_of

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job

MEMBERS = ("bootstrap_random_search", "infer_rules", "copro")
SETTINGS = {name: SMALL[name] for name in MEMBERS}


def begun(fleet: Fleet, lm: Any, vote: str = "select", **options: Any) -> Job:
    params = {"members": MEMBERS, "settings": SETTINGS, "vote": vote}
    given = {"params": params, "metric": exact, "optimizer": "ensemble", "seed": 2, "num_threads": 2}
    return fleet.optimize(program(), lm=lm, **{**given, **options}, **Data(rows(12)).splits())


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Job, Any, Counting]:
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path_factory.mktemp("ensemble") / "home")
    job = begun(fleet, lm, "weighted")
    job.result()
    return fleet, job, lm, engine


def test_the_best_member_is_returned_and_each_is_told_of(ended: tuple[Fleet, Job, Any, Counting]) -> None:
    fleet, job, _, engine = ended
    result = job.result()
    assert result.state is JobState.COMPLETED
    members = result.members.set_index("member")
    assert set(members.index) == {*MEMBERS, "vote (weighted)"}
    best = members.score.max() if members.state["vote (weighted)"] == "chosen" else members.score[list(MEMBERS)].max()
    assert result.best_score == pytest.approx(best)
    chosen = members[members.state == "chosen"]
    assert len(chosen) == 1
    assert chosen.program_id.iloc[0] == job.progress.best_program
    assert members.optimism.dropna().between(0, 1).all()
    bought = members.lm_calls.sum()
    n = len(Data(rows(12)).val)
    assert n + bought <= result.lm_calls <= n + bought + 2 * len(Data(rows(12)).test)
    assert engine.calls == result.lm_calls
    told = fleet.sql(f"from members where job_id = '{job.id}'").set_index("member")
    assert told.lm_calls.to_dict() == members.lm_calls.to_dict()
    counted = fleet.sql("select member, count(*) as n from trials where member is not null group by member")
    assert set(counted.member) == set(MEMBERS)


def test_lanes_show_the_best_so_far_of_each_member(ended: tuple[Fleet, Job, Any, Counting]) -> None:
    fleet, job, _, _ = ended
    data = lanes_data(fleet.trials(job.id))
    assert set(data.lane) == set(MEMBERS)
    members = job.result().members.set_index("member")
    for name, own in data.groupby("lane"):
        assert own.best.is_monotonic_increasing
        assert own.best.iloc[-1] >= 100 * members.score[name] - 1e-9
    assert job.name in fleet.charts.lanes(job).title
    assert lanes_data(fleet.trials("none")).empty


def test_what_several_ask_at_the_same_time_is_bought_once(ended: tuple[Fleet, Job, Any, Counting]) -> None:
    fleet, _, _, _ = ended
    bought = fleet.sql("select prompt, count(*) as n from lm_calls where not cached and role = 'task' group by prompt")
    assert bought.n.max() == 1


def test_it_is_replayed_for_free_to_the_same_result(ended: tuple[Fleet, Job, Any, Counting], tmp_path: Path) -> None:
    _, job, lm, engine = ended
    before = engine.calls
    again = begun(Fleet(tmp_path / "again"), lm, "weighted")
    assert again.result().lm_calls == 0
    assert engine.calls == before
    assert again.progress.best_program == job.progress.best_program
    assert again.result().test_score == job.result().test_score


def test_a_budget_holds_for_all_together(tmp_path: Path) -> None:
    lm, engine = counted_lm()
    job = begun(Fleet(tmp_path), lm, max_calls=90)
    result = job.result()
    assert (result.stop_kind, result.lm_calls <= 90) == (StopKind.BUDGET, True)
    assert engine.calls == result.lm_calls
    assert result.best_score is not None
    assert set(result.members.state) <= {"stopped", "searched", "failed"}


def test_it_is_paused_cancelled_and_resumed_as_one_job(tmp_path: Path) -> None:
    gate = threading.Event()
    lm, engine = counted_lm(Counting(gate=gate, free=60))
    fleet = Fleet(tmp_path)
    job = begun(fleet, lm, name="three")
    until(lambda: engine.calls > 62)
    job.pause()
    gate.set()
    until(lambda: job.progress.paused)
    assert job.state is JobState.RUNNING
    job.cancel()
    assert job.result().state is JobState.CANCELLED
    assert engine.flying == 0
    stopped = engine.calls
    assert stopped < 80
    resumed = fleet.resume("three", lm=lm)
    assert resumed.result().state is JobState.COMPLETED
    assert engine.calls > stopped
    bought = fleet.sql("select prompt, count(*) as n from lm_calls where not cached and role = 'task' group by prompt")
    assert bought.n.max() == 1  # in both attempts together
    assert len(resumed.result().members) == len(MEMBERS)


def test_a_member_that_fails_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skillfleet_nb.optimizers.copro import COPRO

    def broken(*_: Any) -> None:
        raise RuntimeError("no idea")

    monkeypatch.setattr(COPRO, "compile", broken)
    result = begun(Fleet(tmp_path), counted_lm()[0]).result()
    assert result.state is JobState.COMPLETED
    members = result.members.set_index("member")
    assert (members.state["copro"], "no idea" in members.error["copro"]) == ("failed", True)


def test_a_vote_that_is_returned_can_be_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Proven:
        low, high = 0.1, 0.2

    monkeypatch.setattr("skillfleet_nb.optimizers.ensemble.paired_comparison", lambda *_, **__: Proven())
    monkeypatch.setattr("skillfleet_nb.runs.execution.Execution._best",
                        lambda self, baseline, returned, stop, gate: self._candidate(returned))  # fmt: skip
    fleet = Fleet(tmp_path / "home")
    job = begun(fleet, counted_lm()[0], "majority")
    vote = job.result().program
    assert isinstance(vote, sf.Ensemble)
    assert (job.result().members.set_index("member").state["vote (majority)"]) == "chosen"
    found = Fleet(tmp_path / "home").job(job.id).best_program(program())  # as another process finds it
    assert isinstance(found, sf.Ensemble)
    assert found.settings() == vote.settings()
    assert [p.demos for p in found.programs] == [[dict(d) for d in p.demos] for p in vote.programs]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"members": ["gepa"]}, "name two or more"),
        ({"members": "copro,copro"}, "each once"),
        ({"members": "copro,gepaa"}, "'gepaa'"),
        ({"members": "copro,ensemble"}, "'ensemble' cannot be a member"),
        ({"settings": {"copro": {"depth": 1}}}, "settings names 'copro'"),
        ({"members": "copro,gepa", "settings": {"gepa": {"seed": 3}}}, "'seed'"),  # one seed is for all
        ({"members": "copro,bootstrap_finetune,infer_rules"}, "member 'bootstrap_finetune' cannot do this task"),
        ({"vote": "loudest"}, "'loudest'"),
    ],
)
def test_what_makes_no_ensemble_is_refused(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=told):
        begun(Fleet(tmp_path), counted_lm()[0], params=params)


def test_the_others_go_on_without_a_member_that_cannot_do_the_task_if_asked(tmp_path: Path) -> None:
    params = {"members": "labeled_fewshot,bootstrap_finetune,bootstrap_fewshot", "skip": True}
    result = begun(Fleet(tmp_path), counted_lm()[0], params=params).result()
    assert set(result.members.member) == {"labeled_fewshot", "bootstrap_fewshot"}


def test_a_budget_below_the_smallest_forecast_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smallest forecast of a member of ensemble"):
        begun(Fleet(tmp_path), counted_lm()[0], max_calls=20)


def test_a_forecast_adds_the_members_up() -> None:
    shape = Shape(24, 12, 1)
    whole = create("ensemble", {"members": MEMBERS, "settings": SETTINGS}).expected_calls(shape)
    parts = [create(name, SMALL[name]).expected_calls(shape) for name in MEMBERS]
    assert sum(p.low for p in parts) <= whole.high
    assert whole.low <= sum(p.high for p in parts) + len(MEMBERS) * 12


def test_the_best_of_several_is_flattered_by_the_choice() -> None:
    equal = [[float((n * k) % 7 < 4) for n in range(60)] for k in (1, 2, 3, 4, 5)]
    apart = [[float(n % 10 < 9) for n in range(60)], [float(n % 10 < 2) for n in range(60)]]
    assert optimism_of(equal, 0) > 0.02 > optimism_of(apart, 0)
