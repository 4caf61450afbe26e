"""What travels to another process, what does not, and what is refused before a byte of it is opened."""

from __future__ import annotations

import json
import pickle
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from job_kit import Logged, bought, kill, metric, program, setup, splits, until

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.runs.engines import parcel
from skillfleet_nb.runs.fingerprint import environment
from skillfleet_nb.security import key_at, sign, user_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from job_kit import LoggedLM

    from skillfleet_nb import Fleet

pytestmark = pytest.mark.usefixtures("preloaded")

KEY = "sk-test-0123456789abcdef"


def closing_over(held: Any) -> Any:
    conn = held

    def judge(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(example.intent == pred.intent) or conn is None

    return judge


def through_helper(held: Any) -> Any:
    conn = held

    def helper() -> bool:
        return conn is None

    def judge(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(example.intent == pred.intent) or helper()

    return judge


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda _: sqlite3.connect(":memory:"), "sqlite3.Connection"),
        (lambda _: threading.Lock(), "_thread.lock"),
        (lambda folder: (folder / "log.txt").open("w"), "_io.TextIOWrapper"),
    ],
)
def test_what_a_metric_holds_on_to_is_named(
    make: Callable[[Path], Any], kind: str, fleet: Fleet, logged: Callable[..., LoggedLM], tmp_path: Path
) -> None:
    held = make(tmp_path)
    with pytest.raises(InputError) as told:
        fleet.optimize(**setup(logged().lm, metric=closing_over(held)))
    assert str(told.value).startswith(f"`metric` cannot travel to another process: it holds on to `conn`, a {kind};")
    with pytest.raises(InputError, match=f"holds on to `conn` through `helper`, a {kind};"):
        fleet.optimize(**setup(logged().lm, metric=through_helper(held)))
    assert fleet.jobs().empty
    if hasattr(held, "close"):
        held.close()


