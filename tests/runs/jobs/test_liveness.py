"""A job reads as alive from the moment it is asked for until its process is gone, and not a moment longer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from job_kit import bought, ends, events, kill, setup, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import JobError, NotFoundError
from skillfleet_nb.store import locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from job_kit import LoggedLM


def test_a_detached_job_never_reads_interrupted_on_its_way(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        other = Fleet(fleet.home.root)
        while not over.is_set():
            for folder in list(other.home.journal.iterdir()) if other.home.journal.exists() else ():
                if (folder / "000001.jsonl").exists() and other.home.database.exists():
                    with suppress(NotFoundError):  # nothing is written yet
                        seen.add(str(other.job(folder.name).state))
            if (jobs := other.jobs()).size:
                seen.update(jobs.state)

    watcher = ThreadPoolExecutor(1)
    looking = watcher.submit(look)

    def until_seen(state: str) -> None:
        until(lambda: state in seen or looking.done())
        assert state in seen or looking.result()

    (fleet.home.ensure().root / "slots").mkdir()
    slot = locks.acquire(fleet.home.root / "slots" / "0.lock")  # as a job that runs: the next one waits
    try:
        model = logged()
        model.hold()
        given = {"optimizer": "labeled_fewshot", "params": {"k": 2}, "max_parallel": 1}
        job = fleet.optimize(**setup(model.lm, **given))
        until_seen("pending")
        os.close(slot)
        until_seen("running")
        model.release()
        job.wait()
    finally:
        over.set()
        watcher.shutdown()
    looking.result()
    assert "interrupted" not in seen
    assert {"pending", "running"} <= seen
    assert job.state == "completed"


@pytest.mark.usefixtures("preloaded")
def test_a_killed_job_reads_interrupted_at_once_for_everybody(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    model = logged()
    model.hold()
    job = fleet.optimize(**setup(model.lm))
    until(lambda: model.calls)
    assert job.state == "running"
    assert ("process", str(job.pid)) in job.summary()
    kill(job)
    assert job.state == "interrupted"
    assert fleet.jobs("interrupted").job_id.tolist() == [job.id]
    assert fleet.jobs().state.tolist() == ["interrupted"]
    stood = job.progress.elapsed_s
    assert job.progress.elapsed_s == stood  # its clock has stopped
    with pytest.raises(JobError, match="resume"):
        job.result()
    code = "import sys; from skillfleet_nb.cli import main; sys.exit(main(sys.argv[1:]))"
    args = [sys.executable, "-c", code, "jobs", "--state", "interrupted", "--home", str(fleet.home.root)]
    shown = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    assert job.name in shown


def test_a_dead_process_leaves_no_job_of_its_own_running(tmp_path: Path) -> None:
    code = """if True:
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from pathlib import Path
        from job_kit import LoggedLM, setup, until
        from skillfleet_nb import Fleet
        model = LoggedLM(Path(sys.argv[1]))
        model.hold()
        job = Fleet(Path(sys.argv[1]) / "home").optimize(**setup(model.lm, engine="thread"))
        until(lambda: model.calls)
        print(job.state, flush=True)
        os.kill(os.getpid(), 9)
    """
    here = os.path.dirname(__file__)  # noqa: PTH120  as an argument
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), here], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["running"], done.stderr
    assert Fleet(tmp_path / "home").jobs().state.tolist() == ["interrupted"]


def test_a_worker_that_cannot_start_fails_with_the_reason_and_a_log(
    fleet: Fleet, logged: Callable[..., LoggedLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "vanishing.py"
    module.write_text("def judge(example, pred, trace=None):\n    return example.intent == pred.intent\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import vanishing

    model = logged()
    monkeypatch.setenv("SKILLFLEET_MAX_PARALLEL", "1")
    model.hold()
    first = fleet.optimize(**setup(model.lm))
    until(lambda: model.calls)
    second = fleet.optimize(**setup(model.lm, metric=vanishing.judge))
    until(lambda: "waiting" in second.progress.phase)
    module.unlink()
    for file in (tmp_path / "__pycache__").glob("vanishing*"):
        file.unlink()
    kill(first)
    model.release()
    assert second.wait()
    assert second.state == "failed"
    assert "No module named 'vanishing'" in str(second.progress.error)
    assert "No module named 'vanishing'" in second.log()
    assert ends(fleet, second.id) == ["failed"]


@pytest.mark.usefixtures("preloaded")
def test_a_failing_run_ends_once_and_what_was_printed_is_in_its_log(
    fleet: Fleet, logged: Callable[..., LoggedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.optimize(**setup(logged().lm, metric=late_fault))
    assert job.wait()
    assert ends(fleet, job.id) == ["failed"]
    assert "the scales broke" in str(job.progress.error)
    log = job.log()
    assert "weighing" in log
    assert "Traceback" in log
    assert bought(fleet, job.id) > 0
    assert [p["state"] for p in events(fleet, job.id, "state")] == ["running", "failed"]


def late_fault(example: object, pred: object, trace: object = None) -> bool:
    if not hasattr(pred, "completions") or pred.completions is None:  # type: ignore[attr-defined]
        return True  # the check before anything is spent
    sys.stdout.write("weighing\n")
    raise RuntimeError("the scales broke")
