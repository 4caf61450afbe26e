"""Programs, metrics and examples as people bring them: agents, DSPy's own metrics, conversations, odd labels."""

from __future__ import annotations

import asyncio
import ipaddress
import warnings
from typing import TYPE_CHECKING, Any, Literal

import dspy
import pandas as pd
import pytest
from dspy.evaluate import SemanticF1
from pydantic import BaseModel, HttpUrl, SecretStr

import skillfleet_nb as sf
from skillfleet_nb.data.identity import content_hash
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.task import input_fields
from skillfleet_nb.store.datafiles import read_examples

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Fleet

QUESTIONS = [dspy.Example(question=f"What is {n}?", answer=f"it is {n}").with_inputs("question") for n in range(24)]


def exact(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.answer == pred.answer)


def lookup(question: str) -> str:
    """Look it up."""
    return question


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return sf.Fleet(tmp_path / "home")


def optimize(fleet: Fleet, program: Any, **changed: Any) -> Any:
    given = {"train": QUESTIONS, "metric": exact, "optimizer": "labeled_fewshot", "lm": sf.offline_lm()}
    return fleet.optimize(program, **{**given, **changed})


class Passes(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Takes whatever it is given, and its first predictor is not where it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.rank = dspy.Predict("query, passages -> best")
        self.respond = dspy.Predict("question, best -> answer")

    def forward(self, **given: str) -> Any:
        return self.respond(question=given["question"], best="nothing")


# ---- inputs


def test_the_inputs_of_an_agent_are_those_of_its_signature() -> None:
    with warnings.catch_warnings(action="ignore"):
        code_act = dspy.CodeAct("n -> factorial", tools=[lookup])
    assert input_fields(dspy.ReAct("question, when -> answer", tools=[lookup])) == ["question", "when"]
    assert input_fields(code_act) == ["n"]
    assert input_fields(dspy.RLM("context, query -> answer")) == ["context", "query"]
    assert input_fields(dspy.ChainOfThought("text -> label")) == ["text"]


def test_where_a_forward_takes_anything_the_examples_say_what_it_takes(fleet: Fleet) -> None:
    assert input_fields(Passes(), ["question"]) == ["question"]
    assert input_fields(Passes(), fields=["question", "best", "answer"]) == ["question"]
    for train in (QUESTIONS, [dict(e.items()) for e in QUESTIONS]):
        assert optimize(fleet, Passes(), train=train).result().test_score is not None


def test_an_agent_is_optimised_and_forecast(fleet: Fleet) -> None:
    agent = dspy.ReAct("question -> answer", tools=[lookup], max_iters=2)
    assert optimize(fleet, agent).result().test_score is not None
    forecast = fleet.advice.estimate(agent, train=QUESTIONS, optimizer="copro", lm=sf.offline_lm(), probe=2)
    assert forecast.calls.expected > 0


def test_no_examples_at_all_are_told_as_what_they_are(fleet: Fleet) -> None:
    program, told = dspy.Predict("question -> answer"), "train is a NoneType: give a list of mappings"
    with pytest.raises(InputError, match=told):
        optimize(fleet, program, train=None)
    for ask in (fleet.advice.noise, fleet.advice.headroom):
        with pytest.raises(InputError, match=told):
            ask(program, train=None, metric=exact, lm=sf.offline_lm())


def test_no_label_is_offered_as_an_input(fleet: Fleet) -> None:
    rows = [dspy.Example(q=f"What is {n}?", question_type="fact").with_inputs("q") for n in range(24)]
    with pytest.raises(InputError, match="train row 0 has no field 'question'") as refused:
        optimize(fleet, dspy.Predict("question -> question_type"), train=rows)
    assert "did you mean" not in str(refused.value)


# ---- metrics


def hidden(fn: Any) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def test_a_metric_is_called_with_what_it_can_take() -> None:
    example, pred = QUESTIONS[0], dspy.Prediction(answer=QUESTIONS[0].answer)

    def five(gold: Any, pred: Any, trace: Any, pred_name: Any, pred_trace: Any) -> float:
        return float(gold.answer == pred.answer)

    class Judge(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def forward(self, example: Any, pred: Any) -> float:
            return float(example.answer == pred.answer)

    for metric in (hidden(lambda e, p: e.answer == p.answer), hidden(exact), hidden(hidden(five)), Judge()):
        assert float(RunMetric(metric)(example, pred)) == 1.0
        assert RunMetric(metric).feedback(example, pred, None, "self", []).score == 1.0


def test_dspys_own_metrics_score_a_run(fleet: Fleet) -> None:
    rows = [dspy.Example(question=f"What is {n}?", response=f"it is {n}").with_inputs("question") for n in range(24)]
    result = optimize(fleet, dspy.Predict("question -> response"), train=rows, metric=SemanticF1()).result()
    assert result.test_score is not None


def test_code_of_a_person_may_run_an_event_loop_in_a_notebook(fleet: Fleet) -> None:
    """A cell runs on the thread of the kernel's loop."""

    def awaits(example: Any, pred: Any, trace: Any = None) -> bool:
        return asyncio.run(asyncio.sleep(0, exact(example, pred)))

    class Awaits(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.respond = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            return asyncio.run(self.respond.acall(question=question))

    async def cell(call: Any, *args: Any, **options: Any) -> Any:
        return call(*args, lm=sf.offline_lm(), **options)

    advice, given = fleet.advice, {"train": QUESTIONS, "metric": awaits}
    assert {c.name: c.level for c in asyncio.run(cell(advice.doctor, Awaits(), **given)).checks}["metric"] == "ok"
    assert asyncio.run(cell(advice.headroom, Awaits(), **given, n=3, k=1)).baseline is not None
    assert asyncio.run(cell(advice.estimate, Awaits(), **given, optimizer="copro")).probed == 3
    job = asyncio.run(cell(fleet.optimize, Awaits(), **given, optimizer="labeled_fewshot"))
    assert job.result().test_score is not None
    best = fleet.programs.of(job.id)[job.progress.best_program]
    assert asyncio.run(cell(best.ask, {"question": "What is 3?"})).prediction.answer


# ---- values


class Talk(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Answer within a conversation."""

    history: dspy.History = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


def test_conversations_are_inputs_like_any(fleet: Fleet) -> None:
    said = [{"question": "Who are you?", "answer": "A model."}]
    rows = [
        dspy.Example(history=dspy.History(messages=said), **dict(e.items())).with_inputs("history", "question")
        for e in QUESTIONS
    ]
    given = {"train": rows, "metric": exact, "lm": sf.offline_lm()}
    job = optimize(fleet, dspy.Predict(Talk), **given)
    assert job.result().test_score is not None
    assert job.progress.warnings == []
    assert fleet.advice.estimate(dspy.Predict(Talk), **given, optimizer="copro", probe=2).probed == 2
    assert fleet.advice.recommend(dspy.Predict(Talk), **given, probe=0).optimizer


def test_a_forecast_that_fails_stops_no_run(fleet: Fleet) -> None:
    class Terse(dspy.ChatAdapter):  # type: ignore[misc]  # dspy is untyped
        def format_demos(self, *_: object) -> Any:
            raise ZeroDivisionError("nothing to show")

    with dspy.context(adapter=Terse()):
        job = optimize(fleet, dspy.Predict("question -> answer"))
        job.wait()
    assert job.progress.warnings[0] == "the run is not forecast: ZeroDivisionError: nothing to show"
    assert fleet.sql("select how, expected_calls from recommendations").fillna(-1).to_numpy().tolist() == [
        ["manual", -1]
    ]


class Host(BaseModel):
    url: HttpUrl
    address: ipaddress.IPv4Address
    token: SecretStr


def test_values_that_tell_what_they_are_have_an_identity(fleet: Fleet) -> None:
    hosts = [Host(url=f"https://x.org/{n}", address=f"10.0.0.{n}", token=f"t{n}") for n in range(24)]  # type: ignore[arg-type]
    assert content_hash(hosts[0]) == content_hash(hosts[0].model_copy(deep=True))
    assert content_hash(hosts[0]) != content_hash(hosts[0].model_copy(update={"token": SecretStr("other")}))
    january = pd.Period("2026-01", "M")
    assert content_hash(january) == content_hash(pd.Period("2026-01", "M")) != content_hash(january + 1)
    rows = [{"host": host, "month": january + n, "answer": str(n)} for n, host in enumerate(hosts)]
    assert optimize(fleet, dspy.Predict("host, month -> answer"), train=rows).result().test_score is not None
    rows[3]["month"] = lookup
    with pytest.raises(InputError, match="train row 3, field 'month': a field holds a function, which has no content"):
        optimize(fleet, dspy.Predict("host, month -> answer"), train=rows)


# ---- labels


class Ticket(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Label a ticket."""

    text: str = dspy.InputField()
    label: Literal["crash", "refund"] = dspy.OutputField()


def tickets(*labels: Any) -> list[dict[str, Any]]:
    return [{"text": f"ticket {n}", "label": labels[n % len(labels)]} for n in range(24)]


def same_label(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.label == pred.label)


@pytest.mark.parametrize(
    ("signature", "labels", "told"),
    [
        (
            Ticket,
            (0, 1),
            r"gives one of 'crash', 'refund'; .* map them first, label = \{0: 'crash', 1: 'refund'\}\[label\]",
        ),
        (Ticket, ("Crash", "Refund"), r"map them first, label = \{'Crash': 'crash', 'Refund': 'refund'\}\[label\]"),
        (Ticket, ("bug", "money"), r"correct the labels, or the type of label in the signature"),
        ("text -> label: int", ("0", "1"), r"gives values of type int; .* label = \{'0': 0, '1': 1\}\[label\]"),
        ("text -> label", (0, 1), r"gives values of type str; .* label = \{0: '0', 1: '1'\}\[label\]"),
    ],
)
def test_labels_that_no_answer_meets_are_refused(fleet: Fleet, signature: Any, labels: Any, told: str) -> None:
    given = {"train": tickets(*labels), "metric": same_label, "lm": sf.offline_lm()}
    with pytest.raises(InputError, match=told):
        fleet.optimize(dspy.Predict(signature), **given, optimizer="labeled_fewshot")
    check = next(c for c in fleet.advice.doctor(dspy.Predict(signature), **given).checks if c.name == "labels")
    assert check.level == "fail"


@pytest.mark.parametrize("split", ["val", "test"])
def test_labels_of_another_type_in_a_file_of_their_own_are_refused(fleet: Fleet, tmp_path: Path, split: str) -> None:
    for name, labels in {"train": "X23", "val": "X23", "test": "X23", split: "23"}.items():
        rows = [f"{name} {n},{labels[n % len(labels)]}" for n in range(12)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    files = {name: read_examples(tmp_path / f"{name}.csv") for name in ("train", "val", "test")}
    told = rf"in 6 examples of {split}, .* map them first, label = \{{2: '2', 3: '3'\}}\[label\]"
    with pytest.raises(InputError, match=told):
        optimize(fleet, dspy.Predict("text -> label"), metric=same_label, **files)
    assert fleet.jobs().empty


@pytest.mark.parametrize(
    ("signature", "labels", "metric"),
    [
        (Ticket, ("crash", "refund"), same_label),
        (Ticket, ("Crash", "Refund"), lambda e, p, trace=None: e.label.lower() == p.label.lower()),
        (Ticket, (0, 1), lambda e, p, trace=None: e.label == ["crash", "refund"].index(p.label)),
        ("text -> label: float", (0, 1), same_label),
        ("text -> label: bool", (False, True), same_label),
        ("text -> label: list[str]", (["a"], ["b", "c"]), same_label),
    ],
)
def test_labels_that_the_metric_bridges_are_taken(fleet: Fleet, signature: Any, labels: Any, metric: Any) -> None:
    job = fleet.optimize(
        dspy.Predict(signature), train=tickets(*labels), metric=metric, optimizer="labeled_fewshot", lm=sf.offline_lm()
    )
    job.wait()
    assert not any("no answer of the program" in warning for warning in job.progress.warnings)


def test_a_few_odd_labels_are_warned_of(fleet: Fleet) -> None:
    rows = tickets("crash", "refund")
    rows[5]["label"] = "unknown"
    job = fleet.optimize(
        dspy.Predict(Ticket), train=rows, metric=same_label, optimizer="labeled_fewshot", lm=sf.offline_lm(), seed=1
    )
    job.wait()
    told = [warning for warning in job.progress.warnings if "no answer of the program" in warning]
    (warning,) = told
    assert warning.startswith(
        "label = 'unknown', in 1 example, is no answer of the program, which gives one of 'crash'"
    )
    assert warning.endswith("; correct the labels, or the type of label in the signature")


# ---- names


@pytest.mark.parametrize("name", ["metadata", "history", "callbacks"])
def test_a_name_that_dspy_keeps_for_itself_is_refused(fleet: Fleet, name: str) -> None:
    class Named(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            setattr(self, name, dspy.Predict("question -> answer"))

        def forward(self, question: str) -> Any:
            return getattr(self, name)(question=question)

    with pytest.raises(InputError, match=f"keeps a module in '{name}', .*: give that attribute another name"):
        optimize(fleet, Named())


def test_a_program_without_a_forward_is_refused_with_the_way_out(fleet: Fleet) -> None:
    class Async(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.respond = dspy.Predict("question -> answer")

        async def aforward(self, question: str) -> Any:
            return await self.respond.acall(question=question)

    with pytest.raises(InputError, match="has no forward, by which optimizers call it: add def forward"):
        optimize(fleet, Async())

    class Mended(Async):
        def forward(self, **inputs: Any) -> Any:
            return asyncio.run(self.aforward(**inputs))

    assert optimize(fleet, Mended()).result().test_score is not None


def test_an_async_forward_is_refused_with_the_way_out(fleet: Fleet) -> None:
    class Async(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.respond = dspy.Predict("question -> answer")

        async def forward(self, question: str) -> Any:
            return await self.respond.acall(question=question)

    with pytest.raises(InputError, match=r"has an async forward, .*: call it aforward, and add def forward"):
        optimize(fleet, Async())


class Silent(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Asks, and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.respond = dspy.Predict("question -> answer")

    def forward(self, question: str) -> None:
        self.respond(question=question)


def test_a_program_that_returns_nothing_is_told_so(fleet: Fleet) -> None:
    job = optimize(fleet, Silent())
    with pytest.raises(JobError, match=r"failed on all .*: it answers with no prediction: let its forward return one"):
        job.result()


def test_a_search_without_bootstrapped_demos_is_refused(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="max_bootstrapped_demos = 0: Input should be greater than or equal to 1"):
        optimize(
            fleet,
            dspy.Predict("question -> answer"),
            optimizer="bootstrap_random_search",
            params={"max_bootstrapped_demos": 0},
        )
