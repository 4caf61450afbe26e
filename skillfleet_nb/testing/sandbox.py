"""Runs of an optimizer on small tasks, each in a process of its own, in a home that is thrown away."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from skillfleet_nb.events import JobState, StopKind, Trial
from skillfleet_nb.store import follow
from skillfleet_nb.testing.watch import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.optimizers import Optimizer
    from skillfleet_nb.runs.jobs.job import Job

PREFIX = "checked_"
SIZES = {"train": 24, "val": 12, "test": 8}
"""Examples of each split of the tasks."""
_MODULE = "skillfleet_checked"
_POINTS = "[skillfleet_nb.optimizers]\n{name} = {module}:Checked\n"
_SOURCE = "from skillfleet_nb.testing.watch import opened\n\nChecked = opened({folder!r})\n"


@dataclass(frozen=True)
class Run:
    """How a run went.

    Attributes
    ----------
    state, stop, reason
        How it ended: its state, of what kind that is, and in words; the state is None where it did not end in time.
    calls
        Requests of its last attempt, those included that the cache answered.
    bought
        Calls that reached the model, over all attempts.
    expected
        How many requests were forecast, at least and at most.
    score, best_trial
        Of its result on validation, and the best full evaluation that was recorded.
    trials
        Validation answers that recorded evaluations scored.
    seen
        What the optimizer was seen to do.
    """

    state: JobState | None
    stop: StopKind | None
    reason: str
    calls: int
    bought: int
    expected: tuple[int, int]
    score: float | None
    best_trial: float
    trials: int
    seen: Watched

    @property
    def finished(self) -> bool:
        """Whether the optimizer came to its own end, and returned a program that was scored."""
        return self.state is JobState.COMPLETED and self.stop is StopKind.FINISHED and self.seen.ended == "returned"


class Sandbox:
    """A home with an optimizer installed in it under another name, to be used with ``with``.

    Parameters
    ----------
    cls, params
        The optimizer, and its parameters.
    timeout_s
        Seconds that a run may take.
    """

    def __init__(self, cls: type[Optimizer], params: Mapping[str, Any], timeout_s: float) -> None:
        self._cls, self._params, self._timeout_s = cls, params, timeout_s
        self.name = PREFIX + cls.name

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="skillfleet-check-")).resolve()
        self._module = f"{_MODULE}_{self._folder.name.rpartition('-')[2].replace('-', '_')}"
        import cloudpickle

        (self._folder / "class.pickle").write_bytes(cloudpickle.dumps((self._cls, self.name, os.getpid())))
        metadata = self._folder / f"{self._module}-0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {self._module}\nVersion: 0\n", "utf-8")
        (metadata / "entry_points.txt").write_text(_POINTS.format(name=self.name, module=self._module), "utf-8")
        (self._folder / f"{self._module}.py").write_text(_SOURCE.format(folder=str(self._folder)), "utf-8")
        sys.path.append(str(self._folder))
        from skillfleet_nb.fleet import Fleet  # here: the processes of runs do without it

        self._fleet = Fleet(self._folder / "home")
        self._jobs: dict[Job, str] = {}
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs:
            self._kill(job)
        sys.path.remove(str(self._folder))
        sys.modules.pop(self._module, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(
        self, name: str, *, two: bool = False, feedback: bool = False, max_calls: int | None = None, kill_at: int = 0
    ) -> Job:
        """Start a run, and return at once.

        Parameters
        ----------
        name
            Of the run: no other is answered from its cache.
        two
            Whether the program has two predictors.
        feedback
            Whether the metric says what was wrong.
        max_calls
            A limit.
        kill_at
            The call at which its process is killed, once.
        """
        import dspy

        from skillfleet_nb.testing import task

        mark = self._folder / f"{name}.kill"
        if kill_at:
            mark.touch()
        engine = task.Engine(str(mark), kill_at)
        lm = dspy.LM(f"skillfleet/{self._module}-{name}", engine=engine)
        metric = (task.Told if feedback else task.Exact)(str(self._report(name)), engine)
        program = task.two_predictors() if two else task.one_predictor()
        options: dict[str, Any] = {"optimizer": self.name, "params": dict(self._params), "lm": lm}
        options |= {"metric": metric, "seed": 0, "num_threads": 1, "max_calls": max_calls, "engine": "process"}
        job = self._fleet.optimize(program, **(options | task.splits(SIZES)))
        self._jobs[job] = name
        return job

    def resume(self, job: Job) -> Job:
        """Go on with a run that was killed, in another process."""
        resumed = self._fleet.resume(job.id)
        self._jobs[resumed] = self._jobs[job]
        return resumed

    def ended(self, job: Job) -> Run:
        """Wait for the end of a run, and tell how it went; one that takes too long is killed."""
        in_time = job.wait(self._timeout_s)
        if not in_time:
            self._kill(job)
        p, name = job.progress, self._jobs[job]
        trials = [e.payload for e in follow(self._fleet.home, job.id).read() if isinstance(e.payload, Trial)]
        on_val = [trial for trial in trials if trial.split == "val"]
        return Run(
            state=p.state if in_time else None,
            stop=p.stop_kind,
            reason=self.told(p.error or p.stop_reason or ""),
            calls=p.calls + p.cached - p.calls_before,
            bought=p.calls,
            expected=p.expected_calls,
            score=None if p.result is None else p.result.best_score,
            best_trial=max((trial.score for trial in on_val if trial.full_eval), default=0.0),
            trials=sum(trial.n_examples for trial in on_val),
            seen=Watched.read(self._report(name)),
        )

    def told(self, text: str) -> str:
        """Return what is said of the optimizer, by the name that it has outside."""
        return text.replace(self.name, self._cls.name)

    def _report(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _kill(self, job: Job) -> None:
        if (pid := job.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
