"""Programs in use: what is recorded of a prediction, how much of it, and what it costs nobody."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Fleet


def look_up(q: str) -> str:
    """Look something up."""
    if "unknown" in q:
        raise LookupError(f"nothing on {q}")
    return f"about {q}"


class Triage(dspy.Module):  # type: ignore[misc]
    """Two predictors and a tool."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.ChainOfThought("text -> intent")
        self.check = dspy.Predict("text, intent -> ok: bool")
        self.tool = dspy.Tool(look_up)

    def forward(self, text: str) -> dspy.Prediction:
        intent = self.classify(text=text).intent
        self.tool(q=text)
        return dspy.Prediction(intent=intent, ok=self.check(text=text, intent=intent).ok)

    async def aforward(self, text: str) -> dspy.Prediction:
        intent = (await self.classify.acall(text=text)).intent
        return dspy.Prediction(intent=intent, ok=(await self.check.acall(text=text, intent=intent)).ok)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return sf.Fleet(tmp_path / "home")


def watch(fleet: Fleet, program: Any = None, **options: Any) -> Any:
    return sf.monitored(Triage() if program is None else program, home=fleet.home.root, **options)


def test_a_prediction_is_a_tree_of_its_predictors_tools_and_calls(fleet: Fleet) -> None:
    m = watch(fleet, name="triage", metric=lambda example, prediction: 0.25 + 0.5 * (example.text in prediction.intent))
    with dspy.context(lm=sf.offline_lm()):
        answers = [m(text="my order is late"), m(text="my order is late")]
    m.close()
    assert (m.trouble, answers[0].intent) == ("", answers[1].intent)
    rows = fleet.sql("from predictions order by predictions.at")
    assert rows.program.tolist() == ["triage"] * 2
    assert rows.lm_calls.tolist() == [2, 2]
    assert rows.input_tokens[0] > 0 == rows.input_tokens[1], "the second was answered by DSPy's cache"
    assert set(rows.cost_usd) == {0.0}
    assert set(rows.score) <= {0.25, 0.75}
    assert json.loads(rows.output[0]) == {"intent": answers[0].intent, "ok": answers[0].ok}
    spans = fleet.sql("select * from spans where trace_id = :id order by spans.at", {"id": rows.trace_id[0]})
    assert spans.name.tolist() == ["triage", "classify", "classify.predict", "skillfleet/offline-1", "look_up", "check",
                                   "skillfleet/offline-1"]  # fmt: skip
    parents = dict(zip(spans.span_id, spans.parent_id, strict=True))
    root, classify, predict, chat, tool, check, last = spans.span_id
    assert parents == {root: parents[root], classify: root, predict: classify, chat: predict, tool: root, check: root,
                       last: check}  # fmt: skip
    attributes = json.loads(spans.attributes[3])
    assert attributes["gen_ai.request.model"] == "offline-1"
    assert attributes["gen_ai.usage.input_tokens"] == spans.input_tokens[3] > 0
    assert json.loads(spans.attributes[4])["gen_ai.tool.name"] == "look_up"
    assert "my order is late" in spans.input[3]
    assert spans.latency_s[0] >= spans.latency_s[1] >= spans.latency_s[3]


def test_traces_read_as_a_tree_and_one_is_found_by_its_first_characters(fleet: Fleet) -> None:
    m = watch(fleet, name="triage")
    with dspy.context(lm=sf.offline_lm()):
        for text in ("my order is late", "<b>where</b> is it?"):
            m(text=text)
    m.close()
    traces = fleet.traces("triage")
    text = str(traces)
    assert len(traces) == 2
    assert text.startswith("triage: 2 traces, 14 spans")
    assert "│     └─ skillfleet/offline-1 " in text or "│  └─ classify.predict (Predict)" in text
    assert "├─ tool look_up " in text
    one = fleet.traces("triage", traces.trees[0].row["trace_id"][:8])
    page = one.html()
    assert len(one) == 1
    assert "&lt;b&gt;where" in page
    assert "<b>where" not in page
    with pytest.raises(NotFoundError, match="unknown prediction 'zz'"):
        fleet.traces("triage", "zz")
    with pytest.raises(NotFoundError, match="unknown job or monitored program 'triag': did you mean 'triage'"):
        fleet.traces("triag")
    with pytest.raises(InputError, match="limit=0"):
        fleet.traces("triage", limit=0)


def test_what_fails_is_recorded_and_raised_as_it_is(fleet: Fleet) -> None:
    m = watch(fleet)
    with dspy.context(lm=sf.offline_lm()), pytest.raises(LookupError, match="nothing on unknown"):
        m(text="unknown")
    m.close()
    rows = fleet.sql("select program, error, lm_calls, score from predictions")
    assert rows.iloc[0, :3].tolist() == ["Triage", "LookupError: nothing on unknown", 1]
    errors = fleet.sql("select name from spans where error is not null order by spans.at").name
    assert errors.tolist() == ["Triage", "look_up"]


