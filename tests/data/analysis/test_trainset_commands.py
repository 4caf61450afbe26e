"""The facade and the commands, with a home and without a model."""

from __future__ import annotations

import concurrent.futures
import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from message_sets import WordVectors, flipped, made_up

import skillfleet_nb as sf
from skillfleet_nb.commands import Context, run
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import ExampleScore, JobCreated, JobState, Resumed, StateChanged, Trial
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.reports.accessor import Trainsets
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(Trainsets, "embedder", lambda self, progress=None: WordVectors())
    return Fleet(tmp_path / "home")


@pytest.fixture
def ask(fleet: Fleet) -> Any:
    said: list[Any] = []
    namespace: dict[str, Any] = {"train": flipped(made_up(80), 0.05)[0]}

    def answer(line: str) -> Any:
        import shlex

        context = Context(
            lambda home: fleet, namespace, lambda job: job.wait(), said.append, lambda text: lambda done, total: None
        )
        return run(shlex.split(line), context)

    answer.namespace = namespace  # type: ignore[attr-defined]
    answer.said = said  # type: ignore[attr-defined]
    return answer


def record(fleet: Fleet, job: str, scores: dict[str, float | None], *, attempts: int = 1) -> None:
    """A finished run of one candidate on validation."""
    for attempt in range(attempts):
        with Journal(fleet.home, job) as journal:
            if attempt == 0:
                journal.append(JobCreated(name=job, optimizer="o", program="p", metric="m", engine="thread", seed=0))
                rows = tuple(ExampleScore(e, s) for e, s in scores.items())
                mean = sum(s or 0 for s in scores.values()) / len(scores)
                for split in ("val", "test"):
                    journal.append(
                        Trial(
                            trial=0 if split == "val" else 1, split=split, full_eval=True, n_examples=len(rows),
                            score=mean, program_id="p0", scores=rows,
                        )
                    )  # fmt: skip
                journal.append(StateChanged(state=JobState.INTERRUPTED if attempts > 1 else JobState.COMPLETED))
            else:
                journal.append(Resumed(attempt=attempt + 1))
                journal.append(StateChanged(state=JobState.COMPLETED))


def test_analyze_gives_the_report_and_json(ask: Any, tmp_path: Path) -> None:
    report = ask(f"trainset analyze train --label topic --json {tmp_path}/r.json -o report")
    assert report is ask.namespace["report"]
    assert json.loads((tmp_path / "r.json").read_text("utf-8"))["total_examples"] == 80


def test_every_command_answers_in_text_and_html(ask: Any) -> None:
    for line in ("top train -n 3", "worst train", "duplicates train", "gaps train", "select train --k 8"):
        answer = ask(f"trainset {line} --label topic")
        assert str(answer)
        assert answer._repr_html_()


def test_select_puts_the_rows_into_a_variable(ask: Any) -> None:
    ask("trainset select train --k 20 --label topic --strategy balanced -o few")
    assert len(ask.namespace["few"]) == 20
    assert all(row in ask.namespace["train"] for row in ask.namespace["few"])


@pytest.mark.parametrize("line", ["top odd", "worst odd", "gaps odd", "duplicates odd", "select odd --k 5"])
def test_what_was_odd_about_a_set_is_told_by_every_command(line: str, ask: Any) -> None:
    ask.namespace["odd"] = [*made_up(40), {"text": "x", "other": 1}]
    ask(f"trainset {line} --label topic")
    assert "1 row has other fields than the rest: mixed schemas" in [str(s) for s in ask.said]


def test_test_rows_are_never_selected(ask: Any) -> None:
    ask.namespace["held"] = [{"text": row["text"]} for row in ask.namespace["train"][:30]]
    ask("trainset select train --k 30 --label topic --test held -o few")
    assert not {r["text"] for r in ask.namespace["few"]} & {r["text"] for r in ask.namespace["held"]}


def test_a_rating_is_kept_and_taken_back(ask: Any, fleet: Fleet) -> None:
    ask("trainset analyze train --label topic")
    ask("trainset rate train 3 0.25 --label topic")
    assert fleet.sql("select row, rating from examples where rating is not null").values.tolist() == [[3, 0.25]]
    assert ask("trainset analyze train --label topic").examples.set_index("row").loc[3, "rating"] == 0.25
    ask("trainset rate train 3 none --label topic")
    assert fleet.sql("select row from examples where rating is not null").empty


