"""Jobs on the workers of an executor: they end as anywhere, and what a lost worker had begun is gone on with."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from job_kit import bought, ends, events, setup, until

from skillfleet_nb.errors import HomeError, InputError, JobError
from skillfleet_nb.events import JobState, StateChanged
from skillfleet_nb.runs.engines.executors import Errand, run
from skillfleet_nb.runs.fingerprint import environment
from skillfleet_nb.store import Journal, tickets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, LocalCluster
    from job_kit import LoggedLM

    from skillfleet_nb import Fleet


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes over TCP with TLS, forked from one that has imported what most of their time would go to."""
    import dask
    from distributed import LocalCluster
    from distributed.utils import get_mp_context

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "dspy", "optuna", "skillfleet_nb.runs.execution"])
        with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, security=True) as made:
            yield made


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    from distributed import Client

    with Client(cluster, security=cluster.security) as made:
        yield made


def own_metric(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent == pred.intent)


own_metric.__module__ = "__main__"  # as a notebook's, which no worker can import


def test_a_job_runs_on_a_worker_as_it_would_here(fleet: Fleet, client: Client, logged: Callable[..., LoggedLM]) -> None:
    lm = logged()
    there = fleet.optimize(**setup(lm.lm, metric=own_metric, engine=client, name="there"))
    came = there.result()
    assert came.state is JobState.COMPLETED
    assert ends(fleet, there.id) == ["completed"]
    assert bought(fleet, there.id) == lm.calls
    worker = there.progress.worker
    assert worker.startswith("tls://127.0.0.1:")
    assert str(os.getpid()) not in worker
    assert ("worker", worker) in there.summary()
    until(lambda: not tickets.is_lent(fleet.home, there.id))
    here = fleet.optimize(**setup(lm.lm, metric=own_metric, engine="thread", name="here")).result()
    assert (here.best_score, here.test_score) == (came.best_score, came.test_score)
    jobs = fleet.jobs()
    assert list(jobs.engine) == ["thread", "executor"]
    assert [jobs.worker.isna()[0], jobs.worker[1]] == [True, worker]


