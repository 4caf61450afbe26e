"""Registered programs: nothing lost or doubled, whoever writes and dies, and a live program follows."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from store_samples import start

from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.programs import live as live_programs
from skillfleet_nb.programs.live import LiveProgram
from skillfleet_nb.programs.registry import STREAM, Registry
from skillfleet_nb.programs.state import dump_state
from skillfleet_nb.store import Home, Store

if TYPE_CHECKING:
    from pathlib import Path

    from store_samples import Started

    from skillfleet_nb.programs.registry import ProgramVersion


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.find(tmp_path / "home")


def state(text: str) -> dict[str, Any]:
    program = dspy.Predict("text -> intent")
    program.signature = program.signature.with_instructions(text)
    return dump_state(program)


def test_a_version_never_changes_and_the_same_program_is_never_two(home: Home) -> None:
    registry = Registry(home)
    one, two = registry.register("intents", state("Sort.")), registry.register("intents", state("Sort it."))
    assert (one.version, two.version) == (1, 2)
    assert registry.register("intents", state("Sort."), {"note": "again"}) == one
    assert registry.register("others", state("Sort.")).content_id == one.content_id
    assert [v.version for v in Registry(home).versions("intents")] == [1, 2]
    assert registry.find("intents") == two == registry.find("intents@2")
    assert len(list(home.journal_dir(STREAM).glob("*.jsonl"))) == 1, "writers in turn share a segment"


def test_a_field_or_a_class_makes_another_program(home: Home) -> None:
    registry = Registry(home)
    programs = [dspy.Predict("text -> intent"), dspy.Predict("text -> intent: bool"), dspy.Predict("body -> intent")]
    for program in programs:
        program.signature = program.signature.with_instructions("Sort.")
        registry.register("intents", dump_state(program))
    assert len(registry.versions("intents")) == 3


def test_an_alias_moves_and_its_history_stays(home: Home) -> None:
    registry = Registry(home)
    for text in ("a", "b"):
        registry.register("intents", state(text))
    registry.move("intents", "production", 1)
    registry.move("intents", "production", 2, evidence="better", forced="we say so")
    registry.move("intents", "candidate", 1)
    assert registry.aliases("intents") == {"candidate": 1, "production": 2}
    assert registry.find("intents@production").version == 2
    first, second = Registry(home).history("intents", "production")
    assert (first.version, first.previous, second.version, second.previous) == (1, None, 2, 1)
    assert (second.evidence, second.forced) == ("better", "we say so")
    facts = Store(home).sql("select name, alias, move, version, previous from alias_history order by alias, move")
    assert facts[["alias", "move", "version"]].values.tolist() == [
        ["candidate", 1, 1],
        ["production", 1, 1],
        ["production", 2, 2],
    ]


def test_who_decided_on_what_is_no_more_is_told(home: Home) -> None:
    one, other = Registry(home), Registry(home)
    for text in ("a", "b", "c"):
        one.register("intents", state(text))
    one.move("intents", "production", 1, since=0)
    known = len(other.history("intents", "production"))
    one.move("intents", "production", 2, since=1)
    with pytest.raises(
        JobError, match=r"intents@production was moved to version 2 by .* meanwhile; nothing was changed"
    ):
        other.move("intents", "production", 3, since=known)
    assert other.aliases("intents") == {"production": 2}


@pytest.mark.parametrize("name", ["", "1st", "../up", "a/b", "a b", "a@b", "x" * 81])
def test_what_cannot_be_a_name_is_refused(home: Home, name: str) -> None:
    with pytest.raises(InputError, match="give letters, digits"):
        Registry(home).register(name, state("a"))
    assert not home.root.exists()


def test_what_is_not_there_is_refused_with_the_nearest(home: Home) -> None:
    registry = Registry(home)
    registry.register("intents", state("a"))
    registry.move("intents", "production", 1)
    with pytest.raises(NotFoundError, match="did you mean 'intents'"):
        registry.find("intnts")
    with pytest.raises(NotFoundError, match="did you mean 'production'"):
        registry.find("intents@productoin")
    with pytest.raises(NotFoundError, match="intents has no version 7: its versions are 1 to 1"):
        registry.move("intents", "production", 7)
    for alias in ("newest", "7"):
        with pytest.raises(InputError, match="alias"):
            registry.move("intents", alias, 1)
    assert [m.version for m in registry.history("intents", "production")] == [1]


def test_a_torn_line_is_left_behind(home: Home) -> None:
    registry = Registry(home)
    registry.register("intents", state("a"))
    (segment,) = home.journal_dir(STREAM).glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"seq":2,"at":"2026-01-01T00')
    assert Registry(home).register("intents", state("b")).version == 2
    assert [v.version for v in registry.versions("intents")] == [1, 2]
    assert len(list(home.journal_dir(STREAM).glob("*.jsonl"))) == 2


WRITER = """
    import os, sys
    from skillfleet_nb.programs.registry import Registry
    from skillfleet_nb.store import Home

    registry, me, number = Registry(Home.find(sys.argv[1])), sys.argv[2], 0
    while True:
        text = f"{me} {number}" if number % 2 else f"all {number}"
        state = {"signature": {"instructions": text, "fields": []}, "demos": []}
        version = registry.register("intents", state).version
        move = registry.move("intents", "production", version)
        os.write(1, b"%d %s\\n" % (version, text.encode()))  # acknowledged: never lost
        number += 1
