"""What protects a home: tampering with its audit trail, personal data kept out of it, and what both cost.

Tampering: a trail of sixty entries of two writers, changed in each of eleven ways at places chosen at random, with
checksums that fit, by somebody without the user's key.  Redaction: made-up secrets planted in real requests of
customers (Banking77), where nothing else is personal; the cost is that of the calls' own texts in a run.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

import dspy
from made_up_secrets import KINDS, made_up
from tampering import KINDS as WAYS
from tampering import tampered

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.redaction import Patterns
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import Home, Trail

TAMPERINGS, SECRETS, APPENDS, KILLS = 500, 2_000, 300, 20
_DATA = Path(__file__).resolve().parents[3] / "shared/data/banking77"
_WRITER = """
import sys
from skillfleet_nb.store import Home, Trail
trail = Trail(Home.find(sys.argv[1]))
for n in range(int(sys.argv[2])):
    trail.record("export", f"{sys.argv[3]}-{n}")
    print(n, flush=True)
"""


def run() -> list[dict[str, object]]:
    """Measure."""
    with tempfile.TemporaryDirectory() as place:
        return [*_tampering(Path(place)), *_kills(Path(place)), *_recall(), *_cost(Path(place))]


def _row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, object]:
    return {"what": what, "value": round(value, 4), "unit": unit, "target": target}


def _tampering(place: Path) -> list[dict[str, object]]:
    trail, rng = Trail(Home.find(place / "home")), random.Random(0)
    command = [sys.executable, "-c", _WRITER, str(place / "home"), "30"]
    writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.DEVNULL) for n in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    false_alarms = not trail.verify().is_intact
    unseen = 0
    for n in range(TAMPERINGS):
        with tampered(trail, WAYS[n % len(WAYS)], rng):
            unseen += trail.verify().is_intact
    start = time.perf_counter()
    for n in range(APPENDS):
        trail.record("export", str(n))
    append = (time.perf_counter() - start) / APPENDS
    start = time.perf_counter()
    lines = trail.verify().entries
    return [
        _row(f"{TAMPERINGS} tamperings: not found", unseen, "tamperings", "≤ 0"),
        _row("a trail that nobody touched: false alarms", false_alarms, "alarms", "≤ 0"),
        _row("to write down one thing that is done, on disk", append * 1e3, "ms"),
        _row("to verify 1,000 lines", (time.perf_counter() - start) / lines * 1e6, "ms"),
    ]


def _kills(place: Path) -> list[dict[str, object]]:
    trail, rng, told = Trail(Home.find(place / "killed")), random.Random(1), 0
    alarms = lost = 0
    command = [sys.executable, "-c", _WRITER, str(place / "killed"), "100000", "k"]
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(after := rng.randint(1, 9)):
                writer.stdout.readline()
            time.sleep(rng.random() / 100)  # somewhere within an append
            writer.kill()
        told += after
        alarms += not trail.verify().is_intact
        lost += len(trail.entries()) < told
    return [
        _row(f"{KILLS} kill -9 of a writer: false alarms", alarms, "alarms", "≤ 0"),
        _row(f"{KILLS} kill -9 of a writer: entries lost that were acknowledged", lost, "entries", "≤ 0"),
    ]


def _requests() -> list[str]:
    return [
        row["text"]
        for name in ("train", "test")
        for row in csv.DictReader((_DATA / f"{name}.csv").open("r", encoding="utf-8"))
    ]


def _recall() -> list[dict[str, object]]:
    texts, rng, patterns = _requests(), random.Random(2), Patterns(KINDS)
    false = sum(sum(patterns.sub(text)[1].values()) for text in texts)
    found = dict.fromkeys(KINDS, 0)
    others = 0
    for n in range(SECRETS):
        kind, words = KINDS[n % len(KINDS)], rng.choice(texts).split(" ")
        secret = made_up(kind, rng)
        words.insert(rng.randrange(len(words) + 1), secret)
        clean, counts = patterns.sub(" ".join(words))
        found[kind] += secret not in clean
        others += sum(counts.values()) - 1
    each = SECRETS / len(KINDS)
    rows = [_row(f"{SECRETS:,} planted secrets: taken out", sum(found.values()) / SECRETS * 100, "%", "≥ 99")]
    rows += [_row(f"planted secrets: {kind}", found[kind] / each * 100, "%") for kind in KINDS]
    right = sum(found.values())
    return [
        *rows,
        _row(
            f"of all that is taken out of these and of {len(texts):,} requests as they are: secrets",
            right / (right + false + max(0, others)) * 100,
            "%",
            "≥ 98",
        ),
    ]


def _cost(place: Path) -> list[dict[str, object]]:
    texts = _requests()
    rows = [dspy.Example(text=text, label="card").with_inputs("text") for text in texts[:300]]
    home = Home.find(place / "run").ensure()
    kept: list[bytes] = []
    plain = Redactor.json

    def keep(self: Redactor, body: bytes) -> bytes:
        kept.append(body)
        return plain(self, body)

    def one() -> float:
        kept.clear()
        start = time.process_time()
        Fleet(home.root).optimize(
            dspy.Predict("text -> label"), train=rows[:100], val=rows[100:],
            metric=lambda e, p, trace=None: e.label == p.label,
            optimizer="bootstrap_fewshot", lm=sf.offline_lm(),
        ).result()  # fmt: skip
        return time.process_time() - start

    one()  # imports
    Redactor.json = keep  # type: ignore[method-assign]
    try:
        run_s = one()
    finally:
        Redactor.json = plain  # type: ignore[method-assign]
    redactor = Redactor(patterns=Patterns(KINDS))
    start = time.process_time()
    for body in kept:
        redactor.json(body)
    cost: Any = time.process_time() - start
    return [
        _row(
            f"redaction of all {len(kept):,} events of a run, all kinds: of the run's CPU",
            cost / run_s * 100,
            "%",
            "≤ 5",
        ),
        _row("redaction of an event", cost / len(kept) * 1e6, "µs"),
    ]


if __name__ == "__main__":
    os.nice(15)
    for row in run():
        sys.stdout.write(f"{row}\n")
