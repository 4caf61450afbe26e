"""Runs killed at any moment, over nine optimizers and both engines, against a model server that counts.

What had come back to the run when it was killed is never bought again, and every call that the optimizer had seen is in
the journal; runs of several searches, and those that breed, come to the same program as undisturbed.
``SKILLFLEET_KILLS=n`` kills each n times (3), ``SKILLFLEET_LOAD=n`` does so beside n busy processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import psutil
from dspy.clients.cache import Cache
from dspy.lm15 import request_from_openai_chat
from made_up import SMALL, Data, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.events.audit import AUDIT
from skillfleet_nb.offline import OfflineEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCY_S, THREADS = 0.02, 4
MEMBERS = ("bootstrap_random_search", "gepa", "infer_rules")
SEVERAL = {
    name: {"members": MEMBERS, "settings": {m: SMALL[m] for m in MEMBERS}, **more}
    for name, more in (("ensemble", {}), ("portfolio", {"requests": 200}))
}
OPTIMIZERS = ("bootstrap_random_search", "copro", "evolve", "gepa", "infer_rules", "miprov2", "simba", *SEVERAL)
SAME = (*SEVERAL, "evolve")  # resumed, these come to the program that they come to undisturbed
KILLS, LOAD = int(os.environ.get("SKILLFLEET_KILLS", "3")), int(os.environ.get("SKILLFLEET_LOAD", "0"))


def cases() -> Iterator[str]:
    """Name each case: optimizer, engine, number."""
    for number in range(KILLS):
        for optimizer in OPTIMIZERS:
            for engine in ("thread", "process"):
                yield f"{optimizer} {engine} {number}"


def key(messages: Any) -> str:
    """Name a request by its texts, which client and server see alike."""
    texts: list[str] = []
    for message in messages:
        content = message["content"] if isinstance(message, dict) else message.content
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [str(part.get("text", "")) for part in parts]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def hold(case: str, folder: Path) -> dict[str, Any]:
    """Kill one run, resume it, and see what was bought twice."""
    optimizer, engine, _ = case.split()
    calls, best = undisturbed(optimizer)
    with _server() as server, _busy(LOAD):
        run = _started(folder, server.base, optimizer, engine)
        share = random.Random(case).uniform(0.05, 0.95)
        _until(lambda: len(server.asked) >= share * calls or run.poll() is not None)
        time.sleep(random.Random(f"{case}+").uniform(0, LATENCY_S))
        if run.poll() is not None:
            raise AssertionError(f"ended before it was killed: {(folder / 'child.log').read_text()[-800:]}")
        killed = time.monotonic()
        _kill(folder)
        run.wait()
        lines, told, asked = _lines(folder), _told(folder), len(server.asked)
        in_flight = [sent for _, _, sent in server.asked.values() if not sent or sent > killed - LATENCY_S]
        resumed = _started(folder, server.base, optimizer, "thread", resume=True)
        if resumed.wait(300):
            raise AssertionError(f"the resumed run failed: {(folder / 'child.log').read_text()[-800:]}")
        total = len(server.asked)
    came = {key for what, key in lines if what in {"hit", "put"}}
    asked_again = {key for what, key in _lines(folder)[len(lines) :] if what == "miss"}
    wrong = asked_again & came
    seen = sum(what == "seen" for what, _ in lines)
    missed = {key for what, key in lines if what == "miss"}
    measured = {
        "asked": asked, "all": total, "whole": calls, "in_flight": len(missed - came),
        "bought_twice": len(asked_again & missed), "of_which_had_come_back": len(wrong),
        "same": _best(folder) == best, "late": len(in_flight), "seen": seen, "told": told,
    }  # fmt: skip
    other = optimizer in SAME and not measured["same"]
    if wrong or other or told < seen or measured["bought_twice"] > measured["in_flight"]:
        raise AssertionError(json.dumps(measured))
    return measured


def _lines(folder: Path) -> list[tuple[str, str]]:
    text = (folder / "seen.log").read_text() if (folder / "seen.log").exists() else ""
    return [(line.split()[0], line.split()[1]) for line in text.splitlines()]


@cache
def undisturbed(optimizer: str) -> tuple[int, str | None]:
    """Run one to its end; how many requests are bought, and which program is best."""
    folder = Path(tempfile.mkdtemp(prefix="fire-kills-"))
    with _server() as server:
        run = _started(folder, server.base, optimizer, "thread")
        if run.wait(300):
            raise AssertionError((folder / "child.log").read_text()[-800:])
        return len(server.asked), _best(folder)


def _best(folder: Path) -> str | None:
    """Return the program that the job of a folder came to."""
    fleet = Fleet(folder / "home")
    return fleet.job(_only_job(fleet)).progress.best_program


def _only_job(fleet: Fleet) -> str:
    (job_id,) = {path.name for path in fleet.home.journal.iterdir()} - {AUDIT}
    return job_id


class _Server:
    """Counts requests, and answers them after `LATENCY_S` as the offline model does."""

    def __init__(self) -> None:
        engine, number, mutex = OfflineEngine(), iter(range(10**9)), threading.Lock()
        self.asked: dict[int, tuple[str, float, float]] = {}
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                named, received = key(body["messages"]), time.monotonic()
                with mutex:
                    mine = next(number)
                    asked[mine] = named, received, 0.0
                time.sleep(LATENCY_S)
                known = {k: v for k, v in body.items() if k in {"model", "messages", "temperature"}}
                answer = engine.complete(request_from_openai_chat(known))
                told = answer.usage
                data = json.dumps({
                    "id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                    "choices": [{"index": 0, "finish_reason": "stop",
                                 "message": {"role": "assistant", "content": answer.message.text or ""}}],
                    "usage": {"prompt_tokens": told.input_tokens, "completion_tokens": told.output_tokens,
                              "total_tokens": told.input_tokens + told.output_tokens},
                }).encode()  # fmt: skip
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    asked[mine] = named, received, time.monotonic()

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # cut connections are what is tried
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@contextmanager
def _server() -> Iterator[_Server]:
    server = _Server()
    threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(processes):
            busy = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def _started(folder: Path, base: str, optimizer: str, engine: str, *, resume: bool = False) -> subprocess.Popen[bytes]:
    env = {
        **os.environ, "DSPY_CACHEDIR": str(folder / "cache"), "FIRE_FOLDER": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "XDG_CONFIG_HOME": str(folder / "config"),
        "OPENAI_API_KEY": "none-is-asked-for",
    }  # fmt: skip
    env["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), str(Path(__file__).parents[1] / "runs"), env.get("PYTHONPATH", "")]
    )
    code = f"import fire_kills; fire_kills.child({str(folder)!r}, {base!r}, {optimizer!r}, {engine!r}, {resume})"
    with (folder / "child.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=log, stderr=log)


def _kill(folder: Path) -> None:
    """Kill what works for this case, a detached worker too."""
    mine = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("FIRE_FOLDER") == str(folder):
                mine.append(process)
    for process in mine:
        with suppress(psutil.Error):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(mine)


def _until(condition: Any) -> None:
    until = time.monotonic() + 300
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)


def _told(folder: Path) -> int:
    """Count the calls that are in the journal, as they lie on the disk."""
    files = [f for f in (folder / "home" / "journal").glob("*/*.jsonl") if f.name != "control.jsonl"]
    return sum(line.count(b'"lm_call"') for f in files for line in f.read_bytes().splitlines(keepends=True))


def _listen(folder: Path) -> None:
    """Write down, at once, what DSPy's cache was asked for and has kept: what had come back, and what is bought."""
    fd = os.open(folder / "seen.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    get, put = Cache.get, Cache.put

    def told_get(cache: Any, request: dict[str, Any], ignored: Any = None) -> Any:
        found = get(cache, request, ignored)
        os.write(fd, f"{'miss' if found is None else 'hit'} {cache.cache_key(request, ignored)}\n".encode())
        return found

    def told_put(cache: Any, request: dict[str, Any], value: Any, ignored: Any = None, *more: Any) -> None:
        put(cache, request, value, ignored, *more)
        os.write(fd, f"put {cache.cache_key(request, ignored)}\n".encode())

    Cache.get, Cache.put = told_get, told_put


class Seen(dspy.Module):  # type: ignore[misc]  # DSPy is untyped here
    """A program that writes down, at once, each answer that it has been handed."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place, self.predict = place, program()

    def forward(self, text: str) -> Any:
        answer = self.predict(text=text)
        fd = os.open(f"{self.place}/seen.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, b"seen -\n")
        os.close(fd)
        return answer


if "FIRE_FOLDER" in os.environ:  # in what is killed: also in a worker, which imports this for the program
    _listen(Path(os.environ["FIRE_FOLDER"]))


def child(place: str, base: str, optimizer: str, engine: str, resume: bool) -> None:  # noqa: FBT001  a command line
    """Run the job, or what is left of it."""
    folder = Path(place)
    fleet = Fleet(folder / "home")
    if resume:
        fleet.resume(_only_job(fleet)).result()
        return
    lm = dspy.LM("openai/counted", api_base=base, num_retries=0)
    job = fleet.optimize(
        Seen(place), lm=lm, metric=told, optimizer=optimizer, params=SEVERAL.get(optimizer) or SMALL[optimizer], seed=3,
        num_threads=THREADS, engine=engine, **Data().splits(),
    )  # fmt: skip
    job.result()
