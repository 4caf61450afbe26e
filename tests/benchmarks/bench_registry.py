"""Registered programs: fields that get another's text, what a live program costs, and registering under kills."""

from __future__ import annotations

import itertools
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import dspy

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.programs.live import LiveProgram
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.programs.registry import Registry
from skillfleet_nb.programs.state import dump_state
from skillfleet_nb.store import Home, Store, queries
from skillfleet_nb.widgets.registry import RegistryBrowser

EDITS, CALLS, VERSIONS, WRITERS, SECONDS = 200, 1_000_000, 10_000, 8, 60
NAMES = ["text", "lang", "tone", "intent", "team", "reason", "source", "date"]
TYPES: list[Any] = [str, int, list[str]]

WRITER = """
    import os, sys
    from skillfleet_nb.programs.registry import Registry
    from skillfleet_nb.store import Home

    registry, me, number = Registry(Home.find(sys.argv[1])), sys.argv[2], 0
    while True:
        state = {"signature": {"instructions": f"{me} {number}", "fields": []}, "demos": []}
        version = registry.register("intents", state).version
        registry.move("intents", "production", version)
        os.write(1, b"%d %s-%d\\n" % (version, me.encode(), number))
        number += 1
"""


def run() -> list[dict[str, object]]:
    """Measure; the writers take a minute."""
    with tempfile.TemporaryDirectory() as place:
        return [*_edits(), *_live(Path(place)), *_listing(Path(place)), *_kills(Path(place))]


def _row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def _program(fields: list[tuple[str, bool, Any]], described: str) -> dspy.Module:
    made = {
        name: (kind, (dspy.OutputField if out else dspy.InputField)(desc=f"{described} {name}"))
        for name, out, kind in fields
    }
    return dspy.Predict(dspy.Signature(made, "Do."))


def _edits() -> list[dict[str, object]]:
    chance, ours, dspys, refused = random.Random(3), 0, 0, 0
    for _ in range(EDITS):
        names = chance.sample(NAMES, chance.randint(3, 5))
        fields = [(n, at == len(names) - 1, chance.choice(TYPES)) for at, n in enumerate(names)]
        edited = _edited(list(fields), chance)
        state = dump_state(_program(fields, "tuned"))
        raw = _program(edited, "own")
        raw.load_state({k: v for k, v in state.items() if k != "metadata"})
        dspys += _mispaired(raw)
        try:
            ours += _mispaired(load_state(_program(edited, "own"), state))
        except InputError:
            refused += 1
            ours += _mispaired(load_state(_program(edited, "own"), state, differences="migrate"))
    return [
        _row(f"programs of {EDITS} edited signatures with a field that got another's text", ours, "programs", "≤ 0"),
        _row("the same, loaded by DSPy alone", dspys, "programs"),
        _row("of them told, field by field, before anything was loaded", refused, "programs"),
    ]


def _edited(fields: list[tuple[str, bool, Any]], chance: random.Random) -> list[tuple[str, bool, Any]]:
    at = chance.randrange(len(fields))
    name, out, kind = fields[at]
    free = chance.choice([n for n in NAMES if n not in {f[0] for f in fields}])
    edit = chance.choice(["rename", "reorder", "insert", "drop", "retype", "describe"])
    if edit == "rename":
        fields[at] = (free, out, kind)
    elif edit == "reorder":
        chance.shuffle(fields)
    elif edit == "insert":
        fields.insert(at, (free, False, str))
    elif edit == "drop" and not out:
        del fields[at]
    elif edit == "retype":
        fields[at] = (name, out, chance.choice([t for t in TYPES if t is not kind]))
    return fields


def _mispaired(program: Any) -> bool:
    """Tell whether a field has a description that was written for another."""
    return any(info.json_schema_extra["desc"].split()[1] != name for name, info in program.signature.fields.items())


class _Echo(dspy.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, text: str) -> int:
        return self.number


