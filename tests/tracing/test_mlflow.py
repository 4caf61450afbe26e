"""Jobs in MLflow, on a real tracking server: complete, once, whatever dies in between; and its runs as jobs."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from serving import TOKEN, serving

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, NotFoundError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

    from skillfleet_nb import Fleet

ROWS = [dspy.Example(n=f"number {n}", odd=bool(n % 2)).with_inputs("n") for n in range(24)]


def is_right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.odd == prediction.odd)


def optimize(fleet: Fleet, name: str = "odd") -> Any:
    job = fleet.optimize(
        dspy.Predict("n -> odd: bool"), train=ROWS, metric=is_right, name=name, tags=("v2",),
        optimizer="bootstrap_random_search", params={"num_candidate_programs": 2}, lm=sf.offline_lm(),
    )  # fmt: skip
    job.result()
    return job


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = sf.Fleet(tmp_path_factory.mktemp("mlflow-home") / "home")
    job = optimize(made)
    made.register(job, "odd")
    made.alias("odd", "production", 1, force="a test")
    return made


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    return MlflowClient(mlflow_uri)


def facts(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """Everything the server has of a run, to be compared."""
    run = client.get_run(run_id)
    traces = client.search_traces(locations=[run.info.experiment_id], run_id=run_id, max_results=500)
    history = {
        name: sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(run_id, name))
        for name in run.data.metrics
    }
    return {
        "params": run.data.params,
        "tags": run.data.tags,
        "status": run.info.status,
        "metrics": history,
        "files": sorted(f.path for folder in (None, "programs") for f in client.list_artifacts(run_id, folder)),
        "datasets": sorted((d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs),
        "spans": sorted(
            (s.span_id, s.parent_id, s.name, s.start_time_ns, len(t.data.spans)) for t in traces for s in t.data.spans
        ),
    }


def test_a_job_is_a_run_with_all_its_facts(fleet: Fleet, client: MlflowClient, mlflow_uri: str, tmp_path: Path) -> None:
    run_id = fleet.export_mlflow("odd", mlflow_uri, experiment="facts")
    job, row = fleet.job("odd"), fleet.jobs().iloc[0]
    told = facts(client, run_id)
    assert told["status"] == "FINISHED"
    assert told["params"]["optimizer"] == "bootstrap_random_search"
    assert told["params"]["optimizer.num_candidate_programs"] == "2"
    assert told["params"]["seed"] == "0"
    assert told["tags"]["skillfleet.verdict"] == row.verdict
    assert told["tags"]["skillfleet.tag.v2"] == "yes"
    trials = fleet.trials(job.id)
    val = trials[trials.split == "val"]
    assert [(step, value) for step, _, value in told["metrics"]["val.score"]] == list(
        zip(val.trial, val.score, strict=True)
    )
    assert told["metrics"]["result.test_score"][0][2] == row.test_score
    assert told["datasets"] == sorted(job.progress.spec["data_hashes"].items())
    frame = fleet.traces("odd").frame
    assert len(told["spans"]) == len(frame)
    assert {span_id for span_id, *_ in told["spans"]} == set(frame.span_id)
    table = json.loads(open_artifact(client, run_id, "examples.json", tmp_path))
    assert len(table["data"]) == fleet.sql("select count(*) as n from scores").n[0]
    best = json.loads(open_artifact(client, run_id, "programs/best.json", tmp_path))
    assert best == dict(fleet.programs.find("odd").state)
    places = [client.get_run(run_id).info.experiment_id]
    traces = client.search_traces(locations=places, run_id=run_id, max_results=500)
    tokens = [t.info.token_usage["input_tokens"] for t in traces if t.info.token_usage]
    assert sum(tokens) == fleet.sql("select sum(input_tokens) as n from lm_calls").n[0] > 0


def open_artifact(client: MlflowClient, run_id: str, name: str, folder: Path) -> str:
    return Path(client.download_artifacts(run_id, name, str(folder))).read_text("utf-8")


def test_a_server_exports_over_http_what_is_exported_beside_it(
    fleet: Fleet, client: MlflowClient, mlflow_uri: str, tmp_path: Path
) -> None:
    with serving(tmp_path, SKILLFLEET_HOME=str(fleet.home.root), MLFLOW_TRACKING_URI=mlflow_uri) as address:
        there = sf.RemoteFleet(address, TOKEN, cache_s=None)
        run = there.export_mlflow("odd", experiment="over HTTP")
        assert there.export_mlflow("odd", experiment="over HTTP") == run
        there.close()
    assert facts(client, run) == facts(client, fleet.export_mlflow("odd", mlflow_uri, experiment="beside it"))


def test_registered_versions_and_aliases_stand_in_the_registry(
    fleet: Fleet, client: MlflowClient, mlflow_uri: str
) -> None:
    for _ in range(2):
        run_id = fleet.export_mlflow("odd", mlflow_uri, experiment="registry")
    versions = client.search_model_versions("name = 'odd'")
    assert [v.tags["skillfleet.version"] for v in versions] == ["1"]
    assert client.get_model_version_by_alias("odd", "production").version == versions[0].version
    assert run_id


def test_what_is_told_again_changes_nothing(fleet: Fleet, client: MlflowClient, mlflow_uri: str) -> None:
    first = fleet.export_mlflow("odd", mlflow_uri, experiment="again")
    before = facts(client, first)
    assert fleet.export_mlflow("odd", mlflow_uri, experiment="again") == first
    assert facts(client, first) == before
    synced = fleet.sync_mlflow(tracking_uri=mlflow_uri, experiment="again")
    assert (synced.runs, synced.same, synced.trouble) == ({}, 1, "")


_DIES = """
import os, signal, sys
import requests, mlflow.tracking
import skillfleet_nb as sf
from skillfleet_nb.tracing import otel

