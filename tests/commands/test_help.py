"""Help, examples and the overview: what a person reads before the first run."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb.commands import Context, run
from skillfleet_nb.commands.grammar import TASKS, commands
from skillfleet_nb.commands.job_views import Overview
from skillfleet_nb.commands.tasks import by_task
from skillfleet_nb.commands.tree import _parse, examples, help_of, split
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.events import JobCreated, JobState, StateChanged
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.messages import MAGIC
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from pathlib import Path


LEAVES = {
    " ".join(leaf.path): leaf for top in commands().values() for leaf in (top.parts.values() if top.parts else [top])
}


@pytest.mark.parametrize("command", sorted(LEAVES))
@pytest.mark.parametrize("prog", ["%skillfleet", "skillfleet"])
def test_every_command_shows_examples_that_can_be_read(command: str, prog: str, tmp_path: Path) -> None:
    lines = examples(LEAVES[command].examples, prog)
    if prog.startswith("%"):
        assert lines, "a command without an example"
    help_text = str(run([*command.split(), "--help"], context(tmp_path), prog=prog))
    for line in lines:
        assert line in help_text
        way, _, rest = line.partition(" ")
        assert way in ({"%skillfleet", "%%skillfleet"} if prog.startswith("%") else {"skillfleet"})
        tokens = split(rest)
        assert " ".join(tokens[: len(command.split())]) == command
        assert _parse(tokens, prog).command is not None


@pytest.mark.parametrize("prog", ["%skillfleet", "skillfleet"])
def test_no_help_shows_a_sign_that_was_doubled_for_argparse(prog: str) -> None:
    for one in (one for top in commands().values() for one in (top, *top.parts.values())):
        assert "%%%" not in help_of(one.path, prog=prog), one.path


def test_every_command_has_a_task() -> None:
    assert [task for task, _ in by_task()] == list(TASKS[:-1]), "give the new command a task"
    assert sorted(name for _, part in by_task() for name, _ in part) == sorted(commands())


def context(home: Path) -> Context:
    def wait(job: Any, *, watch: bool = False) -> None:
        raise AssertionError("nothing is waited for")

    return Context(lambda named: Fleet(named or home), {}, wait, print, lambda _: lambda done, total: None)


def test_help_lists_commands_by_task_and_tells_of_misspelt_ones(tmp_path: Path) -> None:
    told = str(run(["help"], context(tmp_path)))
    parts = ("\nPrepare\n", "\n  doctor ", "\nOptimise\n", "\n  optimize ", "\nKeep\n")
    assert [told.index(part) for part in parts] == sorted(told.index(part) for part in parts)
    assert "examples:\n  %skillfleet optimize program" in str(run(["help", "optimize"], context(tmp_path)))
    with pytest.raises(NotFoundError, match=r"unknown command 'optimise': did you mean 'optimize'\?"):
        run(["optimise"], context(tmp_path))
    with pytest.raises(NotFoundError, match="did you mean 'status'"):
        run(["db", "statsu"], context(tmp_path))


def test_the_overview_of_an_empty_home_gives_the_lines_to_paste(tmp_path: Path) -> None:
    shown = run([], context(tmp_path / "new"))
    for face in (str(shown), unescape(shown._repr_html_())):
        assert "none yet" in face
        assert "made when there is something to keep" in face
        assert "import dspy, skillfleet_nb as sf" in face
        assert "dspy.configure(lm=sf.offline_lm())" in face
        assert 'dspy.configure(lm=dspy.LM("openai/' in face
    assert not (tmp_path / "new").exists(), "looking makes nothing"
    configured = Overview(Fleet(tmp_path), MAGIC, "openai/some-model")
    assert "openai/some-model" in str(configured)
    assert "paste" not in str(configured) + configured._repr_html_()


def test_the_lines_to_paste_work(tmp_path: Path) -> None:
    import dspy

    lines = str(run([], context(tmp_path)))
    paste = [line for line in lines.splitlines() if line.startswith(("import dspy", "dspy.configure"))]
    names: dict[str, Any] = {}
    try:
        for line in paste:
            exec(line, names)  # noqa: S102  as a person would
        assert dspy.settings.lm.model.startswith("skillfleet/offline")
    finally:
        dspy.configure(lm=None)


def test_the_overview_names_jobs_that_go_on_or_wait(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    made = {"optimizer": "gepa", "program": "p", "metric": "m", "engine": "thread", "seed": 0}
    open_journals = []
    for name, states in {
        "done": [JobState.RUNNING, JobState.COMPLETED],
        "goes on": [JobState.RUNNING],
        "lost": [JobState.RUNNING],
        "asks": [JobState.RUNNING, JobState.PENDING_HITL],
    }.items():
        journal = Journal(fleet.home, f"job-{name.replace(' ', '')}")
        journal.append_many([JobCreated(name=name, **made), *(StateChanged(state=s) for s in states)])
        journal.close() if name in {"done", "lost"} else open_journals.append(journal)
    shown = Overview(fleet, MAGIC, "m")
    for face in (str(shown), unescape(shown._repr_html_())):
        assert "1 interrupted" in face
        assert "1 waiting for your answer" in face
        assert "%skillfleet resume lost" in face
        assert "%skillfleet watch 'goes on'" in face
        assert "%skillfleet answer asks" in face
        assert "done" not in face
    for journal in open_journals:
        journal.close()
