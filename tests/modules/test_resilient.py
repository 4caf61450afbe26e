"""A program that survives failures: retries past the cache, other models, a default answer, reasons kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import INTENTS, Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.modules import create

if TYPE_CHECKING:
    from pathlib import Path

TEXT = Data().all[0].text


def failing_until(n: int, every: int = 10**9) -> Counting:
    def fail(call: int) -> None:
        if call < n or call % every == 0:
            raise dspy.LMTransportError("sk-proj-0123456789abcdef was refused", model="first", provider="test")

    return Counting(fail)


def test_what_does_not_fail_is_asked_once() -> None:
    lm, engine = counted_lm()
    with dspy.context(lm=lm):
        answer = create("resilient", program=program())(text=TEXT)
    assert answer.intent in INTENTS
    assert (answer.answered_by, answer.failures, engine.calls) == ("program", [], 1)


def test_a_failure_is_asked_again_and_its_reason_kept_without_keys() -> None:
    lm, engine = counted_lm(failing_until(3), num_retries=0)
    with dspy.context(lm=lm):
        answer = create("resilient", program=program(), retries=2)(text=TEXT)
    assert (answer.answered_by, engine.calls) == ("retry 2", 3)
    assert [reason.partition(": ")[0] for reason in answer.failures] == ["program", "retry 1"]
    assert "LMTransportError" in answer.failures[0]
    assert "0123456789abcdef" not in str(answer.failures)


def test_a_retry_does_not_find_the_answer_that_could_not_be_used() -> None:
    tried: list[str] = []

    class Picky(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            answer = self.classify(text=text)
            tried.append(str(dspy.settings.lm.kwargs.get("rollout_id")))
            if len(tried) < 3:
                raise ValueError("not what was asked for")
            return answer

    lm, engine = counted_lm()
    with dspy.context(lm=lm, trace=[]):
        answer = create("resilient", program=Picky(), retries=2)(text=TEXT)
        assert len(dspy.settings.trace) == 3, "optimizers see what was asked of which predictor"
    assert (tried, engine.calls) == (["None", "1", "2"], 3)
    assert answer.failures == [
        "program: ValueError: not what was asked for",
        "retry 1: ValueError: not what was asked for",
    ]


def test_then_other_models_then_a_default() -> None:
    first, _ = counted_lm(failing_until(99), num_retries=0)
    second, spare = counted_lm()
    with dspy.context(lm=first):
        answer = create("resilient", program=program(), retries=0, fallback=second)(text=TEXT)
        assert (answer.answered_by, spare.calls) == (second.model, 1)
        own = program()
        own.lm = first
        assert (
            create("resilient", program=own, retries=0, fallback=[first, second])(text=TEXT).answered_by == second.model
        )
        assert own.lm is first
        given = create("resilient", program=program(), fallback=first, default={"intent": "bug_report"})
        answer = given(text=TEXT)
        assert (answer.intent, answer.answered_by) == ("bug_report", "default")
        assert len(answer.failures) == 3
        assert asyncio.run(given.acall(text=TEXT)).answered_by == "default"
        with pytest.raises(dspy.LMTransportError):
            create("resilient", program=program())(text=TEXT)


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"program": 3}, InputError, "give a dspy.Module, or a signature such as 'text -> label'"),
        ({"program": "text"}, InputError, "is no signature"),
        ({"program": "text -> failures"}, InputError, "has a field 'failures'"),
        ({"program": "text -> label", "default": {"lable": "x"}}, NotFoundError, "did you mean 'label'?"),
        ({"program": "text -> label, why", "default": {"label": "x"}}, InputError, "default lacks why"),
        ({"program": "text -> label", "fallback": "gpt"}, InputError, "give a dspy.LM, 'offline', 'local', a role"),
    ],
)
def test_what_cannot_be_is_one_line(config: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        create("resilient", **config)


def test_it_is_optimised_metered_and_saved_like_any_program(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    first, _ = counted_lm(failing_until(0, every=4), num_retries=0)
    second, spare = counted_lm(Counting(usd_per_1k_tokens=1.0))
    given = create("resilient", program=program(), retries=0, fallback=second)
    job = fleet.optimize(
        given, **Data().splits(), metric=exact, optimizer="labeled_fewshot", params={"k": 2}, lm=first, budget_usd=50
    )
    result = job.result()
    assert spare.calls > 0
    assert result.cost_usd > 0
    assert result.best_score is not None
    version = fleet.register(job, "safe")
    by_hand = fleet.program(version.ref, create("resilient", program=program(), fallback=second))
    by_name = fleet.program(version.ref)  # onto what its job was started with: its class takes arguments
    for loaded in (by_hand, by_name):
        with dspy.context(lm=counted_lm(failing_until(99), num_retries=0)[0]):
            assert loaded(text=TEXT).answered_by == second.model


def test_a_stop_of_a_run_is_no_failure() -> None:
    class Stopping(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            from skillfleet_nb.events import StopKind

            raise RunStopped(StopKind.BUDGET, "no more")

    with pytest.raises(RunStopped), dspy.context(lm=counted_lm()[0]):
        create("resilient", program=Stopping(), default={"intent": "bug_report"})(text=TEXT)
