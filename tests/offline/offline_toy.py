"""A toy task for the offline model's tests: tickets whose words say nothing of their label's name."""

from __future__ import annotations

from typing import Any, Literal

import dspy

CUES = {
    "billing": ("refund", "invoice", "charge", "payment", "receipt"),
    "tech": ("crash", "login", "error", "freeze", "timeout"),
    "sales": ("price", "quote", "discount", "trial", "upgrade"),
}


def tickets(n: int, start: int = 0) -> list[dspy.Example]:
    """`n` tickets of the toy task, labels in turn."""
    rows = []
    for i in range(start, start + n):
        label = list(CUES)[i % 3]
        word = CUES[label][(i // 3) % 5]
        rows.append(dspy.Example(text=f"note {i}: someone mentions {word} again", label=label).with_inputs("text"))
    return rows


def triage() -> dspy.Predict:
    """A fresh program for the toy task."""
    fields = {"text": (str, dspy.InputField()), "label": (Literal["billing", "tech", "sales"], dspy.OutputField())}
    return dspy.Predict(dspy.Signature(fields, "Sort the note."))


def exact(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Exact match, as a float or with feedback for GEPA."""
    right = gold.label == getattr(pred, "label", None)
    return float(right)


def with_feedback(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Exact match with the right label as feedback."""
    right = gold.label == pred.label
    return dspy.Prediction(
        score=float(right), feedback="Correct." if right else f"expected {gold.label}, got {pred.label}"
    )


def accuracy(program: Any, examples: list[dspy.Example]) -> float:
    """Share of examples answered right."""
    return sum(program(**e.inputs()).label == e.label for e in examples) / len(examples)