def test_a_job_whose_worker_is_lost_goes_on_on_another_and_buys_nothing_twice(
    fleet: Fleet, client: Client, logged: Callable[..., LoggedLM]
) -> None:
    lm = logged()
    lm.hold(first=30)
    job = fleet.optimize(**setup(lm.lm, engine=client))
    until(lambda: lm.calls >= 30)
    pid = int(job.progress.worker.rpartition(" ")[2].rstrip(")"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.progress.attempts == 2 or not job.progress.state.is_finished())
    lm.release()
    assert job.result().state is JobState.COMPLETED
    assert job.progress.attempts == 2
    assert str(pid) not in job.progress.worker
    assert ends(fleet, job.id) == ["completed"]
    assert lm.calls <= bought(fleet, job.id) + 2, "those that were under way, on two threads"


def test_a_worker_stops_the_profiler_that_may_halt_it_and_no_other(
    fleet: Fleet, client: Client, logged: Callable[..., LoggedLM]
) -> None:
    def is_profiled(dask_worker: Any) -> bool:
        return bool(dask_worker.periodic_callbacks["profile"].is_running())

    client.restart()
    assert all(client.run(is_profiled).values())
    job = fleet.optimize(**setup(logged().lm, engine=client))
    assert job.result().state is JobState.COMPLETED
    worker = job.progress.worker.split()[0]
    until(lambda: client.run(is_profiled)[worker] is (sys.version_info >= (3, 11, 9)))


def test_what_waits_for_a_worker_says_so_and_is_cancelled_at_once(
    fleet: Fleet, client: Client, logged: Callable[..., LoggedLM]
) -> None:
    lm = logged()
    lm.hold()
    running = [fleet.optimize(**setup(lm.lm, engine=client, seed=n)) for n in range(4)]
    waiting = [fleet.optimize(**setup(lm.lm, engine=client, seed=n)) for n in range(10, 12)]
    until(lambda: lm.calls >= 4)
    begun = [job for job in (*running, *waiting) if job.progress.worker]
    last = next(job for job in waiting if job not in begun)
    assert "waiting: for a worker of its executor" in last.progress.line()
    last.cancel()
    assert last.state is JobState.CANCELLED
    for job in (*running, *waiting):
        job.cancel()
    lm.release()
    for job in (*running, *waiting):
        until(lambda job=job: job.state.is_finished())
    assert {str(job.state) for job in (*running, *waiting)} == {"cancelled"}
    assert ends(fleet, last.id) == ["cancelled"]


def test_a_job_that_ran_on_an_executor_is_resumed_where_one_is_given(
    fleet: Fleet, client: Client, logged: Callable[..., LoggedLM]
) -> None:
    lm = logged()
    job = fleet.optimize(**setup(lm.lm, engine=client, max_calls=20))
    job.result()
    calls = lm.calls
    with pytest.raises(InputError, match="the job ran on an executor: give that again"):
        fleet.resume(job.name, max_calls=400)
    again = fleet.resume(job.name, max_calls=400, engine=client)
    assert again.result().state is JobState.COMPLETED
    assert bought(fleet, job.id) == lm.calls > calls


def test_any_executor_will_do(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [fleet.optimize(**setup(logged().lm, engine=pool, seed=n)) for n in range(2)]
        assert {job.result().state for job in jobs} == {JobState.COMPLETED}


class Refusing(Executor):
    """Takes nothing, or fails at all it takes."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.failure is None:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        future.set_exception(self.failure)
        return future


def test_an_executor_that_fails_fails_the_job(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    with pytest.raises(JobError, match="takes no job: RuntimeError: cannot schedule"):
        fleet.optimize(**setup(logged().lm, engine=Refusing(), name="refused"))
    assert fleet.job("refused").state is JobState.FAILED
    lost = fleet.optimize(**setup(logged().lm, engine=Refusing(MemoryError("no worker is left"))))
    assert lost.progress.error == "MemoryError: no worker is left"
    assert (lost.state, ends(fleet, lost.id)) == (JobState.FAILED, ["failed"])


def test_a_client_without_a_scheduler_is_refused_before_anything_is_recorded(
    fleet: Fleet, cluster: LocalCluster, logged: Callable[..., LoggedLM]
) -> None:
    from distributed import Client

    client = Client(cluster, security=cluster.security)
    client.close()
    with pytest.raises(InputError, match="its connection is closed, so that no worker is reached"):
        fleet.optimize(**setup(logged().lm, engine=client))
    with pytest.raises(InputError, match="engine = 7: give 'thread', 'process', a dask"):
        fleet.optimize(**setup(logged().lm, engine=7))
    assert len(fleet.jobs()) == 0


def test_a_worker_that_cannot_run_it_says_why(fleet: Fleet, tmp_path: Any) -> None:
    fleet.home.ensure()
    (fleet.home.journal / "job").mkdir(parents=True)
    lender = tickets.lend(fleet.home, "job")
    good = Errand(str(fleet.home.root), "job", lender, environment(), 0)
    with pytest.raises(JobError, match=r"has skillfleet-nb .*, and the job was checked with 99.0: install the same"):
        run(good._replace(packages={**environment(), "skillfleet-nb": "99.0"}))
    with pytest.raises(HomeError, match="does not see the home"):
        run(good._replace(root=str(tmp_path / "elsewhere")))
    with pytest.raises(HomeError, match="does not see the locks that others hold"):
        run(good._replace(lender="lender-none.lock"))


def test_a_job_whose_worker_is_lost_waits_for_another_and_is_cancelled_at_once(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    class Never(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    job = fleet.optimize(**setup(logged().lm, engine=Never()))
    with Journal(fleet.home, job.id) as journal:  # a worker, which is then lost
        journal.append(StateChanged(state=JobState.RUNNING))
        assert "waiting" not in job.progress.line()
    assert "waiting: for a worker of its executor" in job.progress.line()
    job.cancel()
    assert job.state is JobState.CANCELLED


def test_a_lent_job_is_somebodys_as_long_as_its_lender_lives(fleet: Fleet, client: Client) -> None:
    fleet.home.ensure()

    def lend_and_die(root: str) -> None:
        import os

        from skillfleet_nb.store import Home, tickets

        tickets.lend(Home.find(root), "theirs")
        os._exit(1)

    tickets.lend(fleet.home, "mine")
    pid = os.fork()
    if pid == 0:
        lend_and_die(str(fleet.home.root))
    os.waitpid(pid, 0)
    assert (tickets.is_owned(fleet.home, "mine"), tickets.is_owned(fleet.home, "theirs")) == (True, False)

    # One look at all of them says the same.
    tickets.write(fleet.home, "waits", b"{}")
    tickets.write(fleet.home, "held", b"{}")
    assert tickets.hold(fleet.home, "held")
    with Journal(fleet.home, "runs"):
        streams = ["mine", "theirs", "waits", "held", "runs", "gone"]
        assert tickets.unowned(fleet.home, streams) == {s for s in streams if not tickets.is_owned(fleet.home, s)}
        assert tickets.unowned(fleet.home, streams) == {"theirs", "gone"}
    assert events(fleet, "mine", "placed") == []
