"""The commands about the store, as a shell gives them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.events import JobCreated, Phase, StateChanged
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shell = Callable[..., str]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(line: str, *, code: int = 0) -> str:
        assert main(line.split()) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


@pytest.fixture
def home() -> Home:
    home = Home.find()
    with Journal(home, "job-1") as journal:
        journal.append(JobCreated(name="n", optimizer="o", program="p", metric="m", engine="thread", seed=1))
        journal.append_many([Phase(text=f"step {n}") for n in range(500)])
        journal.append(StateChanged(state="completed"))
    return home


def test_compact_tells_what_it_would_do_and_what_it_did(home: Home, shell: Shell) -> None:
    assert shell("db compact") == "nothing to compact: --all takes finished jobs of any age\n"
    assert shell("db compact --all --dry-run").startswith("would compact 1 job (job-1)\njournals: 5")
    assert re.match(
        r"compacted 1 job \(job-1\)\njournals: 5\d\.\d kB to [2-9]\.\d kB in .* s\n", shell("db compact --all")
    )
    assert shell("db compact --all") == "nothing to compact\n"
    assert "1 of its jobs compacted" in shell("db status")
    assert "rebuilt from 503 events" in shell("db rebuild")


def test_reset_asks_at_a_terminal_and_refuses_elsewhere(
    home: Home, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = shell("db reset", code=2)
    assert "would move 1 job (job-1) and every program (5" in refused
    assert refused.endswith("--yes does it\n")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: (asked.append(question), "n")[1])
    shell("db reset", code=2)
    assert len(asked) == 1
    assert home.journal_dir("job-1").exists()
    monkeypatch.setattr("builtins.input", lambda _: "y")
    told = shell("db reset")
    backup = re.search(r"db restore (\S+) brings them back", told)
    assert backup is not None
    assert backup[1] in shell("db status")
    assert shell("db reset --yes") == "nothing to reset: the home holds no jobs and no programs\n"
    assert shell(f"db restore {backup[1]}").startswith("restored 1 job (job-1) from ")
    assert "here already: job-1" in shell(f"db restore {backup[1]}")


def test_a_reset_counts_jobs_and_takes_what_lies_beside_them(home: Home, shell: Shell) -> None:
    fleet = Fleet()
    fleet.notes.add("remember this")
    fleet.data.rate("0123456789abcdef", 0.5)
    told = shell("db reset --yes")
    assert told.startswith("moved 1 job (job-1) to ")
    assert fleet.notes.listing().empty
    backup = re.search(r"db restore (\S+) brings them back", told)
    assert backup is not None
    assert shell(f"db restore {backup[1]}").startswith("restored 1 job (job-1) from ")
    assert shell(f"db restore {backup[1]}").endswith("; here already: job-1\n")
    assert fleet.notes.listing()["text"].tolist() == ["remember this"]


def test_a_reset_names_the_jobs_at_work(home: Home, shell: Shell) -> None:
    with Journal(home, "job-1"):
        assert "cannot reset while jobs run: n (job-1)" in shell("db reset --yes", code=2)


def test_init_makes_a_home_here_or_there(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell("db init") == f"the home is {Home.find().root}\n"
    monkeypatch.delenv("SKILLFLEET_HOME")
    monkeypatch.chdir(tmp_path)
    assert shell(f"db init {tmp_path}/a").startswith(f"made {tmp_path}/a/.skillfleet: used from")
    assert shell("db init") == f"the home is {tmp_path}/.skillfleet\n"
    assert shell("db init --home b") == f"the home is {tmp_path}/b\n"
    assert (tmp_path / "b" / "format").exists()
    assert "name one of them" in shell("db init a --home b", code=2)


def test_there_is_nothing_to_migrate_in_a_new_home(home: Home, shell: Shell) -> None:
    assert shell("db migrate").startswith("nothing to migrate")


@pytest.mark.usefixtures("memory_file_system")
def test_an_encrypted_home_as_a_shell_has_it(home: Home, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nobody can be asked" in shell("db encrypt", code=2)
    assert "encryption  not encrypted" in shell("db status")
    home.config.write_text("compact_after_days = 3\n")
    monkeypatch.setenv("SKILLFLEET_PASSPHRASE", "a first passphrase")
    try:
        answer = shell("db encrypt")
        assert re.search(r"^encrypted \d+ files? in .* s\nrecovery key: (\w{4}-){7}\w{4}\nshown this once", answer)
        assert answer.endswith("not encrypted: config.toml\n")
        assert "opened by passphrase or recovery key; not encrypted: config.toml" in shell("db status")
        assert shell(f"db export {home.root.parent}/facts").endswith("; they are not encrypted, as the home is\n")
        assert "is encrypted: --rotate gives it new keys" in shell("db encrypt", code=2)
        assert "set SKILLFLEET_NEW_PASSPHRASE, or --keyring" in shell("db encrypt --rotate", code=2)
        monkeypatch.setenv("SKILLFLEET_NEW_PASSPHRASE", "a second passphrase")
        assert "what opened it before opens nothing of it any more" in shell("db encrypt --rotate")
        assert shell("db lock").startswith("locked: key, database")
        refused = shell("jobs", code=2)
        assert "SKILLFLEET_PASSPHRASE does not open home" in refused
        assert refused.count("\n") == 1
        assert "SKILLFLEET_PASSPHRASE does not open home" in shell("db unlock", code=2)
        monkeypatch.delenv("SKILLFLEET_PASSPHRASE")
        assert "is encrypted and locked" in shell("db status", code=2)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        typed = iter(["a first passphrase", "a second passphrase"])
        monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
        assert "does not open home" in shell("db unlock", code=2)
        assert shell("db unlock") == "unlocked, until db lock or a restart of this machine\n"
        monkeypatch.setattr("builtins.input", lambda _: "no")
        assert "--yes does it" in shell("db decrypt", code=2)
    finally:
        assert shell("db decrypt --yes").endswith("the home is not encrypted any more\n")
    assert re.match(r"rebuilt from 509 events in .* s; 0 lines skipped", shell("db rebuild"))  # seven are of the trail
