"""A job as a person holds it: a handle on a run in this process, or on the record of another's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import suppress
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import JobError, SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.format import duration, money, points
from skillfleet_nb.html import Readable, drawing
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.diff import ProgramDiff, diff_programs
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.programs.state import save, save_state
from skillfleet_nb.runs.jobs.cards import card_rows
from skillfleet_nb.runs.jobs.created import created_rows
from skillfleet_nb.runs.jobs.live import live_view
from skillfleet_nb.runs.jobs.picture import Feed, Picture, picture
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.runs.jobs.result_rows import result_rows
from skillfleet_nb.runs.leavable import join_done
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.store import Home, Trail, load_program
from skillfleet_nb.store.logs import log_text

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from skillfleet_nb.events import ReviewAsked
    from skillfleet_nb.runs.engines.parcel import Parcel
    from skillfleet_nb.runs.execution import Execution
    from skillfleet_nb.runs.jobs.live import LiveView
    from skillfleet_nb.runs.review.answers import Answer
    from skillfleet_nb.runs.spec import RunResult
    from skillfleet_nb.store import Journal

_POLL_S = 0.2
_NOT_TUNED = frozenset({"tune_signature", CREATE_SKILL, EVALUATE})  # just tuned, or without rows to learn from


class Job(Readable):
    """One run of one optimizer on one program.

    Made by :meth:`skillfleet_nb.Fleet.optimize` and found again by :meth:`skillfleet_nb.Fleet.job`.
    It can be awaited: ``result = await job``.

    Attributes
    ----------
    id, name
        Its identity, and what the person calls it.
    home
        Where it is kept.
    feed
        Shows live views where the job is.
    """

    def __init__(self, home: Home, job_id: str, name: str | None = None) -> None:
        self.id = job_id
        self.home = home
        self._name = name or job_id
        self._progress = Progress(home, job_id)
        self._reading = threading.Lock()
        self._execution: Execution | None = None
        self._thread: threading.Thread
        self._done = threading.Event()
        self._result: RunResult | None = None
        self._failure: BaseException | None = None
        self.feed = Feed(self.picture, f"skillfleet-follow-{job_id}")
        self.shown_in: int | None = None  # the cell that shows its card

    def start(self, execution: Execution, journal: Journal) -> Job:
        """Run `execution` on a thread of its own; the journal is closed when it ends."""

        def work() -> None:
            try:
                self._result = execution.run()
                with suppress(SkillfleetError, OSError):  # by the journal's clock, as everybody tells it
                    p = self.progress
                    self._result = replace(self._result, wall_s=p.wall_s(), **p.frames())
            except BaseException as exc:  # noqa: BLE001  told by result()
                self._failure = exc
            finally:
                try:
                    journal.close()
                except BaseException as exc:  # noqa: BLE001  a full disk is told by result() as well
                    self._failure = self._failure or exc
                self._done.set()

        self._execution = execution
        # In a copy of the caller's context: `with dspy.context(adapter=…)` holds for the run too.
        inside = contextvars.copy_context()
        self._thread = threading.Thread(target=inside.run, args=(work,), name=f"skillfleet-{self.id}", daemon=True)
        del inside  # what it holds is freed with the thread
        self._thread.start()
        return self

    @property
    def progress(self) -> Progress:
        """Where the job is now."""
        with self._reading:
            try:
                return self._progress.update()
            except KeyboardInterrupt:  # events may have been read and not taken in: start over
                self._progress = Progress(self.home, self.id)
                raise

    def picture(self, last: Picture | None = None) -> Picture:
        """What a view shows now; see :func:`skillfleet_nb.runs.jobs.picture.picture`."""
        with self._reading:
            return picture(self._progress.update(), last)

    @property
    def name(self) -> str:
        """What the person calls the job."""
        return self.progress.name or self._name

    @property
    def state(self) -> JobState:
        """State of the job, now."""
        if self._result is not None and not self.home.journal_dir(self.id).is_dir():
            return self._result.state  # its record is gone
        return self.progress.state

    @property
    def ok(self) -> bool:
        """Whether it has not failed, so far."""
        return self.state is not JobState.FAILED

    @property
    def splits(self) -> str:
        """What train, val and test hold, and how each came about, in three lines."""
        return self.progress.splits

    @property
    def pid(self) -> int | None:
        """Process that runs the job, where it is detached and runs or waits; None otherwise."""
        from skillfleet_nb.runs.engines import processes

        return processes.pid(self.home, self.id)

    def log(self) -> str:
        """Return what the optimizer printed and logged."""
        text = log_text(self.home, self.id)
        return "nothing was printed" if text is None else text

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is finished.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        bool
            Whether it is finished.
        """
        if self._execution is not None:
            if is_done := self._done.wait(timeout):
                join_done(self._thread)
            return is_done
        waited = 0.0
        nap = threading.Event()
        while not self.state.is_finished():
            if timeout is not None and waited >= timeout:
                return False
            nap.wait(_POLL_S)
            waited += _POLL_S
        return True

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait for the job and return what it came to, whatever ended it.

        Raises
        ------
        JobError
            If it is not finished in time, or came to nothing.
        """
        if not self.wait(timeout):
            raise JobError(f"job {self.name!r} is still {self.state} after {timeout:g} s: wait longer, or .cancel() it")
        if self._result is not None:
            return self._result
        if self._failure is not None:
            if isinstance(self._failure, SkillfleetError):
                raise self._failure
            raise JobError(f"job {self.name!r} failed: {type(self._failure).__name__}: {self._failure}") from (
                self._failure
            )
        return self._recorded_result()

    def _recorded_result(self) -> RunResult:
        """Put together what another process recorded."""
        from skillfleet_nb.runs.spec import CreationResult, RunResult

        p = self.progress
        if p.result is None:
            raise JobError(
                f"job {p.name!r} ({p.state}) came to nothing: {p.error or p.stop_reason or 'see its log'}; "
                f"{as_typed(f'resume {p.name}')} goes on with it"
            )
        r = p.result
        interval = None
        if r.test_delta_low is not None and r.test_delta_high is not None:
            interval = (r.test_delta_low, r.test_delta_high)
        result = RunResult(
            program=self.best_program(self.given),
            state=p.state,
            stop_kind=p.stop_kind,
            stop_reason=p.stop_reason or "",
            baseline_score=r.baseline_score,
            best_score=r.best_score,
            test_baseline=r.test_baseline,
            test_score=r.test_score,
            test_delta=r.test_delta,
            test_delta_interval=interval,
            p_value=r.p_value,
            test_interval=(r.test_low, r.test_high) if r.test_low is not None and r.test_high is not None else None,
            verdict=r.verdict,
            failed_share=r.failed_share,
            summary=r.summary,
            lm_calls=p.calls,
            cached_calls=p.cached,
            cost_usd=p.cost_usd,
            wall_s=p.elapsed_s,
            **p.frames(),
        )
        return result if p.created is None else CreationResult.of(result, p.created)

    def __await__(self) -> Generator[Any, None, RunResult]:
        return asyncio.to_thread(self.result).__await__()

    @property
    def program(self) -> Any:
        """The best program, of a finished job of this process."""
        return self.result(0).program

    @property
    def given(self) -> Any:
        """The program the job was started with.

        Raises
        ------
        JobError
            If it was not kept, or cannot be opened any more.
        """
        return self.parcel().request.program

    def model(self) -> Any:
        """Return the model that answers for the job's program; raises `JobError` if it was not kept."""
        return self.parcel().request.lm

    def parcel(self) -> Parcel:
        """Return what the job was started with, every default filled in; raises `JobError` if it was not kept."""
        from skillfleet_nb.runs.engines import parcel

        if self._execution is None:
            return parcel.read(self.home, self.id)
        return parcel.Parcel.of(self.home, self._execution.prepared.request)

    def examples(self) -> dict[str, Any]:
        """Return the examples of the job, of all its splits, by id.

        Empty where they were not kept with the job, or cannot be opened any more.
        """
        from skillfleet_nb.data.identity import example_id, parts

        try:
            splits: Any = self.parcel().request
        except SkillfleetError:
            return {}
        rows = [*splits.train, *splits.val, *splits.test]
        return {example_id(*parts(row)): row for row in rows}

    def best_program(self, onto: Any) -> Any:
        """Return a copy of the program `onto` with the instructions and demos of the job's best one.

        Raises
        ------
        JobError
            If the job has no scored program yet.
        InputError
            If it is not the same program.
        """
        return load_state(onto, self._best_state())

    def cancel(self) -> None:
        """Ask the job to stop; calls in flight finish, the best program so far is kept and returned."""
        if self.state.is_finished():
            return
        if self._execution is not None and not self._done.is_set():
            self._execution.cancel()
        else:
            self._ask_elsewhere("cancel")
        with suppress(SkillfleetError):  # whatever becomes of the home, a job can be stopped
            Trail(self.home).record("job.cancel", self.id, self.name)

    def pause(self) -> None:
        """Ask the job to make no further call, with the clock of its limit on time stopped, until :meth:`unpause`.

        Calls in flight finish.  A paused job can be cancelled; one whose process ends is interrupted.
        """
        self._ask("pause")

    def unpause(self) -> None:
        """Let a paused job go on."""
        self._ask("unpause")

    def monitor(self) -> LiveView:
        """Show the job live in a notebook; see :meth:`skillfleet_nb.Fleet.monitor`."""
        return live_view(self)

    def _ask(self, what: Literal["pause", "unpause"]) -> None:
        if self.state.is_finished():
            return
        if self._execution is None or self._done.is_set():
            self._ask_elsewhere(what)
            return
        with suppress(JobError):  # it has just ended
            getattr(self._execution, what)()

    def _ask_elsewhere(self, what: Literal["cancel", "pause", "unpause"]) -> None:
        """Ask what another process runs, or will run."""
        from skillfleet_nb.runs.engines import queue

        queue.ask(self.home, self.id, what)

    def save(self, path: str | Path) -> Path:
        """Write the best program as JSON that ``dspy`` loads; see :func:`skillfleet_nb.programs.state.save`."""
        is_here = self._result is not None or self._execution is not None
        file = save(self.program, path) if is_here else save_state(self._best_state(), path)
        Trail(self.home).record("export", str(path), f"program of {self.name}")
        return file

    def diff(self) -> ProgramDiff:
        """Compare the best program with the one the job was given: instructions and demos.

        Raises
        ------
        JobError
            If the job has no result yet.
        """
        base = load_program(self.home, self._program_ids()[0])
        return diff_programs(base, self._best_state())

    def _best_state(self) -> dict[str, Any]:
        return load_program(self.home, self._program_ids()[1])

    def _program_ids(self) -> tuple[str, str]:
        p = self.progress
        if p.first_program is None or p.best_program is None:
            raise JobError(f"job {self.name!r} ({self.state}) has no scored program yet")
        return p.first_program, p.best_program

    @property
    def question(self) -> ReviewAsked | None:
        """What the job asks a person and nobody has answered, None where it asks nothing.

        :meth:`skillfleet_nb.Fleet.answer` answers it.
        """
        return self.progress.question

    def answer(self, text: str = "", choice: str | None = None) -> Answer:
        """Answer what the job asks; see :meth:`skillfleet_nb.Fleet.answer`."""
        from skillfleet_nb.config import Settings
        from skillfleet_nb.runs.review.reviewer import answer

        return answer(self.home, self.progress, text, choice, Settings.load(self.home.config).answers)

    def proposed(self) -> ProgramDiff | None:
        """Compare the two programs that the open question is about; None where it is about none."""
        asked = self.question
        if asked is None or asked.programs is None:
            return None
        before, after = asked.programs
        return diff_programs(load_program(self.home, before), load_program(self.home, after))

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters of the job, as pairs of a word and its value."""
        p = self.progress
        rows = [("job", f"{p.name} ({self.id})"), ("optimizer", p.optimizer)]
        rows += [("tags", ", ".join(p.tags))] if p.tags else []
        rows += [("domain", p.domain)] if p.domain else []
        rows += [("your note", p.note)] if p.note else []
        rows.append(("state", p.state_in_words))
        if (pid := self.pid) is not None:
            rows.append(("process", str(pid)))
        rows += [("worker", p.worker)] if p.worker else []
        if p.attempts > 1:
            rows.append(("attempts", str(p.attempts)))
        if p.question is not None:
            rows.append(("asks", p.question.question))
        for question, choice, text in p.reviews:
            rows.append(("answered", f"{question} {choice}" + (f": {text}" if text not in {"", choice} else "")))
        if p.baseline is not None and p.best is not None:
            rows.append(("validation", f"{points(p.baseline)} → {points(p.best)}"))
        rows += created_rows(p.created) if p.created is not None else [*card_rows(p), *result_rows(p)]
        failed = f", {p.totals.failed} failed" if p.totals.failed else ""
        rows.append(("LM calls", f"{p.calls:,} made, {p.cached:,} from the cache{failed}"))
        waited = f", {duration(p.waited_s)} of it waiting for the provider's limit" if p.waited_s >= 1 else ""
        rows += [("cost", money(p.cost_usd)), ("time", duration(p.elapsed_s) + waited)]
        rows += [("note", w) for w in p.warnings]
        if p.error and p.error not in p.state_in_words:
            rows.append(("error", p.error))
        return rows + [("next", step) for step in [self.next_step()] if step]

    def next_step(self) -> str:
        """Say how to go on where a finished search scored low and has not just tuned; empty elsewhere."""
        p = self.progress
        if p.result is None or p.state is not JobState.COMPLETED or p.optimizer in _NOT_TUNED:
            return ""
        score = p.result.best_score if p.result.test_score is None else p.result.test_score
        from skillfleet_nb.config import Settings

        least = Settings.load(self.home.config).tune_below
        if score is None or score >= least:
            return ""
        typed = as_typed(f"signatures tune {quote(self.name)}")
        return f"{points(score)} is below {points(least)}: {typed} proposes instructions for what fails"

    def text(self) -> str:
        """Return the facts, one a line."""
        width = max(len(word) for word, _ in self.summary())
        return "\n".join(f"{word:<{width}}  {value}" for word, value in self.summary())

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def html(self) -> str:
        """Show it as HTML: its card as it is now."""
        return str(live_view(self).html())

    @drawing()
    def _ipython_display_(self) -> None:
        """Show its card, live where a page has widgets; in a terminal the facts.  A cell shows one card of a job."""
        from IPython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        if not hasattr(shell, "kernel"):
            print(self.text())  # noqa: T201  as IPython prints any answer
        elif self.shown_in != shell.execution_count:
            display(live_view(self))
