"""When a job can be gone on with, with what, and what its attempts add up to."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from job_kit import bought, ends, events, kill, metric, program, setup, splits, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.programs.state import dump_state
from skillfleet_nb.runs.engines import parcel
from skillfleet_nb.store import load_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from job_kit import LoggedLM

    from skillfleet_nb import Job
    from skillfleet_nb.runs.spec import RunResult

pytestmark = pytest.mark.usefixtures("preloaded")


def stricter(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent == pred.intent)


@pytest.fixture
def cancelled(fleet: Fleet, logged: Callable[..., LoggedLM]) -> Job:
    """Return a job that was stopped in its search."""
    model = logged()
    model.hold(first=21)
    job = fleet.optimize(**setup(model.lm, engine="thread", max_calls=500, name="stopped"))
    until(lambda: model.calls > 20)
    job.cancel()
    model.release()
    job.result()
    assert job.state == "cancelled"
    return job


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"metric": stricter}, "the metric"),
        ({"program": dspy.Predict("text -> intent")}, "the program"),
        ({"seed": 4}, "the seed"),
        ({"lm": dspy.LM("skillfleet/another")}, "the LM"),
        (splits(8), "the train set"),
    ],
    ids=["metric", "program", "seed", "lm", "data"],
)
def test_what_changed_is_named(given: dict[str, Any], named: str, fleet: Fleet, cancelled: Job) -> None:
    with pytest.raises(InputError, match=r"started with another set-up; changed: .*--as-new") as told:
        fleet.resume("stopped", **given)
    assert f"{named} (" in str(told.value)
    assert " → " in str(told.value)
    assert cancelled.state == "cancelled"


def test_the_same_given_again_is_the_same(fleet: Fleet, cancelled: Job) -> None:
    job = fleet.resume("stopped", program=program(), metric=metric, **splits())
    assert str(job.result().state) == "completed"


def test_as_new_is_a_fresh_job(fleet: Fleet, cancelled: Job) -> None:
    job = fleet.resume("stopped", seed=4, as_new=True)
    assert str(job.result().state) == "completed"
    assert job.id != cancelled.id
    assert (job.name, job.progress.attempts, job.progress.spec["seed"]) == ("stopped-2", 1, 4)
    assert cancelled.state == "cancelled"


def test_running_and_complete_jobs_are_not_resumed(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold()
    job = fleet.optimize(**setup(model.lm, name="busy"))
    until(lambda: model.calls)
    with pytest.raises(JobError, match="'busy' is running: watch it, or cancel it"):
        Fleet(fleet.home.root).resume("busy")
    model.release()
    job.result()
    with pytest.raises(JobError, match="complete: there is nothing left to resume"):
        fleet.resume("busy")


def test_an_uncached_model_is_warned_of_and_not_resumed(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(cache=False)
    model.hold(first=21)
    job = fleet.optimize(**setup(model.lm, engine="thread"))
    until(lambda: model.calls > 20)
    job.cancel()
    model.release()
    job.result()
    assert any("cannot be replayed" in w for w in job.progress.warnings)
    with pytest.raises(InputError, match="cannot be replayed: the cache"):
        fleet.resume(job.id)


def test_limits_and_money_count_over_all_attempts(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    whole = logged()
    expected = fleet.optimize(**setup(whole.lm, engine="thread")).result()
    model = logged()
    job = fleet.optimize(**setup(model.lm, max_calls=60))
    first = job.result()
    assert first.stop_reason == "budget: 60 calls"
    assert model.calls <= 60
    with pytest.raises(JobError, match="stopped at its budget: 60 calls: give a larger limit"):
        fleet.resume(job.id)
    with pytest.raises(JobError, match=r"has used .* of max_calls = 40: give more"):
        fleet.resume(job.id, max_calls=40)
    before = model.calls
    second = fleet.resume(job.id, max_calls=100).result()
    assert second.stop_reason == "budget: 100 calls"
    assert before < model.calls <= 100
    third = fleet.resume(job.id, max_calls=1000).result()
    assert (str(third.state), third.best_score) == ("completed", expected.best_score)
    assert third.lm_calls == bought(fleet, job.id) == model.calls
    assert model.calls <= whole.calls + 40  # the tests of the budgets that ended
    assert ends(fleet, job.id) == ["completed"] * 3
    numbers = [t["trial"] for t in events(fleet, job.id, "trial")]
    assert numbers == sorted(set(numbers))
    shown = dict(fleet.job(job.id).summary())
    assert shown["attempts"] == "3"
    assert int(fleet.jobs().set_index("job_id").lm_calls[job.id]) == model.calls


def test_a_failed_job_is_resumed(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold(first=21)
    job = fleet.optimize(**setup(model.lm))
    until(lambda: model.calls > 20)
    kill(job)
    model.release()
    file = parcel.parcel_file(fleet.home, job.id)
    sound = file.read_bytes()
    file.write_bytes(sound[:-1])  # as a disk does it, behind the worker's back
    with pytest.raises(JobError, match="altered"):
        fleet.resume(job.id)
    again = fleet.resume(job.id, program=program(), metric=metric, lm=model.lm, **splits())  # all is given again
    assert str(again.result().state) == "completed"


def closing_over(conn: sqlite3.Connection) -> Any:
    def judge(example: Any, pred: Any, trace: Any = None) -> bool:
        conn.execute("select 1")
        return bool(example.intent == pred.intent)

    return judge


def test_what_could_not_be_packed_is_given_again(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    with sqlite3.connect(":memory:", check_same_thread=False) as conn:
        model = logged()
        model.hold(first=21)
        job = fleet.optimize(**setup(model.lm, engine="thread", num_threads=1, metric=closing_over(conn)))
        until(lambda: model.calls > 20)
        job.cancel()
        model.release()
        job.result()
        other = Fleet(fleet.home.root)
        with pytest.raises(JobError, match="kept nothing to run it from: give program, train and metric again"):
            other.resume(job.id)
        given = {"program": program(), "metric": closing_over(conn), **splits()}
        before = model.calls
        result = other.resume(job.id, lm=model.lm, **given).result()
        assert str(result.state) == "completed"
        assert events(fleet, job.id, "trial")[0]["trial"] == 0
        assert result.lm_calls == model.calls > before
        with dspy.context(lm=model.lm), pytest.raises(InputError, match="`metric` cannot travel"):
            other.resume(job.id, **given, engine="process", as_new=True)
    conn.close()


def test_of_two_that_resume_at_once_one_wins(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold()
    job = fleet.optimize(**setup(model.lm))
    until(lambda: model.calls)
    kill(job)
    code = """if True:
        import sys
        import dspy
        from skillfleet_nb import Fleet
        from skillfleet_nb.errors import JobError
        fleet = Fleet(sys.argv[1])
        fleet.job(sys.argv[2]).state
        print("ready", flush=True)
        sys.stdin.read(1)
        try:
            fleet.resume(sys.argv[2])
            print("won")
        except JobError as exc:
            print(exc)
    """
    args = [sys.executable, "-c", code, str(fleet.home.root), job.id]
    both = [subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("x")
        one.stdin.flush()
    told = sorted(one.communicate()[0].strip() for one in both)
    assert told.count("won") == 1
    lost = next(t for t in told if t != "won")
    assert "\n" not in lost
    assert lost.startswith("job ")
    model.release()
    assert str(fleet.job(job.id).result().state) == "completed"
    assert len(events(fleet, job.id, "resumed")) == 1
    assert ends(fleet, job.id) == ["completed"]


def test_minutes_count_over_all_attempts(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(latency_s=0.02)
    model.hold(first=21)
    job = fleet.optimize(**setup(model.lm, engine="thread"))
    until(lambda: model.calls > 20)
    job.cancel()
    model.release()
    job.result()
    with pytest.raises(JobError, match=r"has used .* of max_minutes = 0.0001: give more"):
        fleet.resume(job.id, max_minutes=0.0001)
    assert str(fleet.resume(job.id, max_minutes=10).result().state) == "completed"


OF_A_CLASS = {"bootstrap_random_search": 12, "evolve": 12, "tune_signature": 20}
LIMITS = {"bootstrap_random_search": 90, "evolve": 90, "tune_signature": 130}


class Cancels(BaseCallback):  # type: ignore[misc]  # dspy is untyped
    """Cancels a job at one of its calls, from the cache or not."""

    def __init__(self, cancel: Callable[[], object], at: int) -> None:
        self.cancel, self.left = cancel, at

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.left -= 1
        if not self.left:
            self.cancel()


def has_the_best(fleet: Fleet, job: Job, found: RunResult, tmp_path: Path) -> None:
    """Hold that a resumed job has the best program that was found before: its result, what is saved, and SQL."""
    result, state = job.result(), json.loads(json.dumps(dump_state(found.program)))
    assert (result.baseline_score, result.best_score) == (found.baseline_score, found.best_score)
    assert json.loads(json.dumps(dump_state(result.program))) == state
    saved = json.loads(job.save(tmp_path / "best.json").read_text())
    assert {key: saved[key] for key in state} == state
    kept = fleet.jobs().set_index("job_id").loc[job.id]
    assert (kept.baseline_score, kept.best_score) == (found.baseline_score, found.best_score)
    assert load_program(fleet.home, kept.best_program_id) == state


@pytest.mark.parametrize("optimizer", LIMITS)
def test_what_ends_a_replay_leaves_the_best_of_earlier_attempts(
    optimizer: str, fleet: Fleet, logged: Callable[..., LoggedLM], tmp_path: Path
) -> None:
    own = {"evolve": {"population": 4, "generations": 2}, "tune_signature": {"rounds": 3}}
    options: dict[str, Any] = {"params": own[optimizer]} if optimizer in own else {}
    options |= {"engine": "thread", "num_threads": 1, "name": "limited", "max_calls": LIMITS[optimizer]}
    job = fleet.optimize(**setup(logged().lm, optimizer, **options, **splits(OF_A_CLASS[optimizer])))
    found = job.result()
    assert found.stop_kind == "budget"
    assert found.best_score > found.baseline_score
    for more in (1, 10):
        again = fleet.resume("limited", max_calls=LIMITS[optimizer] + more)
        assert again.result().stop_kind == "budget"
        assert again.result().test_score is not None
        has_the_best(fleet, again, found, tmp_path)
    for at in (1, 30):  # of the baseline, and of the search
        with dspy.context(callbacks=[Cancels(lambda: fleet.job("limited").cancel(), at)]):
            again = fleet.resume("limited", max_calls=1000)
            assert str(again.result().state) == "cancelled"
        has_the_best(fleet, again, found, tmp_path)


def test_a_job_that_is_cancelled_before_anything_was_scored_came_to_nothing(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    with dspy.context(callbacks=[Cancels(lambda: fleet.job("early").cancel(), 1)]):
        job = fleet.optimize(**setup(logged().lm, engine="thread", name="early"))
        with pytest.raises(JobError, match="stopped before the given program was scored"):
            job.result()
    with dspy.context(callbacks=[Cancels(lambda: fleet.job("early").cancel(), 1)]):
        again = fleet.resume("early")
        with pytest.raises(JobError, match="stopped before the given program was scored"):
            again.result()
