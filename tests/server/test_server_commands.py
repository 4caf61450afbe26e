"""Every command, given a server: it works there, or says in a line why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands.grammar import commands
from skillfleet_nb.commands.remote import NOT_OFFERED, OFFERED

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Server

RUN = "house:program --train data.csv --metric house:same --lm offline"
LINES = {
    "jobs": ("jobs", 0, "parity"),
    "job": ("job parity", 0, "labeled_fewshot"),
    "watch": ("watch parity", 0, "completed"),
    "diff": ("diff parity", 0, ""),
    "optimize": ("optimize house:program --train nothing.csv --metric house:same --optimizer gepa", 2, "nothing.csv"),
    "resume": ("resume parity", 2, "nothing left to resume"),
    "cancel": ("cancel parity", 0, "completed already"),
    "pause": ("pause parity", 0, "completed already"),
    "unpause": ("unpause parity", 0, "is completed"),
    "answer": ("answer parity yes", 2, "asks nothing"),
    "estimate": (f"estimate {RUN} --optimizer labeled_fewshot", 0, "calls"),
    "recommend": (f"recommend {RUN} --budget 1 --probe 0", 0, ""),
    "headroom": (f"headroom {RUN}", 0, ""),
    "noise": (f"noise {RUN}", 0, ""),
    "optimizers": ("optimizers", 0, "gepa"),
    "ensemble": ("ensemble", 0, ""),
    "sql": ("sql from jobs select name", 0, "parity"),
    "insights": ("insights", 0, ""),
    "trends": ("trends", 0, ""),
    "roi": ("roi", 0, ""),
    "forecast": ("forecast score parity", 0, ""),
    "notes": ("notes list", 0, ""),
    "traces": ("traces parity", 0, ""),
    "monitor": ("monitor nobody", 2, "unknown monitored program"),
    "mlflow": ("mlflow export parity", 2, "MLFLOW_TRACKING_URI"),
    "note": ("note parity seen", 0, "noted of parity: seen"),
    "tag": ("tag parity --add v2", 0, "parity: v2"),
    "archive": ("archive parity", 0, "archived: parity"),
    "rename": ("rename parity parity", 0, "parity is now parity"),
    "save": ("save parity best.json", 0, "best.json"),
}


@pytest.fixture
def typed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    token = server.owner.headers["Authorization"].partition(" ")[2]

    def run(line: str) -> tuple[int, str]:
        status = main(["--server", server.address, "--token", token, *line.split()])
        told = capsys.readouterr()
        return status, told.out if status == 0 else told.err

    return run


def test_every_command_is_offered_or_says_why_not() -> None:
    assert sorted([*OFFERED, *NOT_OFFERED]) == sorted(commands())
    assert sorted(LINES) == sorted(OFFERED)


@pytest.mark.usefixtures("finished")
def test_each_command_works_on_a_server_or_says_why_not(typed: Any, server: Server, tmp_path: Path) -> None:
    answers = {name: typed(line) for name, (line, _, _) in LINES.items()}
    wrong = {
        line: answers[name] for name, (line, status, text) in LINES.items()
        if answers[name][0] != status or text not in answers[name][1] or "not there over HTTP" in answers[name][1]
    }  # fmt: skip
    assert wrong == {}
    assert (tmp_path / "best.json").is_file()
    p = Fleet(server.home).job("parity").progress
    assert (p.note, p.tags, p.archived) == ("seen", ("v2",), True)
    for line in ("archive parity --undo", "tag parity --remove v2", "note parity -"):
        assert typed(line)[0] == 0
    for name in NOT_OFFERED:
        status, told = typed(name)
        assert (status, told.count("\n")) == (2, 1), told
        assert f"{name} {NOT_OFFERED[name]}, and {server.address} is another" in told
