"""Candidates of a job: found by what a person knows of them, shown, tried for a price, saved, used."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError, LMError, NotFoundError
from skillfleet_nb.lm.calls import digest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Lab

    from skillfleet_nb import Job


def tries(fleet: Fleet) -> list[dict[str, Any]]:
    """What was recorded of programs tried by hand, oldest first."""
    return [json.loads(p) for p in fleet.sql("from events where kind = 'tried' order by events.at").payload]


@pytest.fixture(scope="session")
def evolved(lab: Lab) -> Job:
    """Run GEPA, which tells what its candidates were made from."""
    job = lab.run("evolved", "gepa", params={"max_metric_calls": 80})
    job.result(0)
    return job


def test_the_list_agrees_with_the_relations(lab: Lab, evolved: Job) -> None:
    frame = lab.fleet.programs.of("evolved").frame
    saved = lab.fleet.sql("select p.program_id, j.name from programs p join jobs j using (job_id)")
    assert set(frame.program_id) == set(saved[saved.name == "evolved"].program_id)
    trials = lab.fleet.trials(evolved.id)
    whole = trials[(trials.split == "val") & trials.full_eval].groupby("program_id").score.max()
    for row in frame.to_dict("records"):
        assert (row["val_score"] == row["val_score"]) == (row["program_id"] in whole)
        if row["program_id"] in whole:
            assert row["val_score"] == pytest.approx(whole[row["program_id"]])
        assert row["trials"] == (trials.program_id == row["program_id"]).sum()
    assert frame.loc[frame["role"].str.contains("given"), "trial"].tolist() == [0]
    best = lab.fleet.jobs().set_index("job_id").best_program_id[evolved.id]
    assert frame.program_id[frame["role"].str.contains("best")].tolist() == [best]


def test_a_program_is_found_by_its_job_its_id_and_the_beginning_of_its_id(lab: Lab, evolved: Job) -> None:
    best = lab.fleet.programs.find("evolved")
    assert best.is_best
    for name in (evolved.id, best.id, best.id[:8]):
        assert lab.fleet.programs.find(name).id == best.id
    assert lab.again.programs.of("evolved")[best.id].state == best.state


def test_a_program_of_several_jobs_is_seen_as_the_newest_ones_or_as_told(lab: Lab, evolved: Job) -> None:
    given = lab.fleet.programs.of("evolved").frame.program_id.iloc[0]
    assert given in set(lab.fleet.programs.of("few").frame.program_id)
    assert lab.fleet.programs.find(given, "few").job.name == "few"
    assert lab.fleet.programs.find(given, job="evolved").job.id == evolved.id


def test_unknown_programs_get_the_nearest_name(lab: Lab, evolved: Job) -> None:
    with pytest.raises(NotFoundError, match=r"unknown program 'evolvd': did you mean 'evolved'\?.*fleet programs JOB"):
        lab.fleet.programs.find("evolvd")
    with pytest.raises(NotFoundError, match="unknown job 'evolvd'"):
        lab.fleet.programs.of("evolvd")
    with pytest.raises(NotFoundError, match="unknown program"):
        lab.fleet.programs.find(lab.fleet.programs.find("evolved").id, "rules")
    assert evolved.name == "evolved"


def test_a_job_is_named_or_given_as_it_is(lab: Lab, evolved: Job, tmp_path: Path) -> None:
    fleet, few = lab.fleet, lab.fleet.job("few")
    assert fleet.job(evolved) is evolved
    assert fleet.programs.of(evolved).best == fleet.programs.find(evolved).id == fleet.programs.find("evolved").id
    assert fleet.programs.find(fleet.programs.of(few).best, few).job is few
    assert len(fleet.reports.compare(evolved, few).runs) == 2
    with pytest.raises(InputError, match="'evolved' is given twice"):
        fleet.reports.compare(evolved, evolved)
    elsewhere = Fleet(tmp_path / "elsewhere")
    for ask in (elsewhere.job, elsewhere.programs.of, elsewhere.charts.convergence):
        with pytest.raises(InputError, match=rf"job {evolved.id} is of another home, '.*': ask Fleet\("):
            ask(evolved)
    with pytest.raises(InputError, match="a job is given as 3: give its name"):
        fleet.job(3)


def test_ancestors_are_parents_and_theirs_nearest_first(lab: Lab, evolved: Job) -> None:
    trials = lab.fleet.trials(evolved.id)
    parents = {p: set().union(*t.parent_ids) for p, t in trials.groupby("program_id")}
    candidates = lab.fleet.programs.of("evolved")
    assert any(parents.values()), "GEPA tells"
    for program_id in candidates.frame.program_id:
        one = candidates[program_id]
        assert set(one.parents) == parents[program_id]
        ancestors = one.ancestors()
        assert set(ancestors[: len(one.parents)]) == set(one.parents)
        assert program_id not in ancestors
        assert len(set(ancestors)) == len(ancestors)
        for ancestor in ancestors:
            assert parents[ancestor] <= {*ancestors, program_id}


def test_scores_hold_every_example_with_input_answer_and_expected(lab: Lab, evolved: Job) -> None:
    best = lab.fleet.programs.find("evolved")
    scores = best.scores()
    data = Data()
    assert set(scores[scores.split == "test"].input) == {e.text for e in data.test}
    assert set(scores[scores.split == "val"].input) == {e.text for e in data.val}
    right = {e.text: e.intent for e in (*data.val, *data.test)}
    for row in scores.to_dict("records"):
        assert row["expected"] == right[row["input"]]
        assert (json.loads(row["output"])["intent"] == row["expected"]) == bool(row["score"])
    assert scores[scores.split == "test"].score.mean() == pytest.approx(best.test_score)
    assert evolved.result(0).test_score == pytest.approx(best.test_score)


def test_both_faces_tell_what_it_says(lab: Lab, evolved: Job) -> None:
    best = lab.fleet.programs.find("evolved")
    instructions = evolved.program.signature.instructions
    for face in (best.text(), best._repr_html_()):
        assert best.id in face
        assert instructions.splitlines()[-1].strip()[:40] in face
        assert "ancestors" in face
        assert f"program show {best.id[:8]} -o program" in face
    candidates = lab.fleet.programs.of("few")
    few = candidates[candidates.frame.program_id.iloc[-1]]
    assert few.n_demos == 4
    assert few.text().count("demo\n") == 4
    assert "4 demos" in few._repr_html_()
    for face in (lab.fleet.programs.of("evolved").text(), lab.fleet.programs.of("evolved")._repr_html_()):
        assert best.id[:8] in face
        assert "made from" in face
    assert "made from" not in lab.fleet.programs.of("few").text(), "labelled demos come from no other program"


def test_it_loads_saves_and_answers_as_the_jobs_own(lab: Lab, evolved: Job, tmp_path: Path) -> None:
    best = lab.again.programs.find("evolved")
    by_dspy = program()
    by_dspy.load(best.save(tmp_path / "best.json"))
    with dspy.context(lm=lab.lm):
        for example in Data().test:
            answers = {p(text=example.text).intent for p in (best.load(), by_dspy, evolved.program)}
            assert len(answers) == 1
    with pytest.raises(InputError, match="saved as JSON"):
        best.save(tmp_path / "best.pkl")


def test_a_try_is_metered_and_recorded_and_no_job(lab: Lab, tmp_path: Path) -> None:
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path / "home")
    options = {"metric": told, "optimizer": "labeled_fewshot", "params": {"k": 2}, "lm": lm, "name": "job"}
    fleet.optimize(program(), **options, **Data().splits()).result(120)
    before, jobs = engine.calls, fleet.jobs()
    best = fleet.programs.find("job")
    answer = best.ask({"text": "A sentence that no run has asked before"}, lm=lm)
    assert engine.calls == before + 1
    assert (answer.calls, answer.cached, answer.cost_usd, answer.model) == (1, 0, 0.0, lm.model)
    with dspy.context(lm=lm):
        assert answer.prediction.intent == best.load()(text="A sentence that no run has asked before").intent
    again = best.ask({"text": "A sentence that no run has asked before"}, lm=lm)
    assert (again.calls, again.cached) == (0, 1)
    for face in (answer.text(), answer._repr_html_()):
        assert answer.prediction.intent in face
        assert "1 call · $0.00" in face
    stream = fleet.sql("select job_id from events where kind = 'tried' order by events.at").job_id[0]
    recorded, _ = tries(fleet)
    assert (recorded["program_id"], recorded["job_id"]) == (best.id, best.job.id)
    assert json.loads(recorded["inputs"]) == {"text": "A sentence that no run has asked before"}
    assert json.loads(recorded["output"]) == {"intent": answer.prediction.intent}
    calls = fleet.sql("select * from lm_calls").set_index("job_id")
    assert calls.loc[stream, "cached"] == False  # noqa: E712  NumPy's
    assert "no run has asked" in calls.loc[stream, "prompt"]
    assert fleet.jobs().equals(jobs), "a try changes nothing of any job"
    assert lab.fleet.home != fleet.home


def test_tries_keep_to_the_settings_on_texts(tmp_path: Path) -> None:
    lm, _ = counted_lm()
    fleet = Fleet(tmp_path / "home")
    fleet.optimize(
        program(), metric=told, optimizer="labeled_fewshot", params={"k": 2}, lm=lm, name="job", **Data().splits()
    ).result(120)
    said = "my account number is 4711"
    fleet.programs.find("job").ask({"text": said}, lm=lm)
    fleet.home.config.write_text("keep_prompts_days = 0\n")
    fleet.store.compact()
    fleet.home.config.write_text("record_prompts = false\n")
    fleet.programs.find("job").ask({"text": said}, lm=lm)
    recorded = tries(fleet)
    assert [t["inputs"] for t in recorded] == [digest(json.dumps({"text": said}, separators=(",", ":")))] * 2
    assert all(t["output"].startswith("sha256:") for t in recorded)
    fleet.store.rebuild()
    for file in (*fleet.home.journal.rglob("*"), fleet.home.database):
        assert not file.is_file() or file.name == "parcel.bin" or said.encode() not in file.read_bytes(), file.name


def test_a_try_says_in_one_line_what_is_wrong(lab: Lab) -> None:
    best = lab.fleet.programs.find("few")
    with pytest.raises(InputError, match="the program takes text, and text is missing"):
        best.ask({}, lm=lab.lm)
    with pytest.raises(NotFoundError, match="unknown input 'txt': did you mean 'text'"):
        best.ask({"txt": "hello"}, lm=lab.lm)
    with pytest.raises(InputError, match=r"give a dspy\.LM"):
        best.ask({"text": "hello"}, lm="offline")

    def dies(n: int) -> None:
        raise ConnectionError(f"no route to the model, call {n}")

    dead, _ = counted_lm(Counting(dies), num_retries=0)
    with pytest.raises(LMError, match="no route to the model"):
        best.ask({"text": "hello"}, lm=dead)
    assert "no route to the model" in tries(lab.fleet)[-1]["error"]


def test_inputs_are_read_as_their_type(lab: Lab) -> None:
    typed = dspy.Predict("text, n: int, tags: list[str] -> intent: str")
    data = [{"text": f"t{n}", "n": n, "tags": ["a"], "intent": "x" if n % 2 else "y"} for n in range(12)]
    splits = {"train": data[:4], "val": data[4:8], "test": data[8:]}
    lab.run("typed", given=typed, **splits).result(0)
    best = lab.fleet.programs.find("typed")
    assert best.ask({"text": "2", "n": "2", "tags": '["b"]'}, lm=lab.lm).calls == 1
    assert json.loads(tries(lab.fleet)[-1]["inputs"]) == {"text": "2", "n": 2, "tags": ["b"]}
    with pytest.raises(InputError, match=r"input n = 'two': .*integer"):
        best.ask({"text": "2", "n": "two", "tags": "[]"}, lm=lab.lm)


def test_a_job_that_kept_no_program_needs_it_given(lab: Lab) -> None:
    lock = threading.Lock()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        with lock:  # a lock cannot travel: nothing is kept to go on from
            return bool(example.intent == pred.intent)

    lab.run("unkept", metric=metric).result(0)
    assert lab.fleet.programs.find("unkept").load() is lab.fleet.job("unkept").program
    best = lab.again.programs.find("unkept")
    with pytest.raises(JobError, match="kept nothing"):
        best.load()
    assert best.load(program()).demos == lab.fleet.job("unkept").program.demos
    assert set(best.scores().input) == {""}
    assert best._repr_html_()
