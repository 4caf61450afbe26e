"""A small task for detached jobs, a model that writes down what really reaches it, and ways to wait and to kill."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.offline.engine import OfflineEngine
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from skillfleet_nb import Fleet, Job

INTENTS = ("access_request", "billing_question", "bug_report", "deployment_help")
SEED, THREADS = 3, 2
_names = (f"logged-{os.getpid()}-{n}" for n in itertools.count())

SMALL: dict[str, dict[str, Any]] = {
    "bootstrap_random_search": {"num_candidate_programs": 3, "max_labeled_demos": 4},
    "copro": {"breadth": 3, "depth": 2},
    "miprov2": {"num_candidates": 3, "num_trials": 4, "minibatch_size": 6, "minibatch_full_eval_steps": 2},
    "simba": {"bsize": 8, "num_candidates": 3, "max_steps": 2},
    "gepa": {"max_metric_calls": 80},
    "tune_signature": {"rounds": 2},
}


class Logged(OfflineEngine):
    """The offline engine, writing a byte to a file for each call that reaches it; works from any process.

    While the file `hold` exists, those calls wait that it tells of, as JSON: by their number, from `first`
    on, or by one of `texts` in their prompt.
    """

    def __init__(self, file: str, *, hold: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.file, self.hold = file, hold

    def __deepcopy__(self, memo: dict[int, Any]) -> Logged:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "hold": self.hold, "latency_s": self.latency_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # as it was made

    def complete(self, request: Any) -> Any:
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(fd, b".")
            number = os.lseek(fd, 0, os.SEEK_CUR)  # the end of what was just written
        finally:
            os.close(fd)
        prompt = "\n".join(str(m.text) for m in request.messages)
        while self._holds(number, prompt):
            time.sleep(0.01)
        return super().complete(request)

    def _holds(self, number: int, prompt: str) -> bool:
        try:
            with open(self.hold, encoding="utf-8") as file:  # noqa: PTH123  the fast way, in a loop
                told = json.load(file)
        except FileNotFoundError:
            return False
        return bool(number >= told["first"] and (not told["texts"] or any(text in prompt for text in told["texts"])))


class LoggedLM:
    """A model over a `Logged` engine under a name of its own, for DSPy's cache goes by names."""

    def __init__(self, folder: Path, latency_s: float = 0.0, **kwargs: Any) -> None:
        name = next(_names)
        self.file, self.holding = folder / f"{name}.calls", folder / f"{name}.hold"
        engine = Logged(str(self.file), hold=str(self.holding), latency_s=latency_s)
        self.lm = dspy.LM(f"skillfleet/{name}", engine=engine, **kwargs)

    @property
    def calls(self) -> int:
        """How many calls reached the model, of all processes."""
        return self.file.stat().st_size if self.file.exists() else 0

    def hold(self, *, first: int = 0, texts: Iterable[str] = ()) -> None:
        """Let calls wait: from the `first`-th of all processes on, and with one of `texts` in the prompt."""
        told = self.holding.with_suffix(".new")
        told.write_text(json.dumps({"first": first, "texts": list(texts)}), encoding="utf-8")
        told.replace(self.holding)

    def hold_on(self, split: str) -> None:
        """Let calls wait that tell of the examples of a split: no other phase of a run asks them."""
        self.hold(texts=[example.text for example in splits()[split]])

    def release(self) -> None:
        """Let them go on."""
        self.holding.unlink(missing_ok=True)


def rows(a_class: int = 12) -> list[dspy.Example]:
    """Return `a_class` messages of each intent, in turns."""
    known = bundled("intents")
    by = [[r for r in known if r["intent"] == i][:a_class] for i in INTENTS]
    return [dspy.Example(**r).with_inputs("text") for turn in zip(*by, strict=True) for r in turn]


def splits(a_class: int = 12) -> dict[str, list[dspy.Example]]:
    """Cut the rows: half for training, a quarter each for validation and test."""
    known = rows(a_class)
    n = len(known) // 4
    return {"train": known[: 2 * n], "val": known[2 * n : 3 * n], "test": known[3 * n :]}


def program() -> dspy.Module:
    signature = dspy.Signature(
        {"text": (str, dspy.InputField()), "intent": (Literal[INTENTS], dspy.OutputField())},
        "Classify the message by intent.",
    )
    return dspy.Predict(signature)


def metric(example: Any, pred: Any, trace: Any = None) -> dspy.Prediction:
    right = example.intent == pred.intent
    return dspy.Prediction(score=float(right), feedback="Right." if right else f"Expected {example.intent!r}.")


def setup(lm: Any, optimizer: str = "bootstrap_random_search", **changed: Any) -> dict[str, Any]:
    """Return what ``Fleet.optimize`` takes for the small task."""
    given = {"metric": metric, "optimizer": optimizer, "params": SMALL.get(optimizer), "lm": lm, "seed": SEED}
    # Two threads of SIMBA may ask the same question at the same time, and then both buy: its calls vary by a few.
    threads = 1 if optimizer == "simba" else THREADS
    return {"program": program(), **given, "num_threads": threads, "engine": "process", **splits(), **changed}


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something holds, and return what it is; a wait in vain ends with the suite's time limit."""
    while not (found := condition()):
        time.sleep(0.01)
    return found


def kill(job: Job) -> None:
    """Kill the job's process as a crash would, and wait until it is gone."""
    pid = until(lambda: job.pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.pid is None)


def events(fleet: Fleet, job_id: str, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of a kind, in order."""
    return [e.payload.model_dump() for e in follow(fleet.home, job_id).poll() if e.kind == kind]


def bought(fleet: Fleet, job_id: str) -> int:
    """How many bought calls the job's journal tells of."""
    return sum(not p["cached"] for p in events(fleet, job_id, "lm_call"))


def ends(fleet: Fleet, job_id: str) -> list[str]:
    """Return the final states that the journal tells of, in order."""
    final = {"completed", "failed", "cancelled", "interrupted"}
    return [p["state"] for p in events(fleet, job_id, "state") if p["state"] in final]
