"""What DSPy says will change in 3.5: requests of its own type take the place of messages, and 3.4's warnings go."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from skillfleet_nb import Fleet, offline_lm

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [dspy.Example(text=f"shade {n}", label="x").with_inputs("text") for n in range(9)]


class Asking(dspy.Module):
    """Asks its model with a request, which adapters of 3.5 will do."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("text -> label")

    def forward(self, text: str) -> dspy.Prediction:
        from dspy.lm15 import Message, Request

        lm = dspy.settings.lm
        answer = lm(Request(model=lm.model, messages=(Message.user(f"Name a colour like {text}."),)))
        return dspy.Prediction(label=str(answer))


class Away:
    """An engine whose server is away."""

    def complete(self, request: Any) -> Any:
        from dspy.lm15 import AuthError

        raise AuthError("no such key")

    def close(self) -> None:
        """Nothing is open."""


def test_calls_with_requests_are_counted(tmp_path: Path) -> None:
    job = Fleet(tmp_path).evaluate(Asking(), ROWS, lambda e, p, trace=None: 0.5, lm=offline_lm(cache=False))
    assert job.result().lm_calls == len(ROWS)


@pytest.mark.filterwarnings("ignore:Passing OpenAI-style message:DeprecationWarning")  # what the marks are there for
def test_another_model_takes_over_without_the_marks_of_3_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("dspy.clients.execution")  # what 3.4 itself takes of it
    monkeypatch.delattr("dspy.clients._deprecation.adapter_message_call")
    job = Fleet(tmp_path).optimize(
        dspy.Predict("text -> label"), train=ROWS[:3], val=ROWS[3:6], test=ROWS[6:], optimizer="labeled_fewshot",
        metric=lambda e, p, trace=None: 0.5, lm=dspy.LM("custom/away", engine=Away(), cache=False, num_retries=0),
        fallback_lm=offline_lm(cache=False),
    )  # fmt: skip
    result = job.result()
    assert result.test_score == 0.5
    assert result.lm_calls >= 9  # of each split, and some that the other model failed