def test_an_answer_that_cannot_be_read_shows_why_there_was_another_call(fleet: Fleet) -> None:
    m = watch(fleet, dspy.Predict("text -> n: int"), name="number")
    lm = dspy.utils.DummyLM([{"n": "many"}, {"n": "many"}, {"n": "3"}])
    with dspy.context(lm=lm), pytest.raises(Exception, match="many"):
        m(text="a")
    m.close()
    assert fleet.sql("select operation, count(*) from spans group by all order by all").values.tolist() == [
        ["chat", 2], ["invoke_workflow", 1], ["parse", 2],
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "texts"), [("all", 14), ("ends", 2), ("none", 0)])
def test_texts_are_kept_as_asked_and_masked(fleet: Fleet, content: Any, texts: int) -> None:
    m = watch(fleet, content=content, redact=[r"\bno-\d{4}\b"])
    with dspy.context(lm=sf.offline_lm()):
        m(text="my card no-4242 is lost")
    m.close()
    spans = fleet.sql("select input, output from spans")
    kept = [t for t in [*spans.input.dropna(), *spans.output.dropna()] if not t.startswith("sha256:")]
    assert len(kept) == texts
    assert not any("no-4242" in text for text in kept)
    journal = b"".join(path.read_bytes() for path in fleet.home.journal.rglob("*.jsonl"))
    assert b"no-4242" not in journal  # random ids hold any four digits now and then


@pytest.mark.parametrize(
    ("content", "said"),
    [("all", "ValueError: no card [redacted]"), ("ends", "ValueError: no card [redacted]"), ("none", "ValueError")],
)
def test_errors_are_kept_as_the_texts_that_they_repeat(fleet: Fleet, content: Any, said: str) -> None:
    class Refuses(dspy.Module):
        def forward(self, text: str) -> dspy.Prediction:
            raise ValueError(f"no card {text}")

    m = watch(fleet, Refuses(), content=content, redact=[r"\b\d{4}\b"])
    with pytest.raises(ValueError, match="4242"):
        m(text="4242")
    m.close()
    assert fleet.sql("select error from predictions").error.tolist() == [said]
    assert fleet.sql("select error from spans").error.tolist() == [said]


def test_a_mask_that_fails_breaks_no_answer_and_lets_nothing_through(fleet: Fleet) -> None:
    def broken(text: str) -> str:
        raise KeyError(text)

    m = watch(fleet, redact=broken)
    with dspy.context(lm=sf.offline_lm()):
        assert m(text="my card 4242 is lost").intent
    m.close()
    assert m.trouble.startswith("predictions are not recorded: KeyError")
    assert fleet.sql("from predictions").empty


def test_what_is_monitored_is_offered(fleet: Fleet) -> None:
    m = watch(fleet, dspy.Predict("n -> odd: bool"), name="odd")
    with dspy.context(lm=sf.offline_lm()):
        m(n="3")
    m.close()
    assert fleet.monitored == ["odd"]
    assert [one.text for one in offers("traces o", {}, lambda: fleet)[1]] == ["odd"]


def test_a_share_is_recorded_and_no_more(fleet: Fleet) -> None:
    m = watch(fleet, dspy.Predict("n -> odd: bool"), sample=0.3, name="odd")
    with dspy.context(lm=sf.offline_lm()):
        for n in range(100):
            m(n=str(n % 3))
    m.close()
    rows = fleet.sql("select share from predictions")
    assert set(rows.share) == {0.3}
    assert 28 <= len(rows) <= 32


def test_threads_async_code_and_tracking_of_usage_go_on_as_before(fleet: Fleet) -> None:
    m = watch(fleet, name="triage")
    with dspy.context(lm=sf.offline_lm(), track_usage=True):
        answer = m(text="a refund please")
        assert answer.get_lm_usage()["skillfleet/offline-1"]["prompt_tokens"] > 0
        with dspy.track_usage() as usage:
            m(text="the app is broken")
        assert usage.get_total_tokens()["skillfleet/offline-1"]["prompt_tokens"] > 0
        dspy.Parallel(num_threads=2, disable_progress_bar=True)([(m, {"text": f"thread {n}"}) for n in range(4)])
    with dspy.context(lm=sf.offline_lm()):
        asyncio.run(watch_async(m))
    m.close()
    rows = fleet.sql("select lm_calls, input_tokens from predictions")
    assert rows.lm_calls.tolist() == [2] * 7
    assert (rows.input_tokens > 0).all()


