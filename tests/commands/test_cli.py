"""``skillfleet`` as real processes in a real folder."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_up import program, rows, until

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.store import Home, follow

MODULE = f"""
import sys
sys.path.append({str(Path(__file__).parents[1] / "runs")!r})
from made_up import Counting, HoldFile, counted_lm, exact as metric, told, program as make, rows as train
from skillfleet_nb.offline import offline_lm
program, train = make(), train()
lm = offline_lm(name="told-apart")
slow, _ = counted_lm(Counting(gate=HoldFile("hold"), free=30, latency_s=0.02), name="slow")

def dies(n):
    raise ConnectionError("no route to the model")

dead, _ = counted_lm(Counting(dies), num_retries=0)

def none(example, pred, trace=None):
    return None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine", "broken", "script"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit()\n")
    with (tmp_path / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "intent"])
        writer.writerows([e.text, e.intent] for e in rows())
    return tmp_path


def skillfleet(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skillfleet_nb.cli", *words], capture_output=True, text=True, check=False, **options
    )


def here(*words: str) -> int:
    """Run a command in this process, where it is not the point that it is one of its own."""
    try:
        return main(words)
    except SystemExit as exc:
        return int(exc.code or 0)


OPTIMIZE = ["optimize", "mine:program", "--train", "data.csv", "--metric", "mine:metric", "--lm", "mine:lm"]


