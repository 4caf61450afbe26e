"""What code reaches is told before a run: a metric's models, and clients that the meter cannot see."""

from __future__ import annotations

import functools
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.errors import LMError
from skillfleet_nb.runs.code_reached import models_of, unseen_clients

if TYPE_CHECKING:
    from pathlib import Path

JUDGE = dspy.LM("acme/judge")


def by_global(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(JUDGE(pred.intent))


def by_helper(example: Any, pred: Any, trace: Any = None) -> bool:
    return by_global(example, pred)


@functools.lru_cache
def decorated(example: Any, pred: Any, trace: Any = None) -> bool:
    return by_global(example, pred)


class Judging:
    def __init__(self, lm: Any) -> None:
        self.ask = dspy.Predict("question -> answer")
        self.ask.lm = lm

    def __call__(self, example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(self.ask(question=pred.intent))

    def method(self, example: Any, pred: Any, trace: Any = None) -> bool:
        return self(example, pred)


def closed_over(lm: Any) -> Any:
    return lambda example, pred, trace=None: [lm(text) for text in (pred.intent,)]


@pytest.mark.parametrize(
    "metric", [by_global, by_helper, decorated, Judging(JUDGE), Judging(JUDGE).method, closed_over(JUDGE)]
)
def test_a_metrics_models_are_found(metric: Any) -> None:
    assert models_of(metric) == [JUDGE]


def test_what_asks_nobody_has_no_models() -> None:
    assert models_of(exact) == []
    assert unseen_clients(program(), exact) == []


class Parallel(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    def forward(self, text: str) -> Any:
        with ProcessPoolExecutor(2) as pool:
            return list(pool.map(str, [text]))


def by_client(example: Any, pred: Any, trace: Any = None) -> bool:
    from litellm import completion

    return bool(completion(model="acme/one", messages=[]))


def test_clients_and_processes_that_the_meter_cannot_see_are_named() -> None:
    told = unseen_clients(Parallel(), by_client)
    assert [note.partition(":")[0] for note in told] == [
        "the program uses ProcessPoolExecutor", "the metric uses litellm",
    ]  # fmt: skip
    assert "counted and limited as they are sent" in told[1]


def test_a_librarys_functions_and_classes_name_it_too() -> None:
    from metric_of_libraries import by_library

    told = unseen_clients(program(), by_library)
    assert [note.partition(":")[0] for note in told] == ["the metric uses openai", "the metric uses litellm"]


def test_a_budget_is_refused_where_the_metrics_model_has_no_price(tmp_path: Path) -> None:
    lm, engine = counted_lm()
    with pytest.raises(LMError, match=r"budget_usd = 1 cannot be kept: 'acme/judge' has no known price"):
        Fleet(tmp_path).optimize(
            program(), lm=lm, metric=by_global, optimizer="bootstrap_fewshot", budget_usd=1.0, **Data().splits()
        )
    assert engine.calls == 0


def test_a_job_tells_of_clients_it_cannot_see(tmp_path: Path) -> None:
    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        import openai

        return exact(example, pred) and bool(openai.__name__)

    lm, _ = counted_lm()
    job = Fleet(tmp_path).optimize(program(), lm=lm, metric=metric, optimizer="labeled_fewshot", **Data().splits())
    job.result()
    assert any("the metric uses openai: calls made with it are not counted" in w for w in job.progress.warnings)
