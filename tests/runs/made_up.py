"""A small task on the project's own data, and models that count what really reaches them."""

from __future__ import annotations

import itertools
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.offline.engine import AsyncOfflineEngine, OfflineEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTENTS = ("access_request", "billing_question", "bug_report", "deployment_help")
# By process as well: kernels and commands that tests start share the cache.
_names = (f"counted-{os.getpid()}-{n}" for n in itertools.count())

SMALL: dict[str, dict[str, Any]] = {
    "labeled_fewshot": {"k": 4},
    "bootstrap_fewshot": {"max_bootstrapped_demos": 2, "max_labeled_demos": 4},
    "bootstrap_random_search": {"num_candidate_programs": 3, "max_labeled_demos": 4},
    "copro": {"breadth": 3, "depth": 2},
    "miprov2": {"num_candidates": 3, "num_trials": 4, "minibatch_size": 6, "minibatch_full_eval_steps": 2},
    "simba": {"bsize": 8, "num_candidates": 3, "max_steps": 2},
    "gepa": {"max_metric_calls": 80},
    "infer_rules": {"num_candidates": 3, "num_rules": 4},
    "better_together": {"steps": "labeled_fewshot -> infer_rules"},
    "tune_signature": {"rounds": 2},
    "evolve": {"population": 3, "generations": 2, "max_demos": 4},
}
"""Parameters that keep every optimizer quick; knn_fewshot loads an embedding model and is tried on its own."""


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something holds, and return what it is; a wait in vain ends with the suite's time limit."""
    while not (found := condition()):
        time.sleep(0.01)
    return found


class Clock:
    """Stands in for the module ``time``: its clock can be put forward."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    def forward(self, seconds: float) -> None:
        self._ahead_s += seconds


class HoldFile:
    """A gate that processes share: shut while the file is there."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def wait(self) -> None:
        until(lambda: not os.path.exists(self.path))  # noqa: PTH110  the fast way, in a loop


class Counting(OfflineEngine):
    """The offline engine, telling what reached it; one object however often models are copied.

    `fail` may raise for a request; `gate`, when given, holds every call after the first `free` ones until
    it is open: so a test does not depend on how far a run gets meanwhile.
    """

    def __init__(
        self,
        fail: Callable[[int], None] | None = None,
        gate: threading.Event | HoldFile | None = None,
        free: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.calls = 0
        self.flying = 0
        self.most_flying = 0
        self.prompts: list[str] = []
        self.reached = threading.Event()
        self._count = threading.Lock()
        self._fail, self._gate, self._free = fail, gate, free

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        return self

    def complete(self, request: Any) -> Any:
        with self._count:
            self.calls += 1
            n = self.calls
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
            self.prompts.append("\n".join(str(m.text) for m in request.messages))
        self.reached.set()
        try:
            if self._gate is not None and n > self._free:
                self._gate.wait()
            if self._fail is not None:
                self._fail(n)
            return super().complete(request)
        finally:
            with self._count:
                self.flying -= 1


def counted_lm(engine: Counting | None = None, **lm_kwargs: Any) -> tuple[dspy.LM, Counting]:
    """Make a model over a counting engine, under a name of its own: DSPy's cache goes by names."""
    engine = engine or Counting()
    name = lm_kwargs.pop("name", None) or next(_names)
    lm = dspy.LM(f"skillfleet/{name}", engine=engine, async_engine=AsyncOfflineEngine(engine), **lm_kwargs)
    return lm, engine


def rows(a_class: int = 12, intents: tuple[str, ...] = INTENTS) -> list[dspy.Example]:
    """Return `a_class` messages of each intent, in turns."""
    known = bundled("intents")
    by = [[r for r in known if r["intent"] == i][:a_class] for i in intents]
    return [dspy.Example(**r).with_inputs("text") for turn in zip(*by, strict=True) for r in turn]


@dataclass
class Data:
    """Given splits: train 24, val 12, test 12 by default."""

    all: list[dspy.Example] = field(default_factory=rows)

    @property
    def train(self) -> list[dspy.Example]:
        return self.all[: len(self.all) // 2]

    @property
    def val(self) -> list[dspy.Example]:
        return self.all[len(self.all) // 2 : 3 * len(self.all) // 4]

    @property
    def test(self) -> list[dspy.Example]:
        return self.all[3 * len(self.all) // 4 :]

    def splits(self) -> dict[str, list[dspy.Example]]:
        return {"train": self.train, "val": self.val, "test": self.test}


def program(intents: tuple[str, ...] = INTENTS) -> dspy.Module:
    signature = dspy.Signature(
        {"text": (str, dspy.InputField()), "intent": (Literal[intents], dspy.OutputField())},
        "Classify the message by intent.",
    )
    return dspy.Predict(signature)


def exact(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent == pred.intent)


def told(example: Any, pred: Any, trace: Any = None) -> dspy.Prediction:
    right = example.intent == pred.intent
    return dspy.Prediction(score=float(right), feedback="Right." if right else f"Expected {example.intent!r}.")


__all__ = [
    "INTENTS",
    "SMALL",
    "Clock",
    "Counting",
    "Data",
    "HoldFile",
    "counted_lm",
    "exact",
    "program",
    "rows",
    "told",
    "until",
]
