"""One metric for every optimizer: a user's function, adapted and checked.

DSPy's optimizers call metrics in three ways and read three kinds of answers; the user writes one
function ``metric(example, pred, trace=None)`` that returns a bool, a number in [0, 1], a
``dspy.Prediction(score=…, feedback=…)`` or the same as a dict.
"""

from __future__ import annotations

import functools
import inspect
import math
from contextlib import contextmanager, suppress
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

from skillfleet_nb.errors import InputError
from skillfleet_nb.events import StopKind
from skillfleet_nb.format import one_line
from skillfleet_nb.lm.calls import acting
from skillfleet_nb.lm.everywhere import everywhere
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.runs.racing import is_unbought
from skillfleet_nb.runs.review.reviewer import REVIEWER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from skillfleet_nb.typing import Example, Metric, Prediction

_ARGUMENTS, _GEPA_ARGUMENTS = 3, 5  # (example, pred, trace), and with (pred_name, pred_trace)
_ALLOWED = "a metric returns a bool, a number in [0, 1], or dspy.Prediction(score=…, feedback=…)"

_SHOWN_CHARS = 200  # of an answer that is no score
_SHARED_CHARS = 500  # of a feedback; so that what is remembered stays small


class Score(float):
    """A score that remembers the feedback it came with."""

    __slots__ = ("feedback",)  # searches keep one for each prediction they ever made
    feedback: str | None

    def __new__(cls, value: float, feedback: str | None = None) -> Self:
        """Make a score from a value in [0, 1]."""
        self = super().__new__(cls, value)
        self.feedback = feedback
        return self


