"""Runs side by side: what differs, whether the difference is real, where they disagree, and how it is shown."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Data, counted_lm, exact, program, rows

from skillfleet_nb.data.identity import example_id, parts
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.events import JobCreated
from skillfleet_nb.stats import paired_comparison
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Lab

    from skillfleet_nb import Fleet


class Words(HTMLParser):
    """What a page says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.words).split())


def on_test(fleet: Fleet, name: str) -> dict[str, float]:
    """Scores of a job's best program on the test rows, straight from the relations."""
    frame = fleet.sql(
        "select j.name, example_id, coalesce(s.score, 0) as score from scores s join trials t using (job_id, trial) "
        "join jobs j using (job_id) where t.split = 'test' and t.program_id = j.best_program_id"
    )
    frame = frame[frame.name == name]
    return dict(zip(frame.example_id, frame.score, strict=True))


def test_the_difference_is_that_of_the_recorded_scores(lab: Lab) -> None:
    one, other = on_test(lab.fleet, "few"), on_test(lab.fleet, "rules")
    assert one.keys() == other.keys()
    expected = paired_comparison(list(one.values()), [other[e] for e in one])
    comparison = lab.fleet.reports.compare("few", "rules")
    (difference,) = comparison.differences
    assert difference.is_paired
    assert difference.split == "test"
    for name in ("n", "baseline_mean", "candidate_mean", "delta", "low", "high", "p_value", "verdict"):
        assert getattr(difference.by, name) == pytest.approx(getattr(expected, name)), name
    assert difference.sentence() == f"rules against few: {expected.sentence()}"
    assert comparison.notes == ()


def test_swapping_the_runs_negates_the_difference(lab: Lab) -> None:
    one, other = (lab.fleet.reports.compare(*names).differences[0].by for names in (("few", "rules"), ("rules", "few")))
    assert (one.delta, one.low, one.high) == pytest.approx((-other.delta, -other.high, -other.low))


def test_disagreements_are_the_rows_scored_differently_with_both_answers(lab: Lab) -> None:
    one, other = on_test(lab.fleet, "few"), on_test(lab.fleet, "rules")
    comparison = lab.fleet.reports.compare("few", "rules")
    frame = comparison.disagreements
    assert set(frame.example_id) == {e for e in one if one[e] != other[e]}
    assert comparison.agreed[0] == sum(one[e] == other[e] for e in one)
    known = {example_id(*parts(e)): e for e in Data().test}
    programs = [comparison.program(n).load() for n in (0, 1)]
    with dspy.context(lm=lab.lm):
        for row in frame.to_dict("records"):
            example = known[row["example_id"]]
            assert (row["input"], row["expected"]) == (example.text, example.intent)
            for n, best in enumerate(programs, 1):
                answer = json.loads(row[f"output {n}"])["intent"]
                assert answer == best(text=example.text).intent
                assert row[f"score {n}"] == float(answer == example.intent)


def test_parts_of_the_set_up_that_differ_are_told_and_the_rest_is_put_aside(lab: Lab) -> None:
    comparison = lab.fleet.reports.compare("few", "rules")
    assert comparison.setup["optimizer"] == ("labeled_fewshot", "infer_rules")
    assert comparison.setup["set: k"] == ("4", "-")
    assert {"program", "metric", "train", "val", "test", "seed", "lm"} <= comparison.same_setup.keys()
    assert not comparison.setup.keys() & comparison.same_setup.keys()


def test_another_process_sees_the_same(lab: Lab) -> None:
    here, there = lab.fleet.reports.compare("few", "rules"), lab.again.reports.compare("few", "rules")
    assert here.to_dict() == there.to_dict()
    assert here.text() == there.text()
    assert here._repr_html_() == there._repr_html_()


def test_the_faces_tell_the_same_facts(lab: Lab) -> None:
    comparison = lab.fleet.reports.compare("few", "rules")
    told = json.loads(json.dumps(comparison.to_dict()))
    assert [r["label"] for r in told["runs"]] == ["few", "rules"]
    assert told["differences"][0]["paired"] is True
    assert len(told["disagreements"]) == len(comparison.disagreements)
    page = str(Words(comparison._repr_html_()))
    for face in (page, comparison.text()):
        assert comparison.differences[0].sentence() in face
        assert "labeled_fewshot" in face
        assert "They disagree on" in face
        for answer in json.loads(comparison.disagreements["output 1"].iloc[0]).values():
            assert answer in face
        assert comparison.diff().predictors[0].instructions.after.splitlines()[-1] in face, "the prompts are shown"


def test_the_program_chosen_can_be_used(lab: Lab, tmp_path: Path) -> None:
    comparison = lab.fleet.reports.compare("few", "rules")
    best = comparison.program("rules")
    file = best.save(tmp_path / "best.json")
    again = program()
    again.load(file)
    with dspy.context(lm=lab.lm):
        assert again(text="We were charged twice").intent == best.load()(text="We were charged twice").intent
    with pytest.raises(NotFoundError, match="unknown run of this comparison 'rule': did you mean 'rules'"):
        comparison.program("rule")


