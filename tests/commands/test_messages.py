"""A message names commands as whoever reads it types them: a shell's in a shell, the magic's in a notebook."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from skillfleet_nb.cli import main
from skillfleet_nb.commands import Context, run
from skillfleet_nb.commands.grammar import TASKS, Command, argument, command, commands
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import JobCreated, JobState, StateChanged
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.messages import MAGIC, SHELL, as_typed, read_in
from skillfleet_nb.runs.request import ResumeRequest, RunRequest
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

ASKED = [
    (["jobs"], "no jobs yet: {}optimize starts one, {}demo shows one"),
    (["unpause", "lost"], "lost is interrupted: {}resume lost goes on with it"),
    (["optimize", "math:pi", "--train", "math:pi", "--metric", "math:pi", "--optimizer", "gepaa"], "See {}optimizers."),
    (["program", "show", "nothing"], "an id: {}programs JOB lists them"),
    (["skill", "index", "status", "--root", "our skills"], "no index: run {}skill index build --root 'our skills'"),
    (["skill", "index", "status", "--root", "none"], "no folder 'none': give a folder of skills"),
    (["skill", "new", "taken", "--description", "d", "--root", "our skills"], "another name, or pass --overwrite"),
    (["db", "restore", "nothing"], "{}db status lists them"),
]


def home_with(folder: Path, *, job: bool) -> str:
    home = Home.find(folder / "home")
    if job:
        with Journal(home, "lost") as journal:
            created = {"optimizer": "gepa", "program": "p", "metric": "m", "engine": "thread", "seed": 0}
            journal.append(JobCreated(name="lost", spec={}, **created))
            journal.append(StateChanged(state=JobState.RUNNING))
    return str(home.root)


def notebook(tokens: list[str], home: str) -> str:
    context = Context(lambda _: Fleet(home), {}, lambda job, *, watch=False: None, print, lambda _: lambda *_: None)
    try:
        return str(run(tokens, context))
    except SkillfleetError as exc:
        return str(exc)


@pytest.mark.parametrize(("tokens", "told"), ASKED, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_each_surface_names_its_own_commands(
    tokens: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "our skills" / "taken").mkdir(parents=True)
    home = home_with(tmp_path, job=tokens != ["jobs"])
    main([*tokens, "--home", home])
    shown = "".join(capsys.readouterr())
    assert told.replace("{}", "skillfleet ") in shown
    assert "%skillfleet" not in shown
    with read_in(MAGIC):  # as what a cell ends with is shown once its command is done
        assert told.replace("{}", "%skillfleet ") in notebook(tokens, home)


def test_a_surface_holds_for_its_own_messages_alone() -> None:
    with read_in(SHELL):
        with read_in(MAGIC):
            assert as_typed("jobs") == "%skillfleet jobs"
        assert as_typed("jobs") == "skillfleet jobs"


def test_a_command_is_declared_where_it_is_carried_out() -> None:
    @command("trials", "the trials of a job", argument("name", metavar="JOB"), argument("--all", action="store_true"))
    def trials(c: Context, a: argparse.Namespace) -> str:
        return f"{a.name} of {c.home}"

    assert isinstance(trials, Command)
    assert (trials.path, trials.task) == (("trials",), TASKS[-1])
    assert [one.dest for one in trials.arguments] == ["name", "all"]
    assert [one.takes_value for one in trials.arguments] == [True, False]


def test_every_command_has_its_task_and_its_place() -> None:
    tops = commands().values()
    assert len(tops) == len({(one.task, one.place) for one in tops})
    assert all(one.task != TASKS[-1] for one in tops)
    assert all(one.run is not None or one.parts for one in tops)


@pytest.mark.parametrize(("name", "request_class"), [("optimize", RunRequest), ("resume", ResumeRequest)])
def test_what_starts_a_run_takes_a_requests_fields_by_their_names(name: str, request_class: type) -> None:
    of_the_surface = {"no_wait", "output", "yes", "ensemble", "vote"}  # the last two are optimizer and parameters
    taken = {one.dest for one in commands()[name].arguments} - of_the_surface
    asked = {f.name for f in fields(request_class)} - {"recommendation"}  # an object of Python's alone
    assert taken == asked