home, uri, experiment = sys.argv[1:]
otel._BATCH = 20
send = requests.Session.send

def dying(word, nth):
    seen = []
    def ask(session, request, **options):
        answer = send(session, request, **options)
        if word in request.url:
            seen.append(word)
        if len(seen) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return ask

for word, nth in [("runs/create", 1), ("artifacts", 1), ("v1/traces", 1), ("v1/traces", 2), ("runs/update", 1)]:
    if not (pid := os.fork()):
        requests.Session.send = dying(word, nth)
        sf.Fleet(home).export_mlflow("odd", uri, experiment=experiment)
        os._exit(0)
    print(word, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_exporting_processes_that_are_killed_one_after_the_other_double_nothing(
    fleet: Fleet, client: MlflowClient, mlflow_uri: str
) -> None:
    """Each dies when the server has taken what the process does not know of yet; the next goes on from there."""
    whole = facts(client, fleet.export_mlflow("odd", mlflow_uri, experiment="whole"))
    arguments = [str(fleet.home.root), mlflow_uri, "killed"]
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", _DIES, *arguments], capture_output=True, text=True,
                         check=False)  # fmt: skip
    ends = [line.split()[1] for line in ran.stdout.splitlines()]
    assert ends == ["-9"] * 5, f"{ran.stdout}{ran.stderr}"
    run_id = fleet.export_mlflow("odd", mlflow_uri, experiment="killed")
    assert facts(client, run_id) == whole
    assert len(client.search_runs([client.get_run(run_id).info.experiment_id])) == 1


def test_a_running_job_is_followed_and_ends_as_one_exported_at_once(
    client: MlflowClient, mlflow_uri: str, tmp_path: Path
) -> None:
    live = sf.Fleet(tmp_path / "live")
    waits, goes_on, scored = threading.Event(), threading.Event(), itertools.count()

    def slow(example: Any, prediction: Any, trace: Any = None) -> bool:
        if next(scored) == 14:  # the given program has been scored, and a candidate
            waits.set()
            goes_on.wait(300)
        return is_right(example, prediction)

    job = live.optimize(
        dspy.Predict("n -> odd: bool"), train=ROWS, metric=slow, name="slow", optimizer="bootstrap_random_search",
        params={"num_candidate_programs": 1}, lm=sf.offline_lm(),
    )  # fmt: skip
    try:
        assert waits.wait(300)
        half = live.export_mlflow(job, mlflow_uri, experiment="followed")
        assert client.get_run(half).info.status == "RUNNING"
        assert facts(client, half)["spans"]
    finally:
        goes_on.set()
    job.result()
    synced = live.sync_mlflow(tracking_uri=mlflow_uri, experiment="followed")
    assert synced.runs == {"slow": half}
    at_once = live.export_mlflow(job, mlflow_uri, experiment="followed at once")
    assert facts(client, half) == facts(client, at_once)
    exported = live.audit.entries().query("action == 'export'")
    assert exported[["target", "detail"]].values.tolist() == [[mlflow_uri, "slow to MLflow"]] * 3, "each of them"
    assert live.sync_mlflow(tracking_uri=mlflow_uri, experiment="followed").same == 1
    assert len(live.audit.entries()) == len(exported) + 1, "the job's start beside"


