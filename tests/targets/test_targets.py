"""Targets are programs: what is optimised, kept, copied, shown and watched of them, and what goes wrong."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle
import dspy
import pytest
from made_up import INTENTS, Counting, Data, counted_lm, told

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.programs.state import describe, dump_state, program_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "how do I reset my password"
SKILL = (
    "---\nname: sort-tickets\ndescription: Sorts tickets. Use when one comes in.\n---\n\n# Sort\n\nSort the ticket.\n"
)


class Sort(dspy.Signature):
    """Sort the ticket."""

    text: str = dspy.InputField()
    intent: Literal["access_request", "billing_question", "bug_report", "deployment_help"] = dspy.OutputField()


def sort(system: str, inputs: dict[str, Any]) -> Any:
    return dspy.Predict(Sort.with_instructions(system))(**inputs)


async def sort_with(texts: dict[str, str], inputs: dict[str, Any]) -> dict[str, Any]:
    asked = dspy.Predict(Sort.with_instructions(f"{texts['system']} {texts['rubric']}"))
    return {"intent": (await asked.acall(**inputs)).intent}


class Register:
    """Where tickets are looked up; it holds what cannot be copied."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.Lock()

    def look(self, query: str, depth: int = 0) -> str:
        """Look a ticket up."""
        with self.lock:
            return f"{self.name} has nothing on {query}{' at all' * depth}"


def look(query: str) -> str:
    """Look a ticket up."""
    return f"nothing on {query}"


@pytest.fixture
def skills(tmp_path: Path) -> Path:
    folder = tmp_path / "skills" / "sort-tickets"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL, "utf-8")
    return folder.parent


@pytest.fixture(params=["agent", "callable", "endpoint", "react", "skill"])
def target(request: pytest.FixtureRequest, skills: Path) -> Any:
    kinds = {
        "agent": lambda: sf.targets.agent(sort, "Sort the ticket.", signature=Sort),
        "callable": lambda: sf.targets.callable(
            sort_with, {"system": "Sort the ticket.", "rubric": "Be brief."}, signature=Sort
        ),
        "endpoint": lambda: sf.targets.endpoint(system="Sort the ticket.", signature="text -> intent"),
        "react": lambda: sf.targets.react(Sort, [look], max_iters=2),
        "skill": lambda: sf.targets.skill(skills / "sort-tickets", signature=Sort, root=skills),
    }
    return kinds[request.param]()


def test_a_target_is_kept_and_copied_as_any_program(target: Any, tmp_path: Path) -> None:
    lm, _ = counted_lm()
    changed = target.deepcopy()
    for name, one in changed.named_predictors():
        one.signature = one.signature.with_instructions(f"{one.signature.instructions} ({name}, rewritten)")
        one.demos = [dict.fromkeys(one.signature.fields, "shown")]
    assert program_id(dump_state(target)) != program_id(dump_state(changed))
    fleet = sf.Fleet(tmp_path / "home")
    fleet.register(changed, "target")
    copies = {
        "loaded": load_state(target, json.loads(json.dumps(dump_state(changed)))),
        "registered": fleet.program("target@1", target),
        "copied": copy.deepcopy(changed),
        "pickled": pickle.loads(cloudpickle.dumps(changed)),  # noqa: S301  its own
    }
    with dspy.context(lm=lm, num_threads=4):
        answer = changed(text=TEXT)
        for how, one in copies.items():
            assert program_id(dump_state(one)) == program_id(dump_state(changed)), how
            assert one(text=TEXT).intent == answer.intent, how
        assert asyncio.run(changed.acall(text=TEXT)).intent == answer.intent
        rows = [dspy.Example(text=f"{TEXT} {n}").with_inputs("text") for n in range(8)]
        alone = [changed(text=row.text).intent for row in rows]
        assert [one.intent for one in changed.batch(rows, disable_progress_bar=True)] == alone
    assert program_id(dump_state(target)) != program_id(dump_state(changed)), "copies are their own"


class Heard(Counting):
    """Keeps the system messages that reach it."""

    def complete(self, request: Any) -> Any:
        with self._count:
            self.prompts.append(str(request.system))
        return super().complete(request)


