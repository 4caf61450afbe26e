"""Scoring a program on data of one's choice: a job like any other, without a search.

It is metered, limited, paused, recorded, shown and compared as every job is.  Given another program to compare with,
it comes to a verdict on the rows as a run does on its sealed test split.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from skillfleet_nb.data import Splits
from skillfleet_nb.errors import HomeError, InputError
from skillfleet_nb.events import JobState, StopKind, Warned
from skillfleet_nb.format import counted, points
from skillfleet_nb.optimizers import OptimizerParams
from skillfleet_nb.runs.execution import Execution
from skillfleet_nb.runs.lm_health import told_at_the_end
from skillfleet_nb.runs.no_search import NoSearch
from skillfleet_nb.runs.outcome import Stop, caveats, recorded, result_of
from skillfleet_nb.runs.prepare import Prepared, checked_budget
from skillfleet_nb.runs.recorder import Candidate
from skillfleet_nb.runs.request import RunRequest
from skillfleet_nb.runs.spec import EVALUATE
from skillfleet_nb.runs.task import check_task, checked_program, input_fields
from skillfleet_nb.stats import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Issue
    from skillfleet_nb.events import Payload, Split
    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
    from skillfleet_nb.runs.outcome import Comparison
    from skillfleet_nb.runs.request import TaskRequest
    from skillfleet_nb.runs.spec import RunResult
    from skillfleet_nb.store import Home, Journal
    from skillfleet_nb.typing import Example, Metric, Model, Program, Rows


@dataclass(frozen=True, eq=False, repr=False)
class EvaluateRequest:
    """A program to be scored.

    Parameters
    ----------
    program
        A ``dspy.Module``, a job (its best program), its name, or a registered program, ``"name@alias"``.
    data
        Rows to score it on, as for ``fleet.optimize``; of a job by default its sealed test split.
    metric
        As for ``fleet.optimize``; of a job by default its own.
    against
        A program to compare with on the same rows, in any of these forms; of a job without `data` the given one.
    lm
        Model for the program's calls: by default the job's, else DSPy's configured one.
    num_threads
        Threads.
    budget_usd, max_calls, max_tokens, max_minutes
        Hard limits on what is bought.  Rows that they do not reach are left out, and the answer says so.
    name, tags, domain
        What to call the job, and words to find it by.
    record_prompts
        Whether prompts, responses and outputs are kept as text; by default as the settings say.
    """

    program: Any
    data: Rows | None = None
    metric: Metric | None = None
    _: KW_ONLY
    against: Any = None
    lm: Model | None = None
    num_threads: int | None = None
    budget_usd: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None
    name: str | None = None
    tags: str | Sequence[str] = ()
    domain: str | None = None
    record_prompts: bool | None = None

    def run(self) -> RunRequest:
        """Return it as the request of a run, for what all runs have in common."""
        if self.data is None:
            raise InputError("evaluate needs data: give rows to score the program on (--data)")
        if self.metric is None:
            raise InputError("evaluate needs a metric: give metric=, a function metric(example, pred, trace=None)")
        own = ("program", "data", "against")
        common = {name: value for name, value in vars(self).items() if name not in own}
        return RunRequest(self.program, train=self.data, optimizer=EVALUATE, **common)


class _Nothing(NoSearch):
    """Scores a program as it is."""

    name, summary = EVALUATE, "scores a program as it is"


@dataclass(frozen=True)
class _Whole(Splits["Example"]):
    """Rows that are all scored: nothing is cut."""

    @override
    def describe(self) -> str:
        return f"data   {counted(self.test, 'row')}  {self.origins['test']}"


@dataclass(frozen=True)
class PreparedEvaluation(Prepared):
    """An evaluation that has passed every check; `against` is compared with, None where nothing is."""

    against: Program | None = None

    @override
    def execution(self, home: Home, journal: Journal, history: EarlierAttempts) -> Execution:
        return Evaluation(self, home, journal, history)


def prepare_evaluation(asked: EvaluateRequest, settings: Settings) -> PreparedEvaluation:
    """Check an evaluation before anything is spent.

    Raises
    ------
    InputError, LMError
        In one line, naming what was given, what is allowed and what to do.
    """
    request = asked.run()
    if request.record_prompts is not None:
        settings = settings.model_copy(update={"record_prompts": request.record_prompts})
    task = check_task(request, settings, cut=whole)
    checked_budget(request.budget, task.unpriced)
    against = None if asked.against is None else checked_program(asked.against).deepcopy()
    settled = replace(
        request, train=[], val=[], test=task.splits.test, params={}, lm=task.lm, num_threads=task.num_threads,
        record_prompts=settings.record_prompts,
    )  # fmt: skip
    nothing = _Nothing(OptimizerParams())
    return PreparedEvaluation(**{**task.parts(), "request": settled, "optimizer": nothing, "against": against})


def whole(request: TaskRequest, program: Program) -> tuple[Splits[Example], list[Issue]]:
    """Read data that is scored as a whole; raises `InputError` where there is none."""
    from skillfleet_nb.data import check_examples, first_row, records, to_examples

    rows = records(request.train, "data")
    if not rows:
        raise InputError("data holds no rows: give at least one to score the program on")
    examples = to_examples(rows, input_fields=input_fields(program, *first_row(rows)), name="data")
    origins = {"train": "", "val": "", "test": "given"}
    return _Whole([], [], examples, request.seed, None, origins), check_examples(examples, name="data")


class Evaluation(Execution):
    """One attempt at an evaluation; parameters are those of :class:`Execution`."""

    prepared: PreparedEvaluation

    @override
    def _phases(self) -> RunResult:
        run, gate = self.prepared, self._session.gate()
        best = self._kept(run.program)
        before = best if run.against is None else self._kept(run.against)
        stop, compared = Stop(reason="every row is scored"), None
        try:
            say = (
                f"scoring {counted(1 if before is best else 2, 'program')} on {counted(self._scorer.test_rows, 'row')}"
            )
            compared = self._unless_left(gate, partial(self._scorer.test, before, best, gate, say))
        except Exception as exc:  # noqa: BLE001  whatever a program or a metric raises is told as the reason
            stop = Stop(StopKind.HOME, str(exc)) if isinstance(exc, HomeError) else self._failed("scoring", exc)
        if gate.closed is not None:
            stop = Stop(*gate.closed)
        stop = replace(stop, scored=compared is not None or stop.kind is StopKind.CANCELLED)
        gate.close(StopKind.CANCELLED, "the evaluation is over")
        self._session.drain()
        return self._told(before, best, compared, stop)

    def _kept(self, program: Program) -> Candidate:
        failed: dict[Split, float] = {"val": 1.0}  # nothing is known of what it fails on
        return Candidate(self._reporter.keep(program), program, failed=failed, chosen=True)

    def _told(self, before: Candidate, best: Candidate, compared: Comparison | None, stop: Stop) -> RunResult:
        unread = caveats(self._session.readings.on_the_result(), self._scorer.test_rows, best.program)
        result = result_of(stop, self._scorer.as_given(best.program), {}, {}, compared, self.ledger, 0, unread)
        if compared is None:
            result = replace(result, summary=stop.reason)
        elif before is best:
            rows, n = compared.after, len(self._scorer.test_rows)
            mean = mean_interval(rows, seed=self.prepared.spec.seed)
            of_all = counted(len(rows), "row") if len(rows) == n else f"{len(rows):,} of {n:,} rows"
            sentence = f"{points(mean.mean)} on {of_all}, 95% interval {points(mean.low)} to {points(mean.high)}"
            sentence += f"; {unread}" if unread else ""
            result = replace(
                result, test_baseline=None, test_delta=None, test_delta_interval=None, p_value=None, verdict=None,
                test_interval=(mean.low, mean.high), summary=sentence,
            )  # fmt: skip
        warnings = told_at_the_end(self._session, self._recorder, self.prepared.metric)
        events: list[Payload] = [Warned(text=text) for text in warnings]
        events.append(recorded(result, best.program_id, unread))
        try:
            self._reporter.emit(*events, sync=True)
        except HomeError as exc:  # what was found is the person's, recorded or not
            return replace(result, state=JobState.FAILED, stop_kind=StopKind.HOME, stop_reason=str(exc))
        return result
