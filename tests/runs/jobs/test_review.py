"""A person in the loop: what asks, what waits, what the answers do, and that they survive a crash."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from job_kit import bought, ends, events, kill, metric, program, setup, splits, until

import skillfleet_nb as sf
from skillfleet_nb import Fleet, Job
from skillfleet_nb.errors import InputError, JobError, LMError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

    from skillfleet_nb.events import ReviewAsked

pytestmark = pytest.mark.usefixtures("preloaded")

SPAN = """select epoch(max("at")) - epoch(min("at") filter (kind = 'state')) as s from events"""
GIVEN = "Classify the message by intent."


def priced(fleet: Fleet, model: LoggedLM) -> LoggedLM:
    """Give the model a price; a call of this task is about 400 tokens, so about 4 cents."""
    fleet.home.ensure().config.write_text(f'[prices]\n"{model.lm.model}" = [100.0, 100.0]\n')
    return model


def asked(job: Job, *, but: str = "") -> ReviewAsked:
    """Wait for a question other than the one with this id."""

    def other() -> ReviewAsked | None:
        question = job.question
        assert question is not None or not job.state.is_finished(), f"{job.state}: {job.progress.error} {job.log()}"
        return question if question is not None and question.review_id != but else None

    found: ReviewAsked = until(other)
    return found


def test_before_paying_more_than_a_limit(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = priced(fleet, logged())
    job = fleet.optimize(**setup(model.lm, engine="thread", review="cost=0.5", name="dear"))
    question = asked(job)
    assert (question.about, question.asks) == ("cost", "confirm")
    assert "beyond $0.50" in question.question
    assert job.state == "pending_hitl"
    calls, elapsed = model.calls, job.progress.elapsed_s
    assert job.progress.cost_usd is not None
    assert 0.3 < job.progress.cost_usd <= 0.5
    with pytest.raises(InputError, match="says both"):
        fleet.answer("dear", "no, continue")
    with pytest.raises(InputError, match="neither"):
        fleet.answer("dear", "let me think")
    with pytest.raises(InputError, match="answer 5: give it in words"):
        fleet.answer("dear", 5)  # type: ignore[arg-type]
    assert job.question == question
    assert job.progress.elapsed_s == elapsed, "the clock stands still"
    assert model.calls == calls == bought(fleet, job.id), "nothing is bought, and what was is recorded"
    assert not job.wait(0)
    listed = str(Fleet(fleet.home.root).questions().question[0])
    assert listed == question.question

    assert fleet.answer("dear", "Yes, go on.")
    result = job.result(60)
    assert str(result.state) == "completed"
    assert model.calls == result.lm_calls > calls
    assert result.cost_usd is not None
    assert result.cost_usd > 0.5
    states = [p["state"] for p in events(fleet, job.id, "state")]
    assert states == ["running", "pending_hitl", "running", "completed"]
    row = fleet.sql("from reviews").iloc[0]
    assert (row.about, row.choice, row.text, row.times) == ("cost", "proceed", "Yes, go on.", 1)
    assert "go on" not in (fleet.home.journal_dir(job.id) / "control.jsonl").read_text("utf-8"), "it is in the journal"
    assert row.waited_s > 0
    span = fleet.sql(SPAN).s[0]
    assert fleet.jobs().wall_s[0] == pytest.approx(span - row.waited_s, abs=0.01)
    with pytest.raises(JobError, match="asks nothing: it is completed"):
        fleet.answer("dear", "yes")


def test_another_limit_and_a_no(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = priced(fleet, logged())
    job = fleet.optimize(**setup(model.lm, engine="thread", review=["cost=0.9", "cost=0.5"], name="dear"))
    first = asked(job)
    assert first.review_id == "cost-0.5"
    for vague in ("change it", "revise: a little more"):
        with pytest.raises(InputError, match="name the new limit in USD"):
            fleet.answer("dear", vague)
    fleet.answer("dear", "revise: $0.10")
    again = asked(job, but=first.review_id)
    assert again.note == "'$0.10' is not above $0.50"
    fleet.answer("dear", "0.7", choice="revise")
    second = asked(job, but=again.review_id)
    assert "beyond $0.70" in second.question
    fleet.answer("dear", "ok")
    third = asked(job, but=second.review_id)
    assert "beyond $0.90" in third.question, "the limits that were given still count"
    spent = job.progress.cost_usd
    fleet.answer("dear", "no")
    result = job.result(60)
    assert (str(result.state), result.stop_reason) == ("cancelled", "cancelled at $0.90")
    assert result.cost_usd == pytest.approx(spent)
    assert result.best_score is not None


def test_a_price_is_needed_to_ask_by_cost(
    fleet: Fleet, logged: Callable[..., LoggedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = logged()
    monkeypatch.setattr(type(model.lm.engine), "price_per_token", None, raising=False)
    with pytest.raises(LMError, match=r"review cost=0.5 cannot be kept: .* has no known price"):
        fleet.optimize(**setup(model.lm, review="cost=0.5"))


@pytest.mark.parametrize("given", ["aceppt", "cost", "cost=0", "cost=-1", "cost=nan", "cost=inf", "accept=1", 3.0])
def test_when_to_ask_is_checked(fleet: Fleet, logged: Callable[..., LoggedLM], given: Any) -> None:
    with pytest.raises(InputError, match="write accept, or cost=USD"):
        fleet.optimize(**setup(logged().lm, review=[given]))
    assert len(fleet.jobs()) == 0


def test_accepting_a_program(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    job = fleet.optimize(**setup(model.lm, "infer_rules", engine="thread", review="accept", name="rules"))
    question = asked(job)
    assert (question.about, question.asks) == ("accept", "preview")
    assert GIVEN in question.draft
    assert question.draft != GIVEN
    diff = job.proposed()
    assert diff is not None
    assert GIVEN in str(diff)
    assert not [t for t in events(fleet, job.id, "trial") if t["split"] == "test"], "the test stays sealed"
    fleet.answer("rules", "yes")
    result = job.result(60)
    assert str(result.state) == "completed"
    assert result.verdict is not None
    assert result.program.signature.instructions == question.draft
    assert ("answered", "Accept this program? proceed: yes") in job.summary()


def test_declining_a_program(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    job = fleet.optimize(**setup(logged().lm, "infer_rules", engine="thread", review="accept", name="rules"))
    best = asked(job).draft
    fleet.answer("rules", "no")
    result = job.result(60)
    assert (str(result.state), result.stop_reason) == ("cancelled", "the program was not accepted")
    assert result.program.signature.instructions == GIVEN
    assert result.best_score == result.baseline_score
    assert result.verdict is None
    kept = fleet.sql("select instructions from programs").instructions
    assert any(best in text for text in kept), "what was found stays on record"
    assert fleet.jobs().best_program_id[0] == events(fleet, job.id, "trial")[0]["program_id"]
    again = fleet.resume("rules")  # whoever resumes has thought again
    assert asked(again).draft == best
    fleet.answer("rules", "ok")
    assert str(again.result(60).state) == "completed"


def test_changing_a_program_before_it_is_accepted(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    job = fleet.optimize(**setup(logged().lm, "infer_rules", engine="thread", review="accept", name="rules"))
    first = asked(job)
    for vague in ("change it", "edit this, please", "revise:"):
        with pytest.raises(InputError, match="write the new instruction, in the box or as"):
            fleet.answer("rules", vague)
    mine = "Name the intent.\nStop at one word, and say no more."
    fleet.answer("rules", f"revise: {mine}")
    second = asked(job, but=first.review_id)
    assert second.draft == mine
    scored = events(fleet, job.id, "trial")[-1]
    assert (scored["split"], scored["full_eval"]) == ("val", True)
    assert f"→ {100 * scored['score']:.1f}" in second.details["validation"]
    assert scored["program_id"] == (second.programs or ("", ""))[1]
    assert (first.programs or ("", ""))[1] in scored["parent_ids"]
    fleet.answer("rules", "back", choice="revise")
    third = asked(job, but=second.review_id)
    assert third.draft == first.draft
    fleet.answer("rules", mine, choice="revise")
    fourth = asked(job, but=third.review_id)
    assert fourth.draft == mine
    fleet.answer("rules", "accept")
    result = job.result(60)
    assert result.program.signature.instructions == mine
    assert result.best_score == pytest.approx(scored["score"])
    assert len([t for t in events(fleet, job.id, "trial") if t["program_id"] == scored["program_id"]]) == 2  # val, test


class TwoSteps(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = program(), program()

    def forward(self, text: str) -> Any:
        self.first(text=text)
        return self.second(text=text)


def test_of_several_predictors_one_is_named(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    job = fleet.optimize(
        **setup(logged().lm, "labeled_fewshot", engine="thread", review="accept", name="two", program=TwoSteps())
    )
    first = asked(job)
    assert first.details["predictors"] == "first, second"
    fleet.answer("two", "revise: Classify.")
    second = asked(job, but=first.review_id)
    assert "write PREDICTOR: TEXT, with one of first, second" in second.note
    fleet.answer("two", "revise: second: Classify.")
    third = asked(job, but=second.review_id)
    assert third.note == ""
    fleet.answer("two", "yes")
    made = job.result(60).program
    assert (made.first.signature.instructions, made.second.signature.instructions) == (GIVEN, "Classify.")


def test_a_step_asks_once_whatever_the_threads(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    heard: list[sf.runs.answers.Answer] = []  # type: ignore[name-defined]  # read off the run

    def judged(example: Any, pred: Any, trace: Any = None) -> bool:
        answer = sf.ask("Does case matter?", kind="clarify", details={"field": "intent"})
        heard.append(answer)
        return bool(example.intent == pred.intent)

    job = fleet.optimize(
        **setup(model.lm, engine="thread", metric=judged, num_threads=4, review="none", name="asking"),
    )
    question = asked(job)
    assert (question.about, question.asks, question.details) == ("step", "clarify", {"field": "intent"})
    calls = model.calls
    with pytest.raises(InputError, match="wants an answer in words"):
        fleet.answer("asking", choice="proceed")
    assert model.calls == calls
    fleet.answer("asking", "only for product names")
    assert str(job.result(60).state) == "completed"
    assert len(events(fleet, job.id, "review_asked")) == 1
    assert {(a.choice, a.text) for a in heard} == {("proceed", "only for product names")}
    assert len(heard) > 20


def test_what_a_step_hears_and_how_it_is_stopped(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    heard: list[str] = []
    going_on = threading.Event()

    def judged(example: Any, pred: Any, trace: Any = None) -> bool:
        answer = sf.ask("Is this right?", kind="validate", details={"text": example.text, "intent": pred.intent})
        heard.append(answer.choice)
        if len(heard) > 3:
            going_on.set()
        return bool(answer)

    job = fleet.optimize(
        **setup(logged().lm, engine="thread", metric=judged, num_threads=1, review="none", name="asking"),
    )
    seen = ""
    for said in ("yes", "fix it", "y", "revise: a word of mine", "ok"):
        question = asked(job, but=seen)
        seen = question.review_id
        fleet.answer("asking", said)
    question = asked(job, but=seen)
    assert heard == ["proceed", "revise", "proceed", "revise", "proceed"]
    fleet.answer("asking", "abort")
    with pytest.raises(JobError, match="stopped before the given program was scored: cancelled in answer to: Is this"):
        job.result(60)
    assert ends(fleet, job.id) == ["cancelled"]


def test_asking_outside_of_a_run_says_so() -> None:
    with pytest.raises(JobError, match=r"ask\(\) was called outside of a run"):
        sf.ask("Really?")
    with pytest.raises(NotFoundError, match="did you mean 'confirm'"):
        sf.ask("Really?", kind="confrim")  # type: ignore[arg-type]  # a mistake
    with pytest.raises(NotFoundError, match="proceed"):
        sf.ask("Really?", options={"confirm": "go on"})  # type: ignore[dict-item]  # a mistake
    with pytest.raises(InputError, match="say in words what to decide"):
        sf.ask(" ")


@pytest.mark.parametrize("from_elsewhere", [False, True])
def test_a_job_that_asks_can_be_cancelled(
    fleet: Fleet, logged: Callable[..., LoggedLM], *, from_elsewhere: bool
) -> None:
    model = priced(fleet, logged())
    job = fleet.optimize(**setup(model.lm, engine="thread", review="cost=1", name="dear"))
    asked(job)
    calls = model.calls
    (Fleet(fleet.home.root).job(job.id) if from_elsewhere else job).cancel()
    result = job.result(60)
    assert (str(result.state), result.stop_reason) == ("cancelled", "cancelled")
    assert model.calls == calls
    assert job.question is None
    assert fleet.sql("select answered_at from reviews").answered_at.isna().all()


def asking_metric(example: Any, pred: Any, trace: Any = None) -> dspy.Prediction:
    answer = sf.ask("Which score for a wrong answer?", kind="clarify")
    right = example.intent == pred.intent
    return dspy.Prediction(score=1.0 if right else float(answer.text), feedback="")


def test_a_killed_run_asks_again_only_what_nobody_answered(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = priced(fleet, logged())
    job = fleet.optimize(
        **setup(model.lm, "infer_rules", metric=asking_metric, review=["cost=1", "accept"], name="killed")
    )
    step = asked(job)
    assert job.state == "pending_hitl"
    kill(job)
    assert job.state == "interrupted"
    assert fleet.jobs().state[0] == "interrupted"
    assert job.question == step, "what it asked is still to be read"

    again = fleet.resume("killed")
    assert asked(again).review_id == step.review_id
    command = [sys.executable, "-m", "skillfleet_nb.cli", "answer", "killed", "0.25", "--home", str(fleet.home.root)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "killed: proceed; it goes on" in told

    cost = asked(again, but=step.review_id)
    assert cost.about == "cost"
    calls = model.calls
    kill(again)
    assert fleet.answer("killed", "yes"), "an answer to a dead process is kept"
    with pytest.raises(JobError, match="was answered already; the first answer counts"):
        fleet.answer("killed", "no")

    third = fleet.resume("killed")
    accept = asked(third, but=cost.review_id)
    assert accept.about == "accept"
    assert model.calls > calls
    calls = model.calls
    kill(third)
    fourth = fleet.resume("killed")
    assert asked(fourth).review_id == accept.review_id
    assert model.calls == calls, "all of it was replayed"
    Fleet(fleet.home.root).answer("killed", "approve")
    assert str(fourth.result(120).state) == "completed"

    by = fleet.sql("select about, times, choice from reviews order by asked_at").values.tolist()
    assert by == [["step", 2, "proceed"], ["cost", 2, "proceed"], ["accept", 2, "proceed"]]
    assert ends(fleet, job.id) == ["completed"]
    shown = dict(fleet.job(job.id).summary())
    assert shown["attempts"] == "4"
    wrong = fleet.sql("select min(score) as s from scores").s[0]
    assert wrong == pytest.approx(0.25), "what was answered counts in every attempt"


def test_waiting_takes_none_of_the_time_that_is_allowed(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts

    model = priced(fleet, logged())
    job = fleet.optimize(**setup(model.lm, engine="thread", review="cost=0.5", max_minutes=60, name="timed"))
    asked(job)
    before = EarlierAttempts.of(fleet.home, job.id).seconds
    fleet.answer("timed", "yes")
    job.result(60)
    waited = fleet.sql("select waited_s from reviews").waited_s[0]
    spans = fleet.sql(SPAN).s[0]
    assert EarlierAttempts.of(fleet.home, job.id).seconds == pytest.approx(spans - waited, abs=0.05)
    assert before <= EarlierAttempts.of(fleet.home, job.id).seconds


def test_a_resumed_job_may_be_asked_less(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    job = fleet.optimize(**setup(logged().lm, "infer_rules", engine="thread", review="accept", name="rules"))
    asked(job)
    job.cancel()
    job.result(60)
    again = fleet.resume("rules", review="none")
    assert str(again.result(60).state) == "completed"
    assert again.progress.reviews == []


def test_the_same_metric_scores_right_answers_without_asking(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    told = fleet.advice.doctor(program(), train=splits()["train"], metric=asking_metric, lm=logged().lm)
    assert [c.level for c in told.checks if c.name == "metric"] != ["fail"]
    assert metric(splits()["train"][0], splits()["train"][0]).score == 1.0
