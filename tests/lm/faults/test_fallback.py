"""Another model answers where one fails for good, under its own name and at its own price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from skillfleet_nb.errors import InputError, JobError, LMError
from skillfleet_nb.events import JobState
from skillfleet_nb.lm.fallback import Fallbacks
from skillfleet_nb.lm.faults import Breaker, RetryPolicy
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.tap import tapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from chat_server import ChatServer
    from fault_kit import Runner

    from skillfleet_nb.events import LMCall

QUICK = RetryPolicy(retry_delay_s=0.005, skip_after=3, skip_s=1e6)


@pytest.fixture
def second(make_server: Callable[[], ChatServer]) -> ChatServer:
    return make_server()


def chain(*others: Any, limits: Limits | None = None, **options: Any) -> tuple[Ledger, list[LMCall], list[str]]:
    told: list[LMCall] = []
    said: list[str] = []
    ledger = Ledger(
        limits,
        lambda make, _: told.extend(make()),
        retry_policy=QUICK,
        fallbacks=Fallbacks(others, QUICK, None, said.append),
        **options,
    )
    return ledger, told, said


def test_each_call_is_recorded_as_its_models_own(runner: Runner, second: ChatServer) -> None:
    runner.server.always("server_500")
    first, other = runner.lm(), runner.lm(second)
    ledger, told, said = chain(other, prices={first.model: (1.0, 1.0), other.model: (3.0, 3.0)})
    assert tapped(Gate(ledger), first, "task")("hello")
    assert [(c.model, c.error is None, c.attempts) for c in told] == [(first.model, False, 3), (other.model, True, 1)]
    used = told[1].input_tokens + told[1].output_tokens
    assert told[0].cost_usd == 0
    assert told[1].cost_usd == pytest.approx(3e-6 * used)
    assert ledger.totals.cost_usd == told[1].cost_usd
    assert ledger.unanswered == 0
    assert len(said) == 1
    assert f"{other.model} answers in its place" in said[0]


def test_all_that_fail_fail_the_request_once(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    second.always("not_found")
    ledger, told, _ = chain(runner.lm(second))
    with pytest.raises(dspy.LMUnsupportedModelError):
        tapped(Gate(ledger), runner.lm(), "task")("hello")
    assert len(told) == 2
    assert ledger.unanswered == 1


def test_a_budget_holds_for_fallbacks_too(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    ledger, told, _ = chain(runner.lm(second), limits=Limits(calls=4))
    metered = tapped(Gate(ledger), runner.lm(), "task")
    metered("hello")
    metered("hello again")
    with pytest.raises(RunStopped, match="budget: 4 calls"):
        metered("and again")
    assert len(told) == ledger.totals.calls == 4


def test_one_that_fails_on_and_on_is_skipped_until_it_is_back(runner: Runner, second: ChatServer) -> None:
    now = [0.0]
    runner.server.always("auth")
    ledger, _, said = chain(runner.lm(second))
    ledger.fallbacks.breaker = Breaker(3, 1000.0, lambda: now[0])
    metered = tapped(Gate(ledger), runner.lm(), "task")
    for n in range(10):
        metered(f"hello {n}")
    assert (len(runner.server.seen), len(second.seen)) == (3, 10)
    assert any("3 times in a row: skipped" in text for text in said)
    now[0] = 1001.0
    metered("is it back?")
    assert (len(runner.server.seen), len(second.seen)) == (4, 11)
    metered("not yet")
    assert len(runner.server.seen) == 4
    now[0] = 2002.0
    runner.server.fault = lambda _: None
    metered("now?")
    metered("and now?")
    assert (len(runner.server.seen), len(second.seen)) == (6, 12)


def test_what_an_optimizer_set_on_its_copy_goes_along(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    other = runner.lm(second)
    ledger, _, _ = chain(other)
    metered = tapped(Gate(ledger), runner.lm(temperature=0.1), "task")
    metered.copy(temperature=0.9, rollout_id=1)("hello")
    metered.copy(temperature=0.9, rollout_id=2)("hello")
    assert [body["temperature"] for body in second.seen] == [0.9, 0.9], "two rollouts are two calls"
    metered("hello", temperature=0.3)
    assert second.seen[-1]["temperature"] == 0.3


def test_a_request_too_long_is_the_callers_to_shorten(runner: Runner, second: ChatServer) -> None:
    class Full:
        def complete(self, request: Any) -> Any:
            raise dspy.lm15.ContextLengthError("too long")

    ledger, told, _ = chain(runner.lm(second))
    with pytest.raises(dspy.ContextWindowExceededError):
        tapped(Gate(ledger), dspy.LM("made-up/full", engine=Full()), "task")("hello")
    assert len(told) == 1
    assert ledger.unanswered == 0
    assert second.seen == []


def test_a_whole_run_goes_on_with_a_fallback(runner: Runner, second: ChatServer) -> None:
    runner.server.after(7, "quota")
    first, other = runner.lm(), runner.lm(second)
    job = runner.start("miprov2", first, fallback_lm=other)
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert result.test_score is not None
    assert job.progress.spec["fallback_lms"] == [other.model]
    answered = runner.calls(f"model = '{other.model}' and error is null")
    assert runner.calls(f"model = '{other.model}' and not cached") == len(second.seen)
    assert any("answers in its place" in w for w in job.progress.warnings)
    assert f"{answered} requests were answered by a fallback" in job.progress.warnings


def test_a_dead_model_with_a_living_fallback_is_no_dead_run(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    result = runner.start("gepa", fallback_lm=[runner.lm(second)], num_threads=1).result()
    assert result.state is JobState.COMPLETED
    assert len(runner.server.seen) == 3, "then it is skipped"


def test_without_a_living_one_the_first_call_tells(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    second.always("quota")
    job = runner.start(fallback_lm=runner.lm(second))
    with pytest.raises(JobError, match=r"\(task\) and its fallbacks failed on the first call: LMBillingError"):
        job.result()
    assert (len(runner.server.seen), len(second.seen)) == (1, 1)


@pytest.mark.parametrize("back", [True, False])
def test_a_resumed_run_asks_the_same_model_again(runner: Runner, second: ChatServer, *, back: bool) -> None:
    runner.server.fault = lambda n: "quota" if 4 <= n <= 5 or n > 9 else None
    first, other = runner.lm(num_retries=0), runner.lm(second)
    given = {"lm": first, "fallback_lm": other}
    job = runner.start("miprov2", max_calls=24, num_threads=1, **given)
    result = job.result()
    assert result.stop_reason == "budget: 24 calls"
    trials = runner.fleet.trials(job.id)
    asked = [json.dumps(b["messages"]) for s in (runner.server, second) for b in s.seen]
    seen = len(runner.server.seen), len(second.seen)
    if back:
        runner.server.fault = lambda _: None
    again = runner.fleet.resume(job.id, max_calls=200, lm=first, fallback_lm=other)
    finished = again.result()
    assert finished.state is JobState.COMPLETED
    after = runner.fleet.trials(job.id)
    assert after.score.tolist()[: len(trials)] == trials.score.tolist()
    answered = [json.dumps(b["messages"]) for b in second.seen[: seen[1]]]
    later = [json.dumps(b["messages"]) for b in (*runner.server.seen[seen[0] :], *second.seen[seen[1] :])]
    assert asked
    assert not set(answered) & set(later), "what a fallback was paid for is not asked of anyone again"


def test_a_fallback_may_be_added_when_a_job_is_resumed(runner: Runner, second: ChatServer) -> None:
    runner.server.after(8, "quota")
    first = runner.lm()
    job = runner.start(lm=first)
    assert job.result().state is JobState.FAILED
    result = runner.fleet.resume(job.id, lm=first, fallback_lm=runner.lm(second)).result()
    assert result.state is JobState.COMPLETED
    assert second.seen


def test_a_detached_job_takes_its_fallbacks_along(runner: Runner, second: ChatServer) -> None:
    runner.server.always("auth")
    job = runner.start(fallback_lm=runner.lm(second), engine="process")
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert second.seen


def test_what_cannot_take_over_is_refused_before_anything_is_spent(runner: Runner) -> None:
    with pytest.raises(InputError, match=r"fallback_lm is 'openai/gpt': give a dspy\.LM"):
        runner.start(fallback_lm="openai/gpt")
    with pytest.raises(LMError, match="no known price"):
        runner.start(lm=dspy.LM("openai/gpt-4o-mini", api_key="k"), fallback_lm=runner.lm(), budget_usd=1.0)
    assert runner.server.seen == []


def test_the_command_takes_several(runner: Runner, second: ChatServer, make_server: Callable[[], ChatServer]) -> None:
    from skillfleet_nb.commands.resolve import resolve_lms

    lms = {name: runner.lm() for name in ("a", "b", "c")}
    assert resolve_lms(["a, b", "c"], lms) == list(lms.values())
    assert resolve_lms([], lms) is None