def found_the_register(
    example: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
) -> Any:
    right = "west" if example.intent in {"billing_question", "access_request"} else "east"
    score = float(pred.trajectory["tool_name_0"] == right)
    return dspy.Prediction(score=score, feedback=f"next_tool_name: expected {right}")


@pytest.mark.parametrize("target", ["endpoint", "react", "skill"], indirect=True)
def test_what_an_optimizer_finds_reaches_the_model(target: Any, tmp_path: Path) -> None:
    engine, metric = Heard(), told
    if hasattr(target, "react"):
        tools = [dspy.Tool(Register(name).look, name=name) for name in ("east", "west")]
        target, metric = sf.targets.react(Sort, tools, max_iters=1), found_the_register
    params = {"max_metric_calls": 60, "reflection_minibatch_size": 6, "component_selector": "all"}
    job = sf.Fleet(tmp_path / "home").optimize(
        target, metric=metric, optimizer="gepa", params=params, lm=counted_lm(engine)[0], seed=1, num_threads=2,
        **Data().splits(),
    )  # fmt: skip
    result = job.result()
    assert result.best_score > result.baseline_score
    diff = diff_programs(dump_state(target), dump_state(result.program))
    changed = {one.name for one in diff.predictors if one.instructions.changed}
    names = [name for name, _ in target.named_predictors()]
    assert changed
    assert all(f"[{name}]" in str(diff) for name in names)
    engine.prompts.clear()
    with dspy.context(lm=counted_lm(engine)[0]):
        result.program(text=TEXT)
    shown = " ".join("\n".join(engine.prompts).split())
    for name, text in describe(dump_state(result.program)).instructions.items():
        assert name not in changed or " ".join(text.split()) in shown, name


def test_demos_stand_as_examples_in_a_text_that_has_no_other_place_for_them(skills: Path) -> None:
    demo = dspy.Example(text="I was charged twice", intent="billing_question", augmented=True)
    shown = 'Worked examples:\n- {"inputs": {"text": "I was charged twice"}, "outputs": {"intent": "billing_question"}}'
    agent = sf.targets.agent(lambda system, inputs: system, "Sort.", signature=Sort)
    agent.system.demos = [demo]
    assert agent(text="x").intent == f"Sort.\n\n{shown}"
    endpoint = sf.targets.endpoint(system="Sort.", signature="text -> intent")
    endpoint.system.demos = [demo]
    with dspy.context(lm=sf.offline_lm()):
        assert endpoint(text="charged twice again").intent == "billing_question"
    skill = sf.targets.skill(skills / "sort-tickets", signature=Sort, root=skills)
    skill.body.demos = [demo]
    assert shown in skill.proposal().diff.replace("\n+", "\n")


# --- agents with tools


def test_the_list_of_tools_stays_whatever_becomes_of_the_instructions() -> None:
    def plain(*tools: Any) -> Any:
        return dspy.ReAct(Sort, list(tools), max_iters=3)

    first, second = (dspy.Tool(Register(name).look, name=name) for name in ("east", "west"))
    agent = plain(first, second)
    target = sf.targets.react(agent)
    assert target.acting() == agent.react.signature.instructions, "as DSPy writes it"
    assert [name for name, _ in target.named_predictors()] == ["react", "tool_east", "tool_west", "extract.predict"]
    target.react.signature = target.react.signature.with_instructions("Do it well.")
    target.tool_west.signature = target.tool_west.signature.with_instructions(
        "Knows refunds.\n- query: words of the ticket\n- other: none of its arguments"
    )
    said = target.acting()
    assert said.startswith("Do it well.")
    assert "(1) east, whose description is <desc>Look a ticket up.</desc>" in said
    assert "(2) west, whose description is <desc>Knows refunds.  - other: none of its arguments</desc>" in said
    assert "'query': {'type': 'string', 'description': 'words of the ticket'}" in said.partition("(2) west")[2]
    assert "(3) finish" in said
    assert first.desc == "Look a ticket up.", "the tools themselves stay"
    assert target.deepcopy().tool_west.tool is target.tool_west.tool, "copies call the same tools"


