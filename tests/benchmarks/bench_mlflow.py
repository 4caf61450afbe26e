"""Exporting a job to MLflow, against what ``mlflow.dspy.autolog()`` adds to the same run.

A real tracking server in a process of its own, SQLite, beside it. A search that scores candidates on 100 examples
each, with a model that answers at once: alone, under autologging with traces, and as a job of 100 calls a trial that is
exported. Then a job of 200 trials and 20,000 calls is exported, read back through MLflow's client, and exported again.

Run: ``python tests/benchmarks/bench_mlflow.py [--trials 2]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

sys.path.insert(0, str(Path(__file__).parents[1] / "tracing"))

from bench_tracing import _ANSWER, _TEXT, _Answers, row
from tracking_server import tracking_server

import skillfleet_nb as sf
from skillfleet_nb.events import ExampleScore, JobCreated, LMCall, ProgramSaved, Result, StateChanged, Trial, Trying
from skillfleet_nb.store import Journal, save_program

if TYPE_CHECKING:
    from skillfleet_nb import Fleet

_ROWS = [dspy.Example(text=f"{n} {_TEXT}", label="bug").with_inputs("text") for n in range(100)]
_LARGE = 200


class Search(dspy.teleprompt.Teleprompter):  # type: ignore[misc]  # dspy is untyped
    """Scores so many candidates on all examples."""

    def __init__(self, trials: int) -> None:
        self.trials = trials

    def compile(self, student: Any, *, trainset: Any, valset: Any = None, teacher: Any = None) -> Any:
        """Return the last candidate."""
        del trainset, valset, teacher
        candidate = student
        for number in range(self.trials):
            candidate = student.deepcopy()
            candidate.signature = candidate.signature.with_instructions(f"Attempt {number}.")
            dspy.Evaluate(devset=_ROWS, metric=_is_right, num_threads=2, display_progress=False)(candidate)
        return candidate


def _is_right(example: Any, prediction: Any, trace: Any = None) -> bool:
    del trace
    return bool(example.label == prediction.label)


def _searched(trials: int) -> float:
    with dspy.context(lm=dspy.LM("bench/one-1", engine=_Answers(0.0), cache=False)):
        started = time.perf_counter()
        Search(trials).compile(dspy.Predict("text -> label"), trainset=_ROWS)
        return time.perf_counter() - started


def _autologged(trials: int, uri: str) -> float:
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("autolog")
    mlflow.dspy.autolog(log_traces_from_compile=True, log_traces_from_eval=True, log_compiles=True, log_evals=True,
                        silent=True)  # fmt: skip
    try:
        with mlflow.start_run():
            _searched(1)
        started = time.perf_counter()
        with mlflow.start_run():
            _searched(trials)
        mlflow.flush_trace_async_logging()
        return time.perf_counter() - started
    finally:
        mlflow.dspy.autolog(disable=True, silent=True)


def _job(fleet: Fleet, name: str, trials: int) -> str:
    """Write a job of 100 calls a trial, as a run does."""
    rng, job_id = random.Random(1), f"20260101-000000-{name}"
    prompt = f"[system]\n{'x' * 1200}\n[user]\n{_TEXT}"
    spec = {"lm": "bench/one-1", "sizes": {"val": 100}, "data_hashes": {"val": "abc"}}
    with Journal(fleet.home, job_id) as journal:
        journal.append_many([
            JobCreated(name=name, optimizer="gepa", program="Predict", metric="m", engine="thread", seed=0, spec=spec),
            StateChanged(state="running"),
        ])  # fmt: skip
        for number in range(trials):
            state = {"number": number}
            program_id = save_program(fleet.home, state)
            calls = [
                LMCall(call_id=f"c{number * 100 + n:06d}", model="bench/one-1", cached=False, input_tokens=100 + n,
                       output_tokens=5, cost_usd=0.001, latency_s=0.00001, role="task", prompt=prompt, response=_ANSWER)
                for n in range(100)
            ]  # fmt: skip
            scores = [ExampleScore(f"e{n}", rng.random(), None, '{"label":"bug"}') for n in range(100)]
            saved = ProgramSaved(program_id=program_id, state=state, instructions=f"Attempt {number}", n_demos=0)
            trying = Trying(program_id=program_id, split="val", full_eval=True, n_examples=100)
            trial = Trial(trial=number, split="val", full_eval=True, n_examples=100, score=rng.random(),
                          program_id=program_id, lm_calls=(number + 1) * 100, cost_usd=number / 10,
                          scores=scores)  # fmt: skip
            for part in ([saved], [trying], calls, [trial]):
                journal.append_many(part)
        ended = StateChanged(state="completed", stop_kind="finished")
        journal.append_many([Result(best_score=0.9, verdict="improved"), ended])
    fleet.store.fold()
    return job_id


def _exported(fleet: Fleet, name: str, uri: str) -> tuple[str, float]:
    started = time.perf_counter()
    run_id = fleet.export_mlflow(name, uri)
    return run_id, time.perf_counter() - started


def _differences(fleet: Fleet, job_id: str, run_id: str, uri: str) -> int:
    """Count the facts that the server has otherwise than the home: scores of trials, spans, tokens."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    trials = fleet.trials(job_id)
    scores = {(m.step, m.value) for m in client.get_metric_history(run_id, "val.score")}
    wrong = len(scores ^ set(zip(trials.trial.tolist(), trials.score.tolist(), strict=True)))
    spans: list[str] = []
    tokens, page = 0, None
    places = [client.get_run(run_id).info.experiment_id]
    while page is None or page.token:
        page = client.search_traces(locations=places, run_id=run_id, max_results=100,
                                    page_token=None if page is None else page.token)  # fmt: skip
        for span in (span for trace in page for span in trace.data.spans):
            spans.append(span.span_id)
            tokens += span.attributes.get("gen_ai.usage.input_tokens") or 0
    mine = fleet.traces(job_id).frame
    wrong += len(set(spans) ^ set(mine.span_id)) + len(spans) - len(set(spans))
    return wrong + abs(tokens - int(mine.input_tokens.sum()))


def run(trials: int = 2, large: int = _LARGE) -> list[dict[str, Any]]:
    """Measure all."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, tracking_server(Path(folder)) as uri:
        os.chdir(folder)  # MLflow may lay a database of its own where it is used
        fleet = sf.Fleet(Path(folder) / "home")
        _searched(1)
        alone, logged = _searched(trials), _autologged(trials, uri)
        _job(fleet, "warm", 1)
        _exported(fleet, "warm", uri)
        _job(fleet, "same", trials)
        _, same = _exported(fleet, "same", uri)
        job_id = _job(fleet, "large", large)
        run_id, whole = _exported(fleet, "large", uri)
        wrong = _differences(fleet, job_id, run_id, uri)
        _, again = _exported(fleet, "large", uri)
    added = logged - alone
    return [
        row(f"autologging adds to a run of {trials} trials, {trials * 100} calls", added, "s"),
        row("exporting a job as large, over what autologging adds", same / added, "ratio", "≤ 0.5"),
        row(f"exporting {large} trials, {large * 100:,} calls", whole, "s"),
        row("scores, spans and tokens that differ as MLflow's client reads them", wrong, "facts", "≤ 0"),
        row("exporting it again, where nothing is new", again, "s"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--large", type=int, default=_LARGE)
    asked = parser.parse_args()
    for measured in run(asked.trials, asked.large):
        print(measured)