@pytest.mark.parametrize(
    ("line", "error", "told"),
    [
        ("top train --label topics", NotFoundError, "did you mean 'topic'"),
        ("top trian", NotFoundError, "did you mean 'train'"),
        ("select train --k 500 --label topic", InputError, "ask for fewer"),
        ("select train --k 5 --strategy balance --label topic", NotFoundError, "did you mean 'balanced'"),
        ("rate train 3 7 --label topic", InputError, "rating = 7"),
        ("rate train 3 good --label topic", InputError, "rating 'good'"),
        ("rate train 999 0.5 --label topic", InputError, "rows are 0 to 79"),
        ("top train -n 0", InputError, "-n 0"),
    ],
)
def test_mistakes_are_told_in_one_line(line: str, error: type[Exception], told: str, ask: Any) -> None:
    with pytest.raises(error, match=told) as caught:
        ask(f"trainset {line}")
    assert "\n" not in str(caught.value)


def test_a_metric_that_scores_right_answers_wrong_is_told(fleet: Fleet) -> None:
    rows = made_up(40)

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(example.topic == pred.topic and example.topic != "outage")

    report = fleet.data.analyse(rows, label="topic", metric=metric)
    assert any("10 of 40 examples whose own answer 'metric' scores below 1" in r for r in report.recommendations)
    fine = fleet.data.analyse(rows, label="topic", metric=lambda e, p, trace=None: e.topic == p.topic)
    assert not any("own answer" in r for r in fine.recommendations)


def test_relevance_is_to_the_programs_signature(fleet: Fleet) -> None:
    rows = made_up(40)
    rows[5]["topic"] = "weather"
    program = dspy.Predict("text -> topic: Literal['billing', 'access', 'delivery', 'outage']")
    frame = fleet.data.analyse(rows, program=program).examples.set_index("row")
    assert frame.loc[5, "relevance"] == 0.5
    assert (frame["relevance"].drop(5) == 1).all()


def test_an_answer_the_program_may_give_and_no_row_has_is_a_gap(fleet: Fleet) -> None:
    program = dspy.Predict("text -> topic: Literal['billing', 'access', 'delivery', 'outage', 'returns']")
    gaps = fleet.data.analyse(made_up(40), program=program).underrepresented
    assert [(g.field, g.category, g.rows) for g in gaps] == [("topic", "returns", 0)]


def test_an_analysis_is_recorded_once(fleet: Fleet) -> None:
    rows = made_up(40)
    for _ in range(3):
        fleet.data.analyse(rows, label="topic")
    assert fleet.sql("select count(*) as n from events where kind = 'examples'").n[0] == 1
    found = fleet.sql("select dataset, row, category, uses, success from examples order by row")
    assert found["row"].tolist() == list(range(40))
    assert set(found["dataset"]) == {"train"}
    assert found["uses"].tolist() == [0] * 40


