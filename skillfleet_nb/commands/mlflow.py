"""Commands of MLflow: jobs as its runs, and its runs as jobs; each calls one facade method."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError, ServerError

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_URI = argument("--tracking-uri", metavar="URL", help="the server; default: $MLFLOW_TRACKING_URI")
_EXPERIMENT = argument("--experiment", default="skillfleet", metavar="NAME", help="where runs stand: skillfleet")
_MOST_S = 86_400.0
_SYNC = """Send an MLflow server what it does not have of the home: jobs, their traces, registered programs and aliases.

With --follow it goes on until it is interrupted. A server that is away meanwhile keeps no run from going on: the
journal has all of it, and the next look sends it."""

_mlflow = group(
    "mlflow",
    "jobs in MLflow: export, sync, import",
    about="Show jobs to a team that lives in MLflow, and take over its DSPy runs. Needs skillfleet-nb[mlflow].",
    task="Keep",
    place=94,
)


@command(
    "mlflow export",
    "make jobs runs of MLflow",
    argument("names", nargs="+", metavar="JOB", help="names or ids"),
    _URI,
    _EXPERIMENT,
    examples=("mlflow export intents --tracking-uri http://127.0.0.1:5000",),
)
def _export(c: Context, a: argparse.Namespace) -> Note:
    runs = [(n, c.fleet.export_mlflow(n, a.tracking_uri, experiment=a.experiment)) for n in a.names]
    return Note("\n".join(f"{name} is run {run_id}" for name, run_id in runs))


@command(
    "mlflow sync",
    "send what an MLflow server does not have",
    argument("names", nargs="*", metavar="JOB", help="only these jobs"),
    _URI,
    _EXPERIMENT,
    argument("--follow", action="store_true", help="go on until interrupted"),
    argument("--every", type=float, default=10.0, metavar="SECONDS", help="with --follow: time between looks (10)"),
    about=_SYNC,
    examples=("mlflow sync --tracking-uri http://127.0.0.1:5000", "mlflow sync --follow"),
)
def _sync(c: Context, a: argparse.Namespace) -> object:
    if not 0 < a.every <= _MOST_S:
        raise InputError(f"--every {a.every:g}: give seconds, above 0 and up to a day.")
    last: object = None
    try:
        while True:
            try:
                last = c.fleet.sync_mlflow(*a.names, tracking_uri=a.tracking_uri, experiment=a.experiment)
            except ServerError as exc:
                if not a.follow:
                    raise
                last = Note(f"{exc} It is tried again.")
            if not a.follow:
                return last
            time.sleep(a.every)
    except KeyboardInterrupt:
        return last or Note("nothing was sent")


@command(
    "mlflow import",
    "take over a DSPy run of MLflow as a job",
    argument("run", metavar="RUN", help="id of the run"),
    _URI,
    examples=("mlflow import 8f2343ae0d9b4c7f9a61d2f0c1f2a3b4",),
)
def _import(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.import_mlflow(a.run, a.tracking_uri)
