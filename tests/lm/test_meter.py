"""Every call is counted, whoever makes it and however, and none is made that a limit forbids."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import hashlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.lm.calls import MOST_RECORDED
from skillfleet_nb.lm.faults import RetryPolicy
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.tap import tapped

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.events import LMCall


def opened(limits: Limits | None = None, **options: Any) -> tuple[Gate, Ledger, list[LMCall]]:
    told: list[LMCall] = []
    ledger = Ledger(limits, lambda make, _: told.extend(make()), **options)
    return Gate(ledger), ledger, told


def ask_until_stopped(lm: Any, start: int = 0) -> str:
    try:
        for n in range(start, start + 20):
            lm(f"{n}")
    except RunStopped as stop:
        return stop.reason
    return "not stopped"


def test_what_a_model_answered_is_told_as_bought_and_what_a_cache_did_is_not() -> None:
    told: list[bool] = []
    lm, _ = counted_lm()
    metered = tapped(Gate(Ledger(None, lambda _, is_bought: told.append(is_bought))), lm, "task")
    metered("one")
    metered("one")
    assert told == [True, False]


def test_runs_of_a_process_share_the_threads_that_calls_are_made_on() -> None:
    assert Ledger().threads is Ledger().threads


def test_bought_and_cached_calls_are_told_apart() -> None:
    gate, ledger, told = opened()
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=(1.0, 2.0)))
    metered = tapped(gate, lm, "task")
    metered("one")
    metered("one")
    metered("two")
    assert [call.cached for call in told] == [False, True, False]
    assert engine.calls == ledger.totals.calls == 2
    assert ledger.totals.cached == 1
    bought = told[0]
    assert bought.cost_usd == pytest.approx(bought.input_tokens / 1000 + 2 * bought.output_tokens / 1000)
    assert (told[1].cost_usd, told[1].input_tokens) == (0.0, 0)
    assert (bought.model, bought.role, bought.error) == (lm.model, "task", None)
    assert bought.prompt == "one"
    assert bought.response
    assert len({call.call_id for call in told}) == 3


def test_a_response_without_usage_is_not_taken_for_a_cached_one() -> None:
    class Silent(Counting):
        def complete(self, request: Any) -> Any:
            return dataclasses.replace(super().complete(request), usage=dspy.lm15.Usage())

    gate, ledger, told = opened(Limits(calls=3))
    lm, engine = counted_lm(Silent())
    metered = tapped(gate, lm, "task")
    assert ask_until_stopped(metered) == "budget: 3 calls"
    assert engine.calls == ledger.totals.calls == 3
    assert not any(call.cached for call in told)


def test_a_limit_of_one_is_told_as_one() -> None:
    gate, _, _ = opened(Limits(calls=1))
    assert ask_until_stopped(tapped(gate, counted_lm()[0], "task")) == "budget: 1 call" == Limits(calls=1).told()


@pytest.mark.parametrize("record_prompts", [True, False])
def test_an_answer_that_would_fill_the_memory_is_cut_for_the_record(*, record_prompts: bool) -> None:
    whole = "ä" * 20_000_000

    class Endless(Counting):
        def complete(self, request: Any) -> Any:
            said = dspy.lm15.Message.assistant([dspy.lm15.TextPart(whole)])
            return dataclasses.replace(super().complete(request), message=said)

    waiting: list[Any] = []
    ledger = Ledger(None, lambda make, _: waiting.append(make), record_prompts=record_prompts)
    lm, _ = counted_lm(Endless(), cache=False)
    assert tapped(Gate(ledger), lm, "task")("how?") == [whole]
    assert len(pickle.dumps(waiting[0].args[-1])) < 2 * MOST_RECORDED + 1000  # what waits to be written, too
    (call,) = waiting[0]()
    digest = f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"
    kept = f"{whole[:MOST_RECORDED]}\n[cut: 20,000,000 characters in all, {digest}]"
    assert call.response == (kept if record_prompts else digest)


@pytest.mark.parametrize(
    "copied", [lambda lm: lm.copy(), copy.deepcopy, copy.copy], ids=["copy", "deepcopy", "shallow"]
)
def test_copies_are_metered_and_the_original_is_not(copied: Any) -> None:
    gate, ledger, _ = opened()
    lm, engine = counted_lm()
    copied(tapped(gate, lm, "task"))("of a copy")
    assert ledger.totals.calls == 1
    lm("of the user")
    assert ledger.totals.calls == 1
    assert engine.calls == 2
    assert type(lm) is dspy.LM


def test_a_ledger_is_one_however_often_programs_are_copied() -> None:
    gate, ledger, _ = opened()
    lm, _ = counted_lm()
    mine = program()
    mine.set_lm(tapped(gate, lm, "task"))
    for _ in range(3):
        mine = mine.deepcopy()
        mine(text=f"invoice {id(mine)}")
    assert ledger.totals.calls == 3
    assert copy.deepcopy(ledger) is ledger
    assert copy.deepcopy(gate) is gate


def test_several_completions_are_as_many_calls() -> None:
    gate, ledger, told = opened()
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=1.0))
    tapped(gate, lm, "prompt")("try", n=3, temperature=1.0)
    assert engine.calls == ledger.totals.calls == len(told) == 3
    assert len({call.call_id for call in told}) == 3
    assert sum(call.input_tokens for call in told) == ledger.totals.input_tokens
    assert sum(call.output_tokens for call in told) == ledger.totals.output_tokens
    assert sum(call.cost_usd or 0 for call in told) == pytest.approx(ledger.totals.cost_usd)


def test_completions_that_do_not_fit_the_budget_are_not_bought() -> None:
    gate, ledger, _ = opened(Limits(calls=5))
    lm, engine = counted_lm()
    metered = tapped(gate, lm, "task")
    metered("a", n=3, temperature=1.0)
    with pytest.raises(RunStopped):
        metered("b", n=3, temperature=1.0)
    assert engine.calls == ledger.totals.calls == 3


@pytest.mark.parametrize("threads", [1, 4, 16])
def test_threads_do_not_overshoot(threads: int) -> None:
    gate, ledger, told = opened(Limits(calls=20))
    lm, engine = counted_lm(Counting(latency_s=0.002))
    metered = tapped(gate, lm, "task")

    def ask(n: int) -> bool:
        try:
            metered(f"question {n}")
        except RunStopped:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        answered = list(pool.map(ask, range(60)))
    assert sum(answered) == engine.calls == ledger.totals.calls == len(told) == 20
    assert gate.closed == ("budget", "budget: 20 calls")


def test_cached_calls_go_on_within_a_budget_that_is_not_spent() -> None:
    gate, ledger, _ = opened(Limits(calls=2))
    lm, engine = counted_lm()
    metered = tapped(gate, lm, "task")
    for _ in range(10):
        metered("the same")
    metered("another")
    assert engine.calls == 2
    assert ledger.totals.cached == 9


def test_a_call_in_flight_that_turns_out_cached_leaves_room() -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    hold.set()
    lm("known")  # now in the cache
    engine.reached.clear()
    hold.clear()
    gate, ledger, _ = opened(Limits(calls=1))
    metered = tapped(gate, lm, "task")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(metered, "new")
        assert engine.reached.wait()
        waits = pool.submit(metered, "known")  # over the limit as long as the first is in flight
        hold.set()
        first.result()
        with pytest.raises(RunStopped):
            waits.result()
    assert ledger.totals.calls == 1


def test_asynchronous_calls_are_metered_and_wait_without_blocking_the_loop() -> None:
    gate, ledger, _ = opened(Limits(calls=10))
    lm, engine = counted_lm(Counting(latency_s=0.01))
    metered = tapped(gate, lm, "task")

    async def ask(n: int) -> bool:
        try:
            await metered.acall(f"question {n}")
        except RunStopped:
            return False
        return True

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(ask(n) for n in range(30)))

    assert sum(asyncio.run(all_at_once())) == 10
    assert engine.calls == ledger.totals.calls == 10


def test_a_synchronous_call_on_a_loop_does_not_wait_for_what_cannot_go_on() -> None:
    gate, ledger, _ = opened(Limits(calls=1))
    lm, _ = counted_lm(Counting(latency_s=0.05))
    metered = tapped(gate, lm, "task")

    async def both() -> None:
        first = asyncio.create_task(metered.acall("slow"))
        await asyncio.sleep(0.01)
        with pytest.raises(RunStopped):
            metered("at once")
        await first

    asyncio.run(both())
    assert ledger.totals.calls == 1


def test_a_stop_closes_gates_that_are_opened_later() -> None:
    gate, ledger, _ = opened()
    ledger.stop("cancelled", "enough")
    ledger.stop("budget", "too late")
    later = Gate(ledger)
    assert gate.closed == later.closed == ("cancelled", "enough")
    lm, engine = counted_lm()
    with pytest.raises(RunStopped, match="enough"):
        tapped(later, lm, "task")("hello")
    assert engine.calls == 0


def test_draining_waits_for_calls_in_flight() -> None:
    hold = threading.Event()
    gate, ledger, told = opened()
    lm, engine = counted_lm(Counting(gate=hold))
    assert ledger.drain(0.0)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(tapped(gate, lm, "task"), "hello")
        assert engine.reached.wait()
        gate.close("cancelled", "over")
        assert not ledger.drain(0.01)
        hold.set()
        assert ledger.drain(600)
        assert len(told) == 1
        call.result()


def test_errors_are_counted_and_a_model_that_only_fails_is_stopped() -> None:
    def dies(n: int) -> None:
        raise ConnectionError("gone")

    gate, ledger, told = opened(retry_policy=RetryPolicy(failure_window=8, failure_share=1.0))
    lm, engine = counted_lm(Counting(dies), num_retries=0)
    metered = tapped(gate, lm, "task")
    for n in range(4):
        with pytest.raises(dspy.LMError):
            metered(f"{n}")
    with pytest.raises(RunStopped, match="gone"):
        metered("again")
    assert engine.calls == ledger.totals.failed == 4
    assert all("gone" in str(call.error) for call in told)
    assert gate.closed is not None
    assert gate.closed[0] == "lm_failing"


def test_prompts_can_be_kept_as_hashes() -> None:
    gate, _, told = opened(record_prompts=False)
    lm, _ = counted_lm()
    tapped(gate, lm, "task")("a secret", n=2, temperature=1.0)
    for call in told:
        assert str(call.prompt).startswith("sha256:")
        assert str(call.response).startswith("sha256:")


def test_what_is_set_aside_stays_for_the_next_gate() -> None:
    ledger = Ledger(Limits(calls=10))
    search = Gate(ledger, Limits(calls=4))
    lm, engine = counted_lm()
    metered = tapped(search, lm, "task")
    assert ask_until_stopped(metered) == "budget: 10 calls"
    assert engine.calls == 6
    final = tapped(Gate(ledger), lm, "task")
    ask_until_stopped(final, start=20)
    assert engine.calls == ledger.totals.calls == 10


# --- within a run ---------------------------------------------------------------------------------


class Uncopied(Counting):
    """An engine as people write them: a deep copy of it is another engine, and this one is of no use."""

    __deepcopy__ = None  # type: ignore[assignment]


class OwnModels(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Asks one model that a predictor carries, and one it makes for itself inside forward."""

    def __init__(self, carried: Any, make: Any, *, n: int = 1) -> None:
        super().__init__()
        self.first = dspy.Predict("text -> hint")
        self.first.lm = carried
        self.second = program()
        self._make, self._n = make, n

    def forward(self, text: str) -> Any:
        hint = self.first(text=text).hint
        with dspy.context(lm=self._make()):
            return self.second(text=f"{text} {hint}", **({"config": {"n": self._n}} if self._n > 1 else {}))


