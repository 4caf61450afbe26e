"""Scoring programs within a run: the baseline, the search's candidates, and the sealed test."""

from __future__ import annotations

import random
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.data.identity import distinct
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import StopKind
from skillfleet_nb.format import counted
from skillfleet_nb.lm.faults import in_one_line, in_short, is_unanswered, other_forms
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.tap import tapped, tapped_program
from skillfleet_nb.runs.lm_health import Asked, Scoring, ask_prompt_lm, broken, lost, many_failed
from skillfleet_nb.runs.outcome import Comparison
from skillfleet_nb.runs.reach import Reach
from skillfleet_nb.stats import paired_comparison

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
        self._answered: Example | None = None
        self._reach = Reach(session.ledger)

    @cached_property
    def test_rows(self) -> list[Example]:
        """The rows that a test is made on: one that repeats another exactly is no further evidence."""
        return distinct(self._prepared.splits.test)

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
            scoring = self._first_row(gate)
            if run.prompt_lm is not run.lm:
                ask_prompt_lm(self._session, tapped(gate, run.prompt_lm, run.optimizer.prompt_role))
            if others := run.splits.val[1:]:
                with self._reach.measured(len(others)):
                    scoring.add(self._evaluate(run.program, others, gate))
        gate.check()
        rows = scoring.rows
        failure = run.metric.last_failure or self._recorder.last_failure or self._ledger.last_failure
        if scoring.failed == len(rows):
            culprit = f"metric {run.metric.name!r}" if run.metric.last_failure else "the program"
            said = in_one_line(failure) if failure else "it answers with no prediction: let its forward return one"
            why = "; ".join(filter(None, [said, other_forms(failure)]))
            raise JobError(f"{culprit} failed on all {counted(rows, 'validation example')}: {why}") from failure
        if (warning := many_failed(rows, failure)) is not None:
            self._reporter.warn(warning)
        self._answered = next(e for e, row in zip(run.splits.val, rows, strict=True) if row.score is not None)
        return self._recorder.record(run.program.deepcopy(), rows, "val", unanswered=scoring.missing)

    def _first_row(self, gate: Gate) -> Scoring:
        """Predict and score the first example alone: it shows what is wrong with the model or the metric."""
        run, first = self._prepared, self._prepared.splits.val[0]
        program = self._metered(run.program, gate)
        try:
            prediction = self._session.first_answer(lambda: program(**first.inputs()))
        except Exception as exc:  # noqa: BLE001  a failed prediction, as in an evaluation
            self._recorder.last_failure = exc
            return Scoring(self._recorder.rows([(first, None, 0.0)])[0], [is_unanswered(exc)])
        if not run.metric_is_proven:
            score: float = run.metric.probe(first, prediction)
        else:
            try:
                score = run.metric(first, prediction)
            except Exception:  # noqa: BLE001  the metric counts it
                return Scoring(self._recorder.rows([(first, None, 0.0)])[0], [False])
        return Scoring(self._recorder.rows([(first, prediction, score)])[0], [False])

    def validate(self, program: Program, gate: Gate) -> None:
        """Score a program on all of validation, as far as the gate lets it."""
        with _until_stopped(gate), self.models(gate):
            scoring = self._evaluate(program, self._prepared.splits.val, gate)
            self._refuse_lost(scoring, gate)
            self.refuse_unreadable(scoring.rows, gate)
            self._recorder.record(program, scoring.rows, "val", unanswered=scoring.missing)

    def refuse_unreadable(self, rows: Sequence[ExampleScore], gate: Gate) -> None:
        """Stop where a scoring has no answer that could be read, and the given program gets none any more either.

        It is asked what it answered at the start, past the cache: so a candidate that nobody understands is told
        from a model that has turned.
        """
        if self._answered is None or any(r.score is not None for r in rows) or gate.closed is not None:
            return
        import dspy

        program = self._metered(self._prepared.program.deepcopy(), gate)
        for predictor in program.predictors():
            predictor.lm = predictor.lm.copy(cache=False) if getattr(predictor, "lm", None) is not None else None
        try:
            with dspy.context(lm=dspy.settings.lm.copy(cache=False)):
                program(**self._answered.inputs())
        except Exception as exc:  # noqa: BLE001  whatever it is, it was not there before
            why = f"all {counted(rows, 'prediction')} failed, and one that had not before did so too: {in_short(exc)}"
            self._ledger.stop(StopKind.LM_FAILING, why)

    def test(
        self, baseline: Candidate, best: Candidate, gate: Gate,
        say: str = "scoring the baseline and the best program on the sealed test split",
    ) -> Comparison | None:  # fmt: skip
        """Compare both programs on the sealed split, in chunks, as far as the budget reaches.

        Returns
        -------
        Comparison or None
            None where the budget did not reach to score a chunk, or the model is dead.
        """
        self._reporter.say(say)
        run = self._prepared
        rows = list(self.test_rows)
        random.Random(run.spec.seed).shuffle(rows)  # a budget that ends early leaves a random part
        chunk = len(rows) if self._ledger.limits == Limits() else max(4, 2 * run.spec.num_threads)
        same = best.program_id == baseline.program_id
        before, after = Scoring.empty(), Scoring.empty()
        with _until_stopped(gate), self.models(gate):
            while rest := rows[len(before.rows) :]:
                reach = self._reach.examples(1 if same else 2)
                if reach == 0:  # half an example tells nothing, and would be paid for
                    gate.close(StopKind.BUDGET, self._ledger.limits.told())
                    break
                part = rest[: min(chunk, reach or chunk)]
                with self._reach.measured((1 if same else 2) * len(part)):
                    scored = self._evaluate(baseline.program, part, gate)
                    changed = scored if same else self._evaluate(best.program, part, gate)
                gate.check()
                before.add(scored)
                after.add(changed)
            self._refuse_lost(before, gate)
            self._refuse_lost(after, gate)
        if not before.rows or (gate.closed is not None and gate.closed[0] is StopKind.LM_FAILING):
            return None
        return self._compared(baseline, best, before, after)

    def _compared(self, baseline: Candidate, best: Candidate, before: Scoring, after: Scoring) -> Comparison | None:
        """Compare on the examples that both programs were answered on, where enough of that could be read."""
        pairs = before.without(after.unanswered), after.without(before.unanswered)
        if missing := len(before.rows) - len(pairs[0]):
            self._reporter.warn(
                f"{missing} of {len(before.rows)} test examples went unanswered, each asked twice: "
                "the verdict leaves them out"
            )
        for what, candidate, scored in zip(
            ("the given program", "the best program"), (baseline, best), pairs, strict=True
        ):
            if (why := broken(what, scored, candidate.failed.get("val", 0.0))) is not None:
                self._ledger.stop(StopKind.LM_FAILING, why)
                return None
        self._recorder.record(baseline.program, pairs[0], "test")
        same = best.program_id == baseline.program_id
        if not same:
            self._recorder.record(best.program, pairs[1], "test")
        scores = [[r.score or 0.0 for r in scored] for scored in pairs]
        failed = [sum(r.score is None for r in scored) for scored in pairs]
        paired = paired_comparison(*scores, seed=self._prepared.spec.seed)
        return Comparison(paired, failed[0], failed[1], same, tuple(scores[1]))

    def _evaluate(self, program: Program, examples: Sequence[Example], gate: Gate) -> Scoring:
        """Score a program; what went unanswered is asked for once more."""
        scoring = self._evaluated(program, examples, gate)
        again = [n for n, unanswered in enumerate(scoring.unanswered) if unanswered]
        if again and gate.closed is None:
            second = self._evaluated(program, [examples[n] for n in again], gate)
            for n, row, unanswered in zip(again, second.rows, second.unanswered, strict=True):
                scoring.rows[n], scoring.unanswered[n] = row, unanswered
        return scoring

    def _evaluated(self, program: Program, examples: Sequence[Example], gate: Gate) -> Scoring:
        import dspy

        asked = Asked(self._metered(program, gate))
        scored = dspy.Evaluate(
            devset=list(examples),
            metric=self._prepared.metric,
            num_threads=self._prepared.spec.num_threads,
            max_errors=len(examples) + 1,
        )(asked)
        rows = self._recorder.rows(scored.results)[0]
        return Scoring(
            rows, [r.score is None and asked.went_unanswered(e) for r, e in zip(rows, examples, strict=True)]
        )

    def _metered(self, program: Program, gate: Gate) -> Program:
        """Meter the models that predictors carry of their own, if any does."""
        if any(
            getattr(p, "lm", None) is not None for p in (*program.predictors(), *self._prepared.program.predictors())
        ):
            # As it will be returned: some optimizers give predictors another model, or forget the one they had.
            return tapped_program(gate, self.as_given(program.deepcopy()))
        return program

    def _refuse_lost(self, scoring: Scoring, gate: Gate) -> None:
        """Stop where a scoring found little but a dead model: zeros of that kind are no result."""
        if (why := lost(scoring, self._ledger)) is not None:
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
