"""What runs tell of examples counts each run once: killed and resumed, or several runs and readers at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from job_kit import kill, setup, splits, until

from skillfleet_nb.data.identity import example_id, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

    from skillfleet_nb import Fleet

pytestmark = pytest.mark.usefixtures("preloaded")

HISTORY = "select example_id, trials, solved, mean_score, best_score, success, quality from example_history"
IDS = {name: {example_id(*parts(e)) for e in rows} for name, rows in splits().items()}


def history(fleet: Fleet, job_id: str) -> list[list[object]]:
    frame = fleet.sql(f"{HISTORY} where job_id = '{job_id}' order by example_id")
    return [list(row) for row in frame.itertuples(index=False, name=None)]


def test_a_killed_run_counts_once_when_it_is_resumed(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold(first=21)  # the baseline is scored by then
    job = fleet.optimize(**setup(model.lm))
    until(lambda: fleet.sql("select count(*) as n from scores").n[0] > 0)
    kill(job)
    model.release()
    assert fleet.sql("select count(*) as n from example_history").n[0] == 0
    resumed = fleet.resume(job.id)
    resumed.result()
    assert resumed.progress.attempts == 2

    whole = fleet.optimize(**setup(logged().lm, engine="thread"))
    whole.result()
    runs = fleet.sql("select job_id, max(run) as run from example_history group by job_id order by run")
    assert runs.values.tolist() == [[job.id, 1], [whole.id, 2]]
    seen, once = history(fleet, job.id), history(fleet, whole.id)
    assert {row[0] for row in seen} == IDS["val"]
    assert [row[:5] for row in seen] == [row[:5] for row in once]
    for _, _, _, _, best, success, _ in seen:
        assert success == pytest.approx(0.9 * 0.5 + 0.1 * best)  # type: ignore[operator]  # a score
    used = fleet.sql("select example_id, uses from examples")
    assert set(used.uses) == {2}
    assert not set(used.example_id) & IDS["test"]


def test_two_runs_at_once_and_readers_beside_them_count_each_run_once(
    fleet: Fleet, logged: Callable[..., LoggedLM]
) -> None:
    model = logged()
    model.hold()
    jobs = [fleet.optimize(**setup(model.lm, name=name), max_parallel=2) for name in ("one", "two")]
    until(lambda: all(job.pid and job.state == "running" for job in jobs))
    reading = "import sys, skillfleet_nb as sf\nfor _ in range(8): sf.Fleet(sys.argv[1]).sql('from example_history')"
    command = [sys.executable, "-c", reading, str(fleet.home.root)]
    readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    model.release()
    for job in jobs:
        job.result()
    assert [r.communicate()[1] for r in readers] == ["", ""]
    counted = fleet.sql("select example_id, count(*) as n, max(run) as run from example_history group by example_id")
    assert set(counted.example_id) == IDS["val"]
    assert set(counted.n) == set(counted.run) == {2}
    moved = fleet.sql("select * from example_history order by example_id, run")
    for _, rows in moved.groupby("example_id"):
        first, second = rows.best_score
        assert rows.success.tolist() == pytest.approx([0.45 + 0.1 * first, 0.9 * (0.45 + 0.1 * first) + 0.1 * second])
    fleet.store.rebuild()
    assert fleet.sql("select * from example_history order by example_id, run").equals(moved)