def test_an_agent_keeps_what_it_had_learnt() -> None:
    agent = dspy.ReAct(Sort, [look])
    written = agent.react.signature.instructions
    agent.react.signature = agent.react.signature.with_instructions(written.replace("Sort the ticket.", "Sort well."))
    agent.extract.predict.demos = [{"text": "a", "trajectory": "", "reasoning": "", "intent": INTENTS[0]}]
    target = sf.targets.react(agent)
    assert target.react.signature.instructions == "Sort well."
    assert target.extract.predict.demos == agent.extract.predict.demos


def test_optimizers_hear_of_every_call_of_a_tool_also_of_one_that_fails() -> None:
    def fails(query: str) -> str:
        """Look a ticket up."""
        raise LookupError("no register")

    target = sf.targets.react(Sort, [fails], max_iters=1)
    with dspy.context(lm=sf.offline_lm(), trace=[]):
        prediction = target(text=TEXT)
        calls = [(one, inputs, said) for one, inputs, said in dspy.settings.trace if one is target.tool_fails]
    assert "no register" in prediction.trajectory["observation_0"]
    assert [(set(inputs), "no register" in said.result) for _, inputs, said in calls] == [({"query"}, True)]


def test_descriptions_and_notes_decide_which_tool_the_offline_model_tries_first() -> None:
    tools = [dspy.Tool(Register(name).look, name=name) for name in ("east", "west", "north")]
    target = sf.targets.react(Sort, tools, max_iters=1)

    def tried() -> str:
        with dspy.context(lm=sf.offline_lm()):
            return str(target(text="I want a refund of the invoice").trajectory["tool_name_0"])

    assert tried() == "east"
    target.tool_west.signature = target.tool_west.signature.with_instructions("Look up what is about a refund.")
    assert tried() == "west"
    notes = (
        "Cues for `next_tool_name`, with how often each was seen:\n- `north` (5): invoice (5), refund (5), want (5)."
    )
    target.react.signature = target.react.signature.with_instructions(f"Sort.\n\n{notes}")
    assert tried() == "north"


class Desk(sf.targets.ReActTarget):  # type: ignore[misc]
    """An agent that can be made without arguments, and so by its name alone."""

    def __init__(self) -> None:
        super().__init__(Sort, [look], max_iters=2)


def test_an_agent_in_use_shows_its_steps_and_what_is_said_of_it_is_trained_on(tmp_path: Path) -> None:
    fleet, lm = sf.Fleet(tmp_path / "home"), sf.offline_lm()
    job = fleet.optimize(
        Desk(), metric=told, optimizer="labeled_fewshot", params={"k": 2}, lm=lm, name="desk", **Data().splits()
    )
    job.result()
    fleet.register("desk", "desk")
    with dspy.context(lm=lm):
        watched = sf.monitored(fleet.program("desk@1"), name="desk", home=fleet.home.root)
        assert watched(text=TEXT).intent in INTENTS
    watched.close()  # what was posted is written
    spans = fleet.sql("select name, operation from spans where program = 'desk' and name is not null")
    assert ("look", "execute_tool") in set(spans.itertuples(index=False, name=None))
    assert fleet.learning.feedback_rows("desk", [{"text": TEXT, "score": 0, "intent": "access_request"}]) == 1
    assert "access_request" in str(fleet.sql("select correction from feedback").iloc[0, 0])


