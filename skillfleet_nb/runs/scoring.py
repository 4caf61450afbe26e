"""Scoring programs within a run: the baseline, the search's candidates, and the sealed test."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.errors import JobError
from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.meter import Limits, RunStopped
from skillfleet_nb.lm.tap import tapped, tapped_program
from skillfleet_nb.runs.lm_health import ask_prompt_lm, lost, many_failed
from skillfleet_nb.runs.reporter import said
from skillfleet_nb.stats import PairedComparison, paired_comparison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from dspy.utils.callback import BaseCallback

    from skillfleet_nb.events import ExampleScore
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.lm.session import Session
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.recorder import Candidate, Recorder
    from skillfleet_nb.runs.reporter import Reporter
    from skillfleet_nb.typing import Example, Model, Program


class Scorer:
    """Evaluates programs on the splits of a prepared run, through gates of its session, and records it.

    Parameters
    ----------
    prepared
        The run.
    session, recorder, reporter
        What its calls are made through, its trials recorded by, and told through.
    """

    def __init__(self, prepared: Prepared, session: Session, recorder: Recorder, reporter: Reporter) -> None:
        self._prepared, self._session, self._recorder, self._reporter = prepared, session, recorder, reporter
        self._ledger = session.ledger

    def baseline(self, gate: Gate) -> Candidate:
        """Score the program as it was given, on validation.

        Raises
        ------
        JobError
            If every prediction failed.
        RunStopped
            If the run was stopped meanwhile.
        """
        self._reporter.say("scoring the program as it is on validation")
        run = self._prepared
        with self.models(gate):
            rows = [self._first_row(gate)]
            if run.prompt_lm is not run.lm:
                ask_prompt_lm(self._session, tapped(gate, run.prompt_lm, run.optimizer.prompt_role))
            if len(run.splits.val) > 1:
                rows += self._evaluate(run.program, run.splits.val[1:], gate)
        gate.check()
        failure = run.metric.last_failure or self._recorder.last_failure or self._ledger.last_failure
        if all(r.score is None for r in rows):
            culprit = f"metric {run.metric.name!r}" if run.metric.last_failure else "the program"
            raise JobError(
                f"{culprit} failed on all {len(rows)} validation examples: {said(failure) if failure else 'see log'}"
            ) from failure
        if (warning := many_failed(rows, failure)) is not None:
            self._reporter.warn(warning)
        return self._recorder.record(run.program.deepcopy(), rows, "val")

    def _first_row(self, gate: Gate) -> ExampleScore:
        """Predict and score the first example alone: it shows what is wrong with the model or the metric."""
        run, first = self._prepared, self._prepared.splits.val[0]
        program = self._metered(run.program, gate)
        try:
            prediction = self._session.first_answer(lambda: program(**first.inputs()))
        except Exception as exc:  # noqa: BLE001  a failed prediction, as in an evaluation
            self._recorder.last_failure = exc
            return self._recorder.rows([(first, None, 0.0)])[0][0]
        if not run.metric_is_proven:
            score: float = run.metric.probe(first, prediction)
        else:
            try:
                score = run.metric(first, prediction)
            except Exception:  # noqa: BLE001  the metric counts it
                return self._recorder.rows([(first, None, 0.0)])[0][0]
        return self._recorder.rows([(first, prediction, score)])[0][0]

    def validate(self, program: Program, gate: Gate) -> None:
        """Score a program on all of validation, as far as the gate lets it."""
        with _until_stopped(gate), self.models(gate):
            since = self._ledger.unanswered
            rows = self._evaluate(program, self._prepared.splits.val, gate)
            self._refuse_lost(rows, since, gate)
            self._recorder.record(program, rows, "val")

    def test(self, baseline: Candidate, best: Candidate, gate: Gate) -> PairedComparison | None:
        """Compare both programs on the sealed split, in chunks, as far as the budget reaches.

        Returns
        -------
        PairedComparison or None
            None where the budget did not reach to score a chunk, or the model is dead.
        """
        self._reporter.say("scoring the baseline and the best program on the sealed test split")
        run = self._prepared
        rows = list(run.splits.test)
        random.Random(run.spec.seed).shuffle(rows)  # a budget that ends early leaves a random part
        chunk = len(rows) if self._ledger.limits == Limits() else max(4, 2 * run.spec.num_threads)
        same = best.program_id == baseline.program_id
        before: list[ExampleScore] = []
        after: list[ExampleScore] = []
        since = self._ledger.unanswered
        with _until_stopped(gate), self.models(gate):
            for start in range(0, len(rows), chunk):
                part = rows[start : start + chunk]
                scored = self._evaluate(baseline.program, part, gate)
                changed = scored if same else self._evaluate(best.program, part, gate)
                gate.check()
                before += scored
                after += changed
            self._refuse_lost(before, since, gate)
            self._refuse_lost(after, since, gate)
        if not before or (gate.closed is not None and gate.closed[0] is StopKind.LM_FAILING):
            return None
        self._recorder.record(baseline.program, before, "test")
        if not same:
            self._recorder.record(best.program, after, "test")
        return paired_comparison([r.score or 0.0 for r in before], [r.score or 0.0 for r in after], seed=run.spec.seed)

    def _evaluate(self, program: Program, examples: Sequence[Example], gate: Gate) -> list[ExampleScore]:
        import dspy

        scored = dspy.Evaluate(
            devset=list(examples),
            metric=self._prepared.metric,
            num_threads=self._prepared.spec.num_threads,
            max_errors=len(examples) + 1,
        )(self._metered(program, gate))
        return self._recorder.rows(scored.results)[0]

    def _metered(self, program: Program, gate: Gate) -> Program:
        """Meter the models that predictors carry of their own, if any does."""
        if any(
            getattr(p, "lm", None) is not None for p in (*program.predictors(), *self._prepared.program.predictors())
        ):
            # As it will be returned: some optimizers give predictors another model, or forget the one they had.
            return tapped_program(gate, self.as_given(program.deepcopy()))
        return program

    def _refuse_lost(self, rows: list[ExampleScore], since: int, gate: Gate) -> None:
        """Stop where a scoring found nothing but a dead model: zeros of that kind are no result."""
        if (why := lost(rows, self._ledger, since)) is not None:
            self._ledger.stop(StopKind.LM_FAILING, why)
        gate.check()

    def as_given(self, program: Program) -> Program:
        """Give every predictor the model it had of its own in the user's program, mostly none."""
        originals = dict(self._prepared.program.named_predictors())
        for name, predictor in program.named_predictors():
            predictor.lm = getattr(originals.get(name), "lm", None)
        return program

    def models(self, gate: Gate, *callbacks: BaseCallback) -> AbstractContextManager[Model]:
        """Make the body's model calls go through `gate`."""
        return self._session.models(gate, self._prepared.lm, *callbacks)


@contextmanager
def _until_stopped(gate: Gate) -> Iterator[None]:
    """Run the body up to the stop of the run, of which the gate then tells."""
    try:
        yield
    except RunStopped as exc:
        gate.close(exc.kind, exc.reason)
