from __future__ import annotations

import inspect
import io
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

import dspy
import pytest
from made_up import SMALL, Data, counted_lm, told, until
from tqdm import tqdm

from skillfleet_nb import Fleet
from skillfleet_nb.lm.run_log import MARK, run_log
from skillfleet_nb.security import Redactor

if TYPE_CHECKING:
    from pathlib import Path


class Chatty(dspy.Module):
    """Draws a progress bar, prints a line in parts, and leaves another unfinished."""

    def __init__(self) -> None:
        super().__init__()
        self.label = dspy.Predict("text -> intent")

    def forward(self, text: str) -> Any:
        sys.stdout.write("\r  0%|          |")
        sys.stdout.write("\r 50%|#####     |")
        sys.stdout.write("\r100%|##########|\n")
        sys.stdout.write("said ")
        sys.stdout.write("in parts\n")
        answer = self.label(text=text)
        sys.stdout.write("unfinished")
        return answer


def test_the_log_holds_lines_as_they_are_seen_in_the_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lm, _ = counted_lm()
    job = Fleet(tmp_path / "home").optimize(
        Chatty(), metric=told, optimizer="labeled_fewshot", **Data().splits(),
        lm=lm, num_threads=1,
    )  # fmt: skip
    job.result()
    lines = job.log().splitlines()
    assert "100%|##########|" in lines[0]
    assert "said in parts" in lines
    assert lines[-1].startswith("unfinished")
    assert "50%" not in job.log()
    assert "\r" not in job.log()
    assert "said" not in capsys.readouterr().out


class Barred(dspy.Module):
    """Draws a bar of tqdm around its call, and asks twice for the better answer, which reads DSPy's trace."""

    def __init__(self) -> None:
        super().__init__()
        self.label = dspy.BestOfN(dspy.Predict("text -> intent"), N=2, reward_fn=lambda *_: 1.0, threshold=1.0)

    def forward(self, text: str) -> Any:
        (answer,) = [self.label(text=text) for _ in tqdm(range(1), desc="mine")]
        return answer


@pytest.mark.parametrize("optimizer", ["bootstrap_random_search", "simba"])
def test_a_run_draws_no_bars_and_leaves_dspys_trace_as_it_was(optimizer: str, tmp_path: Path) -> None:
    lm, _ = counted_lm()
    trace = len(dspy.settings.trace)
    job = Fleet(tmp_path / "home").optimize(
        Barred(), metric=told, optimizer=optimizer, params=SMALL[optimizer], **Data().splits(), lm=lm, num_threads=2,
    )  # fmt: skip
    result = job.result()
    assert result.stop_reason == "the optimizer finished"
    assert result.test_score is not None
    assert not [word for word in ("mine", "it/s", "%|") if word in job.log()]
    assert len(dspy.settings.trace) == trace
    assert inspect.isfunction(tqdm.__init__)
    assert not hasattr(tqdm.__init__, "__wrapped__"), "tqdm is as it was"
    drawn = io.StringIO()
    assert list(tqdm(range(2), desc="somebody's", file=drawn)) == [0, 1]
    assert "somebody's: 100%" in drawn.getvalue()


class Emptied(tqdm):  # type: ignore[type-arg]  # of anything
    """A bar that another evaluation, as it begins, takes out of the list of all bars."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        bar: Self = super().__new__(cls, *args, **kwargs)
        tqdm._instances.clear()
        return bar


def test_bars_of_runs_that_share_a_process_do_not_fail_over_each_other(tmp_path: Path) -> None:
    with run_log(tmp_path / "output.log", Redactor()) as log, dspy.context(**{MARK: log}):
        assert list(Emptied(range(3))) == [0, 1, 2]
        with Emptied(total=3, desc="evaluating") as bar:
            bar.set_description("half")
            bar.update(2)
        assert (bar.total, len(Emptied([1, 2]))) == (3, 2)
    assert "evaluating" not in (tmp_path / "output.log").read_text()


def test_what_is_left_behind_of_a_run_is_silent_and_then_the_streams_are_given_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout, pool, free = sys.stdout, ThreadPoolExecutor(1), threading.Event()
    with run_log(tmp_path / "output.log", Redactor()) as log, dspy.context(**{MARK: log}):
        late = pool.submit(copy_context().run, lambda: sys.stdout.write("late" * free.wait()))
    assert sys.stdout is not stdout
    sys.stdout.write("the cell that runs by then")
    free.set()
    late.result()
    pool.shutdown()
    until(lambda: sys.stdout is stdout)
    assert capsys.readouterr().out == "the cell that runs by then"


def test_a_thread_that_is_only_just_starting_as_a_run_ends_keeps_the_streams_no_longer_than_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = sys.stdout, sys.stderr
    late = threading.Thread(target=lambda: None, name="skillfleet-work")
    with run_log(tmp_path / "output.log", Redactor()):
        assert (sys.stdout, sys.stderr) != streams
        # as between the call of `start` and the thread's beginning
        monkeypatch.setitem(threading._limbo, late, late)  # type: ignore[attr-defined]
    watcher = next(thread for thread in threading.enumerate() if thread.name == "skillfleet-log")
    assert watcher.is_alive()
    late.start()
    watcher.join()
    assert (sys.stdout, sys.stderr) == streams


def test_what_stood_for_a_stream_outlives_its_run_for_a_thread_may_be_printing_through_it(tmp_path: Path) -> None:
    """``print`` of Python 3.11 does not hold the stream it writes to."""
    stood = []

    def run() -> None:
        with run_log(tmp_path / "log", Redactor()):
            stood.extend(weakref.ref(stream) for stream in (sys.stdout, sys.stderr))

    before = sys.stdout, sys.stderr
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert (sys.stdout, sys.stderr) == before
    assert [type(stream()).__name__ for stream in stood] == ["_Router", "_Router"]