def test_a_version_that_a_job_made_goes_every_way_of_a_program_by_its_name(tmp_path: Path) -> None:
    fleet, (lm, _), data = sf.Fleet(tmp_path / "home"), counted_lm(), Data()
    target = sf.targets.react(Sort, [Register("tickets").look], max_iters=1)
    for name, k in (("one", 1), ("two", 8)):
        fleet.optimize(
            target, metric=told, optimizer="labeled_fewshot", params={"k": k}, lm=lm, name=name, **data.splits()
        ).result()
        fleet.register(name, "desk")
    steps = fleet.traces("one").frame
    steps = steps[steps.operation == "execute_tool"]
    assert len(steps) == fleet.sql("select count(*) as n from events where kind = 'tool_called'").n[0] / 2
    assert steps.attributes.iloc[0]["gen_ai.tool.name"] == "look"
    assert steps.output.str.startswith("tickets has nothing on ").all()
    assert "tool look" in fleet.traces("one").text()
    (tools,) = [used["text"] for used in fleet.job("one").picture()["used"] if used["what"] == "tools"]
    assert tools == f"look {len(steps)}"
    assert "two" in str(fleet.reports.compare("one", "two"))
    fleet.alias("desk", "production", 2)
    with dspy.context(lm=lm):
        live = fleet.live("desk@production", check=False)  # or its tools were run
        with closing(sf.monitored(live, name="desk", home=fleet.home.root)) as watched:
            assert watched(text=TEXT).intent == fleet.program("desk@2", target)(text=TEXT).intent
        fleet.start_ab("trial", ["desk@1", "desk@2"])
        with closing(fleet.ab("trial")) as route:
            assert route.feedback(route(unit="user-1", text=TEXT), 1)
    assert fleet.golden_sets.add("desk", data.test, metric=told, lm=lm, score=True).is_scored
    rows = [{"text": row.text, "intent": row.intent} for row in data.test]
    report = fleet.check_drift("desk@production", rows, kinds=("output",))
    assert "(reasoning left out: in no live row)" in report["output"].sentence()
    assert not report.alarm
    assert fleet.learn(sf.LearnPolicy("desk", on=("feedback:9",), max_calls=100)).state == "waiting"


