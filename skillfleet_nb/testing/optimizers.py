"""The conformance suite of optimizers: what a run, its forecast and its journal rely on, tried on one as it runs."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, PluginError, unknown
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.format import counted, points
from skillfleet_nb.runs.reach import RESERVE
from skillfleet_nb.testing.report import Check, Conformance
from skillfleet_nb.testing.sandbox import SIZES, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.optimizers import Optimizer
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.testing.sandbox import Run

_TIMEOUT_S = 300.0
_FEWEST_TO_STOP = 4  # calls
_REFUSALS = 12  # that end a search of several threads
_SLACK = 0.1  # of a forecast: what lies so near to its interval was told well
_IN_FLIGHT = 1  # call whose answer a killed process had not written down; it is bought again
_TASK = "it needs more than the suite has: examples, a metric, and a model that answers"
_OWN_ERROR = "mend it: the reason is its own error"
_NOT_CAUGHT = "a refused call raises a BaseException: let it pass, catch Exception at most"
_KEEP_NOTHING = (
    "keep nothing between runs: a resumed run begins anew, asks the same questions with the same seed, and is answered "
    "from the cache"
)

CHECKS = (
    "one predictor", "several predictors", "feedback", "calls forecast", "best so far", "budget stop", "resume",
    "determinism", "no writes elsewhere",
)  # fmt: skip
"""The names of the checks, in their order."""
_RUNS = {
    "killed": {"resume", "determinism"},
    "stopped": {"best so far", "budget stop"},
    "both": {"several predictors", "feedback", "calls forecast", "no writes elsewhere"},
}
"""Which checks look at which run beside the whole one."""


def check_optimizer(
    optimizer: type[Optimizer],
    params: Mapping[str, Any] | None = None,
    *,
    checks: Sequence[str] = CHECKS,
    timeout_s: float = _TIMEOUT_S,
    count: Callable[[int, int], None] = lambda *_: None,
) -> Conformance:
    """Try an optimizer on small tasks with the offline model, and say what it does not keep to.

    Each run is a job in a process of its own, in a home that is thrown away: one to the end, one whose process is
    killed and which is resumed, one that a limit of calls stops, and one of a program of two predictors with a metric
    that returns feedback.

    Parameters
    ----------
    optimizer
        The class; it need not be installed.
    params
        Its parameters; small ones make a quick suite.
    checks
        Those to carry out, of :data:`CHECKS`; by default all.
    timeout_s
        Seconds that each run may take.
    count
        Told how many checks are done, of how many.

    Returns
    -------
    Conformance
        Its `ok` tells whether all is well.

    Raises
    ------
    InputError
        If `optimizer` is no whole optimizer, `params` are not its own, or there is no check of a name.
    """
    from skillfleet_nb.optimizers.registry import fault_of, made

    if (fault := fault_of(optimizer)) is not None:
        raise InputError(f"{optimizer!r} cannot be checked: it {fault}; see the page on writing an optimizer")
    made(optimizer, params or {})
    for name in checks:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    with Sandbox(optimizer, params or {}, timeout_s) as sandbox:
        suite, done = _Suite(sandbox, optimizer, checks), []
        for n, name in enumerate(checks):
            count(n, len(checks))
            done.append(suite.check(name))
        count(len(checks), len(checks))
    return Conformance(f"optimizer {optimizer.name}", tuple(done))


_Found = str | tuple[str, str]
"""What was seen of a check that passed; of one that failed, and what to do."""


class _Suite:
    """The checks of one optimizer, which share their runs."""

    def __init__(self, sandbox: Sandbox, cls: type[Optimizer], checks: Sequence[str]) -> None:
        self._sandbox, self._cls, self._checks = sandbox, cls, checks
        self._refused = self._broken = ""

    def check(self, name: str) -> Check:
        """Carry out a check."""
        if name != CHECKS[0] and not self._starts:
            why = f"the optimizer refuses the task: {self._refused}" if self._refused else "it fails on one predictor"
            return Check(name, None, why)
        outcome: _Found = getattr(self, f"_{name.replace(' ', '_')}")()
        return Check(name, True, outcome) if isinstance(outcome, str) else Check(name, self._verdict, *outcome)

    @property
    def _verdict(self) -> bool | None:
        return None if self._refused else False

    @cached_property
    def _starts(self) -> bool:
        return self._whole is not None and self._whole.finished

    @cached_property
    def _whole(self) -> Run | None:
        try:
            return self._sandbox.ended(self._sandbox.start("whole"))
        except InputError as exc:
            self._refused = self._sandbox.told(str(exc))
        except PluginError as exc:
            self._broken = self._sandbox.told(str(exc))
        return None

    @property
    def _done(self) -> Run:
        assert self._whole is not None  # noqa: S101  every check but the first one comes after it
        return self._whole

    @cached_property
    def _jobs(self) -> dict[str, Job]:
        """Start at once what takes a whole run to be known."""
        half, n_val, scoring = self._done.seen.bought // 2, SIZES["val"], SIZES["val"] + 2 * SIZES["test"]
        limit = min(n_val + scoring + half, math.ceil((n_val + half) / (1 - RESERVE)))
        runs: dict[str, dict[str, Any]] = {
            "killed": {"kill_at": n_val + half},
            "stopped": {"max_calls": limit},
            "both": {"two": True, "feedback": True},
        }
        return {name: self._sandbox.start(name, **how) for name, how in runs.items() if _RUNS[name] & {*self._checks}}

    @cached_property
    def _both(self) -> Run:
        return self._sandbox.ended(self._jobs["both"])

    @cached_property
    def _stopped(self) -> Run:
        return self._sandbox.ended(self._jobs["stopped"])

    @cached_property
    def _resumed(self) -> Run:
        killed = self._sandbox.ended(self._jobs["killed"])
        if killed.state is not JobState.INTERRUPTED:
            return killed
        return self._sandbox.ended(self._sandbox.resume(self._jobs["killed"]))

    @cached_property
    def _again(self) -> Run:
        """The same run once more, where its resumed one came to something else: the killing may not be why."""
        return self._sandbox.ended(self._sandbox.start("again"))

    def _one_predictor(self) -> _Found:
        if self._starts:
            return self._finished(self._done)
        if self._broken:
            return self._broken, _OWN_ERROR
        if self._whole is None:
            return f"the optimizer refuses the task: {self._refused}", _TASK
        return self._failed(self._whole, "a program of one predictor")

    def _several_predictors(self) -> _Found:
        if self._both.finished:
            return self._finished(self._both)
        alone = self._sandbox.ended(self._sandbox.start("two", two=True))
        return self._finished(alone) if alone.finished else self._failed(alone, "a program of two predictors")

    def _feedback(self) -> _Found:
        if self._both.finished:
            return "it takes a metric that returns dspy.Prediction(score, feedback)"
        alone = self._sandbox.ended(self._sandbox.start("told", feedback=True))
        if alone.finished:
            return "it takes a metric that returns dspy.Prediction(score, feedback)"
        return self._failed(alone, "a metric that returns dspy.Prediction(score, feedback)")

    def _calls_forecast(self) -> _Found:
        forecasts = []
        for run in (self._done, self._both):
            if not run.finished:
                continue
            low, high = run.expected
            forecasts.append(f"{run.calls:,} requests of {low:,} to {high:,} forecast")
            if not (1 - _SLACK) * low <= run.calls <= (1 + _SLACK) * high:
                return f"it made {forecasts[-1]}", (
                    "play the loop in calls(shape) as it goes, with rehearsed(shape, play); what the cache answers "
                    "counts as well"
                )
        return "; ".join(forecasts)

    def _best_so_far(self) -> _Found:
        for run in (self._done, self._stopped):
            if not self._cls.decides and run.score is not None and run.score < run.best_trial:
                return f"it returned {points(run.score)} after a candidate of {points(run.best_trial)}", (
                    "return the best candidate by validation"
                )
        outside = self._done.seen.scored - (self._done.trials - SIZES["val"])  # the given program is scored before
        if outside > 0:
            return f"it scored {counted(outside, 'validation answer')} outside of dspy.Evaluate", (
                "score candidates with dspy.Evaluate on task.val: they are recorded then, and the best one survives "
                "whatever stops the run"
            )
        return (
            f"it returned {points(self._done.score or 0.0)} on validation, of {points(self._done.best_trial)} at best"
        )

    def _budget_stop(self) -> _Found:
        run, asked = self._stopped, self._done.seen.bought
        if asked < _FEWEST_TO_STOP:
            return f"it asks a model {counted(asked, 'time')}: nothing to stop"
        if run.state is None or not run.seen.ended:
            return "it went on after its calls were refused", _NOT_CAUGHT
        if run.stop is not StopKind.BUDGET:
            return f"a limit of calls ended it so: {run.reason or run.state}", _NOT_CAUGHT
        if run.seen.ended == "raised":
            return f"its calls were refused, and it raised {run.seen.error}", _NOT_CAUGHT
        if run.seen.refused > _REFUSALS:
            return f"it asked for {run.seen.refused:,} more calls after they were refused", _NOT_CAUGHT
        return f"stopped after {run.seen.bought:,} of {asked:,} calls, with a result"

    def _resume(self) -> _Found:
        run, whole = self._resumed, self._done
        if not run.finished:
            return (
                f"killed and resumed, it did not finish: {run.reason or run.state or 'it ran too long'}",
                _KEEP_NOTHING,
            )
        twice = run.bought - whole.bought - _IN_FLIGHT
        if not self._repeats or (run.seen.program == whole.seen.program and twice <= 0):
            return f"killed at call {SIZES['val'] + whole.seen.bought // 2:,} and resumed, it came to the same"
        what = "another program" if run.seen.program != whole.seen.program else f"{counted(twice, 'call')} bought twice"
        return f"killed and resumed, it came to {what}", _KEEP_NOTHING

    @property
    def _repeats(self) -> bool:
        """Whether the same run comes to the same, as far as is known."""
        if self._resumed.finished and self._resumed.seen.program == self._done.seen.program:
            more = self._resumed.bought > self._done.bought + _IN_FLIGHT
        else:
            more = True
        return not more or self._same(self._again)

    def _same(self, run: Run) -> bool:
        return run.seen.program == self._done.seen.program and run.bought == self._done.bought

    def _determinism(self) -> _Found:
        if self._repeats:
            return "the same seed came to the same program with the same calls, in another process"
        what = "another program" if self._again.seen.program != self._done.seen.program else (
            f"{counted(self._again.bought, 'call')} instead of {self._done.bought:,}"
        )  # fmt: skip
        return f"the same seed came to {what} in another process", (
            "draw from random.Random(task.seed) alone, and iterate over nothing whose order changes, such as a set"
        )

    def _no_writes_elsewhere(self) -> _Found:
        runs = (self._done, self._both)
        written = sorted({path for run in runs for path in run.seen.written})
        if written:
            more = f" and {len(written) - 1:,} more" if len(written) > 1 else ""
            return f"it wrote {written[0]}{more}", "write nothing, or into a folder of tempfile"
        changed = sorted({what for run in runs for what in run.seen.changed})
        if changed:
            return f"it changed {', '.join(changed)}", (
                "change task.program alone: deepcopy it for candidates, give each a signature of its own with "
                "with_instructions, and set what DSPy shares within dspy.context"
            )
        return "it wrote no file, and changed nothing that it was lent"

    def _finished(self, run: Run) -> str:
        return f"finished: validation {points(run.score or 0.0)}"

    def _failed(self, run: Run, what: str) -> tuple[str, str]:
        if run.state is None:
            return f"with {what} it did not end in time", "let it end by a rule of its own, or allow more time"
        if run.seen.ended == "returned" and run.stop is StopKind.FINISHED:
            return f"with {what} it returned no program that could be scored", "return a dspy.Module"
        return f"with {what} it ended so: {run.reason or run.state}", _OWN_ERROR
