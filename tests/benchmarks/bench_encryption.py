"""An encrypted home: what it costs to append and fold, what of it can be read without a key, and what a kill leaves.

Cost: the same events appended and folded in a plain and an encrypted home, by turns: calls of a model with prompts of
a kilobyte, as most of a run's are, and the shortest there are.  Reading: a thousand secrets planted in examples,
programs and what programs print, looked for as bytes in every file of the home and of DSPy's folder.
Kills: `kill -9` at random moments of encryptions, rotations and decryptions of one home, one after the other.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

import dspy
from store_samples import call

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.events import Phase
from skillfleet_nb.store import Home, Journal, Store, load_program, save_program
from skillfleet_nb.store.encryption import Encryption

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.events import Payload

EVENTS, PAIRS, SECRETS, KILLS = 10_000, 5, 1_000, 20
PASSPHRASE = "a passphrase of the benchmark"  # noqa: S105  of homes that are gone afterwards
_CHANGE = """
import os, sys
from skillfleet_nb.store import Home
from skillfleet_nb.store.encryption import Encryption
encryption = Encryption(Home.find(sys.argv[1]))
def progress(done, total):
    print(done, flush=True)
progress(0, 0)
if sys.argv[2] == "encrypt":
    encryption.encrypt(sys.argv[3], progress=progress)
elif sys.argv[2] == "rotate":
    encryption.rotate(sys.argv[3], progress=progress)
else:
    encryption.decrypt(progress=progress)
"""


def run() -> list[dict[str, object]]:
    """Measure."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["DSPY_CACHEDIR"] = f"{place}/cache"
        return [*_cost(Path(place)), *_reading(Path(place)), *_kills(Path(place))]


def _row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, object]:
    return {"what": what, "value": round(value, 3), "unit": unit, "target": target}


def _work(place: Path, event: Callable[[int], Payload], *, encrypted: bool) -> tuple[float, float]:
    """Append and fold; return the seconds of processor time of each."""
    home = Home.find(place).ensure()
    if encrypted:
        Encryption(home).encrypt(PASSPHRASE)
    Store(home).fold()
    events = [event(n) for n in range(EVENTS)]
    started = time.process_time()
    with Journal(home, "job-1") as journal:
        for one in events:
            journal.append(one)
    appended = time.process_time()
    Store(home).fold()
    folded = time.process_time()
    if encrypted:
        Encryption(home).lock()
    return appended - started, folded - appended


def _cost(place: Path) -> list[dict[str, object]]:
    kinds: dict[str, tuple[Callable[[int], Payload], str | None]] = {
        "calls of a model": (lambda n: call(n, prompt=f"{n}: " + "what a customer asks, and how " * 40), "≥ 0.8"),
        "shortest events": (lambda n: Phase(text=str(n)), None),
    }
    rows = []
    for kind, (event, target) in kinds.items():
        pairs = [[_work(place / f"{kind}{n}{e}", event, encrypted=e) for e in (False, True)] for n in range(PAIRS)]
        for what, part in (("append and fold", slice(0, 2)), ("append", slice(0, 1)), ("fold", slice(1, 2))):
            speed = median(sum(plain[part]) / sum(closed[part]) for plain, closed in pairs)
            is_both = what == "append and fold"
            text = f"{what} {EVENTS:,} {kind}: speed by that of a plain home"
            rows.append(_row(text, speed, "of plain", target if is_both else None))
    return rows