class TestHistory:
    def ids(self, fleet: Fleet) -> list[str]:
        return list(fleet.data.analyse(made_up(40), label="topic").examples.sort_values("row")["example_id"])

    def test_a_run_moves_the_averages_once(self, fleet: Fleet) -> None:
        ids = self.ids(fleet)
        before = fleet.store.frame("select quality from examples where example_id = ?", [ids[0]]).quality[0]
        record(fleet, "a", {ids[0]: 1.0, ids[1]: None})
        for _ in range(3):
            seen = fleet.sql("select * from example_history order by success desc")
        assert seen["run"].tolist() == [1, 1]
        assert seen["success"].tolist() == pytest.approx([0.55, 0.45])
        assert seen["quality"][0] == pytest.approx(0.8 * before + 0.2)
        frame = fleet.data.analyse(made_up(40), label="topic").examples.set_index("example_id")
        assert frame.loc[ids[0], "success"] == pytest.approx(0.55)
        assert frame.loc[ids[0], "quality"] == pytest.approx(seen["quality"][0], abs=1e-5)

    def test_a_resumed_run_counts_once(self, fleet: Fleet) -> None:
        ids = self.ids(fleet)
        record(fleet, "a", {ids[0]: 1.0}, attempts=3)
        assert fleet.sql("select run, success from example_history").values.tolist() == [[1, pytest.approx(0.55)]]

    def test_a_run_that_has_not_ended_does_not_count_yet(self, fleet: Fleet) -> None:
        ids = self.ids(fleet)
        with Journal(fleet.home, "a") as journal:
            journal.append(JobCreated(name="a", optimizer="o", program="p", metric="m", engine="thread", seed=0))
            rows = (ExampleScore(ids[0], 1.0),)
            journal.append(Trial(trial=0, split="val", full_eval=True, n_examples=1, score=1.0, scores=rows))
            assert fleet.sql("select count(*) as n from example_history").n[0] == 0

    def test_reading_at_the_same_time_counts_once(self, fleet: Fleet) -> None:
        ids = self.ids(fleet)
        record(fleet, "a", {ids[0]: 1.0})
        record(fleet, "b", {ids[0]: 1.0})
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(lambda _: fleet.sql("select max(success) as s from example_history").s[0], range(8)))
        assert seen == pytest.approx([0.595] * 8)
        fleet.store.rebuild()
        assert fleet.sql("select max(success) as s from example_history").s[0] == pytest.approx(0.595)

    def test_outcomes_tell_what_a_candidate_fixed_and_broke(self, fleet: Fleet) -> None:
        with Journal(fleet.home, "a") as journal:
            journal.append(JobCreated(name="a", optimizer="o", program="p", metric="m", engine="thread", seed=0))
            for trial, scores in enumerate([(0.0, 1.0, 1.0, None), (1.0, 0.2, 0.9, 0.0)]):
                rows = tuple(ExampleScore(f"e{i}", s) for i, s in enumerate(scores))
                journal.append(
                    Trial(
                        trial=trial, split="val", full_eval=True, n_examples=4, score=0.5,
                        program_id=f"p{trial}", scores=rows,
                    )
                )  # fmt: skip
            journal.append(StateChanged(state=JobState.COMPLETED))
        found = fleet.sql("select outcome from example_outcomes where trial = 1 order by example_id")
        assert found["outcome"].tolist() == ["fixed", "broke", "solved", "unsolved"]


class TestOptimize:
    def options(self, **more: Any) -> dict[str, Any]:
        return {
            "train": flipped(made_up(120), 0.1)[0],
            "metric": lambda e, p, trace=None: e.topic == p.topic,
            "optimizer": "labeled_fewshot",
            "params": {"k": 4},
            "lm": sf.offline_lm(),
            **more,
        }

    def test_selects_from_the_train_split_alone(self, fleet: Fleet) -> None:
        program = dspy.Predict("text -> topic")
        whole = fleet.optimize(program, **self.options())
        whole.result()
        job = fleet.optimize(program, select=16, **self.options())
        result = job.result()
        assert "16 of 60 selected (balanced)" in job.splits
        assert result.state is JobState.COMPLETED
        one, other = (j.progress.spec["data_hashes"] for j in (whole, job))
        assert (one["val"], one["test"]) == (other["val"], other["test"])
        assert one["train"] != other["train"]
        assert job.progress.spec["sizes"]["train"] == 16
        assert fleet.sql("select count(distinct job_id) as n from example_history").n[0] == 2

    def test_a_selection_is_the_same_for_the_same_seed(self, fleet: Fleet) -> None:
        program = dspy.Predict("text -> topic")
        jobs = [fleet.optimize(program, select=12, strategy="coverage", **self.options()) for _ in range(2)]
        for job in jobs:
            job.result()
        assert len({j.progress.spec["data_hashes"]["train"] for j in jobs}) == 1

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"select": 0}, "k = 0"),
            ({"select": 500}, "ask for fewer"),
            ({"strategy": "top"}, "without select"),
        ],
    )
    def test_mistakes_cost_nothing(self, wrong: dict[str, Any], told: str, fleet: Fleet) -> None:
        with pytest.raises(InputError, match=told):
            fleet.optimize(dspy.Predict("text -> topic"), **wrong, **self.options())
        assert fleet.jobs().empty
