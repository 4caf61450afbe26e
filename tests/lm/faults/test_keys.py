"""A provider that repeats the key it refuses: the key is in no file of the home, no export and no error."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from fault_kit import SMALL
from made_up import program, rows, told

from skillfleet_nb.tracing.monitored import monitored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fault_kit import Runner

    from skillfleet_nb import Fleet

KEY = "Zq7x9Lm2vTd4Rb"  # of no provider's shape: known by where it is kept alone

WORD = "horsestaple"  # a key that could be a word of the data

PLACES: dict[str, dict[str, Any]] = {
    "argument": {"api_key": KEY},
    "word": {"api_key": WORD},
    "environment": {},
    "address": {"api_key": "unused", "query": f"?api-version=2&key={KEY}"},
    "nested": {"api_key": "unused", "extra_body": {"routing": {"providers": [{"api_token": KEY}]}}},
    "header": {"api_key": "unused", "extra_headers": {"Ocp-Subscription-Key": f"Bearer {KEY}"}},
}


def optimize(fleet: Fleet, lm: dspy.LM, engine: str = "thread") -> Any:
    examples = rows(4)
    splits = {"train": examples[2:6], "val": examples[6:11], "test": examples[11:14]}
    optimizer = "bootstrap_random_search"
    return fleet.optimize(
        program(), metric=told, optimizer=optimizer, params=SMALL[optimizer], lm=lm, engine=engine, **splits
    )


TASK = "Greet people in a friendly way, by their name, in the language that they write in."


def two_versions(fleet: Fleet) -> Fleet:
    """Register two programs, and let them stand against each other."""
    other = program()
    other.demos = [rows(1)[0]]
    for one in (program(), other):
        fleet.register(one, "greetings")
    fleet.start_ab("t", ["greetings@1", "greetings@2"])
    return fleet


COMMANDS: dict[str, Callable[[Fleet, dspy.LM], Any]] = {
    "estimate": lambda fleet, lm: fleet.advice.estimate(program(), train=rows(4), optimizer="copro", lm=lm, probe=2),
    "recommend": lambda fleet, lm: fleet.advice.recommend(program(), train=rows(4), metric=told, lm=lm, probe=2),
    "headroom": lambda fleet, lm: fleet.advice.headroom(program(), train=rows(8), metric=told, lm=lm, n=3, k=2),
    "judge": lambda fleet, lm: fleet.data.analyse(rows(4), label="intent", judge=lm, max_calls=3),
    "doctor": lambda fleet, lm: fleet.advice.doctor(program(), lm=lm),
    "ask": lambda fleet, lm: fleet.programs.find(fleet.jobs().job_id[0]).ask({"text": "hello"}, lm=lm),
    "evaluate": lambda fleet, lm: fleet.evaluate(program(), rows(4), told, lm=lm).result(),
    "golden": lambda fleet, lm: two_versions(fleet).golden_sets.add(
        "greetings", [dict(row) for row in rows(4)], metric=told, lm=lm, score=True
    ),
    "replay": lambda fleet, lm: two_versions(fleet).ab_tests.replay("t", rows(4), told, lm=lm),
    "create": lambda fleet, lm: fleet.create_skill(TASK, root=fleet.home.root.parent, lm=lm).result(),
    "optimize": lambda fleet, lm: optimize(fleet, lm).result(),
}


def home_and_exports(fleet: Fleet, folder: Path, *, report: bool = False) -> bytes:
    """Return every byte that was written: fold all events, and export the jobs there are, if wanted as a report too."""
    jobs = list(fleet.jobs().job_id)
    folder.mkdir()
    if report:  # made of the same bytes, and dear
        fleet.reports.export(jobs, folder / "report.html")
    fleet.sql("select * from events").to_csv(folder / "events.csv")
    files = [f for root in (fleet.home.root, folder) for f in root.rglob("*") if f.is_file()]
    return b"\n".join(file.read_bytes() for file in files)


@pytest.fixture
def keyed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dspy.LM]:
    def make(place: str) -> dspy.LM:
        if place == "environment":
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
        options = dict(PLACES[place])
        query = options.pop("query", "")
        return dspy.LM(f"openai/{place}", api_base=runner.server.base + query, cache=False, num_retries=1, **options)

    return make


def shown_of(call: Callable[[], Any]) -> str:
    """Return what a person sees of a call that fails, the trace with all causes included."""
    try:
        return repr(call())
    except BaseException as exc:  # noqa: BLE001  whatever it is
        return "".join(traceback.format_exception(exc))


CASES = [
    *((command, "argument") for command in COMMANDS),
    *((command, "environment") for command in COMMANDS if command not in {"golden", "replay", "create"}),
    *((command, place) for command in ("doctor", "optimize") for place in ("address", "nested", "header", "word")),
]


@pytest.mark.parametrize(("command", "place"), CASES)
def test_a_key_that_a_provider_repeats_is_written_nowhere(
    runner: Runner,
    keyed: Callable[[str], dspy.LM],
    command: str,
    place: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = WORD if place == "word" else KEY
    if command == "ask":  # a program of a job that went well
        optimize(runner.fleet, runner.lm()).result()
    runner.server.always("repeats")
    lm = keyed(place)
    shown = shown_of(lambda: COMMANDS[command](runner.fleet, lm))
    assert key in runner.server.repeated, "the provider got the key, and sent it back"
    assert "Incorrect API key provided" in shown
    assert key not in shown + "".join(capfd.readouterr())
    with_report = (command, place) in {("optimize", "environment"), ("ask", "argument")}
    written = home_and_exports(runner.fleet, tmp_path / "out", report=with_report)
    assert key.encode() not in written
    assert b"Incorrect API key provided" in written


def test_a_key_that_is_repeated_to_a_program_in_use_is_not_recorded(
    runner: Runner, keyed: Callable[[str], dspy.LM], tmp_path: Path
) -> None:
    runner.server.always("repeats")
    route = two_versions(runner.fleet).ab("t")
    used = monitored(program(), name="in use", home=runner.fleet.home.root)
    runner.fleet.alias("greetings", "production", 1)
    live, own = (runner.fleet.live("greetings@production", record=1.0, check=False) for _ in range(2))
    own.set_lm(keyed("argument"))
    with dspy.context(lm=keyed("argument")):
        for call in (
            lambda: used(text="hello"), lambda: route(unit="a person", text="hello"), lambda: live(text="hello"),
        ):  # fmt: skip
            assert KEY in shown_of(call), "what the program itself raises is its caller's, as without any record"
    with dspy.context(lm=runner.lm()):
        assert KEY in shown_of(lambda: own(text="hello"))
    for one in (used, route, live, own):
        one.close()
    assert runner.fleet.sql("select error from predictions").error.str.contains("Incorrect API key").all()
    assert (
        runner.fleet.sql("select error from live_answers").error.str.contains("Incorrect API key").tolist()
        == [True] * 2
    )
    assert runner.fleet.sql("select error from ab_answers").error.str.contains("Incorrect API key").all()
    assert KEY.encode() not in home_and_exports(runner.fleet, tmp_path / "out")


def test_a_detached_run_keeps_the_key_in_the_environment(
    runner: Runner, keyed: Callable[[str], dspy.LM], tmp_path: Path
) -> None:
    runner.server.always("repeats")
    job = optimize(runner.fleet, keyed("environment"), engine="process")
    shown = shown_of(job.result)
    assert "Incorrect API key provided" in shown
    assert KEY not in shown
    assert KEY in runner.server.repeated
    assert KEY.encode() not in home_and_exports(runner.fleet, tmp_path / "out")


def test_what_a_worker_prints_beside_its_run_holds_no_key(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_VENDOR_SECRET", KEY)

    class Metric:
        """Prints as the parcel is opened, before there is a run: on the main thread and on one of its own."""

        def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
            return bool(told(example, prediction).score)

        def __reduce__(self) -> Any:
            return _talk, (KEY[::-1],)

    examples = rows(4)
    splits = {"train": examples[2:6], "val": examples[6:11], "test": examples[11:14]}
    job = runner.fleet.optimize(
        program(), metric=Metric(), optimizer="labeled_fewshot", lm=runner.lm(), engine="process", **splits
    )
    job.result()
    said = job.log()
    assert KEY not in said
    assert "main says [key]" in said
    assert "thread says [key]" in said


def _talk(backwards: str) -> Any:
    import threading

    key = backwards[::-1]
    print("main says", key)  # noqa: T201  that is the matter
    thread = threading.Thread(target=lambda: print("thread says", key))  # noqa: T201
    thread.start()
    thread.join()
    return told


def test_a_key_that_an_answer_repeats_is_recorded_as_hidden(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = 'pa"ss\\9é/word'  # noqa: S105  made up
    monkeypatch.setenv("MY_VENDOR_SECRET", secret)
    job = optimize(runner.fleet, runner.lm())
    job.result()
    runner.fleet.programs.find(job.id).ask({"text": f"my password is {secret}"}, lm=runner.lm())
    prompts = runner.fleet.sql("select prompt from lm_calls where prompt like '%my password is%'").prompt
    assert len(prompts) > 0
    assert all("my password is [key]" in text for text in prompts)
    written = home_and_exports(runner.fleet, tmp_path / "out", report=True)
    assert secret.encode() not in written
    assert json.dumps(secret)[1:-1].encode() not in written