async def watch_async(m: Any) -> None:
    await m.acall(text="in a coroutine")


def test_a_program_without_an_async_face_answers_async_code_and_is_recorded_whole(fleet: Fleet) -> None:
    class Plain(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = dspy.Predict("text -> intent")

        def forward(self, text: str) -> Any:
            return self.classify(text=text)

    m = watch(fleet, Plain(), name="plain")
    with dspy.context(lm=sf.offline_lm()):
        asyncio.run(watch_async(m))
    m.close()
    assert fleet.sql("select lm_calls from predictions").lm_calls.tolist() == [1]


def test_a_program_that_follows_an_alias_says_which_version_answered(fleet: Fleet) -> None:
    fleet.register(dspy.Predict("n -> odd: bool"), "odd")
    fleet.alias("odd", "production", 1)
    m = watch(fleet, fleet.live("odd@production"))
    with dspy.context(lm=sf.offline_lm()):
        m(n="3")
    m.close()
    assert fleet.sql("select program, alias, version from predictions").values.tolist() == [["odd", "production", 1]]


def test_within_a_run_the_run_alone_records(fleet: Fleet) -> None:
    m = watch(fleet, dspy.Predict("n -> odd: bool"), name="odd")

    class Uses(dspy.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.unused = dspy.Predict("n -> even: bool")

        def forward(self, n: str) -> Any:
            return m(n=n)

    rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(6)]
    job = fleet.evaluate(Uses(), rows, lambda e, p, trace=None: e.odd == p.odd, lm=sf.offline_lm())
    job.result()
    m.close()
    assert fleet.sql("select count(*) as n from predictions").n[0] == 0
    assert fleet.sql("select count(*) as n from lm_calls").n[0] == 6


def test_a_metric_that_fails_costs_the_score_alone(fleet: Fleet) -> None:
    m = watch(fleet, dspy.Predict("n -> odd: bool"), name="odd", metric=lambda example, prediction: 7)
    with dspy.context(lm=sf.offline_lm()):
        m(n="3")
    m.close()
    assert m.trouble == "not scored: ValueError: the metric returned 7; a score lies in [0, 1]"
    assert fleet.sql("select score is null as none from predictions").none.tolist() == [True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0}, r"sample=0: give the share of predictions to record, above 0 and up to 1\."),
        ({"sample": 1.5}, "sample=1.5"),
        ({"sample": float("nan")}, "sample=nan"),
        ({"content": "some"}, "content='some': give 'all', 'ends' or 'none'"),
        ({"metric": "accuracy"}, "metric='accuracy': give a function"),
        ({"redact": ["("]}, "give regular expressions, or a function"),
        ({"program": print}, "builtin_function_or_method is no program"),
        ({"program": Triage}, "Triage is no program: give an instance"),
    ],
)
def test_what_cannot_be_monitored_is_said(fleet: Fleet, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        watch(fleet, **options)


def test_what_is_monitored_is_not_monitored_twice(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="is monitored already"):
        sf.monitored(watch(fleet), home=fleet.home.root)


def test_a_job_has_traces_of_its_trials_without_having_been_told(fleet: Fleet) -> None:
    rows = [dspy.Example(n=f"number {n}", odd=bool(n % 2)).with_inputs("n") for n in range(24)]
    job = fleet.optimize(
        dspy.Predict("n -> odd: bool"), train=rows, metric=lambda e, p, trace=None: e.odd == p.odd, name="odd",
        optimizer="bootstrap_random_search", params={"num_candidate_programs": 2}, lm=sf.offline_lm(),
    )  # fmt: skip
    job.result()
    traces = fleet.traces("odd")
    frame = traces.frame
    calls = fleet.sql("select count(*) as n from lm_calls").n[0]
    assert frame.parent_id.notna().sum() == calls
    assert frame.span_id.is_unique
    trials = fleet.trials(job.id)
    roots = frame[frame.parent_id.isna()]
    assert sum(name.startswith("trial ") for name in roots.name) == len(trials)
    first = roots[roots.name.str.startswith("trial 0:")].iloc[0]
    of_first = frame[(frame.trace_id == first.trace_id) & frame.parent_id.notna()]
    assert len(of_first) == first.attributes["skillfleet.n_examples"]
    example = fleet.sql("select example_id from scores where trial = 0 limit 1").example_id[0]
    shown = fleet.traces(job, example)
    assert 1 <= len(shown.frame[shown.frame.parent_id.notna()]) < calls
    assert "→ odd" in shown.html()
    with pytest.raises(NotFoundError, match="unknown example of odd 'none'"):
        fleet.traces("odd", "none")
