"""The local model answers as any model does: one engine for all, held to a schema where asked, and gone when unused."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dspy
import psutil
import pydantic
import pytest

from skillfleet_nb import Fleet, offline_lm, task_lm
from skillfleet_nb.lm.task_models import named_lm
from skillfleet_nb.local.engine import LocalEngine, LocalModelWarning
from skillfleet_nb.local.schema import bounded
from skillfleet_nb.store import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTIONS = [f"Reply with one word: what colour is {thing}?" for thing in ("snow", "grass", "the sky", "coal")]


class Ticket(pydantic.BaseModel):
    title: str
    tags: list[str]
    urgency: float


def signature() -> type[dspy.Signature]:
    fields: dict[str, object] = {
        "intent": Literal["lost card", "exchange rate"],
        "is_urgent": bool,
        "sure": float,
        "ticket": Ticket,
    }
    asked = {"message": (str, dspy.InputField())}
    return dspy.Signature(asked | {name: (kind, dspy.OutputField()) for name, kind in fields.items()})


@pytest.fixture
def constrained(lm: dspy.LM) -> Iterator[dspy.LM]:
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        yield lm


def test_answers_are_held_to_the_types_of_the_signature(constrained: dspy.LM) -> None:
    answer = dspy.Predict(signature(), max_tokens=150)(message="I lost my card in Rome, help now!")
    assert answer.intent in {"lost card", "exchange rate"}
    assert isinstance(answer.is_urgent, bool)
    assert isinstance(answer.sure, float)
    assert isinstance(answer.ticket, Ticket)
    (entry,) = constrained.history[-1:]
    assert entry["usage"]["prompt_tokens"] > 100
    assert entry["usage"]["completion_tokens"] > 10


def test_answers_are_repeated_and_threads_get_what_one_gets(lm: dspy.LM) -> None:
    alone = [lm(question)[0] for question in QUESTIONS]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: lm(q)[0], [*QUESTIONS, *QUESTIONS]))
    assert together == [*alone, *alone]
    assert len(set(alone)) > 1


def test_samples_differ_from_one_another_and_begin_anew_with_the_process(lm: dspy.LM) -> None:
    ask = lm.copy(temperature=1.5, max_tokens=12)
    ours = [ask(QUESTIONS[0])[0] for _ in range(3)]
    assert len(set(ours)) > 1
    fresh = lm.copy(temperature=1.5, max_tokens=12, engine=LocalEngine.load_state(lm.engine.dump_state()))
    assert [fresh(QUESTIONS[0])[0] for _ in range(3)] == ours
    assert fresh.engine.pid == lm.engine.pid
    fresh.engine.close()


def test_prompt_longer_than_the_context_is_told_in_numbers(lm: dspy.LM) -> None:
    with pytest.raises(dspy.ContextWindowExceededError, match=r"the prompt has 3,\d{3} tokens, .*context 1,024: give"):
        lm("word " * 3000)


def test_constraint_that_no_adapter_sends_is_warned_of_once(lm: dspy.LM) -> None:
    plain = lm.copy(engine=LocalEngine.load_state(lm.engine.dump_state()), max_tokens=3)
    plain("Hello.")  # asks for no types
    with pytest.warns(LocalModelWarning, match=r"dspy.configure\(adapter=dspy.JSONAdapter\(\)\)"):
        plain("End with [[ ## completed ## ]]")
    plain("End with [[ ## completed ## ]], again.")


def test_copies_share_the_engine_and_a_pickled_one_finds_it(lm: dspy.LM) -> None:
    assert copy.deepcopy(lm).engine is lm.engine
    other = pickle.loads(pickle.dumps(lm.engine))  # noqa: S301  our own
    assert other.pid == lm.engine.pid
    other.close()


_LEASE = """
import sys
from skillfleet_nb.local import host, weights
from skillfleet_nb.store import Home
lease = host.Lease(Home.find(sys.argv[1]), weights.look_at(None), 1, 256)
print(lease.address.pid, flush=True)
sys.stdin.read()
"""


def _user(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _LEASE, str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_start_it_at_once_share_one_which_ends_with_the_last(tmp_path: Path) -> None:
    users = [_user(tmp_path / "home"), _user(tmp_path / "home")]
    pids = {int(user.stdout.readline()) for user in users if user.stdout}
    assert len(pids) == 1
    engine = psutil.Process(pids.pop())
    users[0].communicate()
    assert engine.is_running()
    users[1].send_signal(signal.SIGKILL)
    users[1].communicate()
    engine.wait(300)
    assert not engine.is_running()
    assert not list(tmp_path.rglob("address.json"))  # nobody finds what is gone


def test_engine_that_was_killed_is_started_anew(lm: dspy.LM) -> None:
    alone = lm(QUESTIONS[0])
    killed = psutil.Process(lm.engine.pid)
    killed.kill()
    while killed.is_running() and killed.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert lm(QUESTIONS[0]) == alone
    assert lm.engine.pid != killed.pid


def test_address_is_this_users_alone(lm: dspy.LM, home_of_engine: str) -> None:
    assert lm.engine.pid
    (folder,) = Path(home_of_engine, "engines").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    address = json.loads((folder / "address.json").read_text())
    assert address["url"].startswith("http://127.0.0.1:")
    assert os.getpid() != address["pid"]


def test_schema_keeps_its_bounds_and_bounds_the_rest() -> None:
    schema = {
        "$defs": {"T": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}},
        "type": "object",
        "properties": {
            "one": {"$ref": "#/$defs/T"},
            "many": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 7}},
            "label": {"enum": ["x", "y"], "type": "string"},
        },
    }
    made = bounded(schema, 400)
    assert made["$defs"]["T"]["properties"] == {
        "a": {"type": "string", "maxLength": 200},  # 2 * 400 characters over the four texts that it may hold
        "b": {"type": "string", "maxLength": 200},
    }
    assert made["properties"]["many"] == schema["properties"]["many"]  # type: ignore[index]  # a literal
    assert made["properties"]["label"] == {"enum": ["x", "y"], "type": "string"}


def test_model_is_named_in_commands_and_settings(tmp_path: Path) -> None:
    home = Home.find(tmp_path).ensure()
    home.config.write_text('[task_models.edit]\nmodel = "local"\ntemperature = 0.5\n')
    for made, temperature in ((named_lm("local"), 0.0), (task_lm("edit", home), 0.5)):
        assert made is not None
        assert made.model.startswith("local/smollm2")
        assert made.kwargs["temperature"] == temperature


def test_doctor_says_that_engine_and_weights_are_there(tmp_path: Path) -> None:
    checks = {check.name: check for check in Fleet(tmp_path).advice.doctor(lm=offline_lm()).checks}
    assert checks["xllamacpp"].level == "ok"
    assert checks["weights of the local model"].found.endswith("Q4_1.gguf, as published")
