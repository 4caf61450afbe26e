"""The main job on the package's own data with one of its own models: what a person sees first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.job_views import JobReport
from skillfleet_nb.commands.views import Note
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.lm.task_models import OWN, own_lm

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.typing import Example, Prediction, Program

_INTENTS, _EACH, _CALLS = 4, 15, 160  # for a small real model: some minutes


@command(
    "demo",
    "run the main job on the package's own data with one of its own models",
    argument("--optimizer", default="bootstrap_random_search", metavar="OPTIMIZER"),
    argument("--lm", choices=OWN, default="offline", help="the scripted one, or a small real one: minutes"),
    argument("--seed", type=int, default=7),
    examples=("demo", "demo --optimizer gepa", "demo --lm local"),
    task="Prepare",
    place=0,
)
def _demo(context: Context, a: argparse.Namespace) -> JobReport:
    """Classify help-desk messages by intent: optimise, test, and show what came of it.

    A small real model, ``--lm local``, does so on fewer messages, with a budget of 160 calls.
    """
    import dspy

    rows, is_real = bundled("intents"), a.lm == "local"
    if is_real:
        rows = _some_of_each(rows, _INTENTS, _EACH)
    with dspy.context(adapter=dspy.JSONAdapter() if is_real else dspy.settings.adapter):
        job = context.fleet.optimize(
            intent_program(sorted({r["intent"] for r in rows})),
            train=rows,
            metric=exact_intent,
            optimizer=a.optimizer,
            lm=own_lm(a.lm, constrained=True) if is_real else own_lm(a.lm),
            max_calls=_CALLS if is_real else None,
            seed=a.seed,
            name="demo",
        )
    model = f"a small real model on this machine, in {_CALLS} calls" if is_real else "the offline LM"
    context.say(Note(f"Optimising a program that sorts help-desk messages by intent, with {model}: no key, no cost."))
    context.say(Note(job.splits))
    context.wait(job)
    job.result()
    return JobReport(job, context.fleet.trials(job.id))


def _some_of_each(rows: list[dict[str, str]], intents: int, each: int) -> list[dict[str, str]]:
    chosen = sorted({r["intent"] for r in rows})[:intents]
    return [r for intent in chosen for r in [r for r in rows if r["intent"] == intent][:each]]


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