def test_what_a_program_holds_on_to_is_named(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    held = program()
    held.connection = sqlite3.connect(":memory:")
    with pytest.raises(InputError, match=r"`program` cannot travel .* holds on to `connection`, a sqlite3.Connection"):
        fleet.optimize(**setup(logged().lm, program=held))
    held.connection.close()


class Canary:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def stopped(fleet: Fleet, logged: Callable[..., LoggedLM]) -> str:
    model = logged()
    model.hold()
    job = fleet.optimize(**setup(model.lm))
    until(lambda: model.calls)
    kill(job)
    model.release()
    return job.id


def test_a_parcel_of_others_is_never_opened(fleet: Fleet, stopped: str, tmp_path: Path) -> None:
    mark, file = tmp_path / "opened", parcel.parcel_file(fleet.home, stopped)
    sound = file.read_bytes()
    start = sound.index(b'{"folder"')
    place = sound[start : sound.index(b"\n", start) + 1]
    harm = place + pickle.dumps({"program": Canary(mark)})
    elsewhere = key_at(tmp_path / "other-key")
    altered = sound[:-40] + bytes([sound[-40] ^ 1]) + sound[-39:]
    for blob, why in (
        (harm, "not signed"),
        (sign(harm, elsewhere), "altered, or packed by another user"),
        (sound[: -len(harm)] + harm, "altered"),
        (altered, "altered"),
        (sound[:10], "not signed"),
        (b"", "not signed"),
    ):
        file.write_bytes(blob)
        with pytest.raises(JobError, match=why):
            fleet.resume(stopped)
    assert not mark.exists()
    file.write_bytes(sign(harm, user_key()))
    with pytest.raises(JobError):  # not what a parcel holds
        fleet.resume(stopped)
    assert mark.exists()  # what is signed by the user is opened: the canary does tell


@pytest.mark.parametrize(
    ("label", "holds", "told"),
    [
        (
            {"python": "3.9.1"},
            {},
            r"packed by Python 3\.9\.1, whose code Python 3\..* cannot run: resume it there, or give",
        ),
        (
            {"dspy": "2.0.0"},
            {"program": 1},
            r"does not hold what this version runs .* packed with dspy 2\.0\.0: resume",
        ),
        (
            {},
            b"no pickle",
            r"cannot be opened: UnpicklingError.*it is damaged\. Or give program, train and metric again",
        ),
        ({}, b"csys\nexit\n)R.", r"cannot be opened: what it imports ends the process.*under if __name__"),
        ({}, b"cthe_module_of_nobody\nmetric\n.", r"No module named 'the_module_of_nobody'; is a module missing"),
        (None, {}, r"was written by another version of this package: give program, train and metric again"),
    ],
    ids=[
        "another Python",
        "another version's fields",
        "no pickle",
        "it ends",
        "a module is missing",
        "another version's label",
    ],
)
def test_a_parcel_that_cannot_be_opened_says_what_it_is(
    fleet: Fleet, label: dict[str, str] | None, holds: Any, told: str
) -> None:
    job = fleet.optimize(program(), **splits(), metric=metric, optimizer="labeled_fewshot", lm=sf.offline_lm())
    job.result()
    now = {"folder": ".", "path": [], "environment": environment() | (label or {})}
    head = json.dumps(now if label is not None else {"folder": ".", "path": []}).encode()
    blob = holds if isinstance(holds, bytes) else pickle.dumps(holds)
    file = parcel.parcel_file(fleet.home, job.id)
    file.write_bytes(sign(head + b"\n" + blob, user_key()))
    with pytest.raises(JobError, match=told):
        fleet.resume(job.id, as_new=True)


def test_a_home_that_comes_with_a_checkout_runs_nothing(
    fleet: Fleet, stopped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker's key is not in it, so it is as if another user had it."""
    assert [f.name for f in fleet.home.root.rglob("key*")] == []
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of another user"))
    with pytest.raises(JobError, match="packed by another user"):
        fleet.resume(stopped)


def test_what_others_may_have_written_runs_nothing(
    fleet: Fleet, stopped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = parcel.parcel_file(fleet.home, stopped)
    for place in (fleet.home.root, file.parent, file):
        mode = place.stat().st_mode
        place.chmod(mode | 0o002)
        with pytest.raises(JobError, match=r"can be changed by any user: nothing of it is run; make it yours"):
            fleet.resume(stopped)
        place.chmod(mode)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    user_key()
    (tmp_path / "skillfleet" / "key").chmod(0o644)
    with pytest.raises(JobError, match=r"can be read by others: nothing of it is run; chmod 600"):
        fleet.resume(stopped)


def test_many_processes_agree_on_one_key(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from skillfleet_nb.security import key_at
        sys.stdin.read(1)
        print(key_at(Path(sys.argv[1])).hex())
    """
    args = [sys.executable, "-c", code, str(tmp_path / "key")]
    started = [subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {p.communicate("x")[0] for p in started}
    assert len(keys) == 1
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [f.name for f in tmp_path.iterdir()] == ["key"]


def every_byte(root: Path) -> bytes:
    return b"".join(f.read_bytes() for f in root.rglob("*") if f.is_file())


class Provider(BaseHTTPRequestHandler):
    """Answers as OpenAI's chat does; refuses a key by quoting it."""

    refuses = False
    url = model = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        given = self.headers["Authorization"].removeprefix("Bearer ")
        text = "[[ ## intent ## ]]\nbug_report\n\n[[ ## completed ## ]]"
        answer: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        }
        refused = self.refuses or given != KEY
        if refused:
            answer = {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}}
        body = json.dumps(answer).encode()
        self.send_response(401 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def provider() -> Iterator[type[Provider]]:
    handler = type("Handler", (Provider,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.model = f"openai/gpt-{server.server_port}"  # none that DSPy's cache knows
    handler.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler
    server.shutdown()
    server.server_close()


def keyed(provider: Any) -> dspy.LM:
    return dspy.LM(provider.model, api_key=KEY, api_base=provider.url, num_retries=0)


@pytest.mark.parametrize("engine", ["thread", "process"])
@pytest.mark.parametrize("refuses", [False, True], ids=["answers", "refuses"])
def test_keys_stay_in_the_environment(
    engine: str, refuses: Any, provider: Any, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_VENDOR_API_KEY", KEY)
    provider.refuses = refuses
    held = program()
    held.lm = keyed(provider)  # of the program's own, too
    given = {"engine": engine, "optimizer": "labeled_fewshot", "params": {"k": 2}, "program": held}
    job = fleet.optimize(**setup(keyed(provider), **given))
    job.wait()
    assert job.state == ("failed" if refuses else "completed"), job.log()
    fleet.jobs()  # and so in the database
    assert KEY.encode() not in every_byte(fleet.home.root)
    if refuses:
        assert "[key]" in str(job.progress.error)


def test_a_key_that_no_variable_holds_is_not_written(provider: Any, fleet: Fleet) -> None:
    lm = keyed(provider)
    with pytest.raises(InputError, match=r"api_key.*no environment variable holds") as told:
        fleet.optimize(**setup(lm))
    assert KEY not in str(told.value)
    job = fleet.optimize(**setup(lm, engine="thread"))  # here it may be used
    job.result()
    assert KEY.encode() not in every_byte(fleet.home.root)


def test_a_key_in_a_closure_is_found(fleet: Fleet, logged: Callable[..., LoggedLM], monkeypatch: Any) -> None:
    monkeypatch.setenv("TEST_VENDOR_API_KEY", KEY)
    with pytest.raises(InputError, match=r"`metric` holds the value of \$TEST_VENDOR_API_KEY"):
        fleet.optimize(**setup(logged().lm, metric=closing_over(KEY)))
    assert KEY.encode() not in every_byte(fleet.home.root)


class KeyedEngine(Logged):
    """An engine with a key, which would be pickled with it."""

    api_key = ""
    __getstate__ = object.__getstate__


def test_a_key_in_an_engine_is_not_written(fleet: Fleet, tmp_path: Path) -> None:
    engine = KeyedEngine(str(tmp_path / "calls"))
    engine.api_key = KEY
    with pytest.raises(InputError, match=r"engine .* carries 'api_key'"):
        fleet.optimize(**setup(dspy.LM("skillfleet/keyed", engine=engine)))


def test_a_missing_key_is_named(provider: Any, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_VENDOR_API_KEY", KEY)
    job = fleet.optimize(**setup(keyed(provider), optimizer="labeled_fewshot", params={"k": 2}))
    job.result()
    monkeypatch.delenv("TEST_VENDOR_API_KEY")
    with pytest.raises(JobError, match="TEST_VENDOR_API_KEY, which is not set"):
        fleet.resume(job.id, as_new=True)


def test_modules_beside_the_notebook_are_found(
    fleet: Fleet, logged: Callable[..., LoggedLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_metrics.py").write_text(
        "import my_helpers\ndef judge(example, pred, trace=None):\n    return my_helpers.same(example, pred)\n"
    )
    (folder / "my_helpers.py").write_text("def same(e, p):\n    return e.intent == p.intent\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")
    import my_metrics  # made just now

    model = logged()
    model.hold()
    job = fleet.optimize(**setup(model.lm, metric=my_metrics.judge))
    until(lambda: model.calls)
    kill(job)
    model.release()
    monkeypatch.chdir(tmp_path)  # resumed from elsewhere
    code = "import sys; from skillfleet_nb import Fleet; print(Fleet(sys.argv[1]).resume(sys.argv[2]).result().state)"
    args = [sys.executable, "-c", code, str(fleet.home.root), job.id]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "completed", done.stderr


def test_the_adapter_travels_and_stays_over_a_resume(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged(latency_s=0.01)
    model.hold(first=14)
    with dspy.context(adapter=dspy.JSONAdapter()):
        job = fleet.optimize(**setup(model.lm))
    until(lambda: bought(fleet, job.id) == 13)  # all that were answered are in the journal
    kill(job)
    model.release()
    before, unrecorded = model.calls, model.calls - bought(fleet, job.id)
    fleet.resume(job.id).result()
    again = fleet.optimize(**setup(model.lm, engine="thread"))
    again.result()
    assert model.calls > before  # the default adapter asks otherwise: the resumed job did use the other one
    assert bought(fleet, again.id) > 20
    assert unrecorded <= 2


def test_a_parcel_comes_back_as_it_went(fleet: Fleet, stopped: str) -> None:
    kept = parcel.read(fleet.home, stopped)
    assert kept.request.metric.__name__ == metric.__name__
    assert kept.request.train == splits()["train"]
    assert [type(e) for e in kept.request.train] == [dspy.Example] * len(kept.request.train)
    assert kept.packed
