"""How a recorder hears of trials, for which DSPy has no event.

Most optimizers score candidates with ``dspy.Evaluate``, whose callbacks name the program and give its rows; the
program is copied as the evaluation starts, for COPRO goes on changing the one it scores.  SIMBA scores outside
``Evaluate``: there the program that ran last on a thread is joined with the metric's next call on it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from skillfleet_nb.events import ExampleScore
from skillfleet_nb.runs.running_program import last_run, untracked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import dspy
    from dspy.utils.callback import BaseCallback

    from skillfleet_nb.events import Trying
    from skillfleet_nb.runs.metric import Score
    from skillfleet_nb.runs.racing import Race, Racing
    from skillfleet_nb.runs.recorder import Recorder
    from skillfleet_nb.typing import Example, Program


class _Evaluation(NamedTuple):
    """An evaluation that is on: what is scored, and what ends with it."""

    given: Program
    program: Program
    trying: Trying | None
    devset: Sequence[Example]
    race: Race | None
    inside: ExitStack
    unanswered: int


def evaluation_callback(
    recorder: Recorder, on_rows: Callable[[Sequence[ExampleScore]], None], racing: Racing | None = None
) -> BaseCallback:
    """Make the DSPy callback that records every ``dspy.Evaluate`` on examples of the run as a trial.

    Parameters
    ----------
    on_rows
        Called with the rows of each, once they are recorded.
    racing
        Ends evaluations on all of a split that can no longer win.
    """
    import dspy
    from dspy.utils.callback import BaseCallback

    class Evaluations(BaseCallback):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            self._on: dict[str, _Evaluation] = {}

        def on_evaluate_start(self, call_id: str, instance: dspy.Evaluate, inputs: dict[str, Any]) -> None:
            program, inside = snapshot(inputs["program"]), ExitStack()
            devset = inputs.get("devset") or instance.devset
            trying = recorder.begin(program, devset)
            race = (
                racing.begin(instance, inputs, trying.split, inside) if racing and trying and trying.full_eval else None
            )
            # A callback makes every call inside a third slower, so within the evaluation there is none of this kind.
            others = [callback for callback in dspy.settings.callbacks if callback is not self]
            inside.enter_context(dspy.context(callbacks=others))
            self._on[call_id] = _Evaluation(
                inputs["program"], program, trying, devset, race, inside, recorder.unanswered
            )

        def on_evaluate_end(
            self, call_id: str, outputs: dspy.evaluate.EvaluationResult | None, exception: BaseException | None = None
        ) -> None:
            evaluation = self._on.pop(call_id, None)
            if evaluation is None:
                return
            evaluation.inside.close()
            forget_calls(evaluation.given)
            if exception is not None or outputs is None:
                return
            trying, race = evaluation.trying, evaluation.race
            if trying is None:
                return
            if racing is not None and trying.full_eval:
                racing.end(race, outputs.results, trying.split, outputs.score, evaluation.devset)
            results = [row for row in outputs.results if recorder.identity(row[0])]
            bought = [row for row in results if race is None or row[1] is not race.nothing]
            rows, split = recorder.rows(bought)
            bound = race.bound if race is not None and len(bought) < len(results) else None
            unanswered = recorder.unanswered - evaluation.unanswered
            recorder.record(evaluation.program, rows, split, trying.program_id, unanswered, bound)
            on_rows(rows)

    return Evaluations()


class ScoreJoiner:
    """Joins scores with the program that ran before them, and records a trial for every batch of them.

    Parameters
    ----------
    recorder
        Records the trials.
    batch
        The number of scores that make a trial of a program.
    """

    def __init__(self, recorder: Recorder, batch: int) -> None:
        self._recorder, self._batch = recorder, batch
        self._rows: WeakKeyDictionary[Program, list[ExampleScore]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def on_score(self, example: Example, score: Score | None) -> None:
        """Take in a score on the thread that computed it; None where the program or the metric failed."""
        program, identity = last_run(), self._recorder.identity(example)
        if program is None or identity is None:
            return
        with self._lock:
            rows = self._rows.setdefault(program, [])
            value, feedback = (None, None) if score is None else (float(score), score.feedback)
            rows.append(ExampleScore(identity[0], value, feedback))
            n = len(rows)
        # The final scoring on all examples passes the size of a batch on its way: no trial of its own.
        whole = n == self._recorder.size("train")
        if whole or (n == self._batch and not self._recorder.is_recorded(program)):
            self._recorder.record(snapshot(program), list(rows), "train")


def snapshot(program: Program) -> Program:
    """Copy a program as it is now, without the forward that DSPy puts on it to capture traces."""
    copied = untracked(program.deepcopy())
    forward = vars(copied).get("forward")
    if getattr(forward, "__module__", "") == "dspy.teleprompt.bootstrap_trace":
        del copied.forward
    return copied


def forget_calls(program: Program) -> None:
    """Drop the last call that a program and each predictor remembers: a search may keep thousands of programs."""
    for module in (program, *program.predictors()):
        history = getattr(module, "history", None)
        if isinstance(history, list):
            history.clear()