# --- endpoints


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve an OpenAI-compatible model that says what it was asked to."""
    asked: list[dict[str, Any]] = []

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            said = {"role": "assistant", "content": "It is a billing_question, I think."}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
            made = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            body = json.dumps({**made, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Model) as listening, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(listening.serve_forever, 0.01)
        yield f"http://127.0.0.1:{listening.server_port}/v1", asked
        listening.shutdown()
        serving.result()


def test_an_endpoint_is_sent_the_system_prompt_word_for_word_and_its_calls_are_metered(
    server: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    url, asked = server
    target = sf.targets.endpoint("m", base_url=url, system="Sort.", signature=Sort, user="Ticket: {text}")
    job = sf.Fleet(tmp_path / "home").evaluate(target, Data().val[:4], metric=told, lm=sf.offline_lm())
    job.result()
    assert job.progress.totals.calls == len(asked) == 4
    system, user = asked[0]["messages"]
    assert (system["role"], system["content"]) == ("system", "Sort.")
    assert user["content"].startswith("Ticket: ")
    assert target(text="x").intent == "billing_question", "of a choice, what alone is spoken of"


def test_an_endpoint_that_refuses_ends_the_run_in_one_line(tmp_path: Path) -> None:
    target = sf.targets.endpoint("m", base_url="http://127.0.0.1:9/v1", system="Sort.", signature=Sort, num_retries=0)
    job = sf.Fleet(tmp_path / "home").optimize(
        target, metric=told, optimizer="labeled_fewshot", lm=sf.offline_lm(), **Data().splits()
    )
    with pytest.raises(JobError, match=r"openai/m .*failed on the first call: .*check api_base=") as error:
        job.result()
    assert "\n" not in str(error.value)


def test_several_outputs_of_an_endpoint_are_read_as_json() -> None:
    worked = '- {"inputs": {"text": "x"}, "outputs": {"label": "a", "size": "3"}}'
    target = sf.targets.endpoint(sf.offline_lm(), system=f"Do.\n{worked}", signature="text -> label, size: int")
    assert dict(target(text="x").items()) == {"label": "a", "size": 3}


# --- skills


def test_a_body_is_written_back_with_a_backup_and_the_way_back(skills: Path) -> None:
    file = skills / "sort-tickets" / "SKILL.md"
    target = sf.targets.skill(file, signature=Sort, root=skills)
    assert not target.proposal().changed
    target.body.signature = target.body.signature.with_instructions("# Sort\n\nSort the ticket by what it asks for.")
    proposal = target.proposal()
    assert "+Sort the ticket by what it asks for." in str(proposal)
    assert file.read_text("utf-8") == SKILL
    proposal.applied()
    assert file.read_text("utf-8") == SKILL.replace("the ticket.\n", "the ticket by what it asks for.\n")
    sf.Fleet().skills.undo(skills / "sort-tickets")
    assert file.read_text("utf-8") == SKILL


def test_a_command_takes_the_body_of_a_program(skills: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.error import UsageError
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(skills.parent)
    target = sf.targets.skill("skills/sort-tickets", signature=Sort)
    target.body.signature = target.body.signature.with_instructions("Sort it well.")
    target.body.demos = [dspy.Example(text="charged twice", intent="billing_question")]
    shell = InteractiveShell.instance()
    sf.load_ipython_extension(shell)
    shell.push({"best": target, "other": dspy.Predict(Sort)})
    file = skills / "sort-tickets" / "SKILL.md"
    shown = shell.run_line_magic("skillfleet", "skill improve skills/sort-tickets --body best")
    assert "+Sort it well." in str(shown)
    assert file.read_text("utf-8") == SKILL
    shell.run_line_magic("skillfleet", "skill improve skills/sort-tickets --body best --apply")
    assert "Worked examples:" in file.read_text("utf-8")
    with pytest.raises(UsageError, match="no component 'body'"):
        shell.run_line_magic("skillfleet", "skill improve skills/sort-tickets --body other")
    InteractiveShell.clear_instance()


def test_a_skill_outside_of_the_root_is_neither_read_nor_written(
    skills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"outside of .*root="):
        sf.targets.skill(skills / "sort-tickets")
    target = sf.targets.skill(skills / "sort-tickets", root=skills)
    real = tmp_path / "elsewhere" / "real"
    (skills / "sort-tickets").rename(real)
    (skills / "sort-tickets").symlink_to(real)
    with pytest.raises(InputError, match="outside of"):
        target.proposal()


# --- what a person may get wrong


def undescribed(query: str) -> str:
    return query


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sf.targets.agent(sort, " "), r"component 'system' is empty"),
        (lambda: sf.targets.agent("sort", "Sort."), r"function is 'sort'"),
        (lambda: sf.targets.agent(sort, "Sort.", signature="question"), r"signature = 'question'"),
        (lambda: sf.targets.callable(sort_with, {}), r"components is empty"),
        (lambda: sf.targets.callable(sort_with, {"a": "Sort.", "b": ""}), r"component 'b' is empty"),
        (lambda: sf.targets.callable(sort_with, {"history": "x"}), r"component 'history'.*history_text"),
        (lambda: sf.targets.callable(sort_with, {"a b": "x"}), r"component 'a b' is no name"),
        (lambda: sf.targets.react(Sort, []), r"tools is empty"),
        (lambda: sf.targets.react(Sort, "look"), r"tools is 'look': give a list"),
        (lambda: sf.targets.react(Sort, ["look"]), r"a tool is 'look': give a function"),
        (lambda: sf.targets.react(Sort, look), r"tools is <function look .*>: give a list"),
        (lambda: sf.targets.react(Sort, [undescribed]), r"tool 'undescribed' has no description: .*docstring"),
        (lambda: sf.targets.react(Sort, [look, look]), r"two tools are called 'look'"),
        (lambda: sf.targets.react(Sort, [look], max_iters=0), r"max_iters = 0"),
        (lambda: sf.targets.react(dspy.Predict(Sort)), r"agent is a Predict"),
        (lambda: sf.targets.endpoint("m", system="Sort."), r"model = 'm': write PROVIDER/MODEL"),
        (lambda: sf.targets.endpoint("m", system="Sort.", base_url="localhost"), r"base_url = 'localhost'"),
        (lambda: sf.targets.endpoint(system="Sort.", user="{q}"), r"unknown input in user 'q'"),
        (lambda: sf.targets.endpoint(system="Sort.", user="Go!"), r"names no input: write it in braces, as {question}"),
        (lambda: sf.targets.skill("no-such-skill"), r"no-such-skill"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(make: Any, says: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=says) as error:
        make()
    assert "\n" not in str(error.value)


def test_an_answer_without_an_output_says_what_to_return() -> None:
    with pytest.raises(TypeError, match="return intent by name"):
        sf.targets.agent(lambda system, inputs: None, "Sort.", signature=Sort)(text="x")
