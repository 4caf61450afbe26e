"""The conformance suite of metrics: what optimizers, forecasts and verdicts rely on."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, one_line, shortened
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.runs.metric import AsksModel, RunMetric, nobody_asked
from skillfleet_nb.testing.report import Check, Conformance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.typing import Example, Metric, Rows

_MOST = 50  # examples, and wrong answers to them
_THREADS = 8
_OTHER = "something else entirely"
_Found = str | tuple[str, str]


def check_metric(
    metric: Metric, examples: Rows, *, inputs: Sequence[str] = (), count: Callable[[int, int], None] = lambda *_: None
) -> Conformance:
    """Try a metric on the right answers to examples, and on wrong ones; no model is asked.

    Parameters
    ----------
    metric
        ``metric(example, pred, trace=None)``.
    examples
        With the right values; the first 50 are used.
    inputs
        Which of their fields are inputs, where they do not say so themselves.
    count
        Told how many checks are done, of how many.

    Returns
    -------
    Conformance
        Its `ok` tells whether all is well.  A metric that asks a model or a person can be tried on nothing for free:
        what needs its scores is told as not tried.

    Raises
    ------
    InputError
        If `metric` cannot be called as one, or `examples` have no values to answer with.
    """
    from skillfleet_nb.data import first_row, records, to_examples

    adapted = RunMetric(metric)
    table = records(examples, "examples")
    fields = list(inputs) or (list(first_row(table)[0]) if len(table) else [])
    rows = to_examples(table[:_MOST], input_fields=fields, name="examples") if fields else []
    if not rows or not dict(rows[0].labels().items()):
        raise InputError(
            f"{counted(len(table), 'example')} with the inputs {', '.join(fields) or 'none'} hold no value to answer "
            "with: name the inputs (inputs=, --inputs), and leave the right values beside them"
        )
    suite, checks = _Suite(adapted, rows), []
    for n, name in enumerate(_NAMES):
        count(n, len(_NAMES))
        checks.append(suite.check(name))
    count(len(_NAMES), len(_NAMES))
    return Conformance(f"metric {adapted.name}", tuple(checks))


_NAMES = (
    "scores in range", "right above wrong", "determinism", "threads", "feedback", "bootstrapping",
    "nothing changed",
)  # fmt: skip


class _Suite:
    """The checks of one metric."""

    def __init__(self, metric: RunMetric, rows: Sequence[Example]) -> None:
        self._metric, self._rows = metric, rows
        self._before = copy.deepcopy([dict(row.items()) for row in rows])
        self._asks, self._fault = False, ""
        self._answers = [dict(row.labels().items()) for row in rows]
        self._spoiled = [_spoiled(answer, self._answers) for answer in self._answers]
        self._right = self._scores(self._answers)
        self._wrong = self._scores(self._spoiled)

    def check(self, name: str) -> Check:
        """Carry out a check."""
        if self._asks:
            return Check(name, None, "it asks a model or a person: nothing can be tried for free")
        if name != _NAMES[0] and self._fault:
            return Check(name, None, "it does not score every answer")
        outcome: _Found = getattr(self, f"_{name.replace(' ', '_')}")()
        return Check(name, True, outcome) if isinstance(outcome, str) else Check(name, False, *outcome)

    def _scores(self, answers: Sequence[Mapping[str, Any]], trace: object = None) -> list[float]:
        """Score an answer to each example; notes what keeps it from that."""
        scores: list[float] = []
        for row, answer in zip(self._rows, answers, strict=True):
            if self._asks or self._fault:
                break
            try:
                scores.append(self._score(row, answer, trace))
            except AsksModel:
                self._asks = True
            except (Exception, RunStopped) as exc:  # noqa: BLE001  whatever a person's metric raises
                raised = "" if isinstance(exc, RunStopped) else f"{type(exc).__name__}: "
                self._fault = f"answer {_short(answer)}: {raised}{one_line(str(exc))}"
        return scores

    def _score(self, row: Example, answer: Mapping[str, Any], trace: object = None) -> float:
        import dspy

        with nobody_asked():
            return self._metric(row, dspy.Prediction(**copy.deepcopy(dict(answer))), trace)

    def _scores_in_range(self) -> _Found:
        if self._fault:
            return (
                self._fault,
                "return a bool, a number in [0, 1] or dspy.Prediction(score=…, feedback=…) for any answer",
            )
        seen = [*self._right, *self._wrong]
        return f"{counted(len(seen), 'answer')} scored from {min(seen):g} to {max(seen):g}"

    def _right_above_wrong(self) -> _Found:
        averages = f"right answers score {fmean(self._right):.2f} on average, wrong ones {fmean(self._wrong):.2f}"
        if fmean(self._right) <= fmean(self._wrong):
            return averages, "compare what the program answers (pred) with what is right (example): higher is better"
        return averages

    def _determinism(self) -> _Found:
        if (again := self._scores(self._spoiled)) != self._wrong or self._scores(self._answers) != self._right:
            changed = sum(a != b for a, b in zip(again, self._wrong, strict=False)) or 1
            return f"asked again, {counted(changed, 'answer')} got another score", (
                "draw nothing by chance, and keep nothing from one answer to the next"
            )
        return "asked again, every answer got the same score"

    def _threads(self) -> _Found:
        with ThreadPoolExecutor(_THREADS) as pool:
            scores = list(pool.map(self._score, self._rows, self._answers))
        if scores != self._right:
            return f"on {_THREADS} threads at once, answers got other scores", "keep nothing that threads share"
        return f"on {_THREADS} threads at once, every answer got the same score"

    def _feedback(self) -> _Found:
        import dspy

        for row, answer in zip(self._rows, [*self._spoiled], strict=True):
            with nobody_asked():
                judgement = self._metric.feedback(row, dspy.Prediction(**answer), None, "predictor", None)
            if not isinstance(judgement.feedback, str) or not judgement.feedback.strip():
                return (
                    f"its feedback on {_short(answer)} is {judgement.feedback!r}",
                    "say in words what is wrong, or leave it out",
                )
        own = self._metric(self._rows[0], dspy.Prediction(**self._spoiled[0])).feedback
        return f"it says: {shortened(one_line(own), 80)}" if own else "it gives none, which optimizers can do without"

    def _bootstrapping(self) -> _Found:
        traced = self._scores(self._answers, trace=[])
        if self._fault:
            return self._fault, "take trace=[] as well, as it is while demos are bootstrapped"
        return f"with a trace, {sum(map(bool, traced))} of {len(traced)} right answers make a demo"

    def _nothing_changed(self) -> _Found:
        if [dict(row.items()) for row in self._rows] != self._before:
            return "it changed an example", "read example and pred, and change neither"
        return "it left the examples as they were"


def _spoiled(answer: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a wrong answer: of each field a value of another example, of the same kind where there is one."""
    made = {}
    for name, right in answer.items():
        others_values = [other[name] for other in others if name in other and other[name] != right]
        made[name] = others_values[0] if others_values else (not right if isinstance(right, bool) else _OTHER)
    return made


def _short(answer: Mapping[str, Any]) -> str:
    return shortened(one_line(str(dict(answer))), 120)
