"""A test on inputs that were logged: each is answered as it would be live, and scored at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.data.load import to_examples
from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.events import StopKind
from skillfleet_nb.format import counted
from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import own_models, tapped_program
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.task import checked_lm, input_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.monitoring.route import ABRoute
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Metric, Model, Rows


def replay(
    home: Home,
    route: ABRoute,
    rows: Rows,
    metric: Metric,
    *,
    lm: Model | None = None,
    max_calls: int | None = None,
    count: Callable[[int, int], None] | None = None,
) -> int:
    """Ask a test's variants on rows, each row a unit of its own; return how many were answered and scored.

    A row that a variant fails on is scored 0.  One on which no model answered says nothing of the variant: it is left
    out.

    Raises
    ------
    InputError
        If a row lacks an input, or the metric returns what is no score.
    LMError
        If there is no model, or it answers nothing, or no more.
    """
    import dspy

    names = input_fields(next(iter(route.programs.values())))
    examples = to_examples(rows, input_fields=names, name="replay")
    if not examples:
        raise InputError("there is nothing to replay: give rows with the program's inputs and what is expected.")
    model, programs, score = checked_lm(lm or dspy.settings.lm), route.programs, RunMetric(metric)
    models = [model, *(one for program in programs.values() for one in own_models(program))]
    done, stopped = 0, None
    with (
        Session.opened(home, Settings.load(home.config), "replay", models, limits=Limits(calls=max_calls)) as session,
        session.models(gate := session.gate(), model),
    ):
        route.programs = {label: tapped_program(gate, one.deepcopy()) for label, one in programs.items()}
        try:
            for place, example in enumerate(examples):
                unit, inputs = f"row {place}", example.inputs().toDict()
                unanswered = session.ledger.unanswered
                try:
                    answer = off_loop(route)(unit=unit, **inputs)
                except RunStopped as exc:
                    stopped = exc.kind
                    break
                except Exception:  # noqa: BLE001  whatever a variant raises, it has failed on this row
                    if session.ledger.unanswered > unanswered:
                        continue
                    route.feedback(route.last_call, 0.0)
                else:
                    route.feedback(answer, float(score(example, answer)))
                done += 1
                if count is not None:
                    count(done, len(examples))
        finally:
            route.programs = programs
        failure = session.ledger.last_failure
        if failure is not None and (stopped is StopKind.LM_FAILING or not done):
            raise LMError(
                f"{done} of {counted(examples, 'row')} were replayed, then no model answered: {in_short(failure)}"
            )
    return done
