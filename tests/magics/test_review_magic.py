"""Questions of a run in a notebook's shell and in a terminal: shown, answered, and never waited on in vain."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from made_up import Data, counted_lm, program, told

from skillfleet_nb.errors import InputError
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.widgets import Monitor, ReviewPanel

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIMIZE = (
    "%skillfleet optimize program --train train --val val --test test --metric metric --lm lm --seed 3 "
    "--optimizer infer_rules --set num_candidates=2 --name rules --review accept"
)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    lm, _ = counted_lm()
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> tuple[Any, str, str]:
    with capture_output() as printed:
        result = shell.run_cell(cell, store_history=True)
    shown = [output.data.get("text/plain", "") for output in printed.outputs]
    return result.result, "\n".join([printed.stdout, *shown]), printed.stderr


def test_the_waiting_cell_ends_at_the_question_and_any_cell_answers(shell: InteractiveShell) -> None:
    job, out, _ = run(shell, OPTIMIZE)
    assert job.state == "pending_hitl"
    for words in ("rules asks: Accept this program?", "→ proceed", "%skillfleet answer rules yes", "Please adhere"):
        assert words in out
    for command in ("jobs", "job rules", "answer rules", ""):
        shown, _, _ = run(shell, f"%skillfleet {command}")
        for face in (str(shown), shown._repr_html_()):
            assert "%skillfleet answer rules" in face, command
            assert command == "" or "Accept this program?" in face
    assert "1 waiting for your answer" in str(run(shell, "%skillfleet")[0])
    with provisionalcompleter():
        offered = [c.text for c in shell.Completer.completions("%skillfleet answer ", 19)]
    assert offered == ["rules"]

    _, _, err = run(shell, "%skillfleet answer rules no, continue")
    assert err.startswith("UsageError: 'no, continue' says both proceed (continue) and cancel (no)")
    assert job.state == "pending_hitl"
    note, _, _ = run(shell, "%%skillfleet answer rules --as revise\nName the intent.\nSay no more, and stop.")
    assert "rules: revise; it goes on: %skillfleet watch rules" in str(note)
    again, _, _ = run(shell, "%skillfleet watch rules")
    assert again.question is not None
    assert again.question.draft == "Name the intent.\nSay no more, and stop."
    run(shell, "%skillfleet answer rules yes")
    run(shell, "%skillfleet watch rules")
    assert job.result(600).program.signature.instructions == "Name the intent.\nSay no more, and stop."
    assert "asks nothing: it is completed" in str(run(shell, "%skillfleet answer rules")[0])
    assert "asks nothing" in run(shell, "%skillfleet answer rules yes")[2]
    assert "asks:" not in str(run(shell, "%skillfleet jobs")[0])


def test_the_panel_and_the_monitor_answer(shell: InteractiveShell) -> None:
    job, _, _ = run(shell, OPTIMIZE)
    panel, monitor = ReviewPanel(job), job.monitor()
    assert isinstance(monitor, Monitor)
    assert panel.text.value == job.question.draft
    assert [b.description for b in panel.buttons.values()] == ["Proceed", "Revise", "Cancel"]
    data = panel._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Accept this program?" in data["text/html"]
    assert "Accept this program?" in data["text/plain"]
    panel.text.value = "Say what it is about."
    panel.buttons["proceed"].click()
    assert "you changed the text" in panel.told.value
    assert job.state == "pending_hitl"
    with pytest.raises(InputError, match="write the new instruction"):
        panel.revise("")
    first = job.question.review_id
    panel.buttons["revise"].click()
    assert all(b.disabled for b in panel.buttons.values())
    deadline = time.monotonic() + 600
    while (asked := job.question) is None or asked.review_id == first:  # between two looks it may be gone
        assert time.monotonic() < deadline
        job.wait(0.05)
    assert job.question.draft == "Say what it is about."
    panel.text.value = ""
    panel.buttons["proceed"].click()  # the second of a double click answers nothing that is asked since
    assert job.state == "pending_hitl"
    other = ReviewPanel(job)
    picture = job.picture()
    assert picture["question"]["review_id"] == job.question.review_id
    assert "<ins" in monitor._proposed(picture) or "<del" in monitor._proposed(picture)
    monitor.answer("", "revise")
    assert "write the new instruction" in monitor._note
    monitor.answer("", "proceed")
    assert monitor._note == "answered: proceed"
    assert job.result(600).program.signature.instructions == "Say what it is about."
    while not other.text.disabled:
        assert time.monotonic() < deadline
        job.wait(0.05)
        time.sleep(0.01)
    assert "no question any more" in other.told.value, "it was answered elsewhere"


MODULE = """
import sys
sys.path.append({runs!r})
from made_up import Data, counted_lm, program as make, told as metric
program, data = make(), Data()
train, val, test = data.train, data.val, data.test
lm, _ = counted_lm()
"""
LINE = [
    *("optimize", "task:program", "--train", "task:train", "--val", "task:val", "--test", "task:test"),
    *("--metric", "task:metric", "--lm", "task:lm", "--seed", "3", "--optimizer", "infer_rules"),
    *("--set", "num_candidates=2", "--review", "accept", "--name", "rules"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.py").write_text(MODULE.format(runs=str(Path(__file__).parents[1] / "runs")))
    return tmp_path


def test_without_a_terminal_the_command_waits_for_an_answer_from_another(folder: Path) -> None:
    command = [sys.executable, "-m", "skillfleet_nb.cli"]
    with subprocess.Popen(
        [*command, *LINE],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stderr is not None
        seen = ""
        while "answer with:" not in seen:
            line = waiting.stderr.readline()
            assert line, seen
            seen += line
        assert "rules asks: Accept this program?" in seen
        assert "skillfleet answer rules yes" in seen
        assert "%skillfleet" not in seen
        subprocess.run([*command, "answer", "rules", "ok"], cwd=folder, check=True, capture_output=True)
        out, err = waiting.communicate(timeout=120)
        assert waiting.returncode == 0, err
    assert "completed" in out


def test_at_a_terminal_it_is_asked_there(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "skillfleet_nb.cli", *LINE], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
    ) as asking:
        os.close(theirs)
        seen, sent = b"", 0
        says = [(b"> ", b"no, continue\n"), (b"says both", b"yes\n")]
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
            if sent < len(says) and says[sent][0] in seen.partition(b"answer with:")[2]:
                os.write(ours, says[sent][1])
                sent += 1
        os.close(ours)
        assert asking.wait(300) == 0, seen.decode("utf-8", "replace")
    assert sent == 2
    home = next(folder.rglob("journal")).parent
    assert Fleet(home).sql("select choice, text from reviews").values.tolist() == [["proceed", "yes"]]
