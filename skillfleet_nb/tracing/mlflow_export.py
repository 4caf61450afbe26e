"""A job as a run of MLflow: told again, it changes nothing; told half, the next time tells the rest.

Every id and time is the journal's, so what is sent twice is one: the run is found by the job's id, metrics by step and
time, traces by ids made of the job's, artifacts by name.  How far the traces have gone stands in a tag of the run.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import ServerError
from skillfleet_nb.format import is_missing
from skillfleet_nb.monitoring.stream import writing
from skillfleet_nb.store import load_program, queries
from skillfleet_nb.tracing.job_spans import SEARCH, job_spans
from skillfleet_nb.tracing.mlflow_server import asked, session
from skillfleet_nb.tracing.otel import exporter, plain, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Home, Store

JOB, EXPORTED, SPANS = "skillfleet.job_id", "skillfleet.exported", "skillfleet.exported_spans"
SEARCH_SPANS = "skillfleet.exported_search_spans"
EXPERIMENT = "skillfleet"
_PATIENCE_S = 120.0  # for a batch of spans, which a server that is there may take long to write
_NO_URLS = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_STREAM = "mlflow"  # of the journal, whose lock holds others off; nothing is written there
_MOST_METRICS, _MOST_PARAMS, _LONGEST = 1000, 100, 5000  # of a request, and characters of a value
_STATUS = {"completed": "FINISHED", "failed": "FAILED", "cancelled": "KILLED", "interrupted": "KILLED"}
_WHOLE = {"lm_calls", "cost_usd"}  # of the job up to a trial, whatever its split
_TRIAL_METRICS = ("score", "best_so_far", "lm_calls", "cost_usd")
_RESULTS = (
    "baseline_score", "best_score", "test_baseline", "test_score", "test_delta", "test_delta_low", "test_delta_high",
    "p_value", "cost_usd", "lm_calls", "cached_calls", "input_tokens", "output_tokens", "wall_s",
)  # fmt: skip
_TEXTS = ("state", "stop_kind", "stop_reason", "verdict", "domain", "note", "engine", "best_program_id", "error")


def export_job(store: Store, job: Job, client: MlflowClient, uri: str, experiment: str = EXPERIMENT) -> str:
    """Tell a server all of a job that it does not have; return the run's id.

    Raises
    ------
    ServerError
        If the server refuses or goes away: what it has stays, the next export tells the rest.
    """
    with asked(uri):
        experiment_id = _experiment(client, experiment)
        row = row_of(queries.jobs(store, ids=[job.id]).iloc[0])
        trials = queries.trials(store, [job.id])
        run_id = _run(store.home, client, experiment_id, row)
        spec = job.progress.spec
        client.log_batch(run_id, params=_params(row, spec))
        for some in _parts([*_trial_metrics(trials), *_results(row)], _MOST_METRICS):
            client.log_batch(run_id, metrics=some)
        client.log_inputs(run_id, _datasets(spec))
        _artifacts(store, client, run_id, job, row, trials)
        _traces(store, client, run_id, job, uri, experiment_id)
        client.log_batch(run_id, tags=_tags(row))
        if row["state"] in _STATUS:
            ended = _ms(row["finished_at"])
            with _unprinted():
                client.set_terminated(run_id, _STATUS[row["state"]], ended)
    return run_id


def runs_of(client: MlflowClient, experiment: str) -> dict[str, tuple[str, str]]:
    """Return the run of each job and how far it has been told, by the job's id."""
    runs = _searched(client, experiment, f"tags.`{JOB}` != ''")
    return {run.data.tags[JOB]: (run.info.run_id, run.data.tags.get(EXPORTED, "")) for run in runs}


def _searched(client: MlflowClient, experiment: str, query: str) -> list[Any]:
    one = client.get_experiment_by_name(experiment)
    if one is None:
        return []
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([one.experiment_id], query, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def progress_mark(row: Mapping[str, Any]) -> str:
    """Say how far a job is, as the run's tag does once all of that is told."""
    return " ".join(str(row[name]) for name in ("state", "lm_calls", "cached_calls", "best_program_id", "name", "tags"))


def row_of(series: pd.Series[Any]) -> dict[str, Any]:
    """Return a row of ``jobs`` as plain values, None for what is missing."""
    return {str(k): None if not isinstance(v, list | dict) and is_missing(v) else v for k, v in series.items()}


@contextmanager
def _unprinted() -> Iterator[None]:
    """Keep the client from printing where the run is to be seen."""
    before = os.environ.get(_NO_URLS)
    os.environ[_NO_URLS] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_URLS]
        else:
            os.environ[_NO_URLS] = before


def _ms(at: Any) -> int:
    return int(at.timestamp() * 1000)


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    one = client.get_experiment_by_name(name)
    if one is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process made it meanwhile
            one = client.get_experiment_by_name(name)
            if one is None:
                raise
    if one.lifecycle_stage != "active":
        raise ServerError(f"experiment {name!r} is deleted on the server: restore it, or name another.")
    return str(one.experiment_id)


def _run(home: Home, client: MlflowClient, experiment_id: str, row: Mapping[str, Any]) -> str:
    """Find the job's run, or make it; one process of the home at a time looks."""
    with writing(home, _STREAM, "making runs of MLflow"):
        return _one_run(client, experiment_id, row)


def _one_run(client: MlflowClient, experiment_id: str, row: Mapping[str, Any]) -> str:
    runs = client.search_runs([experiment_id], f"tags.`{JOB}` = '{row['job_id']}'", order_by=["start_time ASC"])
    if runs:
        return str(runs[0].info.run_id)
    tags = {JOB: row["job_id"], "mlflow.source.name": "skillfleet", "mlflow.user": "skillfleet"}
    made = client.create_run(experiment_id, _ms(row["created_at"]), tags, run_name=str(row["name"]))
    return str(made.info.run_id)


