"""The run itself: baseline, search, choice of the best, and the honest test at the end.

Whatever stops the search, a budget, a person, a dead model or an error in the optimizer, the best
program so far is kept and scored, and the journal gets exactly one final state.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import HomeError, JobError
from skillfleet_nb.events import ExampleScore, JobState, Phase, ProgramSaved, Result, StateChanged, Warned
from skillfleet_nb.lm.fallback import Fallbacks
from skillfleet_nb.lm.faults import Patience
from skillfleet_nb.lm.keys import hidden, secrets_of
from skillfleet_nb.lm.meter import Gate, Ledger, Limits, RunStopped, StopKind
from skillfleet_nb.lm.tap import Lookout
from skillfleet_nb.optimizers import Task
from skillfleet_nb.programs.state import describe, dump_state
from skillfleet_nb.runs.history import History
from skillfleet_nb.runs.lm_health import ask_prompt_lm, first_answer, lost, many_failed, told_at_the_end
from skillfleet_nb.runs.quiet import MARK, run_log
from skillfleet_nb.runs.recorder import Candidate, Recorder
from skillfleet_nb.runs.spec import RunResult
from skillfleet_nb.stats import PairedComparison, paired_comparison
from skillfleet_nb.store import read_requests, save_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.events import LMCall, Payload, Split
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.store import Home, Journal

_ASIDE = 0.3  # most of any limit that is set aside for scoring the result
_LOOK_S = 0.25  # how often the control file is looked at
_WORDS = ("error", "stop_reason", "text")  # fields of events that may quote an error
_DRAIN_S = 1.0  # how long beyond the grace of calls in flight the end of a run waits for them


@dataclass(frozen=True)
class _Stop:
    """Why the search ended."""

    kind: StopKind | Literal["finished", "error"] = "finished"
    reason: str = "the optimizer finished"

    @property
    def state(self) -> JobState:
        ends = {"finished": JobState.COMPLETED, "budget": JobState.COMPLETED, "cancelled": JobState.CANCELLED}
        return ends.get(self.kind, JobState.FAILED)

    @property
    def may_score(self) -> bool:
        """Whether the result can still be scored: a person, a dead model or a bad metric forbid it."""
        return self.kind in {"finished", "budget", "error"}


class Execution:
    """One attempt at a prepared run, on the thread that calls :meth:`run`.

    Parameters
    ----------
    prepared
        The checked run.
    home, journal
        Where facts go; the journal is this run's own, and is closed by its owner.
    settings
        The home's settings.
    history
        What earlier attempts at the job recorded; they are replayed from the cache of the model.
    """

    def __init__(
        self,
        prepared: Prepared,
        home: Home,
        journal: Journal,
        settings: Settings,
        history: History | None = None,
    ) -> None:
        self._history = history or History()
        self._it, self._home, self._journal = prepared, home, journal
        self._started = time.monotonic()
        self._looked = 0.0
        self._saved: set[str] = set(self._history.programs)
        self._lock = threading.Lock()
        patience = Patience.of(settings)
        self._drain_s = patience.grace_s + _DRAIN_S
        self.ledger = Ledger(
            prepared.limits,
            self._on_call,
            record_prompts=settings.record_prompts,
            prices=settings.prices,
            spent=self._history.spent,
            spent_s=self._history.seconds,
            patience=patience,
            fallbacks=Fallbacks(prepared.fallback_lms, patience, self._history.answered_by, self._warn),
            on_wait=self._look,
        )
        own = [p.lm for p in prepared.program.predictors() if getattr(p, "lm", None) is not None]
        self._secrets = secrets_of([prepared.lm, prepared.prompt_lm, *prepared.fallback_lms, *own])
        splits: dict[Split, list[Any]] = {
            "train": prepared.splits.train,
            "val": prepared.splits.val,
            "test": prepared.splits.test,
        }
        self._recorder = Recorder(
            emit=self._emit,
            keep=self._keep,
            ids=_identities(splits),
            sizes=prepared.spec.sizes,
            ledger=self.ledger,
            history=self._history,
        )

        prepared.metric.on_fault = lambda told: self.ledger.stop("metric", told)

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the run to stop: no further call starts, and the best so far is kept."""
        self.ledger.stop("cancelled", reason)

    def run(self) -> RunResult:
        """Run to the end and return what it came to.

        Raises
        ------
        JobError
            If not even the given program could be scored, so that there is nothing to return.
        """
        self._emit(StateChanged(state=JobState.RUNNING), sync=True)
        for warning in self._it.warnings:
            self._warn(warning)
        folder = self._home.journal_dir(self._journal.stream)
        try:
            with run_log(folder / "output.log", self._secrets) as log, self._settings(log):
                try:
                    result = self._phases()
                finally:
                    self.ledger.stop("cancelled", "the run is over")
                    self.ledger.drain(self._drain_s)
        except BaseException as exc:
            state = JobState.CANCELLED if isinstance(exc, RunStopped) and exc.kind == "cancelled" else JobState.FAILED
            reason, told = (exc.reason, exc.reason) if isinstance(exc, RunStopped) else ("error", _said(exc))
            self._emit(StateChanged(state=state, stop_reason=reason, error=told), sync=True)
            if isinstance(exc, RunStopped) and exc.kind == "lm_failing":
                raise JobError(exc.reason) from exc
            if isinstance(exc, RunStopped):
                raise JobError(f"stopped before the given program was scored: {exc.reason}") from exc
            raise
        error = result.stop_reason if result.state is JobState.FAILED else None
        try:
            self._emit(StateChanged(state=result.state, stop_reason=result.stop_reason, error=error), sync=True)
        except HomeError as exc:  # what was found is the person's, recorded or not
            return replace(result, state=JobState.FAILED, stop_reason=str(exc))
        return result

    def _phases(self) -> RunResult:
        try:
            baseline = self._baseline()
        except RunStopped as exc:
            if exc.kind != "budget":
                raise
            return self._unscored(exc.reason)
        stop, returned = self._search(baseline)
        finish = self.ledger.gate()
        best, compared = self._recorder.best("val") or baseline, None
        try:
            best = self._best(baseline, returned, stop, finish)
            compared = self._test(baseline, best, stop, finish)
        except BaseException as exc:  # noqa: BLE001  as in the search: what was found is kept
            if stop.may_score and stop.kind != "error":
                full = isinstance(exc, HomeError)
                stop = _Stop("home", str(exc)) if full else _Stop("error", f"scoring failed: {_said(exc)}")
        if finish.closed is not None and finish.closed[0] != "budget" and stop.may_score:
            stop = _Stop(*finish.closed)
        finish.close("cancelled", "the run is over")
        self.ledger.drain(self._drain_s)
        if stop.kind != "finished":
            # Progress bars it left open finish here, into the log, and not in somebody's cell: threads at
            # work hold them until they are drained.
            gc.collect()
        return self._result(baseline, best, compared, stop)

    def _baseline(self) -> Candidate:
        """Score the program as it was given, on validation."""
        self._say("scoring the program as it is on validation")
        it, gate = self._it, self.ledger.gate()
        with self._models(gate):
            rows = [self._first_row(gate)]
            if it.prompt_lm is not it.lm:
                ask_prompt_lm(self.ledger, gate.tap(it.prompt_lm, it.optimizer.prompt_role))
            if len(it.splits.val) > 1:
                rows += self._evaluate(it.program, it.splits.val[1:], gate)
        gate.check()
        failure = it.metric.last_failure or self._recorder.last_failure or self.ledger.last_failure
        if all(r.score is None for r in rows):
            culprit = f"metric {it.metric.name!r}" if it.metric.last_failure else "the program"
            raise JobError(
                f"{culprit} failed on all {len(rows)} validation examples: {_said(failure) if failure else 'see log'}"
            ) from failure
        if (warning := many_failed(rows, failure)) is not None:
            self._warn(warning)
        return self._recorder.record(it.program.deepcopy(), rows, "val")

    def _unscored(self, reason: str) -> RunResult:
        """Return the given program: the budget did not even reach to score it."""
        n = len(self._it.splits.val)
        self._warn(
            f"the budget ended before the given program was scored on its {n} validation examples: "
            "raise it, or give fewer validation examples"
        )
        given = self._it.program.deepcopy()
        candidate = Candidate(self._keep(given), given)
        return self._result(candidate, candidate, None, _Stop("budget", reason))

    def _first_row(self, gate: Gate) -> ExampleScore:
        """Predict and score the first example alone: it shows what is wrong with the model or the metric."""
        it, first = self._it, self._it.splits.val[0]
        program = self._metered(it.program, gate)
        try:
            prediction = first_answer(self.ledger, lambda: program(**first.inputs()))
        except Exception as exc:  # noqa: BLE001  a failed prediction, as in an evaluation
            self._recorder.last_failure = exc
            return self._recorder.rows([(first, None, 0.0)])[0][0]
        if not it.metric_is_proven:
            score: float = it.metric.probe(first, prediction)
        else:
            try:
                score = it.metric(first, prediction)
            except Exception:  # noqa: BLE001  the metric counts it
                return self._recorder.rows([(first, None, 0.0)])[0][0]
        return self._recorder.rows([(first, prediction, score)])[0][0]

    def _search(self, baseline: Candidate) -> tuple[_Stop, Any]:
        """Let the optimizer work; return why it ended and the program it returned, if it did."""
        it = self._it
        self._say(f"searching with {it.optimizer.name}")
        gate = self.ledger.gate(self._set_aside())
        stop, returned = _Stop(), None
        batch = it.optimizer.trial_size(len(it.splits.train))
        watch = self._recorder.callback(batch)
        it.metric.on_score = watch.on_score if batch else None
        try:
            with self._models(gate, watch) as task_lm:
                task = Task(
                    program=_with_taps(self._as_given(baseline.program.deepcopy()), gate),
                    train=it.splits.train,
                    val=it.splits.val,
                    metric=it.metric,
                    lm=task_lm,
                    prompt_lm=gate.tap(it.prompt_lm, it.optimizer.prompt_role),
                    seed=it.spec.seed,
                    num_threads=it.spec.num_threads,
                    say=self._say,
                    lineage=self._recorder.descends,
                )
                returned = it.optimizer.compile(task)
        except RunStopped as exc:
            stop = _Stop(exc.kind, exc.reason)
        except BaseException as exc:  # noqa: BLE001  whatever is raised, sys.exit() too: the best so far is kept
            stop = _Stop("error", f"{it.optimizer.name} failed: {_said(exc)}")
        it.metric.on_score = None
        if gate.closed is not None:
            # An optimizer may return, or fail with an error of its own, after its calls were refused.
            stop = _Stop(*gate.closed)
        gate.close("cancelled", "the search is over")  # threads it left behind buy nothing more
        return stop, returned

    def _best(self, baseline: Candidate, returned: Any, stop: _Stop, gate: Gate) -> Candidate:
        """Choose by validation: the returned program, unless another full evaluation beat it."""
        contender = self._candidate(returned) if returned is not None else self._recorder.best("train")
        if contender is not None and "val" not in contender.scores and stop.may_score:
            self._say("scoring the optimizer's choice on validation")
            with _until_stopped(gate), self._models(gate):
                since = self.ledger.unanswered
                rows = self._evaluate(contender.program, self._it.splits.val, gate)
                self._refuse_lost(rows, since, gate)
                self._recorder.record(contender.program, rows, "val")
        top = self._recorder.best("val") or baseline
        if contender is not None and contender.scores.get("val", -1.0) >= top.scores["val"]:
            return contender
        return top

    def _candidate(self, program: Any) -> Candidate:
        # The object itself is kept: some compiled programs are more than their state.
        program_id = self._keep(program)
        known = self._recorder.candidates.setdefault(program_id, Candidate(program_id, program))
        known.program = program
        return known

    def _test(self, baseline: Candidate, best: Candidate, stop: _Stop, gate: Gate) -> PairedComparison | None:
        """Score both programs on the sealed split, in chunks, as far as the budget reaches."""
        if not stop.may_score:
            return None
        self._say("scoring the baseline and the best program on the sealed test split")
        it = self._it
        rows = list(it.splits.test)
        random.Random(it.spec.seed).shuffle(rows)  # a budget that ends early leaves a random part
        chunk = len(rows) if self.ledger.limits == Limits() else max(4, 2 * it.spec.num_threads)
        same = best.program_id == baseline.program_id
        before: list[ExampleScore] = []
        after: list[ExampleScore] = []
        since = self.ledger.unanswered
        with _until_stopped(gate), self._models(gate):
            for at in range(0, len(rows), chunk):
                part = rows[at : at + chunk]
                scored = self._evaluate(baseline.program, part, gate)
                changed = scored if same else self._evaluate(best.program, part, gate)
                gate.check()
                before += scored
                after += changed
            self._refuse_lost(before, since, gate)
            self._refuse_lost(after, since, gate)
        if not before or (gate.closed is not None and gate.closed[0] == "lm_failing"):
            return None
        self._recorder.record(baseline.program, before, "test")
        if not same:
            self._recorder.record(best.program, after, "test")
        return paired_comparison([r.score or 0.0 for r in before], [r.score or 0.0 for r in after], seed=it.spec.seed)

    def _result(
        self, baseline: Candidate, best: Candidate, compared: PairedComparison | None, stop: _Stop
    ) -> RunResult:
        totals = self.ledger.totals
        result = RunResult(
            program=self._as_given(best.program),
            state=stop.state,
            stop_reason=stop.reason,
            baseline_score=baseline.scores.get("val"),
            best_score=best.scores.get("val"),
            lm_calls=totals.calls,
            cached_calls=totals.cached,
            cost_usd=totals.cost_usd,
            wall_s=time.monotonic() - self._started,
        )
        if compared is not None:
            result = replace(
                result,
                test_baseline=compared.baseline_mean,
                test_score=compared.candidate_mean,
                test_delta=compared.delta,
                test_delta_interval=(compared.low, compared.high),
                p_value=compared.p_value,
                verdict=compared.verdict,
                summary=compared.sentence(),
            )
        else:
            n = self._recorder.trials
            result = replace(result, summary=f"{stop.reason}, best of {n} trial{'s' * (n != 1)}; not tested")
        low, high = result.test_delta_interval or (None, None)
        found = told_at_the_end(self.ledger, self._recorder, self._it.metric)
        told: list[Payload] = [Warned(text=text) for text in found]
        told.append(
            Result(
                baseline_score=result.baseline_score,
                best_score=result.best_score,
                test_baseline=result.test_baseline,
                test_score=result.test_score,
                test_delta=result.test_delta,
                test_delta_low=low,
                test_delta_high=high,
                p_value=result.p_value,
                verdict=result.verdict,
                best_program_id=best.program_id,
                summary=result.summary,
            )
        )
        try:
            self._journal.append_many([self._without_keys(p) for p in told], sync=True)
        except HomeError as exc:  # what was found is the person's, recorded or not
            return replace(result, state=JobState.FAILED, stop_reason=str(exc))
        return result

    def _set_aside(self) -> Limits:
        """Reckon, from what the baseline used, the share that scoring the result will need."""
        it, limits = self._it, self.ledger.limits
        totals = self._history.baseline or self.ledger.totals  # a replayed baseline buys nothing
        times = (len(it.splits.val) + 2 * len(it.splits.test)) / len(it.splits.val)

        def share(limit: float | None, used: float) -> float | None:
            return None if limit is None else min(_ASIDE * limit, times * used)

        calls = share(limits.calls, totals.calls + totals.cached)
        tokens = share(limits.tokens, totals.input_tokens + totals.output_tokens)
        return Limits(
            usd=share(limits.usd, totals.cost_usd or 0.0),
            calls=None if calls is None else int(calls),
            tokens=None if tokens is None else int(tokens),
            seconds=share(limits.seconds, self.ledger.elapsed_s),
        )

    def _evaluate(self, program: Any, examples: Sequence[Any], gate: Gate) -> list[ExampleScore]:
        import dspy

        scored = dspy.Evaluate(
            devset=list(examples),
            metric=self._it.metric,
            num_threads=self._it.spec.num_threads,
            max_errors=len(examples) + 1,
        )(self._metered(program, gate))
        return self._recorder.rows(scored.results)[0]

    def _metered(self, program: Any, gate: Gate) -> Any:
        """Meter the models that predictors carry of their own, if any does."""
        if any(getattr(p, "lm", None) is not None for p in (*program.predictors(), *self._it.program.predictors())):
            # As it will be returned: some optimizers give predictors another model, or forget the one they had.
            return _with_taps(self._as_given(program.deepcopy()), gate)
        return program

    def _refuse_lost(self, rows: list[ExampleScore], since: int, gate: Gate) -> None:
        """Stop where a scoring found nothing but a dead model: zeros of that kind are no result."""
        if (why := lost(rows, self.ledger, since)) is not None:
            self.ledger.stop("lm_failing", why)
        gate.check()

    def _as_given(self, program: Any) -> Any:
        """Give every predictor the model it had of its own in the user's program, mostly none."""
        given = dict(self._it.program.named_predictors())
        for name, predictor in program.named_predictors():
            predictor.lm = getattr(given.get(name), "lm", None)
        return program

    @contextmanager
    def _settings(self, log: Any) -> Iterator[None]:
        import dspy
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())  # an interrupted cell may have left the old one taken for good
        with dspy.context(
            **{MARK: log},
            disable_history=False,  # the meter reads usage from it
            max_history_size=1,  # the meter is told each call as it is made; every program keeping 10,000 fills memory
            track_usage=False,
            # A failed prediction scores 0 and is counted; a model that only fails is stopped by the meter.
            max_errors=1_000_000,
        ):
            yield

    @contextmanager
    def _models(self, gate: Gate, *callbacks: Any) -> Iterator[Any]:
        """Make the body's model calls go through `gate`."""
        import dspy

        task_lm = gate.tap(self._it.lm, "task")
        active = [*dspy.settings.callbacks, *callbacks]
        with dspy.context(lm=task_lm, callbacks=active, caller_modules=[Lookout(self.ledger, gate, active)]):
            yield task_lm

    def _on_call(self, call: LMCall) -> None:
        try:
            self._emit(call)
        except HomeError as exc:  # an ordinary exception would be swallowed, and the run go on unrecorded
            self.ledger.stop("home", str(exc))
            raise RunStopped("home", str(exc)) from exc
        self._look()

    def _look(self) -> None:
        """See, now and then, whether a stop was asked for from elsewhere."""
        now = time.monotonic()
        if now - self._looked > _LOOK_S:
            self._looked = now
            asked = read_requests(self._home, self._journal.stream)
            if any(command == "cancel" and at >= self._history.asked_at for at, command in asked):
                self.cancel()

    def _keep(self, program: Any) -> str:
        """Store a program's state once and tell of it once."""
        state = dump_state(program)
        program_id = save_program(self._home, state)
        with self._lock:
            new = program_id not in self._saved
            self._saved.add(program_id)
        if new:
            info = describe(state)
            self._emit(ProgramSaved(program_id=program_id, state=state, instructions=info.text, n_demos=info.n_demos))
        return program_id

    def _emit(self, payload: Payload, *, sync: bool = False) -> None:
        self._journal.append(self._without_keys(payload), sync=sync)

    def _without_keys(self, payload: Payload) -> Payload:
        # Providers repeat the key they refuse, and their words are kept in files.
        told = {name: getattr(payload, name, None) for name in _WORDS}
        safe = {name: hidden(text, self._secrets) for name, text in told.items() if text}
        changed = {name: text for name, text in safe.items() if text != told[name]}
        return payload.model_copy(update=changed) if changed else payload

    def _say(self, text: str) -> None:
        self._emit(Phase(text=text))

    def _warn(self, text: str) -> None:
        self._emit(Warned(text=text))


def _identities(splits: dict[Split, list[Any]]) -> dict[int, tuple[str, Split]]:
    from skillfleet_nb.trainset.identity import example_id, parts

    return {id(e): (example_id(*parts(e)), split) for split, rows in splits.items() for e in rows}


def _with_taps(program: Any, gate: Gate) -> Any:
    """Meter the models that predictors carry of their own."""
    for predictor in program.predictors():
        if getattr(predictor, "lm", None) is not None:
            predictor.lm = gate.tap(predictor.lm, "task")
    return program


@contextmanager
def _until_stopped(gate: Gate) -> Iterator[None]:
    """Run the body up to the stop of the run, of which the gate then tells."""
    try:
        yield
    except RunStopped as exc:
        gate.close(exc.kind, exc.reason)


def _said(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"[:1000]
