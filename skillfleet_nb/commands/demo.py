"""The main job on the package's own data with the offline LM: what a person sees first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import JobReport, Note

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.typing import Example, Prediction, Program


@command(
    "demo",
    "run the main job on the package's own data with the offline LM",
    argument("--optimizer", default="bootstrap_random_search", metavar="OPTIMIZER"),
    argument("--seed", type=int, default=7),
    examples=("demo", "demo --optimizer gepa"),
    task="Prepare",
    place=0,
)
def _demo(context: Context, a: argparse.Namespace) -> JobReport:
    """Classify help-desk messages by intent: optimise, test, and show what came of it."""
    from skillfleet_nb.data.bundled import bundled
    from skillfleet_nb.offline import offline_lm

    context.say(
        Note("Optimising a program that sorts help-desk messages by intent, with the offline LM: no key, no cost.")
    )
    rows = bundled("intents")
    job = context.fleet.optimize(
        intent_program(sorted({r["intent"] for r in rows})),
        train=rows,
        metric=exact_intent,
        optimizer=a.optimizer,
        lm=offline_lm(),
        seed=a.seed,
        name="demo",
    )
    context.say(Note(job.splits))
    context.wait(job)
    job.result()
    return JobReport(job, context.fleet.trials(job.id))


def intent_program(intents: list[str]) -> Program:
    """Make the demo's program: one ``dspy.Predict`` over the given intents."""
    from typing import Literal

    import dspy

    signature = dspy.Signature(
        {
            "text": (str, dspy.InputField()),
            "intent": (Literal[tuple(intents)], dspy.OutputField()),
        },
        "Classify the message by intent.",
    )
    return dspy.Predict(signature)


def exact_intent(example: Example, pred: Prediction, trace: object = None) -> Prediction:
    """Score 1 for the right intent; the feedback names it."""
    del trace
    import dspy

    right = example.intent == pred.intent
    feedback = "Right." if right else f"Expected {example.intent!r}, got {pred.intent!r}."
    return dspy.Prediction(score=float(right), feedback=feedback)
