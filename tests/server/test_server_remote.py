"""A fleet that is elsewhere: the same methods and commands, the same answers and errors."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pandas as pd
import pyarrow as pa
import pytest

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands.serve import _COMMAND
from skillfleet_nb.commands.server_process import HERE, free_port
from skillfleet_nb.errors import InputError, JobError, NotFoundError, QueryError, ServerError, SkillfleetError
from skillfleet_nb.events import JobCreated, JobState, Phase, StateChanged
from skillfleet_nb.remote.fleet import RemoteFleet
from skillfleet_nb.store import Home, Journal, read_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Server  # type: ignore[attr-defined]


TOKEN = "of-a-server-that-is-killed"  # noqa: S105  of a server that ends with the test


def same(example: Any, prediction: Any, trace: Any = None) -> bool:
    """A metric that stands in a module: it travels by its name."""
    return bool(example.label == prediction.label)


@pytest.fixture
def token(server: Server) -> str:
    return str(server.owner.headers["Authorization"].partition(" ")[2])


@pytest.fixture
def there(server: Server, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteFleet]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fleet = sf.RemoteFleet(server.address, token)
    yield fleet
    fleet.close()


def test_a_remote_run_comes_to_what_a_local_one_does(
    server: Server, there: RemoteFleet, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = Fleet(server.home)
    states: list[str] = []
    job = there.optimize(**task | {"name": "elsewhere", "train": Path(server.root / "data.csv")})
    job.follow(lambda kind, data: states.append(data["state"]) if kind == "state" else None)
    assert job.wait(300)
    assert states[-1] == "completed"
    monkeypatch.syspath_prepend(str(server.root))
    mine, theirs = local.job("elsewhere").result(), job.result()
    names = [n for n in vars(mine) if n not in {"program", "members", "wall_s"}]
    assert {n: getattr(theirs, n) for n in names} == {n: getattr(mine, n) for n in names}
    assert theirs.program.dump_state() == mine.program.dump_state()
    assert asyncio.run(_awaited(job)).verdict == mine.verdict
    assert there.trials(job.id).score.tolist() == local.trials(job.id).score.tolist()
    assert str(job.diff()) == str(local.job("elsewhere").diff())
    assert set(there.jobs().columns) == set(local.jobs().columns)
    assert there.jobs(text="elsewhere").created_at.tolist() == local.jobs(text="elsewhere").created_at.tolist()
    assert there.sql("select name from jobs where name = :n", {"n": "elsewhere"}).name.tolist() == ["elsewhere"]
    options = {"train": "data.csv", "lm": "offline", "optimizer": "gepa", "probe": 0}
    asked = there.advice.estimate("house:program", **options)
    from_here = read_examples(server.root / "data.csv")
    assert asked == local.advice.estimate(
        theirs.program.reset_copy(), **options | {"train": from_here, "lm": sf.offline_lm()}
    )
    with pytest.raises(JobError, match="there is nothing left to resume"):
        there.resume("elsewhere")
    again = there.resume("elsewhere", as_new=True, seed=1)
    again.cancel()
    assert again.wait(300)
    assert again.name == "elsewhere-2"


async def _awaited(job: Any) -> Any:
    return await job


@pytest.mark.usefixtures("finished")
def test_methods_are_coroutines_too(there: RemoteFleet) -> None:
    assert "parity" in set(asyncio.run(there.aio.jobs(state="completed")).name)


def test_errors_are_those_of_the_package(server: Server, there: RemoteFleet, task: dict[str, Any]) -> None:
    cases: list[tuple[type[SkillfleetError], str, Any]] = [
        (NotFoundError, "unknown job 'nowhere'", lambda: there.job("nowhere")),
        (NotFoundError, "did you mean 'gepa'", lambda: there.optimize(**task | {"optimizer": "gepaa"})),
        (QueryError, "refused", lambda: there.sql("drop table jobs")),
        (InputError, "over 50 rows", lambda: there.sql("from range(60)")),
        (InputError, "does not travel: name it", lambda: there.optimize(**task | {"program": object()})),
        (InputError, "budget_usd = nan cannot be sent", lambda: there.optimize(**task | {"budget_usd": math.nan})),
        (
            InputError,
            r"train\[1\]\.label = b'no' cannot be sent to a server: give text",
            lambda: there.optimize(**task | {"train": [{"text": "a", "label": "b"}, {"text": "a", "label": b"no"}]}),
        ),
        (InputError, "this server imports house", lambda: there.optimize(**task | {"metric": same})),
        (SkillfleetError, "is not there over HTTP", lambda: there.golden_sets),
        (ServerError, "no token, or a wrong one", lambda: RemoteFleet(server.address, "wrong", cache_s=None).jobs()),
        (ServerError, "has no Skillfleet", lambda: RemoteFleet(f"{server.address}/lab", cache_s=None).jobs()),
        (
            ServerError,
            "cannot reach http://127.0.0.1:9",
            lambda: RemoteFleet("http://127.0.0.1:9", cache_s=None).jobs(),
        ),
        (ServerError, "give its address", lambda: RemoteFleet("here", "t")),
    ]
    for kind, text, ask in cases:
        with pytest.raises(kind, match=text):
            ask()


def test_a_frame_with_missing_values_is_sent_as_it_is_read_here(
    server: Server, there: RemoteFleet, task: dict[str, Any]
) -> None:
    rows = pd.read_csv(server.root / "data.csv")
    rows["weight"] = [float("nan"), *range(1, len(rows))]
    job = there.optimize(**task | {"train": rows, "name": "frame"})
    assert job.wait(300)
    assert str(job.state) == "completed"


class Polars(list[dict[str, Any]]):
    """Rows in the shape of a polars DataFrame, which is not among the project's dependencies."""

    def to_dicts(self) -> list[dict[str, Any]]:
        return list(self)

    def to_dict(self, *, as_series: bool = True) -> dict[str, list[Any]]:
        raise AssertionError(f"as pandas' it would give {as_series = }")

    columns = ("text", "label")

    def __getitem__(self, numbers: Any) -> Any:
        return Polars(list.__getitem__(self, n) for n in numbers)


