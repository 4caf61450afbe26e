"""Running a program on examples for advice, through a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.example import is_answer
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.tap import own_models, tapped_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.lm.session import Session
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.typing import Example, Prediction, Program


class Scored(NamedTuple):
    """What a program answered, and its score in [0, 1]; both None where it failed."""

    prediction: Prediction | None
    score: float | None


def answers_of(
    session: Session, gate: Gate, task: CheckedTask, program: Program, examples: Sequence[Example]
) -> list[Scored]:
    """Run a program on examples with the models and threads of a task; return nothing where calls were refused."""
    import dspy

    with session.logged(), session.models(gate, task.lm):
        metered = tapped_program(gate, program.deepcopy()) if own_models(program) else program
        try:
            evaluate = dspy.Evaluate(
                devset=list(examples),
                metric=task.metric,
                num_threads=task.num_threads,
                max_errors=len(examples) + 1,
            )
            rows = off_loop(evaluate)(metered).results
        except RunStopped:
            return []
    return [
        Scored(prediction, float(score)) if is_answer(prediction) else Scored(None, None)
        for _, prediction, score in rows
    ]
