"""Calls over HTTP are tried again with patience, counted, and paid for once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import exact, program, rows, until

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import LMError
from skillfleet_nb.events import JobState
from skillfleet_nb.lm.faults import Circuit, RetryPolicy, delay_s, is_empty
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import tapped
from skillfleet_nb.store import follow, request

if TYPE_CHECKING:
    from chat_server import ChatServer
    from fault_kit import Runner

    from skillfleet_nb.events import LMCall

QUICK = RetryPolicy(retry_delay_s=0.005, grace_s=0.1)


def opened(policy: RetryPolicy = QUICK) -> tuple[Gate, Ledger, list[LMCall]]:
    told: list[LMCall] = []
    ledger = Ledger(None, lambda make, _: told.extend(make()), retry_policy=policy)
    return Gate(ledger), ledger, told


def test_attempts_are_counted_and_the_answer_is_paid_for_once(runner: Runner) -> None:
    runner.server.first(2, "server_500")
    gate, ledger, told = opened()
    assert tapped(gate, runner.lm(), "task")("hello")
    (call,) = told
    assert (call.attempts, call.error, call.cached) == (3, None, False)
    assert (ledger.totals.calls, ledger.totals.retries, ledger.totals.failed) == (1, 2, 0)
    assert ledger.unanswered == 0


def test_a_call_that_failed_for_good_tells_its_attempts(runner: Runner) -> None:
    runner.server.always("unavailable_503")
    gate, ledger, told = opened()
    with pytest.raises(dspy.LMError):
        tapped(gate, runner.lm(), "task")("hello")
    assert (told[0].attempts, len(runner.server.seen), ledger.unanswered) == (3, 3, 1)
    assert "Overloaded" in str(told[0].error)


def test_models_used_outside_a_run_keep_their_own_retries(runner: Runner) -> None:
    lm = runner.lm(num_retries=2)
    gate, _, _ = opened()
    metered = tapped(gate, lm, "task")
    assert metered.num_retries == metered.dump_state()["num_retries"] == 2
    metered.copy(num_retries=5)
    runner.server.first(1, "unavailable_503")
    assert lm("hello")
    assert len(runner.server.seen) == 2


async def _asked(metered: Any) -> Any:
    return await metered.acall("hello")


def test_asynchronous_calls_are_retried_too(runner: Runner) -> None:
    import asyncio

    runner.server.first(2, "reset")
    gate, _, told = opened()
    assert asyncio.run(_asked(tapped(gate, runner.lm(), "task")))
    assert [c.attempts for c in told] == [3]


def test_a_stop_ends_the_wait_before_a_retry(runner: Runner) -> None:
    runner.server.always("busy_for_long")
    gate, ledger, told = opened()
    metered = tapped(gate, runner.lm(), "task")
    runner.server.on_fault = lambda: ledger.stop("cancelled", "enough")
    with pytest.raises(RunStopped, match="enough"):
        metered("hello")
    assert len(runner.server.seen) == 1
    assert "LMServerError" in str(told[0].error), "what failed is told, not that it was not tried again"
    assert ledger.unanswered == 0


def test_an_empty_answer_is_asked_for_again_and_does_not_stay_in_the_cache(runner: Runner) -> None:
    runner.server.first(1, "no_choices")
    lm = runner.lm()
    assert lm("hello") == [""], "DSPy alone takes it, and keeps it"
    assert lm("hello") == [""]
    gate, _, told = opened()
    answer = tapped(gate, lm, "task")("hello")
    assert answer[0]
    assert (told[0].attempts, told[0].cached, len(runner.server.seen)) == (2, False, 2)
    assert lm("hello") == answer


def test_what_was_withheld_or_cut_off_is_no_empty_answer() -> None:
    class Told:
        finish_reason = "content_filter"

    assert is_empty([""], None)
    assert is_empty([{"text": None}], {"response": object()})
    assert not is_empty(["", "a"], None)
    assert not is_empty([{"text": "", "tool_calls": [1]}], None)
    assert not is_empty([""], {"response": (Told(),)})
    assert not is_empty([""], {"response": type("R", (), {"choices": [Told()]})()})


@given(failed=st.integers(1, 80), first=st.floats(0, 10), draw=st.floats(0, 0.999999))
def test_waits_grow_to_a_minute_and_are_drawn(failed: int, first: float, draw: float) -> None:
    wait = delay_s(RuntimeError(), failed, first, lambda: draw)
    longest = min(first * 2.0 ** min(failed - 1, 16), 60)
    assert longest / 2 <= wait <= longest


@given(told=st.floats(0, 100), draw=st.floats(0, 0.999999))
def test_a_provider_that_says_when_is_not_asked_before(told: float, draw: float) -> None:
    late = dspy.LMRateLimitError("later", retry_after=told)
    assert told <= delay_s(late, 1, 1.0, lambda: draw) <= 1.1 * told


def test_retry_after_is_kept_over_http(runner: Runner) -> None:
    runner.server.first(1, "rate_limit")  # it says 0.02 s
    gate, _, _ = opened(RetryPolicy(retry_delay_s=3600.0))
    assert tapped(gate, runner.lm(), "task")("hello")
    assert len(runner.server.seen) == 2


def test_a_provider_that_says_when_is_asked_by_no_job_of_the_home_before(runner: Runner) -> None:
    runner.server.first(1, "limited_for_long")
    first = runner.start()
    until(lambda: runner.server.failed)
    until((runner.fleet.home.root / "rates").exists)
    lm = runner.lm()
    second = runner.start(lm=lm)
    assert second.result().state is JobState.COMPLETED, "another model has limits of its own"
    seen = len(runner.server.seen)
    third = runner.start(lm=runner.lm(name=runner.server.seen[0]["model"]))
    limit = until(lambda: third.progress.limit)
    assert limit == f"openai/{runner.server.seen[0]['model']}, which asked to wait"
    assert len(runner.server.seen) == seen
    for job in (first, third):
        job.cancel()
        until(lambda job=job: job.progress.state.is_finished())


def test_what_is_no_job_says_how_long_a_provider_asks_to_wait_and_does_not_wait_unseen(runner: Runner) -> None:
    runner.server.always("limited_for_long")  # for a day
    lm, advice = runner.lm(), runner.fleet.advice
    with pytest.raises(LMError, match=r"got no answer \(LMRateLimitError: .* has asked to wait, for another 2\d h"):
        advice.estimate(program(), train=rows(4), metric=exact, lm=lm, optimizer="copro")
    assert len(runner.server.seen) == 1, "nor is the provider asked again meanwhile"
    answers = next(check for check in advice.doctor(lm=lm).checks if check.name == "LM answers")
    assert answers.level == "fail"
    assert "has asked to wait, for another 2" in answers.found
    assert len(runner.server.seen) == 1
    gate, _, _ = opened()
    assert gate.ledger.most_wait_s == math.inf, "a job waits, and says so"


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        ("auth", "the key is refused"),
        ("quota", "the account has no quota or credit left"),
        ("not_found", "there is no such model there"),
        ("rate_limit", "too many calls for its rate limit"),
        ("server_500", "its server fails"),
        ("bad_request", "check the key, the model's name, the network"),
    ],
)
def test_the_doctor_says_what_to_do_about_each_fault(runner: Runner, fault: str, fix: str) -> None:
    runner.server.always(fault)
    answers = next(check for check in runner.fleet.advice.doctor(lm=runner.lm()).checks if check.name == "LM answers")
    assert (answers.level, answers.fix[: len(fix)]) == ("fail", fix)


def test_an_asynchronous_call_is_not_put_off_unseen_either(runner: Runner) -> None:
    import asyncio

    runner.server.always("limited_for_long")
    lm = runner.lm()
    with Session.opened(runner.fleet.home, Settings(), "try", [lm]) as session:
        for said in ("Rate limit reached", "has asked to wait, for another 2"):
            with pytest.raises(dspy.LMRateLimitError, match=said):
                asyncio.run(_asked(tapped(session.gate(), lm, "task")))
    assert len(runner.server.seen) == 1


# --- when enough is enough ------------------------------------------------------------------------

Told = list[bool]


@given(st.lists(st.booleans(), max_size=60))
def test_the_circuit_opens_at_its_share_and_never_below(outcomes: Told) -> None:
    circuit = Circuit(RetryPolicy(failure_window=10, failure_share=0.4))
    for n, fails in enumerate(outcomes, 1):
        why = circuit.record("m (task)", RuntimeError("down") if fails else None)
        window = outcomes[max(0, n - 10) : n]
        assert bool(why) == (fails and sum(window) >= 2 and sum(window) >= 0.4 * len(window))


def test_what_lasts_opens_the_circuit_at_the_third(server: ChatServer) -> None:
    circuit = Circuit(RetryPolicy(failure_window=100))
    for _ in range(50):
        assert circuit.record("m (task)", None) is None
    refused = dspy.LMAuthError("no")
    assert [bool(circuit.record("m (task)", refused)) for _ in range(3)] == [False, False, True]
    assert circuit.record("m (prompt)", refused) is None, "each role is looked at by itself"


# --- accounts -------------------------------------------------------------------------------------


def test_usage_and_cost_are_the_servers_at_the_stated_price(runner: Runner) -> None:
    with runner.fleet.home.config.open("a", encoding="utf-8") as config:
        config.write('[prices]\n"openai/priced" = [2.0, 8.0]\n')
    told: list[tuple[int, int]] = []
    complete = runner.server.engine.complete

    def counted(asked: Any) -> Any:
        response = complete(asked)
        told.append((response.usage.input_tokens, response.usage.output_tokens))
        return response

    runner.server.engine.complete = counted  # type: ignore[method-assign]
    runner.server.every(4, "server_500")
    lm = runner.lm(name="priced", num_retries=4)
    result = runner.start("miprov2", lm).result()
    assert result.state is JobState.COMPLETED
    tokens = [sum(t[i] for t in told) for i in (0, 1)]
    rows = runner.fleet.sql(
        "select sum(input_tokens) as i, sum(output_tokens) as o, sum(cost_usd) as usd from lm_calls"
    )
    assert [rows.i[0], rows.o[0]] == tokens
    assert result.cost_usd == pytest.approx((2 * tokens[0] + 8 * tokens[1]) / 1e6)
    assert rows.usd[0] == pytest.approx(result.cost_usd)
    assert result.lm_calls == len(told)
    assert runner.calls("cached and cost_usd <> 0") == 0

    seen = len(runner.server.seen)
    again = runner.start("miprov2", lm).result()
    assert (again.cost_usd, again.lm_calls, again.best_score) == (0.0, 0, result.best_score)
    assert len(runner.server.seen) == seen, "all of it came from the cache"


@pytest.mark.parametrize("cached", [True, False])
def test_the_first_call_is_not_doubled(runner: Runner, *, cached: bool) -> None:
    """The prediction that shows a model alive is the first example's, with a cache or without."""
    runner.server.after(5, "auth")
    job = runner.start(lm=runner.lm(cache=cached))
    result = job.result()
    assert result.baseline_score is not None
    texts = [body["messages"][-1]["content"] for body in runner.server.seen[:5]]
    assert len(set(texts)) == 5


def test_a_dead_prompt_lm_is_found_before_the_search(runner: Runner, server: ChatServer) -> None:
    dead = runner.lm(name="dead-reflection")
    server.fault = lambda n: "not_found" if server.seen[n - 1]["model"] == "dead-reflection" else None
    job = runner.start("gepa", prompt_lm=dead)
    with pytest.raises(Exception, match=r"dead-reflection \(reflection\) failed on the first call.*no such model"):
        job.result()
    assert job.state is JobState.FAILED
    assert len(server.seen) == 2


def test_a_cancel_from_elsewhere_ends_a_wait_for_a_retry(runner: Runner) -> None:
    runner.server.after(7, "busy_for_long")
    job = runner.start()
    until(lambda: runner.server.failed)
    request(runner.fleet.home, job.id, "cancel")
    assert job.result().state is JobState.CANCELLED


def test_attempts_are_in_the_journal(runner: Runner) -> None:
    runner.server.first(1, "reset")
    job = runner.start()
    job.result()
    calls = [e.payload.model_dump() for e in follow(runner.fleet.home, job.id).poll() if e.kind == "lm_call"]
    assert calls[0]["attempts"] == 2
    assert sum(c["attempts"] for c in calls if not c["cached"]) == len(runner.server.seen)