def test_other_rows_are_compared_unpaired_and_it_is_said(lab: Lab) -> None:
    everything = rows(12)
    turned = {"train": everything[:24], "val": everything[36:], "test": everything[24:36]}
    lab.run("turned", **turned).result(0)
    comparison = lab.fleet.reports.compare("few", "turned")
    (difference,) = comparison.differences
    assert not difference.is_paired
    assert "unpaired" in difference.sentence()
    assert any("different rows (0 shared)" in note for note in comparison.notes)
    assert comparison.disagreements.empty
    assert "no example was scored by more than one" in comparison.text()


def test_rows_that_both_scored_are_paired_where_they_are_most(lab: Lab) -> None:
    data = Data()
    lab.run("fewer-rows", **{**data.splits(), "test": data.test[:8]}).result(0)
    comparison = lab.fleet.reports.compare("few", "fewer-rows")
    assert comparison.differences[0].is_paired
    assert comparison.differences[0].by.n == 8  # type: ignore[union-attr]
    assert any("12 and 8 rows, and are compared on the 8 that both did" in note for note in comparison.notes)


def test_several_runs_are_compared_with_the_first_and_their_intervals_hold_together(lab: Lab) -> None:
    lab.run("three", params={"k": 3}).result(0)
    comparison = lab.fleet.reports.compare("few", "rules", "three")
    assert [(d.against, d.run) for d in comparison.differences] == [("few", "rules"), ("few", "three")]
    assert {d.by.confidence for d in comparison.differences} == {0.975}
    assert any("all 2 hold together at 95%" in note for note in comparison.notes)
    assert {"score 1", "score 2", "score 3"} <= set(comparison.disagreements.columns)
    assert comparison._repr_html_().count("<summary style") == 2


def test_a_run_without_scores_is_shown_and_left_out_of_the_comparison(lab: Lab) -> None:
    class Broken(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            raise KeyError("no such field")

    with pytest.raises(JobError):
        lab.run("broken", given=Broken()).result(0)
    comparison = lab.fleet.reports.compare("few", "broken", "rules")
    assert [d.run for d in comparison.differences] == ["rules"]
    assert any(note.startswith("broken has no test score (failed: ") for note in comparison.notes)
    assert comparison.diff("broken") is None
    assert "failed" in comparison.text()
    with pytest.raises(JobError, match="has no scored program"):
        comparison.program("broken")
    alone = lab.fleet.reports.compare("few", "broken")
    assert alone.differences == ()
    assert "no two of them have scores" in alone.text()
    assert "no two of them have scores" in str(Words(alone._repr_html_()))


def test_where_one_was_not_tested_validation_is_compared_and_it_is_said(lab: Lab) -> None:
    stopped = lab.run("stopped", lm=counted_lm()[0], max_calls=14)  # 12 go to validation
    assert stopped.result(0).test_score is None
    (difference,) = lab.fleet.reports.compare("few", "stopped").differences
    assert difference.split == "val"
    assert "on validation, by which both were chosen" in difference.sentence()


def test_other_metrics_are_warned_of(lab: Lab) -> None:
    lab.run("other-metric", metric=exact).result(0)
    assert any("different metrics" in note for note in lab.fleet.reports.compare("few", "other-metric").notes)


def test_without_recorded_texts_the_answers_are_missing_and_the_rest_is_there(lab: Lab) -> None:
    lab.run("quiet", params={"k": 2}, record_prompts=False).result(0)
    comparison = lab.fleet.reports.compare("rules", "quiet")
    assert len(comparison.disagreements)
    assert comparison.disagreements["output 2"].str.startswith("sha256:").all()
    assert "(not recorded)" in comparison.text()


def test_mistakes_are_one_line(lab: Lab) -> None:
    for names, told in (
        (("few",), r"compare takes at least two jobs, few given"),
        ((), r"compare takes at least two jobs, none given"),
        (("few", "few"), r"'few' is given twice: name another; skillfleet job few compares its best program"),
        (("few", lab.fleet.job("few").id), r"are the same job"),
    ):
        with pytest.raises(InputError, match=told):
            lab.fleet.reports.compare(*names)
    with pytest.raises(NotFoundError, match="unknown job 'fw': did you mean 'few'"):
        lab.fleet.reports.compare("fw", "rules")


def test_namesakes_are_told_apart(lab: Lab) -> None:
    """A home names a job once now; one of an earlier version may hold two of a name."""
    first = lab.run("twin")
    with Journal(first.home, "20990101-000000-c0de01") as journal:
        journal.append(JobCreated(name="twin", optimizer="copro", program="p", metric="m", engine="thread", seed=0))
    with pytest.raises(InputError, match=f"'twin' is given twice: an earlier one of that name is {first.id}"):
        lab.fleet.reports.compare("twin", "twin")
    labels = [run.label for run in lab.fleet.reports.compare(first.id, "20990101-000000-c0de01").runs]
    assert labels == [f"twin ({first.id[-6:]})", "twin (c0de01)"]


def test_long_and_hostile_names_are_text(lab: Lab) -> None:
    lab.run("<img src=x onerror=alert(1)>")
    lab.run("n" * 150, params={"k": 2})
    comparison = lab.fleet.reports.compare("<img src=x onerror=alert(1)>", "n" * 150)
    assert "<img" not in comparison._repr_html_()
    assert max(len(run.label) for run in comparison.runs) <= 36
    assert comparison.program("n" * 150).job.name == "n" * 150
