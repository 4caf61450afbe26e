"""A language model as a judge of training examples: metered like a run, and never asked twice.

Each example is graded by three questions, each answered yes (1), partly (0.5) or no (0); its grade is
their mean.  A grade is an event of the home's journal as soon as it is there, under the example's
content and the judge, so that whatever ends the asking, what was paid for is kept.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.data.dataset import text_of
from skillfleet_nb.data.findings import Judged
from skillfleet_nb.data.identity import content_hash
from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.events import ExampleJudged, StopKind
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.prices import unpriced
from skillfleet_nb.lm.session import Session
from skillfleet_nb.modules.base import ModuleConfig, ModuleFactory
from skillfleet_nb.runs.prepare import checked_budget
from skillfleet_nb.runs.spec import Budget
from skillfleet_nb.runs.task import checked_lm
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data.dataset import Dataset
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.store import Home, Store
    from skillfleet_nb.typing import Model, Program

MAX_CALLS = 200
"""Calls a judge may make in one analysis unless said otherwise."""

QUESTIONS = {
    "correct": "is the answer right for the input?",
    "clear": "can the input be understood by itself?",
    "useful": "does the example teach the task?",
}
GRADES = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_VERSION = 1  # of the questions: grades of another are not comparable
_LONGEST = 6_000  # characters of an example that are shown to the judge
_MOST_VALUES = 50


@dataclass(frozen=True)
class Judge:
    """A model that grades examples, within limits.

    Parameters
    ----------
    lm
        The model.
    settings
        Of the home: prices, threads, patience with failures, whether prompts are recorded.
    max_calls, budget_usd
        Hard limits on what one analysis buys; cached calls are free.
    progress
        Called as ``progress(done, total)`` after each grade.

    Raises
    ------
    InputError, LMError
        If there is no model, a limit is not above 0, or one in USD cannot be kept.
    """

    lm: Model
    settings: Settings
    max_calls: int = MAX_CALLS
    budget_usd: float | None = None
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        checked_lm(self.lm)
        if isinstance(self.max_calls, bool) or not isinstance(self.max_calls, int) or self.max_calls < 1:
            raise InputError(f"max_calls = {self.max_calls!r}: give a whole number from 1")
        checked_budget(Budget.of(usd=self.budget_usd, calls=self.max_calls), unpriced([self.lm], self.settings.prices))

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.lm.model)

    def grade(self, home: Home, store: Store, rows: Dataset, task: str, seed: int = 0) -> Judged:
        """Grade the rows that this judge has not graded yet, in random order, up to the limits.

        Parameters
        ----------
        home, store
            Where grades are kept, and read from.
        rows
            The set; of equal examples one is graded.
        task
            What the examples are to teach, in words.
        seed
            Of the order: the next analysis goes on where this one stopped.

        Returns
        -------
        Judged
            Grades by example id, and what they cost.

        Raises
        ------
        LMError
            If the model did not answer at all.
        """
        key = content_hash([_VERSION, self.name, self.lm.kwargs.get("temperature"), task])
        stored = queries.grades(store, key)
        left = sorted({i: row for row, i in enumerate(rows.ids) if i not in stored}.items())
        random.Random(seed).shuffle(left)
        grades = {i: stored[i] for i in rows.ids if i in stored}
        if not left:
            return Judged(model=self.name, grades=grades)
        limits = Limits(usd=self.budget_usd, calls=self.max_calls)
        with Session.opened(home, self.settings, "judge", [self.lm], limits=limits) as session:
            grading = _Grading(self, session, key, task, rows)
            stopped = grading.all(left)
        totals = session.ledger.totals
        return Judged(
            model=self.name,
            grades=grades | grading.grades,
            calls=totals.calls,
            cost_usd=totals.cost_usd,
            unread=grading.unread,
            stopped=stopped,
        )


class _Grading:
    """The questions of one analysis."""

    def __init__(self, judge: Judge, session: Session, key: str, task: str, rows: Dataset) -> None:
        self._judge, self._session, self._key, self._task, self._rows = judge, session, key, task, rows
        self.grades: dict[str, tuple[float, str]] = {}
        self.unread = 0

    def all(self, left: Sequence[tuple[str, int]]) -> str | None:
        """Ask about each of `left`; return in words what stopped it, if anything did."""
        import dspy

        gate, predict = self._session.gate(), ExampleJudge(ModuleConfig()).build()
        total, ended = min(len(left), self._judge.max_calls), None
        threads = self._judge.settings.num_threads or dspy.settings.num_threads or 1
        pool = ThreadPoolExecutor(threads, thread_name_prefix="skillfleet-judge")
        try:
            with self._session.models(gate, self._judge.lm, role="judge"):
                with self._counting_failures():
                    self._session.first_answer(lambda: self._ask(predict, *left[0]))
                waiting = [pool.submit(copy_context().run, self._try, predict, gate, i, row) for i, row in left[1:]]
            for future in as_completed(waiting):
                future.result()
                self._show(total)
        except RunStopped as exc:
            ended = exc
        finally:
            gate.close(StopKind.CANCELLED, "the analysis is over")
            pool.shutdown(cancel_futures=True)  # what is in flight is paid for, and its grade is kept
        if ended is None:
            return None
        if ended.kind is StopKind.LM_FAILING and not self.grades:
            raise LMError(f"the judge gave no grade: {ended.reason}") from ended
        self._show(total)
        return ended.reason

    def _show(self, total: int) -> None:
        if self._judge.progress is not None:
            self._judge.progress(min(len(self.grades) + self.unread, total), total)

    def _try(self, predict: Program, gate: Gate, example: str, row: int) -> None:
        gate.check()
        with self._counting_failures():
            self._ask(predict, example, row)

    @contextmanager
    def _counting_failures(self) -> Iterator[None]:
        """Count an answer that did not come, or could not be read, and go on."""
        from dspy.utils.exceptions import DSPyError

        try:
            yield
        except DSPyError:
            self.unread += 1

    def _ask(self, predict: Program, example: str, row: int) -> None:
        """Have one example graded, and keep the grade."""
        fields, inputs = self._rows.contents[row], self._rows.inputs
        answer = predict(
            task=self._task,
            example_input=_cut(text_of({f: fields.get(f) for f in inputs})),
            example_answer=_cut(text_of({f: v for f, v in fields.items() if f not in inputs})),
        )
        grade = sum(GRADES[getattr(answer, name)] for name in QUESTIONS) / len(QUESTIONS)
        reason = " ".join(str(answer.reason).split()) if self._judge.settings.record_prompts else ""
        self._session.emit(
            ExampleJudged(example_id=example, judge=self._key, model=self._judge.name, grade=grade, reason=reason)
        )
        self.grades[example] = grade, reason


def task_of(rows: Dataset, program: Any = None) -> str:
    """Say in words what a set teaches: the program's instructions, the fields, the values of the label."""
    outputs = [f for f in rows.fields if f not in rows.inputs]
    sentences = [p.signature.instructions for p in program.predictors()] if program is not None else []
    sentences.append(f"From {', '.join(rows.inputs)}, give {', '.join(outputs) or 'an answer'}.")
    values = sorted({v for v in rows.labels if v is not None})
    if 1 < len(values) <= _MOST_VALUES:
        sentences.append(f"{rows.label} is one of: {', '.join(values)}.")
    return " ".join(sentences)


class ExampleJudge(ModuleFactory):
    """Makes what a :class:`Judge` asks of each example."""

    name = "example_judge"
    version = "1"
    summary = "whether a training example is correct, clear and useful for its task, with the reason"
    role = "validation"

    def build(self) -> Program:
        """Make the module."""
        import dspy

        return dspy.Predict(_signature())


def _signature() -> Any:
    import dspy

    fields: dict[str, Any] = {
        "task": (str, dspy.InputField(desc="what a model is to learn from examples")),
        "example_input": (str, dspy.InputField(desc="what the model is given")),
        "example_answer": (str, dspy.InputField(desc="what it should answer")),
    }
    fields |= {name: (Literal[*GRADES], dspy.OutputField(desc=desc)) for name, desc in QUESTIONS.items()}
    fields["reason"] = (str, dspy.OutputField(desc="one short sentence"))
    return dspy.Signature(fields, "Judge whether an example is fit to teach a model the task.")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