@pytest.mark.parametrize("made", [pa.Table.from_pylist, Polars, iter])
def test_rows_of_every_kind_are_sent_as_they_are_read_here(
    server: Server, there: RemoteFleet, task: dict[str, Any], made: Callable[[list[dict[str, Any]]], Any]
) -> None:
    rows = pd.read_csv(server.root / "data.csv").to_dict("records")
    job = there.optimize(**task | {"train": made(rows), "name": "rows"})
    assert job.wait(300)
    assert str(job.state) == "completed"
    with pytest.raises(InputError, match="train is a int: give a list of mappings"):
        there.optimize(**task | {"train": 3})


def test_a_complete_job_is_shown_from_disk(
    server: Server, finished: dict[str, Any], there: RemoteFleet, token: str
) -> None:
    first = there.job("parity").text()
    assert there.age_s == 0
    again = sf.RemoteFleet(server.address, token)
    assert again.job(finished["id"]).id == finished["id"]
    shown = again.job("parity").text()
    assert shown == first + f"\ncached {again.age_s:.0f} s ago"
    always = sf.RemoteFleet(server.address, token, cache_s=0)
    assert always.job("parity").text() == first, "asked with its tag"
    viewer = sf.RemoteFleet(server.address, "wrong")
    with pytest.raises(ServerError, match="wrong one"):
        viewer.job("parity")
    for fleet in (again, always, viewer):
        fleet.close()


