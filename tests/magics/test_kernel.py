"""Interrupts and output in a real kernel, as a notebook drives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_client.manager import KernelManager

from skillfleet_nb import Fleet
from skillfleet_nb.commands.job_views import JobTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_client.blocking import BlockingKernelClient

SETUP = f"""
import sys, threading
sys.path.append({str(Path(__file__).parents[1] / "runs")!r})
%load_ext skillfleet_nb
from made_up import Counting, Data, counted_lm, program, told as metric
program, data = program(), Data()
train, val, test = data.train, data.val, data.test
lm, engine = counted_lm(Counting(latency_s=0.03))
fast, _ = counted_lm()
"""
OPTIMIZE = "%skillfleet optimize program --train train --val val --test test --metric metric --threads 2"


@dataclass
class Ran:
    status: str
    streams: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    shown: list[str] = field(default_factory=list)
    result: str = ""
    error: str = ""


@dataclass
class Notebook:
    manager: KernelManager
    client: BlockingKernelClient

    def start(self, code: str) -> str:
        # Nobody to ask: as nbclient and its kind run a notebook, which get text and no widgets.
        return str(self.client.execute(code, allow_stdin=False))

    def finish(self, cell: str, until: str | None = None) -> Ran:
        """Read what a cell sends until it is done, or until it shows `until`."""
        ran = Ran("?")
        while True:
            message = self.client.get_iopub_msg()
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                ran.streams[content["name"]] += content["text"]
            elif kind in {"display_data", "update_display_data", "execute_result"}:
                ran.shown.append(content["data"]["text/plain"])
                if kind == "execute_result":
                    ran.result = ran.shown[-1]
                if until is not None and until in ran.shown[-1]:
                    return ran
            elif kind == "error":
                ran.error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                assert until is None, f"the cell ended before it showed {until!r}: {ran}"
                ran.status = "error" if ran.error else "ok"
                return ran

    def run(self, code: str) -> Ran:
        return self.finish(self.start(code))


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=600)
        book = Notebook(manager, client)
        ran = book.run(SETUP)
        assert ran.status == "ok", ran
        yield book
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def value(book: Notebook, expression: str) -> str:
    ran = book.run(expression)
    assert ran.status == "ok", ran
    return ran.result  # a job in the background may have shown how far it is after it


def test_an_evaluation_that_is_stopped_promises_no_best(notebook: Notebook) -> None:
    notebook.run("hold = threading.Event()\nslow, _ = counted_lm(Counting(gate=hold))")
    cell = notebook.start("%skillfleet evaluate program --data test --metric metric --lm slow --name scored -o job")
    notebook.finish(cell, until="scoring 1 program")
    notebook.manager.interrupt_kernel()
    notebook.finish(cell, until="stopping; interrupt again to leave it")
    notebook.manager.interrupt_kernel()
    assert notebook.finish(cell).status == "ok"
    assert value(notebook, "hold.set() or job.wait(), str(job.state)") == "(True, 'cancelled')"


@pytest.mark.slow
def test_interrupts_lose_nothing_and_leave_the_kernel_well(notebook: Notebook) -> None:
    # The first interrupt cancels, and the cell ends by itself with the best so far.
    long = "--set max_metric_calls=5000"  # it would go on for minutes
    cell = notebook.start(f"{OPTIMIZE} --optimizer gepa {long} --lm lm --name first -o job")
    notebook.finish(cell, until="baseline")
    notebook.manager.interrupt_kernel()
    ran = notebook.finish(cell)
    assert (ran.status, ran.error) == ("ok", "")
    assert any("cancelled" in shown for shown in ran.shown)
    assert (
        value(notebook, "str(job.state), job.result().best_score == job.result(0).best_score") == "('cancelled', True)"
    )
    assert value(notebook, "job.result(0).best_score >= job.result(0).baseline_score") == "True"

    # The second leaves it: the kernel is free at once, and the run comes to its end in the background.
    notebook.run("hold = threading.Event()\nslow, _ = counted_lm(Counting(gate=hold))")
    cell = notebook.start(f"{OPTIMIZE} --optimizer gepa --lm slow --name second -o job")
    notebook.finish(cell, until="scoring the program as it is")
    notebook.manager.interrupt_kernel()
    notebook.finish(cell, until="interrupt again to leave it")
    notebook.manager.interrupt_kernel()
    ran = notebook.finish(cell)
    assert (ran.status, ran.error) == ("ok", "")
    assert value(notebook, "6 * 7") == "42"
    after = notebook.run("print('clean')")
    assert after.streams == {"stdout": "clean\n", "stderr": ""}
    assert value(notebook, "hold.set() or job.wait(), str(job.state)") == "(True, 'cancelled')"

    # And a following run works.
    ran = notebook.run(f"{OPTIMIZE} --optimizer infer_rules --set num_candidates=2 --lm fast --name third -o job")
    assert (ran.status, ran.error) == ("ok", "")
    assert value(notebook, "str(job.state)") == "'completed'"
    assert ran.streams == {"stdout": "", "stderr": ""}


@pytest.mark.slow
def test_a_job_in_the_background_prints_into_no_cell(notebook: Notebook) -> None:
    assert notebook.run(f"{OPTIMIZE} --optimizer miprov2 --lm lm --no-wait -o job").status == "ok"
    assert value(notebook, "engine.reached.wait()") == "True"
    other = notebook.run(
        "import sys\nfor n in range(20):\n    print(n)\n    job.wait(0.1)\nprint('done', file=sys.stderr)"
    )
    assert other.streams == {"stdout": "".join(f"{n}\n" for n in range(20)), "stderr": "done\n"}
    ran = notebook.run("result = await job\nassert result.best_score is not None")
    assert (ran.status, ran.streams) == ("ok", {"stdout": "", "stderr": ""})
    assert "usage" in value(notebook, "%skillfleet help optimize")


@pytest.mark.slow
def test_a_job_that_ends_with_its_kernel_is_interrupted_not_cancelled(notebook: Notebook, tmp_path: Path) -> None:
    cell = notebook.start(f"{OPTIMIZE} --optimizer gepa --set max_metric_calls=5000 --lm lm --name kept")
    notebook.finish(cell, until="baseline")
    notebook.manager.shutdown_kernel()  # which interrupts it first, as restarting does
    fleet = Fleet(tmp_path / ".skillfleet")
    job = fleet.job("kept")
    assert str(job.state) == "interrupted"
    assert fleet.jobs().state.tolist() == fleet.sql("select state from jobs").state.tolist() == ["interrupted"]
    for face in (job.html(), str(job), str(JobTable(fleet.jobs()))):
        assert "interrupted" in face
        assert "cancelled" not in face
    assert job.progress.best is not None
