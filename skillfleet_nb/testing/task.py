"""The small tasks that optimizers are tried on: real messages, programs of one and two predictors, a model at hand."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.offline.engine import OfflineEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dspy.lm15 import Request, Response

    from skillfleet_nb.typing import Example, Prediction, Program

_INTENTS = ("access_request", "billing_question", "bug_report", "deployment_help")


def splits(sizes: Mapping[str, int]) -> dict[str, list[Example]]:
    """Return the examples: messages in turns of their intents."""
    bundled_rows = bundled("intents")
    by = [[row for row in bundled_rows if row["intent"] == intent] for intent in _INTENTS]
    rows = [dspy.Example(**row).with_inputs("text") for turn in zip(*by, strict=False) for row in turn]
    parts, start = {}, 0
    for name, size in sizes.items():
        parts[name] = rows[start : start + size]
        start += size
    return parts


def one_predictor() -> Program:
    """Make the program of one predictor."""
    return dspy.Predict(_signature("text"))


def two_predictors() -> Program:
    """Make the program whose second predictor reads what the first one wrote."""
    return _TwoSteps()


class _TwoSteps(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    def __init__(self) -> None:
        super().__init__()
        self.gist = dspy.Predict(dspy.Signature("text -> gist", "Say what the message is about."))
        self.sort = dspy.Predict(_signature("text", "gist"))

    def forward(self, text: str) -> Prediction:
        return self.sort(text=text, gist=self.gist(text=text).gist)


def _signature(*inputs: str) -> Any:
    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in inputs}
    fields["intent"] = (Literal[_INTENTS], dspy.OutputField())
    return dspy.Signature(fields, "Classify the message by intent.")


class Exact:
    """A metric that tells right from wrong, and counts what it was asked by example.

    What is seen of the run goes into the file `report`; `engine` answers the program.
    """

    def __init__(self, report: str, engine: Engine) -> None:
        self.report, self.engine = report, engine
        self.asked: Counter[str] = Counter()

    def __call__(self, example: Example, pred: Prediction, trace: object = None) -> Any:
        """Score one prediction."""
        del trace
        self.asked[example.text] += 1
        return bool(example.intent == pred.intent)


class Told(Exact):
    """A metric that says what was wrong."""

    def __call__(
        self, example: Example, pred: Prediction, trace: object = None, pred_name: object = None,
        pred_trace: object = None,
    ) -> Any:  # fmt: skip
        """Score one prediction, with feedback."""
        del pred_name, pred_trace
        right = super().__call__(example, pred, trace)
        feedback = "Right." if right else f"The intent is {example.intent!r}, not {pred.intent!r}."
        return dspy.Prediction(score=float(right), feedback=feedback)


class Engine(OfflineEngine):
    """The offline engine, which counts its calls, and kills its process at call `kill_at` if the file `mark` is there.

    One object of a process, however often models are copied.
    """

    def __init__(self, mark: str = "", kill_at: int = 0) -> None:
        super().__init__()
        self.mark, self.kill_at, self.calls = mark, kill_at, 0

    def __getstate__(self) -> dict[str, Any]:
        return {"mark": self.mark, "kill_at": self.kill_at}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # as it was made

    def complete(self, request: Request) -> Response:
        """Answer one request."""
        self.calls += 1
        if 0 < self.kill_at <= self.calls and Path(self.mark).is_file():
            Path(self.mark).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().complete(request)