def _live(place: Path) -> list[dict[str, object]]:
    home = Home.find(place / "live")
    registry = Registry(home)
    for text in ("a", "b"):
        registry.register("intents", {"signature": {"instructions": text, "fields": []}, "demos": []})
    registry.move("intents", "production", 1)
    own = _Echo(1)
    live = LiveProgram(home, Registry(home), "intents@production", lambda v: _Echo(v.version))
    added = []
    for _ in range(5):  # in turns
        took = []
        for call in (own, live):
            started = time.perf_counter()
            for _ in range(CALLS // 5):
                call(text="hi")
            took.append((time.perf_counter() - started) / (CALLS // 5))
        added.append(1e6 * (took[1] - took[0]))
    waited = []
    for version in (2, 1, 2, 1, 2):
        registry.move("intents", "production", version)
        started = time.perf_counter()
        while live(text="hi") != version:
            time.sleep(0.001)
        waited.append(time.perf_counter() - started)
    live.close()
    return [
        _row(f"a call through a live program, against the program called itself ({CALLS:,} calls)",
             statistics.median(added), "µs more", "≤ 50"),
        _row("a promotion until it answers", max(waited), "s", "< 1"),
    ]  # fmt: skip


def _listing(place: Path) -> list[dict[str, object]]:
    home = Home.find(place / "many")
    registry, started = Registry(home), time.perf_counter()
    for number in range(VERSIONS):
        state = {"signature": {"instructions": str(number), "fields": []}, "demos": []}
        registry.register(f"name-{number % 100}", state)
    took, store = time.perf_counter() - started, Store(home)
    started = time.perf_counter()
    queries.program_versions(store)
    first = time.perf_counter() - started
    again = []
    for _ in range(5):
        started = time.perf_counter()
        assert len(queries.program_versions(store)) == VERSIONS
        again.append(time.perf_counter() - started)
    fleet, browsers = Fleet(home.root), []
    fleet.registry.listing()
    for _ in range(5):
        started = time.perf_counter()
        RegistryBrowser(fleet.registry.listing(), fleet.registry)
        browsers.append(time.perf_counter() - started)
    started = time.perf_counter()
    assert len(Registry(home).names) == 100
    return [
        _row("registering a version, on disk when it returns", 1000 * took / VERSIONS, "ms"),
        _row(f"listing {VERSIONS:,} versions", statistics.median(again), "s", "< 0.2"),
        _row("listing their names in the browser", statistics.median(browsers), "s", "< 0.2"),
        _row("the first time, with their events taken in", first, "s"),
        _row("reading the registry anew, without the database", time.perf_counter() - started, "s"),
    ]


def _kills(place: Path) -> list[dict[str, object]]:
    home, chance, until = Home.find(place / "kills"), random.Random(5), time.monotonic() + SECONDS
    acknowledged: dict[str, int] = {}
    round_, kills = 0, 0
    while time.monotonic() < until:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WRITER), str(home.root), f"w{round_}-{n}"],
                stdout=subprocess.PIPE, text=True,
            )
            for n in range(WRITERS)
        ]  # fmt: skip
        time.sleep(chance.uniform(4, 8))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            kills += 1
            for line in writer.communicate()[0].splitlines():
                number, _, text = line.partition(" ")
                acknowledged[text] = int(number)
        round_ += 1
    versions = Registry(home).versions("intents")
    moves = Registry(home).history("intents", "production")
    lost = sum(number > len(versions) for number in acknowledged.values())
    doubled = len(versions) - len({v.content_id for v in versions})
    broken = sum(one.version != other.previous for one, other in itertools.pairwise(moves))
    out_of_order = sum(v.version != at for at, v in enumerate(versions, 1))
    what = f"{WRITERS} processes for {SECONDS} s, {kills} killed, {len(acknowledged):,} versions acknowledged"
    return [
        _row(f"{what}: lost or doubled", lost + doubled + out_of_order, "versions", "≤ 0"),
        _row("moves of the alias that do not follow on the one before", broken, "moves", "≤ 0"),
    ]
