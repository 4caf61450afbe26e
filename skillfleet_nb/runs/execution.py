"""The run itself: baseline, search, choice of the best, and the honest test at the end.

Whatever stops the search, a budget, a person, a dead model or an error in the optimizer, the best
program so far is kept and scored, and the journal gets exactly one final state.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from skillfleet_nb.errors import HomeError, JobError, SkillfleetError
from skillfleet_nb.events import JobState, Paused, StateChanged, StopKind, Warned
from skillfleet_nb.format import counted
from skillfleet_nb.lm.faults import in_one_line
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import tapped, tapped_program
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.runs.collector import set_aside
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.lanes import Lanes
from skillfleet_nb.runs.leavable import run_leavable
from skillfleet_nb.runs.lm_health import told_at_the_end
from skillfleet_nb.runs.outcome import Comparison, Stop, caveats, recorded, result_of
from skillfleet_nb.runs.racing import Racing, raced
from skillfleet_nb.runs.reach import reserve
from skillfleet_nb.runs.recorder import Candidate, Recorder
from skillfleet_nb.runs.reporter import Reporter
from skillfleet_nb.runs.review.acceptance import accepted
from skillfleet_nb.runs.review.reviewer import REVIEWER, Reviewer
from skillfleet_nb.runs.running_program import tracked, untracked
from skillfleet_nb.runs.scoring import Scorer
from skillfleet_nb.runs.trial_hooks import ScoreJoiner, evaluation_callback
from skillfleet_nb.store import load_program, read_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skillfleet_nb.events import LMCall, Payload, Split
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.spec import RunResult
    from skillfleet_nb.store import Home, Journal
    from skillfleet_nb.typing import Program

_T = TypeVar("_T")
_LOOK_S = 0.25  # how often the control file is looked at


class Execution:
    """One attempt at a prepared run, on the thread that calls :meth:`run`.

    Parameters
    ----------
    prepared
        The checked run.
    home, journal
        Where facts go; the journal is this run's own, and is closed by its owner.
    history
        What earlier attempts at the job recorded; they are replayed from the cache of the model.
    """

    def __init__(
        self, prepared: Prepared, home: Home, journal: Journal, history: EarlierAttempts | None = None
    ) -> None:
        self.prepared = prepared
        self._home, self._journal = home, journal
        self._history = history or EarlierAttempts()
        self._looked, self._looking, self._heard = 0.0, threading.Lock(), self._history.heard
        self._told_paused, self._telling_pause = False, threading.Lock()
        self._reporter = Reporter(home, journal, self._history.programs)
        self._session = self._metered()  # at once: a person may stop the run before it has begun
        self.ledger = self._session.ledger
        self.ledger.shares_answers = prepared.optimizer.has_members
        prepared.metric.on_fault = lambda fault: self.ledger.stop(StopKind.METRIC, fault)

    def _metered(self) -> Session:
        """Make the session through which every call of the run goes."""
        run = self.prepared
        return Session(
            self._journal,
            run.settings,
            run.lms,
            limits=run.limits,
            fallbacks=run.fallback_lms,
            earlier=self._history,
            look=self._look,
            on_pause=self._tell_pause,
            on_calls=self._count if run.optimizer.has_members else None,
        )

    def _count(self, calls: Sequence[LMCall]) -> None:
        self._lanes.take(calls)

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(self._reporter.emit, self._reporter.keep, self.ledger.shares)

    @cached_property
    def _recorder(self) -> Recorder:
        from skillfleet_nb.data.identity import example_id, parts

        names: tuple[Split, ...] = ("train", "val", "test")
        rows = ((split, example) for split in names for example in getattr(self.prepared.splits, split))
        return Recorder(
            emit=self._reporter.emit,
            keep=self._reporter.keep,
            ids={id(example): (example_id(*parts(example)), split) for split, example in rows},
            sizes=self.prepared.sizes,
            ledger=self.ledger,
            history=self._history,
            on_scored=self._lanes.scored,
        )

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.prepared, self._session, self._recorder, self._reporter)

    @cached_property
    def _reviewer(self) -> Reviewer:
        return Reviewer(
            self.prepared.request.reviews,
            self._home,
            self._journal.stream,
            self._reporter,
            self.ledger,
            self._history.reviews,
            self._history.declined,
            self._look,
        )

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the run to stop: no further call starts, and the best so far is kept."""
        self.ledger.stop(StopKind.CANCELLED, reason)

    def pause(self) -> None:
        """Let no further call start until :meth:`unpause`; it is paused once those under way have ended."""
        self.ledger.pause()

    def unpause(self) -> None:
        """Go on after :meth:`pause`."""
        self.ledger.unpause()
        self._tell_pause()

    def _tell_pause(self) -> None:
        """Record whether the run is paused, where that has changed: by a person, or with the end of a call."""
        with self._telling_pause:
            paused = self.ledger.is_paused
            if paused == self._told_paused:
                return
            self._told_paused = paused
            try:
                self._reporter.emit(Paused(paused=paused), sync=True)
            except HomeError as exc:
                self.ledger.stop(StopKind.HOME, str(exc))

    def run(self, log_failure: Callable[[BaseException], None] = lambda _: None) -> RunResult:
        """Run to the end and return what it came to.

        Parameters
        ----------
        log_failure
            Takes what ended the run, without secrets, before it is told that it failed.

        Raises
        ------
        JobError
            If not even the given program could be scored, so that there is nothing to return.
        """
        self._reporter.emit(StateChanged(state=JobState.RUNNING), sync=True)
        for warning in self.prepared.warnings:
            self._reporter.warn(warning)
        try:
            with set_aside(), self._session.logged(), self._settings(), self._session:
                result = self._phases()
        except BaseException as raised:
            exc = self._session.redactor.error(raised)
            log_failure(exc)
            kind = exc.kind if isinstance(exc, RunStopped) else StopKind.ERROR
            state = JobState.CANCELLED if kind is StopKind.CANCELLED else JobState.FAILED
            reason, shown = (exc.reason, exc.reason) if isinstance(exc, RunStopped) else ("error", in_one_line(exc))
            self._reporter.emit(StateChanged(state=state, stop_kind=kind, stop_reason=reason, error=shown), sync=True)
            if isinstance(exc, RunStopped) and kind is StopKind.LM_FAILING:
                raise JobError(exc.reason) from exc
            if isinstance(exc, RunStopped):
                raise JobError(f"stopped before the given program was scored: {exc.reason}") from exc
            if exc is not raised:
                raise exc from None
            raise
        error = result.stop_reason if result.state is JobState.FAILED else None
        ended = StateChanged(
            state=result.state, stop_kind=result.stop_kind, stop_reason=result.stop_reason, error=error
        )
        try:
            self._reporter.emit(ended, sync=True)
        except HomeError as exc:  # what was found is the person's, recorded or not
            return replace(result, state=JobState.FAILED, stop_kind=StopKind.HOME, stop_reason=str(exc))
        return result

    def _phases(self) -> RunResult:
        try:
            gate = self._session.gate()
            baseline = run_leavable(gate, partial(self._scorer.baseline, gate), self._reporter.warn)
        except RunStopped as exc:
            before = self._scored_before()
            if before is not None:
                return self._concluded(before, Stop(exc.kind, exc.reason), None)
            if exc.kind is not StopKind.BUDGET:
                raise
            return self._unscored(exc.reason)
        baseline.chosen = True
        return self._concluded(baseline, *self._search(baseline))

    def _concluded(self, baseline: Candidate, stop: Stop, returned: Program | None) -> RunResult:
        """Choose the best, test it and tell what the run came to."""
        self._catch_up()
        finish = self._session.gate()
        best, compared = self._recorder.best("val") or baseline, None
        try:
            best = self._best(baseline, returned, stop, finish)
            if stop.may_score and self._reviewer.review.accept and best.program_id != baseline.program_id:
                best, stop = self._accepted(baseline, best, stop, finish)
            if stop.may_score:
                compared = self._unless_left(finish, partial(self._scorer.test, baseline, best, finish))
        except BaseException as exc:  # noqa: BLE001  as in the search: what was found is kept
            if stop.may_score and stop.kind is not StopKind.ERROR:
                full = isinstance(exc, HomeError)
                stop = Stop(StopKind.HOME, str(exc)) if full else self._failed("scoring", exc)
        if finish.closed is not None and stop.may_score:
            kind, reason = finish.closed
            if kind is not StopKind.BUDGET:
                stop = Stop(kind, reason)
            elif compared is None and stop.kind is StopKind.FINISHED:
                stop = Stop(kind, f"{reason}, before the test")
        finish.close(StopKind.CANCELLED, "the run is over")
        self._session.drain()
        return self._result(baseline, best, compared, stop)

    def _scored_before(self) -> Candidate | None:
        """Return the given program as an earlier attempt scored it, None where none did."""
        program = self.prepared.program.deepcopy()
        program_id = self._reporter.keep(program)
        return self._recorder.remember(program_id, program) if program_id in self._history.validated else None

    def _catch_up(self) -> None:
        """Take over what earlier attempts came to, where this one ended before its replay was there."""
        decides = self.prepared.optimizer.decides
        program_id = self._recorder.ahead(decides=decides)
        if program_id is None:
            return
        try:
            program = load_state(self.prepared.program, load_program(self._home, program_id))
        except SkillfleetError as exc:
            self._reporter.warn(f"the best program of an earlier attempt, {program_id}, cannot be taken over: {exc}")
            return
        candidate = self._recorder.remember(program_id, program)
        if decides:
            self._recorder.taken = candidate

    def _unscored(self, reason: str) -> RunResult:
        """Return the given program: the budget did not even reach to score it."""
        n = len(self.prepared.splits.val)
        self._reporter.warn(
            f"the budget ended before the given program was scored on its {counted(n, 'validation example')}: "
            "raise it, or give fewer validation examples"
        )
        program = self.prepared.program.deepcopy()
        candidate = Candidate(self._reporter.keep(program), program)
        return self._result(candidate, candidate, None, Stop(StopKind.BUDGET, reason, scored=False))

    def _search(self, baseline: Candidate) -> tuple[Stop, Program | None]:
        """Let the optimizer work; return why it ended and the program it returned, if it did."""
        run, optimizer = self.prepared, self.prepared.optimizer
        self._reporter.say(f"searching with {optimizer.name}")
        used = self._history.baseline or self.ledger.totals  # a replayed baseline buys nothing
        gate = self._session.gate(reserve(self.ledger, used, len(run.splits.val), run.tested))
        stop, returned = Stop(), None
        batch = optimizer.trial_size(len(run.splits.train))
        racing = (
            Racing(run.race, run.metric, run.spec.seed, self._reporter.warn, run.raced_members)
            if run.race != "off" else None
        )  # fmt: skip
        run.metric.on_score = (
            ScoreJoiner(self._recorder, batch).on_score if batch else racing.on_score if racing else None
        )
        refuse = partial(self._scorer.refuse_unreadable, gate=gate)
        callbacks = () if batch else (evaluation_callback(self._recorder, refuse, racing),)
        try:
            with self._scorer.models(gate, *callbacks) as task_lm:
                program = tapped_program(gate, self._scorer.as_given(baseline.program.deepcopy()))
                task = replace(
                    run.for_optimizer(),
                    program=tracked(program) if batch else raced(program) if racing else program,
                    lm=task_lm,
                    prompt_lm=tapped(gate, run.prompt_lm, optimizer.prompt_role),
                    say=self._reporter.say,
                    lineage=self._recorder.descends,
                    decided=self._recorder.decided,
                    bred=self._recorder.bred,
                    lanes=self._lanes,
                    reading=self._session.readings.reading,
                )
                returned = untracked(run_leavable(gate, partial(optimizer.compile, task), self._reporter.warn))
        except RunStopped as exc:
            stop = Stop(exc.kind, exc.reason)
        except BaseException as exc:  # noqa: BLE001  whatever is raised, sys.exit() too: the best so far is kept
            stop = self._failed(optimizer.name, exc)
        run.metric.on_score = None
        if gate.closed is not None:
            # An optimizer may return, or fail with an error of its own, after its calls were refused.
            stop = Stop(*gate.closed)
        gate.close(StopKind.CANCELLED, "the search is over")  # threads it left behind buy nothing more
        return stop, returned

    def _unless_left(self, gate: Gate, work: Callable[[], _T]) -> _T | None:
        """Return what scoring work does; None where it did not end after a stop, of which the gate tells."""
        try:
            return run_leavable(gate, work, self._reporter.warn)
        except RunStopped:
            return None

    def _failed(self, what: str, exc: BaseException) -> Stop:
        return Stop(StopKind.ERROR, f"{what} failed: {in_one_line(self._session.redactor.error(exc))}")

    def _best(self, baseline: Candidate, returned: Program | None, stop: Stop, gate: Gate) -> Candidate:
        """Choose by validation: the returned program, unless another full evaluation beat it; yours where none did.

        An optimizer with a rule of its own has chosen already.
        """
        if self.prepared.optimizer.decides:
            return self._recorder.taken or baseline
        contender = self._candidate(returned) if returned is not None else self._recorder.best("train")
        if contender is not None and "val" not in contender.scores and stop.may_score:
            self._reporter.say("scoring the optimizer's choice on validation")
            self._unless_left(gate, partial(self._scorer.validate, contender.program, gate))
        top = self._recorder.best("val") or baseline
        top.chosen = True
        ties = contender is not None and contender.scores.get("val", -1.0) >= top.scores["val"]
        return contender if contender is not None and ties and top is not baseline else top

    def _accepted(self, baseline: Candidate, best: Candidate, stop: Stop, gate: Gate) -> tuple[Candidate, Stop]:
        """Have the best program accepted by a person; declined, it is not the result."""
        self._reporter.say("waiting for a person to accept the program")
        try:
            chosen = accepted(self._reviewer, self._scorer, self._recorder, self._candidate, baseline, best, gate)
        except RunStopped as exc:
            return best, Stop(exc.kind, exc.reason)
        if chosen is None:
            return baseline, Stop(StopKind.CANCELLED, "the program was not accepted")
        return chosen, stop

    def _candidate(self, program: Program) -> Candidate:
        # The object itself is kept: some compiled programs are more than their state.
        program_id = self._reporter.keep(program)
        candidate = self._recorder.candidates.setdefault(program_id, Candidate(program_id, program))
        candidate.program, candidate.chosen = program, True
        return candidate

    def _result(self, baseline: Candidate, best: Candidate, compared: Comparison | None, stop: Stop) -> RunResult:
        trials = self._recorder.trials
        unread = caveats(self._session.readings.on_the_result(), self._scorer.test_rows, best.program)
        program = self._scorer.as_given(best.program)
        result = result_of(stop, program, baseline.scores, best.scores, compared, self.ledger, trials, unread)
        warnings = told_at_the_end(self._session, self._recorder, self.prepared.metric)
        events: list[Payload] = [Warned(text=text) for text in warnings]
        try:
            self._reporter.emit(*events, recorded(result, best.program_id, unread), sync=True)
        except HomeError as exc:  # what was found is the person's, recorded or not
            return replace(result, state=JobState.FAILED, stop_kind=StopKind.HOME, stop_reason=str(exc))
        return result

    def _look(self) -> None:
        """See, now and then, what was asked for from elsewhere."""
        if time.monotonic() - self._looked <= _LOOK_S or not self._looking.acquire(blocking=False):
            return
        try:
            if not self._journal.path.exists():  # what is written goes nowhere, and nothing says so
                save = as_typed(f"save {self.prepared.request.name or self._journal.stream} best.json")
                gone = f"{self._journal.path.parent} is gone: the best so far is in memory, {save} keeps it"
                self.ledger.stop(StopKind.HOME, gone)
                return
            asked = read_requests(self._home, self._journal.stream)
            new, self._heard = asked[self._heard :], len(asked)
            obey = {"cancel": self.cancel, "pause": self.pause, "unpause": self.unpause}
            for r in new:
                if r.command in obey:
                    obey[r.command]()
            self._looked = time.monotonic()
        except HomeError as exc:
            self.ledger.stop(StopKind.HOME, str(exc))
        finally:
            self._looking.release()

    @contextmanager
    def _settings(self) -> Iterator[None]:
        import dspy
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())  # an interrupted cell may have left the old one taken for good
        with dspy.context(
            **{REVIEWER: self._reviewer},
            trace=deque(maxlen=0),  # DSPy's keeps 10,000 predictions for good; whoever reads a trace opens one
            # A failed prediction scores 0 and is counted; a model that only fails is stopped by the meter.
            max_errors=1_000_000,
        ):
            yield
