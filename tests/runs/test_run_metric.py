"""One metric for every optimizer: what may be given, what it may return."""

from __future__ import annotations

from functools import partial
from typing import Any

import dspy
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.errors import InputError
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.runs.metric import RunMetric, read_score


def two(example: Any, pred: Any) -> bool:
    return bool(example == pred)


def three(example: Any, pred: Any, trace: Any = None) -> float:
    return 0.25 if trace is None else 0.75


def five(example: Any, pred: Any, trace: Any, pred_name: Any, pred_trace: Any) -> dspy.Prediction:
    return dspy.Prediction(score=0.5, feedback=f"for {pred_name}")


class Judge:
    def __call__(self, example: Any, pred: Any, trace: Any = None) -> bool:
        return True

    def method(self, example: Any, pred: Any) -> int:
        return 1


@pytest.mark.parametrize(
    "metric",
    [two, three, five, Judge(), Judge().method, partial(three, trace=None), lambda *args: 1, lambda e, p, **more: 1],
)
def test_all_ways_to_write_a_metric_serve_all_callers(metric: Any) -> None:
    adapted = RunMetric(metric)
    assert 0 <= adapted("a", "a") <= 1
    assert 0 <= adapted("a", "a", []) <= 1
    told = adapted.feedback("a", "a", None, "predict", None)
    assert 0 <= told.score <= 1
    assert told.feedback


def test_each_caller_is_given_its_arguments() -> None:
    assert RunMetric(three)("a", "b") == 0.25
    assert RunMetric(three)("a", "b", []) == 0.75
    assert RunMetric(five).feedback("a", "b", None, "classify", []).feedback == "for classify"


@pytest.mark.parametrize("metric", [lambda: 1, lambda only: 1, lambda a, b, c, d, e, f: 1, "exact", None, 3])
def test_what_cannot_be_called_so_is_refused(metric: Any) -> None:
    with pytest.raises(InputError, match=r"metric.*(must take|cannot be called)"):
        RunMetric(metric)


@pytest.mark.parametrize(
    ("answer", "score", "feedback"),
    [
        (True, 1.0, None),
        (0, 0.0, None),
        (0.5, 0.5, None),
        (np.float32(0.5), 0.5, None),
        (np.bool_(1), 1.0, None),
        ({"score": 1}, 1.0, None),
        ({"score": 0.2, "feedback": "low"}, 0.2, "low"),
        (dspy.Prediction(score=0.3, feedback="so"), 0.3, "so"),
        (dspy.Prediction(score=True, feedback=None), 1.0, None),
    ],
)
def test_answers_are_read(answer: Any, score: float, feedback: str | None) -> None:
    found = read_score(answer, "m")
    assert (float(found), found.feedback) == (pytest.approx(score), feedback)


@pytest.mark.parametrize(
    "answer",
    [
        None, float("nan"), float("inf"), -0.01, 1.01, "1", [1], {}, {"feedback": "no score"}, object(), 1j,
        np.array([1.0, 0.0]), pd.Series([1.0, 0.0]), torch.tensor([1.0, 0.0]), pd.DataFrame({"score": [1.0, 0.0]}),
    ],
)  # fmt: skip
def test_what_is_no_score_is_refused_and_stops_a_run(answer: Any) -> None:
    with pytest.raises(InputError, match="metric 'm' returned"):
        read_score(answer, "m")
    faults: list[str] = []
    metric = RunMetric(lambda example, pred: answer)
    metric.on_fault = faults.append
    with pytest.raises(RunStopped, match="a metric returns a bool") as stopped:
        metric("a", "b")
    assert stopped.value.kind == "metric"
    assert faults == [stopped.value.reason]
    assert "\n" not in stopped.value.reason


def test_a_percentage_is_recognised() -> None:
    with pytest.raises(InputError, match="divide by 100"):
        read_score(87, "m")


@given(st.floats(0, 1))
def test_any_number_from_0_to_1_is_its_own_score(number: float) -> None:
    assert float(read_score(number, "m")) == number


def test_a_metric_that_raises_is_counted_and_goes_on_raising() -> None:
    metric = RunMetric(lambda example, pred: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        metric("a", "b")
    assert (metric.failures, type(metric.last_failure)) == (1, ZeroDivisionError)
    assert metric("a", None) == 0.0, "SIMBA scores a failed call this way"


def test_a_search_that_keeps_every_score_keeps_few_objects() -> None:
    told = [read_score({"score": n % 2, "feedback": f"expected {n % 3}"}, "metric") for n in range(6_000)]
    assert len({id(score) for score in told}) == 6
    assert {(float(score), score.feedback) for score in told} == {
        (s, f"expected {f}") for s in (0, 1) for f in range(3)
    }
    assert read_score(True, "metric") is read_score(1.0, "metric")
    long = {"score": 0.5, "feedback": "x" * 1_000}
    assert read_score(long, "metric") is not read_score(long, "metric"), "long ones are not held for good"
