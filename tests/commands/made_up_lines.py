"""Lines that people could type, by the grammar and beside it: every command, with values of its kind and others."""

from __future__ import annotations

import io
import json
import os
import re
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.cli import main
from skillfleet_nb.commands.grammar import commands
from skillfleet_nb.events import JobCreated, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from skillfleet_nb.commands.grammar import Argument, Command

SERVES = {
    ("dashboard",),
    ("demo",),
    ("watch",),
    ("serve",),
    ("drift", "watch"),
    ("mlflow", "sync"),
    ("monitor",),
}  # go on until somebody ends them
# None leads out of the working folder: some commands write to where they are pointed.
ODD = (
    *(
        "",
        " ",
        "-",
        "--",
        "~nobody/x",
        "a\\b",
        "what?",
        "100%",
        "{x}",
        "$HOME",
        "\U0001f98a",
        "a\nb",
        "\udcff",
        "x" * 300,
    ),
    *("\u202eabc", "\x1b[31m", "'", '"', "nan", "inf", "-1", "0", "1e400", "99999999999999999999", "1/0", "None"),
    *(
        "none/..",
        "./.",
        "/dev/full",
        "a:b",
        "math:pi",
        "json:loads",
        "os:nothing",
        ":",
        "a:",
        ":b",
        "*",
        "#",
        "=",
        "a=",
    ),
    *("=b", "a=b=c", "--home"),
)
SQL = (
    *("from jobs", "select", "select 1; select 2", "-- only this", "explain from jobs", "select 'a", "from nothing"),
    *(
        "select 2::hugeint**120",
        "select '9999-12-31'::date + 1",
        "select [1, null]",
        "select {'a': 1}",
        "from range(3)",
    ),
    *("copy jobs to 'x'", "select * from read_text('/etc/hostname')", "select 1 as a, 2 as a", "from jobs limit -1"),
    "values (1), ('a')",
)
DATA = ("good.jsonl", "good.csv", "bad.jsonl", "empty.csv", "folder.csv", "none.json", "latin.csv", "wide.csv")
HOMES = ("home?", "a\\home", "good.csv", "x" * 300, "\udcff", "", "o'home", "h%20", "~nobody/h")


def make_home(folder: Path) -> Path:
    """Make a home with jobs of odd names, and files and folders that lines may name, in a working folder."""
    home = Home.init(folder)
    for number, name in enumerate(("plain", "a job: of 'mine'\n", "\u202eturned", "-x")):
        with Journal(home, f"job-{number}") as journal:
            journal.append(JobCreated(name=name, optimizer="copro", program="p", metric="m", engine="thread", seed=0))
            journal.append(StateChanged(state="running"))
            for trial in range(number):
                journal.append(Trial(trial=trial, split="val", full_eval=True, n_examples=4, score=0.25 * trial))
            if number != 1:
                journal.append(Result(summary="no improvement"))
                journal.append(StateChanged(state="completed", stop_reason="over several\nlines"))
    rows = [{"text": f"question {n}", "label": "ab"[n % 2]} for n in range(12)]
    (folder / "good.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "good.csv").write_text("text,label\n" + "\n".join(f"{r['text']},{r['label']}" for r in rows))
    (folder / "bad.jsonl").write_text('{"text": 1}\n[]\n{"text"')
    (folder / "empty.csv").write_text("")
    (folder / "folder.csv").mkdir()
    (folder / "latin.csv").write_bytes("text,label\nfrüh,a\n".encode("latin-1"))
    (folder / "wide.csv").write_text(",".join(f"c{n}" for n in range(500)) + "\n")
    (folder / "deep.json").write_text("[" * 300 + "]" * 300)
    skill = folder / "skills" / "odd"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: odd\ndescription: [1, {a: b}]\n---\n\n# Odd\n")
    return home.root


def value(argument: Argument, rng: random.Random) -> str:
    """Make up a value: mostly of the argument's kind."""
    if argument.choices and rng.random() < 0.7:
        return str(rng.choice(list(argument.choices)))
    kinds: dict[str, tuple[str, ...]] = {
        "JOB": ("plain", "job-0", "job-1", "job-2", "-x", "a job: of 'mine'\n", "\u202eturned"),
        "DATA": DATA,
        "FILE": ("out.json", "folder.csv", "skills", "none/out.json"),
        "FILE.json": ("out.json", "folder.csv", "none/out.json"),
        "FOLDER": ("skills", "good.csv", "new", "none/deeper"),
        "N": ("1", "2", "0", "-3", "1000000000000"),
        "QUERY": SQL,
        "query": SQL,
    }
    likely = (
        kinds.get(argument.metavar)
        or kinds.get(argument.dest)
        or ("plain", "skills", "skills/odd", "out.txt", "3", *DATA)
    )
    return rng.choice(likely if rng.random() < 0.6 else ODD)


def _words(command: Command, rng: random.Random) -> Iterator[str]:
    for one in command.arguments:
        if one.is_option and rng.random() < 0.75:
            continue
        if one.is_option:
            yield rng.choice(one.names)
        if one.takes_value or not one.is_option:
            for _ in range(rng.choice((0, 1, 1, 2, 3)) if one.takes_several else rng.choice((1, 1, 1, 1, 0))):
                yield value(one, rng)


def line(rng: random.Random) -> list[str]:
    """Make up a line."""
    name, command = rng.choice([(name, one) for name, one in commands().items() if one.path not in SERVES])
    words = [name]
    while command.parts and rng.random() < 0.95:
        part, command = rng.choice([(name, one) for name, one in command.parts.items() if one.path not in SERVES])
        words.append(part)
    if command.path == ("db", "reset") or rng.random() < 0.03:
        words.append("--help")
    words += _words(command, rng)
    if rng.random() < 0.2:
        words.insert(rng.randint(1, len(words)), rng.choice(ODD))
    if rng.random() < 0.05:
        words += [
            "--home",
            rng.choice(("home?", "a\\home", "good.csv", "x" * 300, "\udcff", "", "o'home", "h%20", "~nobody/h")),
        ]
    return words


@dataclass
class Answered:
    """What became of a line: its exit status, and what is wrong with that."""

    words: list[str]
    status: int
    wrong: str


def answer(words: list[str]) -> Answered:
    """Run a line as a shell would; a mistake is one line on standard error, and nothing is a trace."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    status = -1
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(words)
    except BaseException as exc:  # noqa: BLE001  that is the fault
        return Answered(words, status, f"{type(exc).__name__}: {exc}\n{traceback.format_exc()[-1500:]}")
    out.flush()
    said = err.getvalue()
    wrong = ""
    if status == 2 and len(said.splitlines()) != 1:
        wrong = f"not one line: {said!r}"
    elif re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said + out.buffer.getvalue().decode()):  # type: ignore[attr-defined]
        wrong = f"an escape: {said!r} {out.buffer.getvalue()!r}"  # type: ignore[attr-defined]
    elif "Traceback" in said:
        wrong = said
    return Answered(words, status, wrong)


def in_folder(folder: Path) -> None:
    """Work in a folder with a home of its own."""
    os.chdir(folder)
    os.environ["SKILLFLEET_HOME"] = str(make_home(folder))