def ran(tmp_path: Path, start: Any, lm: Any, **changed: Any) -> tuple[Any, Fleet]:
    fleet = Fleet(tmp_path)
    given = {"optimizer": "bootstrap_fewshot", "metric": exact, "num_threads": 4, **Data().splits()}
    return fleet.optimize(start, lm=lm, **{**given, **changed}).result(), fleet


@pytest.mark.parametrize("n", [1, 2])
def test_models_a_program_carries_or_makes_are_metered(tmp_path: Path, n: int) -> None:
    carried, one = counted_lm(Uncopied())
    made, two = counted_lm(Counting(latency_s=0.002))
    configured, three = counted_lm()
    start = OwnModels(carried, made.copy, n=n)
    result, fleet = ran(tmp_path, start, configured)
    assert one.calls + two.calls + three.calls == result.lm_calls
    told = fleet.sql("select model, count(*)::int as n from lm_calls where not cached group by model")
    engines = {carried.model: one, made.model: two, configured.model: three}
    assert dict(zip(told.model, told.n, strict=True)) == {m: e.calls for m, e in engines.items() if e.calls}
    assert start.first.lm is carried, "the user's program keeps its own model"
    assert result.program.first.lm is carried
    # DSPy's bootstrapping forgets models that predictors carry; what is tested is what is returned.
    calls = fleet.sql("select seq, kind, payload->>'text' as said, payload->>'model' as model from events")
    opened = calls[calls.said.fillna("").str.contains("sealed test")].seq.max()
    final = calls[(calls.kind == "lm_call") & (calls.seq > opened)]
    assert set(final.model) == {carried.model, made.model}