@pytest.mark.slow
def test_a_job_from_files_to_a_program_that_dspy_loads(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran = skillfleet(*OPTIMIZE, "--optimizer", "infer_rules", "--set", "num_candidates=2", "--name", "first")
    assert ran.returncode == 0, ran.stderr
    assert "verdict" in ran.stdout
    assert "completed" in ran.stderr
    jobs = skillfleet("jobs")
    assert "first" in jobs.stdout
    assert here("job", "first") == 0
    assert "Please adhere" in capfd.readouterr().out
    assert here("sql", "select name, state, lm_calls > 0 as asked from jobs where state = 'completed'") == 0
    answer = capfd.readouterr().out
    assert "first" in answer
    assert "True" in answer

    assert here("save", "first", "best.json") == 0
    loaded = program()
    loaded.load("best.json")
    assert "Please adhere" in loaded.signature.instructions

    assert here("db", "status") == 0
    assert "ATTACH" in capfd.readouterr().out
    before = Fleet().sql("from lm_calls order by all")
    assert here("db", "rebuild") == 0
    assert "rebuilt" in capfd.readouterr().out
    assert Fleet().sql("from lm_calls order by all").equals(before)
    assert here("db", "export", "out", "--format", "csv") == 0
    assert {p.name for p in (folder / "out").iterdir()} >= {"jobs.csv", "trials.csv", "lm_calls.csv"}
    assert (folder / "out" / "lm_calls.csv").read_text().count("told-apart") >= len(before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*OPTIMIZE, "--optimizer", "gepaa"], "did you mean 'gepa'?"),
        ([*OPTIMIZE, "--optimizer", "gepa", "--no-wait"], "--detach leaves it running"),
        ([*OPTIMIZE[:-1], "mine:lmm", "--optimizer", "gepa"], "did you mean 'lm'?"),
        (["optimize", "broken:program", *OPTIMIZE[2:], "--optimizer", "gepa"], "RuntimeError: not today"),
        (["optimize", "script:program", *OPTIMIZE[2:], "--optimizer", "gepa"], "under if __name__ == '__main__':"),
        (["metrics", "check", "script:metric", "--data", "data.csv"], "importing 'script' ends the process"),
        (["optimize", "absent:program", *OPTIMIZE[2:], "--optimizer", "gepa"], "cannot import 'absent'"),
        (["optimize", "program", *OPTIMIZE[2:], "--optimizer", "gepa"], "write mymodule:program"),
        (["job", "nothing"], "unknown job 'nothing'"),
        (["sql", "drop table jobs"], ""),
        (["jbos"], "did you mean 'jobs'?"),
        (["jobs", "--sate", "failed"], "did you mean --state?"),
        (["jobs", "--state", "done"], "unknown state 'done'"),
    ],
    ids=lambda v: " ".join(v)[-40:] if isinstance(v, list) else "",
)
def test_a_mistake_is_one_line_and_status_2(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert here(*words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("skillfleet: ")
    assert said in err
    assert not list((folder / ".skillfleet").glob("journal/*/*.jsonl"))


def test_a_persons_home_folder_stands_for_its_sign_where_no_shell_puts_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(folder / "person"))
    (folder / "person" / "templates").mkdir(parents=True)
    (folder / "data.csv").rename(folder / "person" / "data.csv")
    new = ["skill", "new", "pdf-forms", "--description", "Fills forms. Use when a PDF has any."]
    assert here(*new, "--root", "~/sk", "--templates", "~/templates") == 0
    assert (folder / "person" / "sk" / "pdf-forms" / "SKILL.md").is_file()
    for command in (["validate"], ["score"], ["migrate"]):
        assert here("skill", *command, "~/sk/pdf-forms") == 0, command
    assert here("metrics", "check", "mine:metric", "--data", "~/data.csv", "--inputs", "text") == 0
    capsys.readouterr()
    assert here("skill", "improve", "~/sk/pdf-forms", "--undo") == 2
    assert "has no backup to go back to" in capsys.readouterr().err
    asks = ["--lm", "mine:lm"]
    for words in (
        [*new, "--root", "~nobody-here/sk"],
        ["skill", "create", "rotate API keys", "--root", "~nobody-here/sk", *asks],
        ["skill", "create", "rotate API keys", "--docs", "~nobody-here/docs", *asks],
        ["skill", "research", "rotate API keys", "--root", "~nobody-here/docs", *asks],
        ["db", "init", "~nobody-here/home"],
    ):
        assert here(*words) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert "there is no user 'nobody-here' here; give ~/… or the whole path" in line
    assert not list(folder.glob("~*"))


@pytest.mark.slow
def test_exit_statuses(folder: Path) -> None:
    failed = skillfleet(*OPTIMIZE[:-1], "mine:dead", "--optimizer", "gepa", "--name", "dead")
    assert failed.returncode == 1, failed
    assert "no route to the model" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    debug = skillfleet(*OPTIMIZE, "--optimizer", "gepaa", "--debug")
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    for ask in (["help"], ["--help"], ["optimize", "--help"], []):
        assert here(*ask) == 0, ask


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "skillfleet_nb.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for_calls(home: Home, n: int, process: subprocess.Popen[str]) -> str:
    """Wait until a job of the home has made `n` calls, and return its id."""

    def found() -> str | None:
        assert process.poll() is None, process.communicate()
        streams = [stream.name for stream in home.journal.iterdir()] if home.journal.is_dir() else []
        calls = {name: sum(e.kind == "lm_call" for e in follow(home, name).poll()) for name in streams}
        return next((name for name in streams if calls[name] >= n), None)

    return str(until(found))


@pytest.mark.slow
def test_a_killed_job_reads_as_interrupted_and_is_replayed(folder: Path) -> None:
    words = [*OPTIMIZE[:-1], "mine:slow", "--optimizer", "infer_rules", "--set", "num_candidates=2", "--seed", "5"]
    home = Home.find()
    (folder / "hold").touch()
    process = started(*words, "--name", "killed")
    job_id = wait_for_calls(home, 25, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (folder / "hold").unlink()

    fleet = Fleet()
    job = fleet.jobs().iloc[0]
    assert (job.job_id, job.state) == (job_id, "interrupted")
    assert fleet.job("killed").state == "interrupted"
    lines = b"".join(p.read_bytes() for p in sorted((home.journal / job_id).glob("*.jsonl"))).splitlines()
    whole = [json.loads(line) for line in lines if line.endswith(b"}")]
    known = fleet.sql("select seq, kind from events where job_id <> 'audit' order by seq")
    assert known.seq.tolist() == [e["seq"] for e in whole] == list(range(1, len(whole) + 1))
    bought = int(job.lm_calls)
    assert bought >= 25

    again = skillfleet(*words, "--name", "again")
    assert again.returncode == 0, again.stderr
    jobs = fleet.jobs().set_index("name")
    assert jobs.state["again"] == "completed"
    assert jobs.cached_calls["again"] >= bought, "what was bought is not bought again"
    third = skillfleet(*words, "--name", "third")
    assert third.returncode == 0
    jobs = fleet.jobs().set_index("name")
    assert jobs.lm_calls["third"] == 0
    full = jobs.cached_calls["third"]
    # Calls in flight at the kill were paid for without an answer; nothing else is bought twice.
    assert jobs.lm_calls["again"] + jobs.cached_calls["again"] == full


@pytest.mark.slow
def test_the_first_interrupt_keeps_the_best_so_far(folder: Path) -> None:
    long = ["--set", "max_metric_calls=5000"]  # it would go on for minutes
    process = started(*OPTIMIZE[:-1], "mine:slow", "--optimizer", "gepa", *long, "--name", "stopped")
    wait_for_calls(Home.find(), 20, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "cancelled" in out
    stopped = Fleet().jobs().iloc[0]
    assert stopped.best_score >= stopped.baseline_score
    assert skillfleet("save", "stopped", "best.json").returncode == 0
    program().load("best.json")


FULL = """
import sys, signal, resource
sys.path.insert(0, ".")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import mine, dspy, skillfleet_nb as sf
from pathlib import Path
fleet = sf.Fleet("home")
if sys.argv[1] == "start":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        fleet.optimize(mine.program, train=mine.train, metric=mine.metric, optimizer="infer_rules", lm=mine.lm)
    except sf.errors.HomeError as exc:
        print("refused:", exc)
    sys.exit()
job = None
def metric(example, pred, trace=None):
    if job is not None and job.progress.calls > 20:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    return mine.metric(example, pred)
job = fleet.optimize(mine.program, train=mine.train, metric=metric, optimizer="gepa", lm=mine.slow, num_threads=2)
result = job.result()
print(result.state, result.best_score is not None, result.stop_reason)
print(result.summary)
"""


def test_a_full_disk_is_said_so_and_costs_nothing_before_the_start(folder: Path) -> None:
    (folder / "full.py").write_text(FULL.replace("sf.errors", "__import__('skillfleet_nb.errors').errors"))
    ran = subprocess.run([sys.executable, "full.py", "start"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("refused: cannot write")
    assert "free some space" in ran.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0


@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_the_best_so_far(folder: Path) -> None:
    (folder / "full.py").write_text(FULL)
    ran = subprocess.run([sys.executable, "full.py", "later"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("failed True cannot write"), ran.stdout
    assert re.search(r"free some space, best of \d+ trials?; not tested", ran.stdout), ran.stdout
