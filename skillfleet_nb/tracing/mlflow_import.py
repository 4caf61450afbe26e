"""A DSPy run of MLflow as a job of the home, as far as ``mlflow.dspy.autolog`` has kept its facts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import (
    ExampleScore,
    JobCreated,
    JobState,
    Payload,
    ProgramSaved,
    Result,
    StateChanged,
    StopKind,
    Trial,
)
from skillfleet_nb.programs.state import describe
from skillfleet_nb.store import Journal, Trail, save_program
from skillfleet_nb.tracing.mlflow_export import JOB
from skillfleet_nb.tracing.mlflow_server import asked

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from skillfleet_nb.store import Home

_PARENT = "mlflow.parentRunId"
_BEST, _MODEL, _TABLE = "best_model.json", "model.json", "result_table.json"
_ENDS = {"FINISHED": JobState.COMPLETED, "FAILED": JobState.FAILED, "KILLED": JobState.CANCELLED}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def import_run(home: Home, client: MlflowClient, uri: str, run_id: str) -> str:
    """Write a run as a job, all in one go, and return the job's id; one that was imported stays as it is.

    Raises
    ------
    NotFoundError
        If the server has no such run.
    InputError
        If it is none of DSPy's, was exported from a home, or is not over.
    """
    with asked(uri):
        run = _run(client, uri, run_id)
        if JOB in run.data.tags:
            raise InputError(f"run {run_id} is job {run.data.tags[JOB]} of a home: it is to be had from there.")
        files = {one.path for one in client.list_artifacts(run_id)}
        children = _children(client, run)
        if not files & {_BEST, _MODEL} and not any("eval" in child.data.metrics for child in children):
            raise InputError(
                f"run {run_id} is no DSPy run: it has neither {_BEST} nor evaluations. Only runs of "
                "mlflow.dspy.autolog(log_compiles=True, log_evals=True) can be imported."
            )
        if run.info.status not in _ENDS:
            raise InputError(f"run {run_id} is {run.info.status.lower()}: import it once it is over.")
        job_id = f"mlflow-{run_id}"
        if home.journal_dir(job_id).exists():
            return job_id
        events = _events(home, client, run, children, files)
    Trail(home).record("import", uri, f"run {run_id} of MLflow as {job_id}")
    with Journal(home, job_id) as journal:
        journal.append_many(events, sync=True)
    return job_id


def _run(client: MlflowClient, uri: str, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as exc:
        if exc.error_code in _MISSING:
            raise NotFoundError(f"the MLflow server at {uri} has no run {run_id!r}: give the id of a run.") from None
        raise


def _children(client: MlflowClient, run: Run) -> list[Run]:
    query = f"tags.`{_PARENT}` = '{run.info.run_id}'"
    children: list[Run] = client.search_runs(
        [run.info.experiment_id], query, order_by=["start_time ASC"], max_results=1000
    )
    return [child for child in children if "eval" in child.data.metrics]


def _events(home: Home, client: MlflowClient, run: Run, children: list[Run], files: set[str]) -> list[Payload]:
    params, name = run.data.params, run.info.run_name or run.info.run_id
    trials, programs = _trials(home, client, children)
    state = _artifact(client, run.info.run_id, _BEST if _BEST in files else _MODEL) if files else None
    if state is not None:
        programs.append(_saved(home, state))
    best = max((trial.score for trial in trials), default=None)
    lm = json.loads(params.get("lm_params", "{}")).get("model", "")
    ended = _ENDS[run.info.status]
    return [
        JobCreated(
            name=name, optimizer=params.get("optimizer", "mlflow"), program=params.get("student", "imported"),
            metric=params.get("metric", "eval"), engine="mlflow", seed=0, tags=("mlflow",),
            spec={"lm": lm, "mlflow_run_id": run.info.run_id, "params": params, "sizes": {}},
        ),
        StateChanged(state=JobState.RUNNING),
        *programs,
        *trials,
        Result(
            baseline_score=trials[0].score if trials else None,
            best_score=best,
            best_program_id=programs[-1].program_id if state is not None and programs else None,
            summary=f"imported from run {run.info.run_id} of MLflow",
        ),
        StateChanged(state=ended, stop_kind=StopKind.FINISHED if ended is JobState.COMPLETED else StopKind.ERROR,
                     stop_reason="imported from MLflow"),
    ]  # fmt: skip


def _trials(home: Home, client: MlflowClient, children: list[Run]) -> tuple[list[Trial], list[ProgramSaved]]:
    trials: list[Trial] = []
    programs: dict[str, ProgramSaved] = {}
    best = 0.0
    for number, child in enumerate(children):
        score = min(max(child.data.metrics["eval"] / 100, 0.0), 1.0)
        files = {one.path for one in client.list_artifacts(child.info.run_id)}
        saved = None
        if _MODEL in files:
            saved = _saved(home, _artifact(client, child.info.run_id, _MODEL))
            programs.setdefault(saved.program_id, saved)
        rows = _rows(_artifact(client, child.info.run_id, _TABLE)) if _TABLE in files else ()
        best = max(best, score)
        trials.append(
            Trial(
                trial=number, split="val", full_eval=True, n_examples=len(rows), score=score, best_so_far=best,
                program_id=saved.program_id if saved is not None else None, scores=rows,
            )
        )  # fmt: skip
    return trials, list(programs.values())


def _rows(table: dict[str, Any]) -> tuple[ExampleScore, ...]:
    """Read a table of results: its `score`, and what begins with ``pred_`` is the answer."""
    rows = []
    for number, values in enumerate(table["data"]):
        fields = dict(zip(table["columns"], values, strict=True))
        answer = {k.removeprefix("pred_"): v for k, v in fields.items() if k.startswith("pred_")}
        score = fields.get("score")
        value = float(score) if isinstance(score, int | float) else None
        rows.append(ExampleScore(f"row-{number}", value, None, json.dumps(answer) if answer else None))
    return tuple(rows)


def _artifact(client: MlflowClient, run_id: str, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        read: dict[str, Any] = json.loads(Path(client.download_artifacts(run_id, name, folder)).read_text("utf-8"))
        return read


def _saved(home: Home, state: dict[str, Any]) -> ProgramSaved:
    plain = {name: value for name, value in state.items() if name != "metadata"}
    info = describe(plain)
    program_id = save_program(home, plain)
    return ProgramSaved(program_id=program_id, state=plain, instructions=info.text, n_demos=info.n_demos)