def _metric(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
    del trace
    print(example.text)  # noqa: T201  so that it is in the log
    return float(example.label == prediction.label)


def _seen(secrets: list[str], *places: Path) -> int:
    """Count the secrets that stand in some file as they are."""
    texts = [file.read_bytes() for place in places for file in place.rglob("*") if file.is_file()]
    texts += [os.fsencode(file.name) for place in places for file in place.rglob("*")]
    return sum(any(secret.encode() in text for text in texts) for secret in secrets)


def _planted(home: Home, seed: int) -> list[str]:
    """Make a home of secrets: a finished run, a process that was killed, a job that was deleted, programs."""
    rng = random.Random(seed)
    secrets = [f"secret-{rng.getrandbits(80):020x}" for _ in range(SECRETS)]
    fleet = Fleet(home.root)
    rows = [
        dspy.Example(text=f"{s} of {w}", label=w).with_inputs("text")
        for s, w in zip(secrets, ["red", "blue"] * SECRETS, strict=False)
    ]
    for secret in secrets[600:]:
        save_program(home, {"instructions": secret})
    program = dspy.Predict("text -> label")
    with dspy.context(lm=sf.offline_lm()):
        for n, engine in enumerate(("thread", "process")):
            part = rows[n * 300 : n * 300 + 300]
            job = fleet.optimize(
                program,
                train=part[:150],
                val=part[150:],
                metric=_metric,
                optimizer="labeled_fewshot",
                name=f"run-{n}",
                engine=engine,
            )
            if n and (pid := job.pid):
                os.kill(pid, signal.SIGKILL)
            elif not n:
                job.wait(300)
    fleet.store.compact(everything=True)
    fleet.store.discard({fleet.jobs().job_id.iloc[-1]: "run"})
    return secrets


def _reading(place: Path) -> list[dict[str, object]]:
    plain, closed, before = (Home.find(place / name).ensure() for name in ("open", "closed", "before"))
    cache = place / "cache"
    in_plain = _seen(_planted(plain, 1), plain.root, cache)
    Encryption(closed).encrypt(PASSPHRASE)
    in_closed = _seen(_planted(closed, 2), closed.root, cache)
    secrets = _planted(before, 3)
    Encryption(before).encrypt(PASSPHRASE)
    in_before = _seen(secrets, before.root)
    for home in (closed, before):
        Encryption(home).lock()
    what = f"of {SECRETS:,} planted secrets, seen in the files"
    return [
        _row(f"{what} of a plain home", in_plain, "secrets", "≥ 1000"),
        _row(f"{what} of a home that was encrypted first, and of DSPy's cache", in_closed, "secrets", "≤ 0"),
        _row(f"{what} of a home that was encrypted afterwards", in_before, "secrets", "≤ 0"),
    ]


def _content(home: Home, programs: list[str]) -> str:
    events = Store(home).frame("SELECT job_id, seq, kind, payload FROM events WHERE job_id LIKE 'job-%' ORDER BY ALL")
    states = [load_program(home, program) for program in programs]
    return hashlib.sha256(events.to_csv().encode() + repr(states).encode()).hexdigest()


def _kills(place: Path) -> list[dict[str, object]]:
    home, rng = Home.find(place / "killed").ensure(), random.Random(4)
    for job in range(40):
        with Journal(home, f"job-{job}") as journal:
            journal.append_many([Phase(text=f"fact {n} of {job}") for n in range(200)])
    programs = [save_program(home, {"instructions": f"program {n}"}) for n in range(60)]
    wanted = _content(home, programs)
    ways, way, passphrase, lost, killed, middle = ("encrypt", "rotate", "decrypt"), 0, PASSPHRASE, 0, 0, 0
    while killed < KILLS:
        if ways[way] != "decrypt":
            passphrase = f"{PASSPHRASE} {killed}"
        command = [sys.executable, "-c", _CHANGE, str(home.root), ways[way], passphrase]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 45)):  # a line a folder
                process.stdout.readline()
            time.sleep(rng.random() / 50)  # somewhere within a file
            process.kill()
        killed += process.returncode == -signal.SIGKILL
        middle += Encryption(home).state().unfinished is not None
        lost += _content(home, programs) != wanted
        if process.returncode == 0:  # it was faster
            way = (way + 1) % len(ways)
        elif rng.random() < 0.5:  # what was begun is finished, or else gone on with by whatever comes next
            subprocess.run(command, check=False, capture_output=True)
            way = 0 if not home.is_encrypted else rng.randrange(1, 3)
            lost += _content(home, programs) != wanted
        elif home.is_encrypted:
            way = rng.randrange(1, 3)
    if home.is_encrypted:
        Encryption(home).decrypt()
    lost += _content(home, programs) != wanted
    what = f"{KILLS} kill -9 of encryptions, rotations and decryptions"
    return [
        _row(f"{what}: looks at which something was lost", lost, "looks", "≤ 0"),
        _row(f"{what}: files left plain, or encrypted, at the end", _left(home), "files", "≤ 0"),
        _row(f"{what}: of these in the middle of one", middle, "kills", "≥ 15"),
    ]


def _left(home: Home) -> int:
    from skillfleet_nb.store.cipher import is_encrypted

    return sum(is_encrypted(file) for file in home.root.rglob("*") if file.is_file())
