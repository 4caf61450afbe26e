"""A run's calls are its own wherever they are made from: threads and executors of the program, any model."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.config import Settings
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHARED = ThreadPoolExecutor(2)  # made before any run, as a program's module makes one


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_replaced() -> Iterator[None]:
    before = threading.Thread.start, ThreadPoolExecutor.submit, dspy.BaseLM.__call__, dspy.BaseLM.acall
    SHARED.submit(int).result()
    yield
    assert (threading.Thread.start, ThreadPoolExecutor.submit, dspy.BaseLM.__call__, dspy.BaseLM.acall) == before
    SHARED.shutdown()


def by_executor(ask: Callable[[str], Any], texts: list[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, texts))


def by_shared_executor(ask: Callable[[str], Any], texts: list[str]) -> None:
    list(SHARED.map(ask, texts))


def by_threads(ask: Callable[[str], Any], texts: list[str]) -> None:
    failures: list[BaseException] = []

    def work(text: str) -> None:
        try:
            ask(text)
        except BaseException as exc:  # noqa: BLE001  raised below
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def by_subclass_of_thread(ask: Callable[[str], Any], texts: list[str]) -> None:
    class Worker(threading.Thread):
        failure: BaseException | None = None

        def run(self) -> None:
            try:
                for text in texts:
                    ask(text)
            except BaseException as exc:  # noqa: BLE001  raised below
                self.failure = exc

    worker = Worker()
    worker.start()
    worker.join()
    if worker.failure:
        raise worker.failure


def by_thread_pool(ask: Callable[[str], Any], texts: list[str]) -> None:
    with ThreadPool(2) as pool:
        pool.map(ask, texts)


def by_joblib(ask: Callable[[str], Any], texts: list[str]) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(ask)(text) for text in texts)


def by_to_thread(ask: Callable[[str], Any], texts: list[str]) -> None:
    async def work() -> None:
        await asyncio.gather(*(asyncio.to_thread(ask, text) for text in texts))

    asyncio.run(work())


def by_loops_executor(ask: Callable[[str], Any], texts: list[str]) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, ask, text) for text in texts))

    asyncio.run(work())


def by_executor_within_executor(ask: Callable[[str], Any], texts: list[str]) -> None:
    with ThreadPoolExecutor(1) as outer:
        outer.submit(by_executor, ask, texts).result()


WAYS = [
    by_executor, by_shared_executor, by_threads, by_subclass_of_thread, by_thread_pool, by_joblib, by_to_thread,
    by_loops_executor, by_executor_within_executor,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_calls_on_threads_of_the_program_are_counted_limited_and_of_the_runs_model(way: Any) -> None:
    (lm, engine), (configured, elsewhere) = counted_lm(), counted_lm()
    answering = program()
    with (
        dspy.context(lm=configured),
        Session(None, Settings(), [lm], limits=Limits(calls=8)) as session,
        session.models(session.gate(), lm),
        pytest.raises(RuntimeError if way in {by_thread_pool, by_joblib} else RunStopped, match="budget: 8 calls"),
    ):
        way(lambda text: answering(text=text), [f"card {n}" for n in range(20)])
    assert engine.calls == session.ledger.totals.calls == 8
    assert elsewhere.calls == 0


def test_async_calls_on_a_loop_of_another_thread_are_counted() -> None:
    lm, engine = counted_lm()
    answering = program()
    loop = asyncio.new_event_loop()  # one that was there before
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        with Session(None, Settings(), [lm]) as session, session.models(session.gate(), lm):
            asyncio.run_coroutine_threadsafe(answering.acall(text="a card"), loop).result()
            asyncio.run(answering.acall(text="an invoice"))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert engine.calls == session.ledger.totals.calls == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_models_that_no_tap_sees_are_refused_before_they_are_asked(threads: int) -> None:
    (lm, _), (made, engine) = counted_lm(), counted_lm(Counting(latency_s=0.002))
    with (
        Session(None, Settings(), [lm], limits=Limits(calls=5)) as session,
        session.models(session.gate(), lm),
        pytest.raises(RunStopped),
        ThreadPoolExecutor(threads) as pool,
    ):
        list(pool.map(lambda n: made.copy()(f"question {n}"), range(12)))
    assert engine.calls == session.ledger.totals.calls == 5


def test_a_model_that_overrides_call_runs_its_own_part_once() -> None:
    asked: list[str] = []

    class Noting(dspy.LM):  # type: ignore[misc]  # dspy is untyped
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            asked.append("noted")
            return super().__call__(*args, **kwargs)

    lm, engine = counted_lm()
    noting = Noting("skillfleet/noting", engine=engine, cache=False)
    with Session(None, Settings(), [lm]) as session, session.models(session.gate(), lm):
        noting("hello")
    assert (len(asked), engine.calls, session.ledger.totals.calls) == (1, 1, 1)
    assert len(noting.history) == 1


def test_sessions_side_by_side_keep_their_own_calls_and_a_thread_of_neither_is_left_alone() -> None:
    (one, first), (two, second), (mine, own) = counted_lm(), counted_lm(), counted_lm()
    ask = dspy.Predict("text -> intent")
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(None, Settings(), [lm])) for lm in (one, two)]
        begun = threading.Barrier(3)

        def run(session: Session, lm: Any, calls: int) -> None:
            with session.models(session.gate(), lm):
                begun.wait()
                by_executor(lambda text: ask(text=text), [f"{lm.model} {n}" for n in range(calls)])
                begun.wait()

        workers = [
            threading.Thread(target=run, args=(s, lm, n)) for s, lm, n in zip(sessions, (one, two), (3, 5), strict=True)
        ]
        for worker in workers:
            worker.start()
        begun.wait()
        with dspy.context(lm=mine):
            by_executor(mine, ["a", "b"])
        begun.wait()
        for worker in workers:
            worker.join()
    assert [s.ledger.totals.calls for s in sessions] == [first.calls, second.calls] == [3, 5]
    assert own.calls == 2


class Fanning(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Asks several times at once, as programs do that vote."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = program()

    def forward(self, text: str) -> Any:
        with ThreadPoolExecutor(3) as pool:
            return next(iter(list(pool.map(lambda n: self.ask(text=f"{text} {n}"), range(3)))))


def test_a_job_counts_and_limits_what_program_and_metric_fan_out(tmp_path: Path) -> None:
    (lm, engine), (judge, judged), (configured, elsewhere) = counted_lm(), counted_lm(), counted_lm()

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(judge, f"is {pred.intent} right for {example.text}?").result()
        return exact(example, pred)

    fleet = Fleet(tmp_path)
    with dspy.context(lm=configured):
        result = fleet.optimize(
            Fanning(), lm=lm, metric=metric, optimizer="bootstrap_random_search", num_threads=4, max_calls=120,
            params={"num_candidate_programs": 2}, **Data().splits(),
        ).result()  # fmt: skip
    assert elsewhere.calls == 0
    assert engine.calls + judged.calls == result.lm_calls <= 120
    assert judged.calls > 0
    assert len(fleet.sql("from lm_calls where not cached")) == result.lm_calls