class RunMetric:
    """A user's metric as all optimizers can use it.

    Parameters
    ----------
    fn
        ``metric(example, pred)``, ``metric(example, pred, trace=None)``, or with GEPA's further
        arguments ``pred_name`` and ``pred_trace``.
    on_score
        Told every score as ``on_score(example, score)`` on the thread that computed it; None is told where the
        program or the metric failed.

    Attributes
    ----------
    on_fault
        Told in words when an answer is no score, before the run is stopped.
    failures, last_failure
        How often it raised during a run, and what it raised last.
    asks_model
        Whether it was seen to ask a model, when it was tried for free.

    Raises
    ------
    InputError
        If `fn` cannot be called with two arguments.

    Examples
    --------
    >>> metric = RunMetric(lambda example, pred: example == pred)
    >>> float(metric("a", "a"))
    1.0
    """

    def __init__(self, fn: Metric, on_score: Callable[[Example, Score | None], None] | None = None) -> None:
        if not callable(fn):
            raise InputError(
                f"metric is {fn!r}, which cannot be called: give a function metric(example, pred, trace=None)"
            )
        self.fn = fn
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.on_score = on_score
        self.on_fault: Callable[[str], None] | None = None
        self.failures = 0
        self.asks_model = False
        self.last_failure: Exception | None = None
        self._arity = _arity(fn, self.name)

    def __call__(self, example: Example, pred: Prediction | None, trace: object = None) -> Score:
        """Score one prediction."""
        return self._score(example, pred, trace)

    def feedback(
        self,
        example: Example,
        pred: Prediction | None,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> Prediction:
        """Score one prediction as ``dspy.Prediction(score, feedback)``."""
        import dspy

        score = self._score(example, pred, trace, pred_name, pred_trace)
        feedback = score.feedback or f"This trajectory got a score of {float(score):g}."
        return dspy.Prediction(score=float(score), feedback=feedback)

    def probe(self, example: Example, pred: Prediction) -> Score:
        """Score one prediction to learn whether the metric is fit for use.

        Raises
        ------
        InputError
            If it raises, or returns what is no score.
        """
        try:
            return read_score(self._call(example, pred, None, None, None), self.name)
        except InputError:
            raise
        except Exception as exc:
            raise InputError(
                f"metric {self.name!r} raised {type(exc).__name__}: {exc} on the first example: "
                "correct it before anything is spent"
            ) from exc

    def proves(self, example: Example, answer: Mapping[str, Any]) -> bool:
        """Score the right answer to `example`, which costs nothing, to see that it gives scores.

        Parameters
        ----------
        answer
            The right one, by the names of the program's outputs.

        Returns
        -------
        bool
            False where that could not tell: the metric asks a model, or reads what only a real
            prediction has; it is then tried on the first real one.

        Raises
        ------
        InputError
            If it raises or returns no score.
        """
        import dspy

        gold = dspy.Prediction(**answer)
        try:
            with nobody_asked():
                self.probe(example, gold)
        except AsksModel:
            self.asks_model = True
            return False
        except InputError as exc:
            cause = exc.__cause__
            read_of = getattr(cause, "obj", None)  # what an attribute was asked of
            is_row = isinstance(read_of, dspy.Example) and not isinstance(read_of, dspy.Prediction)
            if isinstance(cause, AttributeError | KeyError) and not is_row:
                return False
            raise
        return True

    def own_score(self, example: Example, changes: Mapping[str, Any] | None = None) -> float | None:
        """Score an example's own answer, or one with `changes`, which costs nothing.

        Returns
        -------
        float or None
            In [0, 1]; 0 where it raises, None where it asks a model and so cannot be asked.
        """
        import dspy

        try:
            with nobody_asked():
                return float(
                    self.probe(example, dspy.Prediction(**{**dict(example.labels().items()), **(changes or {})}))
                )
        except AsksModel:
            return None
        except InputError:
            return 0.0

    @off_loop
    def _call(
        self, example: Example, pred: Prediction | None, trace: object, pred_name: str | None, pred_trace: object
    ) -> Any:
        arguments = (example, pred, trace, pred_name, pred_trace)[: self._arity]
        token = acting.set("judge")  # what a metric asks of models is its own, on whatever threads it starts
        try:
            return self.fn(*arguments)
        finally:
            acting.reset(token)

    def _score(
        self,
        example: Example,
        pred: Prediction | None,
        trace: object,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> Score:
        if is_unbought(pred):
            return _shared(0.0, "Not scored: the candidate could no longer win.")
        report = self.on_score if self.on_score is not None and pred_name is None else _nobody
        if pred is None:  # SIMBA scores a failed call this way
            report(example, None)
            return _shared(0.0, "The program failed on this input.")
        try:
            answer = self._call(example, pred, trace, pred_name, pred_trace)
        except Exception as exc:  # DSPy counts it as a failed prediction: whose failure it was is told at the end
            self.failures, self.last_failure = self.failures + 1, exc
            report(example, None)
            raise
        try:
            score = read_score(answer, self.name)
        except InputError as exc:
            # No optimizer may go on with scores that mean nothing: several swallow exceptions, and other
            # threads would go on.
            if self.on_fault is not None:
                self.on_fault(str(exc))
            raise RunStopped(StopKind.METRIC, str(exc)) from exc
        report(example, score)
        return score


def _nobody(*_: object) -> None:
    """Hear of a score, and do nothing."""


def read_score(answer: object, name: str) -> Score:
    """Read what a metric returned.

    Raises
    ------
    InputError
        For None, NaN, a value outside [0, 1], or a type that holds no score.

    Examples
    --------
    >>> read_score({"score": 0.5, "feedback": "half right"}, "metric").feedback
    'half right'
    """
    value: Any = answer
    feedback = None
    if inspect.iscoroutine(answer):
        answer.close()  # or Python warns that nobody awaited it
        way_out = f"give a function that awaits it: lambda *given: asyncio.run({name}(*given))"
        raise InputError(f"metric {name!r} is async, and optimizers call metrics as functions: {way_out}")
    if isinstance(answer, dict) or (hasattr(answer, "keys") and hasattr(answer, "get")):
        value, feedback = answer.get("score"), answer.get("feedback")
    elif hasattr(answer, "score"):
        value, feedback = answer.score, getattr(answer, "feedback", None)
    if hasattr(value, "item"):
        with suppress(TypeError, ValueError, RuntimeError):  # an array of several
            value = value.item()  # a NumPy or torch scalar
    if not isinstance(value, Real):
        raise InputError(f"metric {name!r} returned {one_line(repr(answer), _SHOWN_CHARS)}: {_ALLOWED}")
    number = float(value)
    if math.isnan(number) or not 0 <= number <= 1:
        scale = "; divide by 100 if it is a percentage" if 1 < number <= 100 else ""  # noqa: PLR2004
        raise InputError(f"metric {name!r} returned {number:g}: {_ALLOWED}{scale}")
    text = None if feedback is None else str(feedback)
    return _shared(number, text) if len(text or "") <= _SHARED_CHARS else Score(number, text)


@functools.lru_cache(maxsize=4096)
def _shared(number: float, feedback: str | None) -> Score:
    """Return the one object for a score with this feedback: most are told over and over, and searches keep them all."""
    return Score(number, feedback)


def _arity(fn: Metric, name: str) -> int:
    """Count the positional arguments the metric takes, of GEPA's five."""
    import dspy

    if isinstance(fn, dspy.Module):  # whose call takes any
        fn = fn.forward if "forward" in vars(fn) else functools.partial(type(fn).forward, fn)
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return _ARGUMENTS
    if any(p.kind == p.VAR_POSITIONAL for p in signature.parameters.values()):
        return _arity_within(fn, name)
    for n in (_GEPA_ARGUMENTS, _ARGUMENTS, 2):
        try:
            signature.bind(*[None] * n)
        except TypeError:
            continue
        return n
    raise InputError(f"metric {name!r} takes {signature}: it must take (example, pred, trace=None)")


def _arity_within(fn: Metric, name: str) -> int:
    """Count the arguments of what a decorator hides that takes any: it hands them on to the one it holds."""
    held = [cell.cell_contents for cell in getattr(fn, "__closure__", None) or ()]
    inner = [value for value in held if callable(value)]
    try:
        return _arity(inner[0], name) if len(inner) == 1 else _ARGUMENTS
    except InputError:  # it holds something else
        return _ARGUMENTS


class AsksModel(BaseException):
    """A metric called a model, or asked a person, while it was tried for free."""


class _NoPerson:
    """Stands for a run's reviewer where there is no run."""

    def step(self, *_: object) -> None:
        raise AsksModel


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Stop whatever the body asks, a model of its own or a person, on whatever thread, before it is asked."""
    import dspy

    gate = Gate(Ledger(Limits(calls=0)))
    none = dspy.LM("skillfleet/none", cache=False)
    try:
        with dspy.context(lm=none, trace=[], **{REVIEWER: _NoPerson()}), everywhere(gate):
            yield
    finally:
        if gate.closed is not None:
            raise AsksModel