def _params(row: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    values = {name: row[name] for name in ("optimizer", "program", "metric", "seed")}
    values |= {name: spec.get(name) for name in ("lm", "prompt_lm", "num_threads", "program_hash", "metric_hash")}
    values |= {f"optimizer.{name}": value for name, value in (spec.get("params") or {}).items()}
    values |= {f"size.{name}": value for name, value in (spec.get("sizes") or {}).items()}
    values |= {f"version.{name}": value for name, value in (spec.get("environment") or {}).items()}
    texts = {name: _text(value) for name, value in values.items() if value is not None}
    return [Param(name, text) for name, text in texts.items()][:_MOST_PARAMS]


def _text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(plain(value), default=str))[:_LONGEST]


def _trial_metrics(trials: pd.DataFrame) -> list[Metric]:
    from mlflow.entities import Metric

    return [
        Metric(name if name in _WHOLE else f"{row['split']}.{name}", float(row[name]),
               _ms(row["at"]), int(row["trial"]))
        for row in trials.to_dict("records")
        for name in _TRIAL_METRICS
        if not is_missing(row[name])
    ]  # fmt: skip


def _results(row: Mapping[str, Any]) -> list[Metric]:
    """Return what a finished job came to; what changes until then is told by the trials."""
    from mlflow.entities import Metric

    if row["state"] not in _STATUS:
        return []
    at = _ms(row["finished_at"])
    return [Metric(f"result.{name}", float(row[name]), at, 0) for name in _RESULTS if row[name] is not None]


def _datasets(spec: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    sizes, origins = spec.get("sizes") or {}, spec.get("origins") or {}
    return [
        DatasetInput(
            Dataset(split, digest, "skillfleet", json.dumps({"origin": origins.get(split, "")}),
                    profile=json.dumps({"num_rows": sizes.get(split)})),
            [InputTag("mlflow.data.context", split)],
        )
        for split, digest in (spec.get("data_hashes") or {}).items()
        if digest
    ]  # fmt: skip


def _artifacts(
    store: Store, client: MlflowClient, run_id: str, job: Job, row: Mapping[str, Any], trials: pd.DataFrame
) -> None:
    """Write what is no number; each file is the whole of it, so that a second one takes the first one's place."""
    table = queries.example_table(store, job.id)
    client.log_dict(run_id, {"columns": list(table.columns), "data": table.to_dict("split")["data"]}, "examples.json")
    client.log_dict(run_id, job.progress.spec, "spec.json")
    states = {program_id: load_program(store.home, program_id) for program_id in _program_ids(trials)}
    client.log_dict(run_id, states, "programs/all.json")
    if row["best_program_id"] in states:
        client.log_dict(run_id, states[row["best_program_id"]], "programs/best.json")
    shown = json.dumps([{"path": "examples.json", "type": "table"}])
    client.set_tag(run_id, "mlflow.loggedArtifacts", shown)


def _program_ids(trials: pd.DataFrame) -> list[str]:
    return [str(one) for one in dict.fromkeys(trials.program_id) if not is_missing(one)]


def _traces(store: Store, client: MlflowClient, run_id: str, job: Job, uri: str, experiment_id: str) -> None:
    """Send the spans that have not gone yet: those of trials as they end, those of the search once it is over."""
    spans = job_spans(store, job.id, job.name, queries.call_spans(store, job.id, content=True))
    spans["trace_id"] = spans.trace_id.map(partial(_of_run, run_id))
    of_search = set(spans[spans.parent_id.isna() & (spans.name == SEARCH)].trace_id)
    is_search = spans.trace_id.isin(of_search)
    some = {SPANS: _in_order(spans[~is_search])}
    if job.state.is_finished():
        some[SEARCH_SPANS] = spans[is_search]
    tags = client.get_run(run_id).data.tags
    headers = {"x-mlflow-experiment-id": experiment_id, "x-mlflow-run-id": run_id}
    to = exporter(uri, headers, session(), _PATIENCE_S)
    for tag, ordered in some.items():
        sent = int(tags.get(tag, 0))

        def note(count: int, tag: str = tag, sent: int = sent) -> None:
            client.set_tag(run_id, tag, str(sent + count))

        send(ordered.iloc[sent:], to, note)


def _of_run(run_id: str, trace_id: str) -> str:
    """Name a trace for a run: on a server a trace belongs to one experiment, and a job may be exported to several."""
    return hashlib.sha256(f"{run_id}/{trace_id}".encode()).hexdigest()[:32]


def _in_order(spans: pd.DataFrame) -> pd.DataFrame:
    """Put traces one after the other as they ended, each from its root on: later trials come behind all."""
    roots = spans[spans.parent_id.isna()]
    ended = dict(zip(roots.trace_id, _ends(roots), strict=True))
    keys = {"ended": spans.trace_id.map(ended), "below": spans.parent_id.notna()}
    return spans.assign(**keys).sort_values(["ended", "trace_id", "below"], kind="stable")


def _ends(roots: pd.DataFrame) -> pd.Series[Any]:
    import pandas as pd

    return roots["at"] + pd.to_timedelta(roots.latency_s, unit="s")


def _tags(row: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import RunTag

    texts = {f"skillfleet.{name}": row[name] for name in _TEXTS if row[name] is not None}
    texts |= {f"skillfleet.tag.{tag}": "yes" for tag in row["tags"]}
    texts |= {"mlflow.runName": row["name"], EXPORTED: progress_mark(row)}
    if row["verdict"]:
        texts["mlflow.note.content"] = f"Verdict: {row['verdict']}. {row['note'] or ''}".strip()
    return [RunTag(name, _text(value)) for name, value in texts.items()]


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
