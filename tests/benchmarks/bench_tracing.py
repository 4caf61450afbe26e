"""What monitoring a program costs, and how soon its monitor is drawn.

1. Time of a call of 20 ms, monitored in whole and by a tenth, over that of the program alone, taking turns in blocks.
2. CPU that monitoring adds to a call, and what DSPy's own dispatch of callbacks adds without it: an empty callback.
3. ``fleet.usage`` and its page over 50,000 recorded predictions.

Run: ``python tests/benchmarks/bench_tracing.py``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

import dspy
from dspy.lm15 import Message, Response, TextPart, Usage
from dspy.utils.callback import BaseCallback

import skillfleet_nb as sf
from skillfleet_nb.events import Traced
from skillfleet_nb.store import Journal, new_stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Seconds: TypeAlias = dict[str, list[float]]

_TEXT = "The app is broken since the update, it crashes on start and I cannot export my data. " * 3
_ANSWER = "[[ ## label ## ]]\nbug\n\n[[ ## completed ## ]]"
_ROUNDS, _BLOCK, _RECORDED = 24, 25, 50_000


class _Answers:
    """Answers after a while, as a model does."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    def complete(self, request: Any) -> Response:
        time.sleep(self._latency_s)
        message = Message.assistant([TextPart(_ANSWER)])
        return Response(id=None, model=request.model, message=message, finish_reason="stop",
                        usage=Usage(input_tokens=100, output_tokens=5))  # fmt: skip

    def close(self) -> None:
        """Hold nothing."""


def row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    """Make a row of the page."""
    return {"what": what, "value": value, "unit": unit, "target": target}


def run() -> list[dict[str, Any]]:
    """Measure all."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_calls(folder), *_monitor(folder)]


def _calls(folder: str) -> list[dict[str, Any]]:
    program = dspy.Predict("text -> label")
    whole = sf.monitored(program, home=folder, name="whole")
    tenth = sf.monitored(program, 0.1, home=folder, name="tenth")
    watched = [BaseCallback()]

    def dispatched(**inputs: Any) -> Any:
        with dspy.context(callbacks=watched):
            return program(**inputs)

    ways = {"plain": program, "dispatched": dispatched, "whole": whole, "tenth": tenth}
    walls, _ = _timed(ways, 0.02)
    _, cpus = _timed(ways, 0.0)
    whole.close()
    tenth.close()
    added = {way: 1000 * _median_of_differences(cpus[way], cpus["plain"]) for way in ways}
    plain_s = statistics.median(walls["plain"])
    shares = {way: 100 * _median_of_differences(walls[way], walls["plain"]) / plain_s for way in ways}
    call = f"a call of {1000 * plain_s:.1f} ms"
    return [
        row(f"time that monitoring adds to {call}, all recorded", shares["whole"], "%", "≤ 3"),
        row(f"time that monitoring adds to {call}, a tenth recorded", shares["tenth"], "%", "≤ 1"),
        row("CPU that monitoring adds to a call, all recorded", added["whole"], "ms/call", "≤ 0.3"),
        row("of it DSPy's dispatch of callbacks, with one that does nothing", added["dispatched"], "ms/call"),
        row("CPU that monitoring adds to a call, a tenth recorded", added["tenth"], "ms/call"),
    ]


def _timed(
    ways: dict[str, Callable[..., Any]], latency_s: float
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Call each way in blocks that take turns; return for each block the mean wall and CPU time of a call."""
    lm = dspy.LM("bench/one-1", engine=_Answers(latency_s), cache=False)
    walls: dict[str, list[float]] = {way: [] for way in ways}
    cpus: dict[str, list[float]] = {way: [] for way in ways}
    number = itertools.count()
    with dspy.context(lm=lm):
        for way, _ in itertools.product(ways, range(10)):
            ways[way](text="warm up")
        for turn in range(_ROUNDS):
            order = list(ways) if turn % 2 else list(ways)[::-1]
            for way in order:
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(_BLOCK):
                    ways[way](text=f"{next(number)} {_TEXT}")
                time.sleep(0.06)  # what is posted is written within 50 ms, and its CPU counts
                walls[way].append((time.perf_counter() - wall - 0.06) / _BLOCK)
                cpus[way].append((time.process_time() - cpu) / _BLOCK)
    return walls, cpus


def _median_of_differences(these: list[float], those: list[float]) -> float:
    return statistics.median(a - b for a, b in zip(these, those, strict=True))


def _monitor(folder: str) -> list[dict[str, Any]]:
    rng = random.Random(1)
    fleet = sf.Fleet(folder)
    with Journal(fleet.home, new_stream("traced")) as journal:
        for at in range(0, _RECORDED, 1000):
            journal.append_many([_prediction(n, rng) for n in range(at, at + 1000)])
    fleet.store.fold()
    times, drawn = [], []
    for _ in range(5):
        started = time.perf_counter()
        usage = fleet.usage("many")
        times.append(time.perf_counter() - started)
        usage.html()
        drawn.append(time.perf_counter() - started)
    assert usage.predictions == _RECORDED
    what = f"the monitor's figures over {_RECORDED:,} recorded predictions of an hour"
    return [
        row(what, statistics.median(times), "s"),
        row(f"{what}, and its page", statistics.median(drawn), "s", "< 2"),
    ]


def _prediction(number: int, rng: random.Random) -> Traced:
    shape = {"start_s": 0.0, "latency_s": 0.1, "error": None, "attributes": {}, "input": _TEXT, "output": "bug"}
    used = {"model": "a/b", "input_tokens": 100, "output_tokens": 5, "cached": False, "cost_usd": 0.001}
    root = {**shape, "span_id": f"r{number}", "parent_id": None, "name": "many", "operation": "invoke_workflow"}
    calls = [
        {**shape, **used, "span_id": f"c{number}-{k}", "parent_id": f"r{number}", "name": "a/b", "operation": "chat"}
        for k in range(3)
    ]
    return Traced(
        name="many", trace_id=f"{number:032x}", share=0.1, latency_s=rng.lognormvariate(-1, 0.5),
        error="LookupError: no" if rng.random() < 0.02 else None, score=rng.random() if not number % 10 else None,
        spans=(root, *calls),
    )  # fmt: skip


if __name__ == "__main__":
    for measured in run():
        print(measured)