def test_commands_work_on_a_servers_jobs(
    server: Server,
    token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKILLFLEET_HOME")
    monkeypatch.setenv("SKILLFLEET_SERVER", server.address)
    monkeypatch.setenv("SKILLFLEET_TOKEN", token)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine.csv").write_text((server.root / "data.csv").read_text())

    def typed(line: str) -> tuple[int, str, str]:
        return main(line.split()), *capsys.readouterr()

    run = "optimize house:program --train mine.csv --metric house:same --optimizer labeled_fewshot --lm offline"
    status, out, err = typed(f"{run} --name typed")
    assert status == 0, err
    assert "verdict" in out
    assert "typed · labeled_fewshot" in err
    assert "typed" in typed("--no-cache jobs")[1]
    status, out, err = typed(f"--server {server.address} --token {token} db reset")
    assert (status, out) == (2, "")
    assert "db looks after files of this machine" in err
    assert not (tmp_path / ".skillfleet").exists()


def test_a_job_goes_on_and_is_followed_on_when_the_server_is_killed(tmp_path: Path) -> None:
    home = Home(tmp_path / ".skillfleet").ensure()
    first, address = started(tmp_path, 0)
    port = int(address.rpartition(":")[2])
    told: list[tuple[str, Any]] = []
    with Journal(home, "on-1") as journal:
        created = JobCreated(name="on", optimizer="gepa", program="p", metric="m", engine="thread", seed=0)
        journal.append_many([created, StateChanged(state=JobState.RUNNING)])
        fleet = RemoteFleet(address, TOKEN, cache_s=None)
        job = fleet.job("on")
        heard = threading.Semaphore(0)

        def hear(kind: str, data: Any) -> None:
            told.append((kind, data))
            if kind == "milestone":
                heard.release()

        job.follow(hear)
        for _ in range(2):
            heard.acquire()
        first.kill()
        first.wait()
        journal.append_many([Phase(text=f"{n}") for n in range(5)])
        second, _ = started(tmp_path, port)
        try:
            for _ in range(5):
                heard.acquire()
            assert not job.wait(0)
            journal.append(StateChanged(state=JobState.COMPLETED))
            assert job.wait(300)
        finally:
            second.kill()
            second.wait()
    milestones = [data["seq"] for kind, data in told if kind == "milestone"]
    assert milestones == list(range(1, 9)), "each of them, once"
    assert told[-1] == ("end", {"state": "completed"})
    fleet.close()


def started(root: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start a server without the command that would end it; return it and its address when it answers."""
    env = {**os.environ, "JUPYTER_TOKEN": TOKEN, "SKILLFLEET_HOME": str(root / ".skillfleet")}
    env |= {"JUPYTER_NO_CONFIG": "1", "JUPYTER_RUNTIME_DIR": str(root / "runtime")}  # other extensions take seconds
    port = port or free_port(None)
    options = [f"--ServerApp.root_dir={root}", f"--ServerApp.ip={HERE}", f"--ServerApp.port={port}"]
    process = subprocess.Popen([sys.executable, "-m", *_COMMAND, *options], env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("is running at" in line for line in process.stderr)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, f"http://{HERE}:{port}"


def test_what_the_runs_say_is_the_same_there(
    there: RemoteFleet, server: Server, token: str, finished: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    here, job = Fleet(server.home), finished["name"]
    assert there.trends("week", task=job) == here.trends("week", task=job)
    assert there.roi("40 USD", task=job) == here.roi("40 USD", task=job)
    assert there.insights(job) == here.insights(job)
    assert there.forecast_score(job, 50) == here.forecast_score(job, 50)
    note = there.notes.add("few labels help", [job])
    assert there.notes.listing()["text"].tolist()[-1] == "few labels help"
    assert there.notes.remove(note) == "few labels help"
    with pytest.raises(InputError, match="in which currency"):
        there.roi(40)
    with pytest.raises(NotFoundError, match="unknown insight"):
        there.notes.decide("i-0", "pinned")
    assert main(["--server", server.address, "--token", token, "trends", "--by", "week"]) == 0
    assert "mean gain" in capsys.readouterr().out


def test_calls_and_programs_in_use_are_the_same_there(
    there: RemoteFleet, server: Server, token: str, finished: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    here, job = Fleet(server.home), finished["name"]
    assert str(there.traces(job)) == str(here.traces(job))
    example = here.programs.of(finished["id"]).examples.popitem()[0]
    assert there.traces(job, example).html() == here.traces(job, example).html()
    m = sf.monitored(dspy.Predict("n -> odd: bool"), home=server.home, name="odd <i>/1")
    with dspy.context(lm=sf.offline_lm()):
        m(n="number 3")
    m.close()
    assert there.monitored == here.monitored == ["odd <i>/1"]
    assert str(there.traces("odd <i>/1")) == str(here.traces("odd <i>/1"))
    mine, theirs = here.usage("odd <i>/1", window="1d"), there.usage("odd <i>/1", window="1d")
    assert theirs.facts() == mine.facts()
    assert theirs.again("7d").window_s == 7 * 86_400
    assert str(theirs.traces) == str(mine.traces)
    with pytest.raises(NotFoundError, match="unknown monitored program 'even'"):
        there.usage("even")
    with pytest.raises(InputError, match="window='soon'"):
        there.usage("odd <i>/1", window="soon")
    with pytest.raises(NotFoundError, match="unknown prediction 'zz'"):
        there.traces("odd <i>/1", "zz")
    with pytest.raises(InputError, match="leave it out"):
        there.export_mlflow(job, "http://127.0.0.1:5000")
    with pytest.raises(InputError, match="set MLFLOW_TRACKING_URI"):
        there.export_mlflow(job)
    assert main(["--server", server.address, "--token", token, "monitor", "odd <i>/1"]) == 0
    assert "0.017 a minute, 1" in capsys.readouterr().out