def test_models_a_program_makes_are_held_to_the_budget(tmp_path: Path) -> None:
    made, engine = counted_lm(Counting(latency_s=0.002))
    carried, one = counted_lm()
    result, _ = ran(tmp_path, OwnModels(carried, lambda: made), carried, optimizer="gepa", max_calls=80)
    assert engine.calls + one.calls == result.lm_calls <= 84
    assert result.stop_reason == "budget: 80 calls"


def test_one_model_shared_by_threads_inside_forward_is_told_right(tmp_path: Path) -> None:
    made, engine = counted_lm(Counting(latency_s=0.001))
    carried, one = counted_lm()
    result, fleet = ran(tmp_path, OwnModels(carried, lambda: made), carried)
    assert result.lm_calls == engine.calls + one.calls
    calls = fleet.sql(
        "select prompt, response, cached from lm_calls where model = 'MODEL'".replace("MODEL", made.model)
    )
    bought = calls[~calls.cached]
    assert bought.prompt.is_unique, "each call has its own prompt and answer, none another thread's"


def test_asynchronous_programs_are_metered(tmp_path: Path) -> None:
    class Slowly(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            async def both() -> Any:
                asked = (self.classify.acall(text=t) for t in (text, text.upper()))
                return (await asyncio.gather(*asked))[0]

            return asyncio.run(both())

    lm, engine = counted_lm()
    result, fleet = ran(tmp_path, Slowly(), lm, max_calls=70, optimizer="bootstrap_random_search")
    assert engine.calls == result.lm_calls <= 70
    assert fleet.sql("select count(*) as n from lm_calls where not cached").n[0] == engine.calls
    assert result.stop_reason == "budget: 70 calls"


def test_a_model_asked_by_the_metric_is_metered(tmp_path: Path) -> None:
    judge, asked = counted_lm()
    lm, engine = counted_lm()
    judging = dspy.Predict("text, intent -> right: bool")

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        with dspy.context(lm=judge):
            judging(text=example.text, intent=str(pred.intent))
        return exact(example, pred)

    fleet = Fleet(tmp_path)
    job = fleet.optimize(program(), metric=metric, lm=lm, optimizer="labeled_fewshot", **Data().splits(), num_threads=2)
    result = job.result()
    assert asked.calls > 0
    assert engine.calls + asked.calls == result.lm_calls


def test_trying_the_metric_asks_no_model_of_its_own(tmp_path: Path) -> None:
    judge, asked = counted_lm()
    lm, engine = counted_lm()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        with dspy.context(lm=judge):
            dspy.Predict("text -> right: bool")(text=example.text)
        return exact(example, pred)

    with pytest.raises(LookupError):
        Fleet(tmp_path).optimize(program(), metric=metric, lm=lm, optimizer="nothing", **Data().splits())
    with pytest.raises(ValueError, match="bsize"):
        Fleet(tmp_path).optimize(
            program(), metric=metric, lm=lm, optimizer="simba", params={"bsize": 99}, **Data().splits()
        )
    assert asked.calls == engine.calls == 0


def test_the_callers_dspy_settings_hold_in_the_run(tmp_path: Path) -> None:
    lm, _ = counted_lm()
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        job = Fleet(tmp_path).optimize(program(), metric=exact, optimizer="labeled_fewshot", **Data().splits())
    assert job.result().lm_calls > 0
    prompts = Fleet(tmp_path).sql("select prompt from lm_calls").prompt
    assert prompts.str.contains("JSON").all()
