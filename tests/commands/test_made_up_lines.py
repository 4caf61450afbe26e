"""Lines that people could type and files that they could have: a mistake is one line, and nothing is a trace.

``make bench-fire`` tries 20,000 lines and 5,000 files.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from made_up_files import data_set, skill
from made_up_lines import answer, line, make_home

from skillfleet_nb.cli import main
from skillfleet_nb.commands.grammar import commands
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.store import read_examples

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKILLFLEET_HOME", str(make_home(tmp_path)))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "--home", "x" * 300],
        ["jobs", "--home", "what?"],
        ["jobs", "--home", "a\\b"],
        ["jobs", "--home", "good.csv"],
        ["job", "\udcff"],
        ["compare", "job-0", "job-2", "--json", "folder.csv"],
        ["compare", "job-0", "job-2", "--json", "x" * 300],
        ["skill", "validate", "skills", "--json", "folder.csv"],
        ["trainset", "analyze", "good.csv", "--seed", "-3"],
        ["trainset", "worst", "good.csv", "--seed", "99999999999999999999"],
        ["sql", "from jobs where pg_sleep(0) is null"],
    ],
    ids=ascii,
)
@pytest.mark.usefixtures("place")
def test_a_mistake_is_one_line(words: list[str]) -> None:
    answered = answer(words)
    assert (answered.status, answered.wrong) == (2, "")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("odd", "why"), [("folder.csv", "is a folder"), ("none/x", "no such folder"), ("x" * 300, "")])
def test_what_cannot_be_written_is_told_before_the_work_is_done(
    odd: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tops = commands().values()
    tried = [one for top in tops for one in (top, *top.parts.values()) if any(a.is_written for a in one.arguments)]
    for one in tried:
        needed = [a for a in one.arguments if not a.is_option and not a.is_written]
        named = [[*a.names[:1], odd] if a.is_option else [odd] for a in one.arguments if a.is_written]
        for words in named:
            assert main([*one.path, *("nothing" for _ in needed), *words]) == 2
            assert f"cannot write '{odd}': " in (said := capsys.readouterr().err)
            assert why in said
    writers = {one.path[0] for one in tried}
    assert writers == {"audit", "compare", "export", "notes", "plot", "program", "save", "skill", "trainset"}
    for name in ("a b", "class"):
        assert main(["recommend", "nothing", "--train", "nothing", "--metric", "nothing", "-o", name]) == 2
        assert f"-o '{name}': no variable can have this name" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_a_mistake_in_a_cell_is_one_line() -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    for words in ("job a\0b", "compare job-0 job-2 --json folder.csv", "jobs --home 'what?'"):
        with pytest.raises(UsageError) as caught:
            shell.run_line_magic("skillfleet", words)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("place")
def test_a_reason_over_several_lines_is_told_in_one() -> None:
    for words in (["job", "job-0"], ["watch", "job-0"], ["compare", "job-0", "job-2"]):
        assert answer(words).wrong == ""
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    assert "over several lines" in str(shell.run_line_magic("skillfleet", "job job-0"))


@pytest.mark.usefixtures("place")
def test_made_up_lines_leave_no_trace() -> None:
    for number in range(60):
        assert answer(line(random.Random(number))).wrong == "", number


def test_made_up_files_leave_no_trace(place: Path) -> None:
    for number in range(40):
        rng, folder = random.Random(number), place / f"made-{number}"
        folder.mkdir()
        with suppress(SkillfleetError):
            read_examples(data_set(rng, folder))
        assert answer(["skill", "validate", str(skill(rng, folder))]).wrong == "", number
