"""Events of continuous learning: feedback, policies, and every step that follows from them."""

from __future__ import annotations

from typing import Any, Final, Literal

from skillfleet_nb.events.payload import Payload

FEEDBACK: Final = "feedback"
"""The stream of the journal with what people said of answers."""

POLICIES: Final = "learn"
"""The stream of the journal with the policies; the steps of each stand in one of its own, ``learn.NAME``."""

LearnStepName = Literal[
    "triggered", "refused", "started", "trained", "failed", "gated", "asked", "promoted", "kept", "rejected"
]


class FeedbackGiven(Payload):
    """Somebody said how good an answer of a program was, and what is right; the first of an `id` counts."""

    kind: Literal["feedback"] = "feedback"
    name: str
    id: str
    inputs: dict[str, Any]
    score: float | None = None
    correction: dict[str, Any] | None = None
    by: str = ""


class PolicySet(Payload):
    """When a program is trained anew, on what budget, and what becomes of the result; the last of a name counts."""

    kind: Literal["policy"] = "policy"
    name: str
    alias: str
    on: tuple[str, ...]
    budget_usd: float | None = None
    max_calls: int | None = None
    optimizer: str = "auto"
    promote: Literal["ask", "auto", "never"] = "ask"
    gain: float = 0.0
    guardrails: tuple[str, ...] = ()
    golden: str | None = None
    by: str = ""


class LearnStep(Payload):
    """A step of a cycle, which begins with a trigger and ends with a decision; cycles of a name count from 1.

    `baseline` is the version that the alias stood for, `version` the one that was made, `text` why or with what
    evidence, `cost_usd` what the step bought, None where that is not known.
    """

    kind: Literal["learn"] = "learn"
    name: str
    cycle: int
    step: LearnStepName
    text: str
    job_id: str | None = None
    version: int | None = None
    baseline: int | None = None
    passed: bool | None = None
    calls: int | None = None
    cost_usd: float | None = None
    by: str = ""


LearningPayload = FeedbackGiven | PolicySet | LearnStep
"""Every kind of fact about continuous learning."""
