"""Any program is scored on any data: with an interval, metered, limited, recorded, and compared as jobs are."""

from __future__ import annotations

import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.reports.start import starts_from
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture
def fleet(home: Path) -> Fleet:
    return Fleet(home)


@pytest.fixture(scope="module")
def optimised(home: Path) -> Job:
    """A job that found something better."""
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=0.01))
    given: dict[str, Any] = {**Data().splits(), "metric": exact, "lm": lm}
    job = Fleet(home).optimize(program(), **given, optimizer="labeled_fewshot", params={"k": 16}, name="best")
    job.result(120)
    return job


def test_rows_without_a_label_are_told_before_and_with_the_verdict(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    test = [row.copy() for row in Data().test]
    test[3].intent = test[5].intent = None
    told = "2 of 12 test rows have no value for intent: what they score says nothing"
    alone = fleet.evaluate(program(), test, exact, lm=lm)
    assert alone.result(120).summary.endswith(told)
    against = fleet.optimize(
        program(), **{**Data().splits(), "test": test}, metric=exact, lm=lm, optimizer="labeled_fewshot"
    )
    against.result(120)
    for job in (alone, against):
        assert any("no value for intent in 2 rows (3, 5)" in note for note in job.progress.warnings)
        assert told in job.text()
        assert told in job.html()


class Hinted(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Takes a hint where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(dspy.Signature("text, hint -> intent, due: date | None", custom_types={"date": date}))

    def forward(self, text: str, hint: str | None = None) -> Any:
        return self.sort(text=text, hint=hint)


def test_fields_that_may_be_without_a_value_and_those_of_no_concern_take_nothing_from_the_verdict(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    rows = [dict(row.items()) for row in Data().test]
    rows = [{**row, "hint": None, "due": None, "note": ""} for row in rows]
    test = [dspy.Example(**row).with_inputs("text", "hint") for row in rows]
    assert "no value" not in fleet.evaluate(Hinted(), test, exact, lm=lm).result(120).summary
    test[2].intent = ""
    assert (
        "1 of 12 test rows has no value for intent:" in fleet.evaluate(Hinted(), test, exact, lm=lm).result(120).summary
    )


def test_a_program_is_scored_with_an_interval_and_recorded_as_a_job(fleet: Fleet) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=0.01))
    job = fleet.evaluate(program(), Data().test, exact, lm=lm, name="as it is", tags="asked")
    result = job.result(120)
    assert (str(result.state), engine.calls, result.lm_calls) == ("completed", 12, 12)
    assert (result.test_delta, result.verdict) == (None, None)
    scores = fleet.sql("select score from scores join jobs using (job_id) where name = 'as it is'").score
    told = mean_interval(scores.tolist())
    assert result.test_score == pytest.approx(told.mean)
    assert result.test_interval == pytest.approx((told.low, told.high))
    assert result.summary.startswith(f"{100 * told.mean:.1f} on 12 rows, 95% interval")
    assert ("score", result.summary) in job.summary()
    row = fleet.jobs(tag="asked").iloc[0]
    assert (row.optimizer, row.lm_calls) == ("evaluate", 12)
    assert row.test_score == pytest.approx(told.mean)
    assert row.cost_usd == pytest.approx(result.cost_usd)
    assert row.cost_usd > 0
    again = Fleet(fleet.home.root).job("as it is").result(0)
    assert (again.test_interval, again.summary) == (result.test_interval, result.summary)


def test_rows_that_repeat_are_evidence_once(fleet: Fleet, optimised: Job) -> None:
    test = Data().test[:6]
    task: dict[str, Any] = {"metric": exact, "lm": optimised.model()}
    fields = ("test_score", "test_interval", "test_delta", "test_delta_interval", "p_value", "verdict", "summary")
    for against in (None, optimised.given):
        once, often = (
            fleet.evaluate(optimised.program, data, **task, against=against).result(120) for data in (test, test * 10)
        )
        assert [getattr(often, name) for name in fields] == [getattr(once, name) for name in fields]
    given = {**Data().splits(), **task, "optimizer": "labeled_fewshot", "params": {"k": 16}}
    runs = [fleet.optimize(program(), **{**given, "test": data}) for data in (test, test * 10)]
    once, often = (run.result(120) for run in runs)
    assert [getattr(often, name) for name in fields] == [getattr(once, name) for name in fields]
    assert "test: 54 rows repeat another exactly, the first at row 6; they count once." in runs[1].progress.warnings
    kept = fleet.jobs().set_index("job_id").loc[[run.id for run in runs], ["test_score", "test_delta", "verdict"]]
    assert kept.drop_duplicates().shape[0] == 1
    scored = fleet.trials(runs[1].id)
    assert set(scored[scored.split == "test"].n_examples) == {6}
    assert often.test_score in set(scored[scored.split == "test"].score)


def test_two_programs_are_compared_pair_by_pair(fleet: Fleet, optimised: Job) -> None:
    job = fleet.evaluate(optimised.program, Data().test, exact, against=optimised.given, lm=optimised.model())
    result, of_run = job.result(120), optimised.result(0)
    assert (result.test_delta, result.test_delta_interval, result.verdict) == (
        of_run.test_delta, of_run.test_delta_interval, of_run.verdict
    )  # fmt: skip
    assert result.lm_calls == 0, "the run has bought these answers"
    assert job.diff() is not None
    assert dict(job.summary())["score"].startswith(f"{100 * result.test_baseline:.1f} → ")


def test_evaluations_and_runs_stand_side_by_side(fleet: Fleet, optimised: Job) -> None:
    fleet.evaluate(program(), Data().test, exact, lm=optimised.model(), name="given").result(120)
    compared = fleet.reports.compare("given", "best")
    (difference,) = compared.differences
    assert (difference.split, difference.is_paired, difference.by.n) == ("test", True, 12)


def test_a_registered_program_and_a_job_are_named(fleet: Fleet, optimised: Job) -> None:
    fleet.register("best", "intents")
    fleet.alias("intents", "production", 1, force="a test")
    given = {"data": Data().val, "metric": exact, "lm": optimised.model()}
    named = [fleet.evaluate(ref, **given).result(120).test_score for ref in ("intents@production", "intents", "best")]
    assert len(set(named)) == 1
    assert named[0] == pytest.approx(optimised.result(0).best_score)


def test_a_job_that_was_stopped_before_its_test_is_tested_now(tmp_path: Path) -> None:
    fleet, (lm, engine) = Fleet(tmp_path), counted_lm(Counting(usd_per_1k_tokens=0.01))
    given: dict[str, Any] = {**Data().splits(), "metric": exact, "lm": lm}
    job = fleet.optimize(program(), **given, optimizer="gepa", params={"max_metric_calls": 5000}, name="stopped")
    engine.reached.wait()
    while job.progress.trials < 2:
        job.wait(0.01)
    job.cancel()
    assert job.result(120).verdict is None
    tested = Fleet(tmp_path).evaluate("stopped", lm=lm)  # an engine of a test does not travel
    result = tested.result(120)
    assert tested.name == "stopped-test"
    is_given = job.progress.best_program == job.progress.first_program
    assert (result.verdict is None) == is_given
    assert result.test_score is not None
    with pytest.raises(JobError, match="evaluate again"):
        fleet.resume("stopped-test")


def test_a_limit_leaves_rows_out_and_says_so(fleet: Fleet) -> None:
    lm, engine = counted_lm()
    job = fleet.evaluate(program(), Data().test, exact, lm=lm, max_calls=5)
    result = job.result(120)
    assert engine.calls <= 5
    assert (str(result.state), str(result.stop_kind)) == ("completed", "budget")
    assert f"on {engine.calls} of 12 rows" in result.summary
    nothing = fleet.evaluate(program(), Data().test, exact, lm=counted_lm(Counting(usd_per_1k_tokens=9))[0],
                             budget_usd=0.0001).result(120)  # fmt: skip
    assert (str(nothing.state), nothing.test_score) == ("failed", None)


def test_what_is_missing_is_named_before_anything_is_spent(fleet: Fleet, optimised: Job) -> None:
    lm, engine = counted_lm()
    for changed, said in (({"data": None}, "needs data"), ({"metric": None}, "needs a metric"), ({"data": []}, "rows")):
        with pytest.raises(InputError, match=said):
            fleet.evaluate(program(), **{"data": Data().test, "metric": exact, "lm": lm, **changed})
    assert engine.calls == 0


def test_the_command_evaluates_what_it_is_named(tmp_path: Path) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    lm, _ = counted_lm()
    shell.user_ns |= {"program": program(), "test": Data().test, "metric": exact, "lm": lm}
    job = shell.run_line_magic(
        "skillfleet",
        f"evaluate program --data test --metric metric --lm lm --name looked --no-wait --home {tmp_path / 'home'}",
    )
    assert job.result(120).test_interval is not None
    assert "looked" in str(shell.run_line_magic("skillfleet", f"jobs --home {tmp_path / 'home'}"))


def test_one_that_was_stopped_before_it_scored_anything_is_shown_and_found_no_program(tmp_path: Path) -> None:
    gate = threading.Event()
    fleet, (lm, engine) = Fleet(tmp_path), counted_lm(Counting(gate=gate))
    job = fleet.evaluate(program(), Data().test, exact, lm=lm, num_threads=1)
    engine.reached.wait()
    job.cancel()
    gate.set()
    assert (job.result(120).summary, str(job.state)) == ("cancelled", "cancelled")
    assert not job.picture()["has_best"], "an evaluation keeps no program"
    assert fleet.programs.find(job.id).trial is None
    assert "cancelled" in job.monitor().html()
    onward = fleet.optimize(program(), **Data().splits(), metric=exact, lm=lm, optimizer="labeled_fewshot")
    onward.result(120)
    assert starts_from(onward, fleet.jobs()) == "starts from your program as it is, with no demos"
