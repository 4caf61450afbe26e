"""How long one cycle takes: every optimizer at its presets on 77 intents, with a model that takes half a second.

Forecast, not run: what `estimate` says for 1,000 training, 300 validation and 300 test examples, which plays each
optimizer's loop without a model and reckons the time of its calls (how right that is, *forecast* above tells).  Each is
forecast at 1 to 64 threads; told is the least of these numbers that comes within a tenth of the shortest time, and what
most of the time is then.  The model has no limit a minute.

Run: ``python tests/benchmarks/bench_cycle.py``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.data.bundled import bundled

INTENTS, LATENCY_S, MOST_MIN = 77, 0.5, 120.0
THREADS = (1, 2, 4, 8, 16, 32, 64)
LATENCIES = (0.2, 0.5, 1.0, 2.0, 5.0)
SHOWN = {"bootstrap_random_search", "miprov2 light", "miprov2 medium", "gepa light", "gepa medium", "simba", "copro"}


def row(what: str, value: float, unit: str, target: float | str | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def rows(n: int, start: int) -> list[dspy.Example]:
    """Make messages as long as real ones, of all intents in turns."""
    texts = [known["text"] for known in bundled("intents")]
    made = range(start, start + n)
    pairs = [(f"{texts[i % len(texts)]} ({i})", f"intent_{i % INTENTS}") for i in made]
    return [dspy.Example(text=text, intent=intent).with_inputs("text") for text, intent in pairs]


def task() -> dict[str, Any]:
    labels = tuple(f"intent_{i}" for i in range(INTENTS))
    signature = dspy.Signature(
        {"text": (str, dspy.InputField()), "intent": (Literal[labels], dspy.OutputField())},
        "Classify the message by intent.",
    )
    data = {"train": rows(1000, 0), "val": rows(300, 1000), "test": rows(300, 1300)}
    return {"program": dspy.Predict(signature), "metric": exact, **data}


def exact(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent == pred.intent)


def forecast(fleet: Fleet, given: dict[str, Any], configuration: Any, threads: int, latency_s: float) -> Any:
    lm = offline_lm(latency_s=latency_s, name=f"cycle-{latency_s:g}")
    return fleet.advice.estimate(
        **given, lm=lm, optimizer=configuration.optimizer, params=configuration.params, num_threads=threads, probe=0
    )


def run() -> list[dict[str, Any]]:
    """Forecast everything."""
    rows_: list[dict[str, Any]] = []
    given = task()
    with tempfile.TemporaryDirectory() as place:
        fleet = Fleet(Path(place) / "home")
        for configuration in installed().configurations:
            told = {n: forecast(fleet, given, configuration, n, LATENCY_S) for n in THREADS}
            shortest = min(one.wall_s.expected for one in told.values())
            best = min(n for n, one in told.items() if one.wall_s.expected <= 1.1 * shortest)
            bound = told[best].bound.partition(":")[0].partition(",")[0]
            what = f"{configuration.name}, {best} threads, {told[best].calls.expected:,.0f} calls; mostly {bound}"
            rows_.append(row(what, told[best].wall_s.expected / 60, "min", f"≤ {MOST_MIN:g}"))
            if configuration.name in SHOWN:
                for latency_s in LATENCIES:
                    high = ((n, forecast(fleet, given, configuration, n, latency_s).wall_s.high) for n in THREADS)
                    enough = next((n for n, seconds in high if seconds < 60 * MOST_MIN), 0)
                    what = f"{configuration.name}, {latency_s:g} s a call: threads for nine of ten cycles under 2 h"
                    rows_.append(row(what, enough, "threads (0: over 64)", None))
    return rows_


if __name__ == "__main__":
    for one in run():
        print(f"{one['what']}: {one['value']:.3g} {one['unit']} (target {one['target']})", file=sys.stdout)