"""


def test_processes_that_register_and_die_lose_and_double_nothing(home: Home) -> None:
    chance = random.Random(7)
    acknowledged: dict[str, int] = {}
    for _ in range(2):
        writers = [start(WRITER, home.root, f"w{n}") for n in range(3)]
        for writer in writers:
            read_some(writer, chance.randint(3, 9), acknowledged)
        for writer in writers:
            writer.kill()
            out, _ = writer.communicate()
            taken(out.splitlines(), acknowledged)
    registry = Registry(home)
    versions = registry.versions("intents")
    assert [v.version for v in versions] == list(range(1, len(versions) + 1))
    assert len({v.content_id for v in versions}) == len(versions)
    texts = {v.version: text for text, v in ((text, registry.find(f"intents@{n}")) for text, n in acknowledged.items())}
    assert {text: number for number, text in texts.items()} == acknowledged
    moves = registry.history("intents", "production")
    assert [m.previous for m in moves] == [None, *(m.version for m in moves[:-1])]
    told = Store(home).sql("select count(*) as n, max(version) as last from program_versions").iloc[0]
    assert (told.n, told["last"]) == (len(versions), len(versions))


def read_some(writer: Started, count: int, acknowledged: dict[str, int]) -> None:
    taken([writer.stdout.readline() for _ in range(count)], acknowledged)


def taken(lines: list[str], acknowledged: dict[str, int]) -> None:
    for line in lines:
        number, _, text = line.strip().partition(" ")
        assert acknowledged.setdefault(text, int(number)) == int(number)


class Echo(dspy.Module):
    """Says which version it is of."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.number = version

    def forward(self, text: str) -> str:
        if text == "raise":
            raise ValueError(text)
        return f"{self.number}: {text}"


@pytest.fixture
def registry(home: Home, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(live_programs, "_LOOK_S", 0.0)
    made = Registry(home)
    for text in ("a", "b", "c", "d"):
        made.register("intents", state(text))
    made.move("intents", "production", 1)
    return made


def echo(version: ProgramVersion) -> dspy.Module:
    if version.version == 3:
        raise InputError("its class is gone")
    if version.version == 4:
        raise RuntimeError("its class fails")
    return Echo(version.version)


def test_a_live_program_follows_its_alias(home: Home, registry: Registry) -> None:
    live = LiveProgram(home, Registry(home), "intents@production", echo, record=0)
    assert (live(text="hi"), live.number) == ("1: hi", 1)
    registry.move("intents", "production", 2)
    assert (live(text="hi"), live.version.ref) == ("2: hi", "intents@2")


def test_a_live_program_goes_on_with_the_last_good_one(home: Home, registry: Registry) -> None:
    live = LiveProgram(home, Registry(home), "intents@production", echo, record=0)
    registry.move("intents", "production", 3)
    assert live(text="hi") == "1: hi"
    assert live.trouble == "version 1 goes on answering: its class is gone"
    registry.move("intents", "production", 4)
    assert live(text="hi") == "1: hi"
    assert live.trouble == "version 1 goes on answering: its class fails"
    registry.move("intents", "production", 2)
    assert (live(text="hi"), live.trouble) == ("2: hi", "")
    moved = home.root.rename(home.root.with_name("moved"))
    assert live(text="hi") == "2: hi"
    assert live.trouble.startswith(f"version 2 goes on answering: home '{home.root}' is not there")
    moved.rename(home.root)
    registry.move("intents", "production", 1)
    assert (live(text="hi"), live.trouble) == ("1: hi", "")


def test_a_live_program_answers_threads_and_async_code(home: Home, registry: Registry) -> None:
    import asyncio

    live = LiveProgram(home, Registry(home), "intents@production", echo, record=0)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(live, text="hi") for _ in range(200)]
        registry.move("intents", "production", 2)
        seen = [answer.result() for answer in answers]
    assert set(seen) <= {"1: hi", "2: hi"}

    assert asyncio.run(live.acall(text="hi")) == "2: hi"  # which has no async face of its own

    class Later(Echo):
        async def aforward(self, text: str) -> str:
            return self.forward(text)

    later = LiveProgram(home, Registry(home), "intents@production", lambda v: Later(v.version), record=1)
    assert asyncio.run(later.acall(text="hi")) == "2: hi"
    with pytest.raises(ValueError, match="raise"):
        asyncio.run(later.acall(text="raise"))


@pytest.mark.parametrize("record", [0, 1])
def test_a_live_program_may_run_a_loop_of_its_own_in_a_cell(home: Home, registry: Registry, record: float) -> None:
    import asyncio

    class Loops(Echo):
        def forward(self, text: str) -> str:
            async def said() -> str:
                return super(Loops, self).forward(text)

            return asyncio.run(said())

    live = LiveProgram(home, Registry(home), "intents@production", lambda v: Loops(v.version), record=record)

    async def cell() -> str:  # a cell runs on the thread of the kernel's loop
        return str(live(text="hi"))

    assert (live(text="hi"), asyncio.run(cell())) == ("1: hi", "1: hi")


def test_what_a_live_program_answered_is_recorded(home: Home, registry: Registry) -> None:
    live = LiveProgram(home, Registry(home), "intents@production", echo, record=0.5)
    for n in range(4):
        live(text=str(n))
    registry.move("intents", "production", 2)
    live(text="hi")
    with pytest.raises(ValueError, match="raise"):
        live(text="raise")
    live.close()
    facts = Store(home).sql(
        "select version, share, error, latency_s >= 0 as timed from live_answers order by live_answers.at"
    )
    assert facts.version.tolist() == [1, 1, 2]
    assert facts.error.dropna().tolist() == ["ValueError: raise"]
    assert set(facts.share) == {0.5}
    assert facts.timed.all()
    with pytest.raises(InputError, match="record=2"):
        LiveProgram(home, Registry(home), "intents@production", echo, record=2)
