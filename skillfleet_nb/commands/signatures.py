"""Commands about signatures: whether saved programs fit the code, and how their signatures came about."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.optimize import check_waiting
from skillfleet_nb.commands.views import Note, Parts, Table
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.runs.jobs.job import Job

_SIGNATURES = group(
    "signatures", "whether saved programs fit the code; versions, migrations, tuning", task="Keep", place=3
)
_FOLDER = argument(
    "--root", metavar="FOLDER", help="look at the JSON files of programs below it, not at what is registered"
)
_ONTO = argument("--onto", metavar="PROGRAM", help="the program they are put onto; default: each one's own class")
_TUNE = """Tune the signatures of a program: failures on the training examples are sorted by kind, a model proposes
better instructions and field descriptions with its reasons, and what is proven on validation is accepted.

What is registered is tuned on the data, with the metric and the model, that were kept with the job it comes from,
unless others are given; what is accepted becomes the next version of its name, and aliases stay where they are."""
_CHECK = """Look whether saved programs fit the code of today: the last version of each registered name and those that
aliases stand for, or the JSON files of a folder. Fails where one does not fit, for use in CI; with --migration also
where one has still to be migrated."""
_MIGRATE = """Bring saved programs to the versions that the code's signatures declare with sf.signature_version.

Without --apply it is only told. A registered program becomes the next version of its name, and aliases stay where they
are; a file is written anew, and what it was is kept beside it as .bak."""


@command(
    "signatures check",
    "whether saved programs fit the code",
    _FOLDER,
    _ONTO,
    argument("--migration", action="store_true", help="fail too where a program has still to be migrated"),
    about=_CHECK,
    examples=("signatures check", "signatures check --root saved/ --migration"),
)
def _check(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.registry.check(a.root, c.object(a.onto, "program") if a.onto else None, migration=a.migration)


@command(
    "signatures migrate-all",
    "bring saved programs to the code's signatures; tells what it would do, unless --apply",
    _FOLDER,
    _ONTO,
    argument("--apply", action="store_true", help="do it"),
    about=_MIGRATE,
    examples=("signatures migrate-all", "signatures migrate-all --root saved/ --apply"),
)
def _migrate(c: Context, a: argparse.Namespace) -> object:
    onto = c.object(a.onto, "program") if a.onto else None
    return c.fleet.registry.migrate_all(a.root, onto, apply=a.apply)


@command(
    "signatures tune",
    "better instructions and field descriptions, accepted only where proven",
    argument("source", metavar="REF", help="what is registered, a job, or a program in a variable"),
    argument("--train", metavar="DATA", help="default, as for all of the task: what was kept with its job"),
    argument("--val", metavar="DATA", help="validation set, on which proposals are judged"),
    argument("--test", metavar="DATA", help="test set; stays sealed until the end"),
    argument("--metric", metavar="METRIC"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: its job's, else dspy's"),
    argument("--prompt-lm", metavar="LM", help="model that proposes"),
    argument("--seed", type=int, metavar="N"),
    argument("--threads", dest="num_threads", type=int, metavar="N", help="threads of an evaluation"),
    argument("--rounds", type=int, metavar="N", help="proposals at most (3)"),
    argument("--min-gain", type=float, metavar="GAIN", help="least gain of what is accepted, in [0, 1] (0.05)"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit on calls"),
    argument("--max-tokens", type=int, metavar="N", help="hard limit on tokens"),
    argument("--max-minutes", type=float, metavar="M", help="hard limit on time"),
    argument("--name", metavar="NAME", help="what to call the job"),
    argument("--no-wait", action="store_true", help="return at once; the job runs in the background"),
    argument(
        "--detach", dest="engine", action="store_const", const="process", default="thread",
        help="run in a process of its own, which outlives this one",
    ),
    argument("-o", dest="output", metavar="NAME", help="put the job into this variable"),
    about=_TUNE,
    examples=(
        "signatures tune support-intents",
        "%skillfleet signatures tune support-intents --train train --metric metric --max-calls 500",
        "signatures tune intents --rounds 2",
    ),
)  # fmt: skip
def _tune(c: Context, a: argparse.Namespace) -> object:
    check_waiting(c, a)
    registered = c.fleet.registry.is_ref(a.source) and a.source not in c.namespace
    if not registered:
        a.source = c.program_or_name(a.source)
    name = a.source.partition("@")[0] if registered else None
    job = c.call(c.fleet.tune, a)
    if a.output:
        c.namespace[a.output] = job
    c.say(Note(job.splits))
    if a.no_wait or a.engine == "process":
        return job
    c.wait(job)
    return Parts([job, Note(_kept(c, job, name))]) if job.state.is_finished() else job


def _kept(c: Context, job: Job, name: str | None) -> str:
    """Register what a finished job accepted as the next version of `name`, and tell of it."""
    p = job.progress
    judged = c.fleet.registry.decisions(job)
    lines = [f"{row.evidence}\n  {row.reasons}" for row in judged.itertuples()]
    if p.result is None or p.best_program == p.first_program:
        return "\n".join([*lines, "nothing was accepted: the program stays as it is"])
    if name is None:
        return "\n".join([*lines, f"{as_typed(f'program register {quote(job.name)} --as NAME')} keeps it"])
    version = c.fleet.register(job, name)
    set_alias = as_typed(f"program alias {version.name} production {version.version}")
    return "\n".join([*lines, f"registered {version.ref}, with the reasons as its note\n{set_alias} puts it to use"])


@command(
    "signatures history",
    "the signatures of each version of a registered program",
    argument("name", metavar="REGISTERED", help="a registered program, or a signature with declared versions"),
    examples=("signatures history support-intents", "signatures history Classify"),
)
def _history(c: Context, a: argparse.Namespace) -> object:
    return Table(c.fleet.registry.signatures(a.name))