def test_autolog_and_a_run_of_the_home_stand_side_by_side(
    client: MlflowClient, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)  # MLflow may lay a database of its own where it is used
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_uri)
    experiment = mlflow.set_experiment("beside autolog").experiment_id
    mlflow.dspy.autolog(log_compiles=True, log_evals=True, silent=True)
    try:
        fleet = sf.Fleet(tmp_path / "beside")
        watched = sf.monitored(dspy.Predict("n -> odd: bool"), home=fleet.home.root, name="odd")
        with dspy.context(lm=sf.offline_lm()):
            watched(n="number 3")
            with mlflow.start_run(run_name="compiled") as run:
                optimizer = dspy.BootstrapFewShotWithRandomSearch(metric=is_right, num_candidate_programs=1)
                optimizer.compile(dspy.Predict("n -> odd: bool"), trainset=ROWS[:6], valset=ROWS[6:12])
        watched.close()
        mlflow.flush_trace_async_logging()
        beside = mlflow.set_experiment("a job beside autolog").experiment_id
        few = dspy.Predict("n -> odd: bool")
        fleet.optimize(few, train=ROWS[:12], metric=is_right, optimizer="labeled_fewshot", name="beside",
                       lm=sf.offline_lm(cache=False)).result()  # fmt: skip
        mlflow.flush_trace_async_logging()
    finally:
        mlflow.dspy.autolog(disable=True, silent=True)
        mlflow.set_tracking_uri(before)
    assert fleet.sql("select lm_calls from predictions").lm_calls.tolist() == [1]
    traces = MlflowClient(mlflow_uri).search_traces(locations=[experiment])
    assert [t.data.spans[0].name for t in traces] == ["Predict.forward"], "autolog's own trace, once"
    traces = MlflowClient(mlflow_uri).search_traces(locations=[beside])
    calls = fleet.sql("select count(*) as n, count(distinct call_id) as different from lm_calls").iloc[0]
    assert [s.name for t in traces for s in t.data.spans if s.parent_id is None] == ["Predict.forward"] * len(traces)
    assert sum(s.span_type == "CHAT_MODEL" for t in traces for s in t.data.spans) == calls.n == calls.different > 0
    fleet.curation.delete(["beside"])
    job = fleet.import_mlflow(run.info.run_id, mlflow_uri)
    row = fleet.jobs().iloc[0]
    assert (row.state, row.engine, row.tags) == ("completed", "mlflow", ["mlflow"])
    trials = fleet.trials(job.id)
    evals = client.get_metric_history(run.info.run_id, "eval")
    assert trials.score.tolist() == pytest.approx([m.value / 100 for m in sorted(evals, key=lambda m: m.step)])
    assert fleet.sql("select count(*) as n from scores").n[0] == 6 * len(trials)
    assert dict(fleet.programs.find(job.id).state)["signature"]["instructions"]
    assert fleet.import_mlflow(run.info.run_id, mlflow_uri).id == job.id
    assert len(fleet.jobs()) == 1
    taken = fleet.audit.entries().query("action == 'import'")
    assert taken[["target", "detail"]].values.tolist() == [
        [mlflow_uri, f"run {run.info.run_id} of MLflow as {job.id}"]
    ], "once"


def test_what_is_no_run_of_dspy_is_refused(fleet: Fleet, client: MlflowClient, mlflow_uri: str) -> None:
    experiment = client.create_experiment("others")
    other = client.create_run(experiment, run_name="forest")
    client.set_terminated(other.info.run_id)
    with pytest.raises(InputError, match="is no DSPy run"):
        fleet.import_mlflow(other.info.run_id, mlflow_uri)
    with pytest.raises(NotFoundError, match="has no run 'none'"):
        fleet.import_mlflow("none", mlflow_uri)
    own = fleet.export_mlflow("odd", mlflow_uri, experiment="own")
    with pytest.raises(InputError, match="of a home: it is to be had from there"):
        fleet.import_mlflow(own, mlflow_uri)
    client.delete_experiment(experiment)
    with pytest.raises(ServerError, match="experiment 'others' is deleted on the server"):
        fleet.export_mlflow("odd", mlflow_uri, experiment="others")


class Answers(BaseHTTPRequestHandler):
    """Answers as its server's `status` and `body` say."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"2.19.0", "has version 2.19.0: 3.x is needed"),
        (200, b"<html>", "is no MLflow server"),
        (401, b"", r"refuses \(401\): set MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_another_server_is_told_in_one_line(
    fleet: Fleet, other_server: Any, status: int, body: bytes, message: str
) -> None:
    other_server.status, other_server.body = status, body
    with pytest.raises(ServerError, match=message):
        fleet.export_mlflow("odd", f"http://127.0.0.1:{other_server.server_port}")


def test_a_server_that_is_away_and_no_server_are_told_in_one_line(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ServerError, match=r"no MLflow server answers at http://127\.0\.0\.1:9 "):
        fleet.export_mlflow("odd", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="no tracking server: give the address"):
        fleet.export_mlflow("odd")
    with pytest.raises(InputError, match="tracking_uri='file:///tmp/runs'"):
        fleet.export_mlflow("odd", "file:///tmp/runs")
    with pytest.raises(NotFoundError, match="unknown job 'even'"):
        fleet.export_mlflow("even", "http://127.0.0.1:9")
