"""Commands that start a run: their arguments are fields of a request, under its names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from skillfleet_nb.commands.asking import agreed
from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note, SplitsView
from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.ensemble import VOTES
from skillfleet_nb.reports.start import starts_from
from skillfleet_nb.runs.racing import RACES

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.runs.jobs.job import Job

_OPTIMIZE = """Optimise a DSPy program against a metric.

PROGRAM, --metric and the data sets are names of the notebook, module:attribute, or (data) a file:
.json .jsonl .csv .parquet. Give --train alone and validation and test are cut from it, seeded."""
_OPTIMIZE_EXAMPLES = (
    "%skillfleet optimize program --train train --metric metric --optimizer gepa --max-calls 1500 --name intents",
    "%skillfleet optimize program --train data.csv --metric metric --optimizer miprov2 --set auto=medium --budget 5",
    "%skillfleet optimize program --train train --metric metric --ensemble miprov2,gepa,infer_rules --vote weighted",
    "%skillfleet optimize program --train train --metric metric --optimizer portfolio --budget 5",
    "optimize mymodule:program --train data.csv --metric mymodule:metric --optimizer copro --lm offline",
)

TASK = (
    argument("program", metavar="PROGRAM"),
    argument("--train", required=True, metavar="DATA"),
    argument("--val", metavar="DATA", help="validation set"),
    argument("--test", metavar="DATA", help="test set; stays sealed until the end of a run"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: dspy's"),
    argument("--prompt-lm", metavar="LM", help="model that proposes and reflects"),
    argument("--seed", type=int, default=0, metavar="N"),
    argument("--threads", dest="num_threads", type=int, metavar="N", help="threads of an evaluation"),
)
"""The options of a task, but for its metric: a command may do without."""


@command(
    "optimize",
    "optimise a program",
    *TASK,
    argument("--metric", required=True, metavar="METRIC"),
    argument("--optimizer", metavar="OPTIMIZER", help="see the command optimizers; auto chooses"),
    argument(
        "--ensemble",
        nargs="?",
        const="",
        metavar="MEMBERS",
        help="run several optimizers at the same time: their names with commas between, three by default",
    ),
    argument(
        "--vote", choices=VOTES, help="with --ensemble: return the best member (select), or a vote if it is better"
    ),
    argument("--yes", action="store_true", help="with --ensemble: start without asking"),
    argument("--select", type=int, metavar="K", help="train on the best K of the train split; see trainset"),
    argument("--strategy", metavar="STRATEGY", help="with --select: balanced, top, coverage, hard, or a mixture"),
    argument(
        "--set", dest="params", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the optimizer"
    ),
    argument("--fallback-lm", action="append", metavar="LM", help="model that takes over from one that fails"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit on calls"),
    argument("--max-tokens", type=int, metavar="N", help="hard limit on tokens"),
    argument("--max-minutes", type=float, metavar="M", help="hard limit on time"),
    argument(
        "--race", choices=RACES, help="end evaluations that can no longer win; by default where it changes nothing"
    ),
    argument("--target", type=float, metavar="SCORE", help="draw a line at this score, in [0, 1]; nothing stops"),
    argument(
        "--review", action="append", default=[], metavar="WHEN", help="ask you first: accept, or cost=USD; repeatable"
    ),
    argument("--name", metavar="NAME", help="what to call the job"),
    argument("--tag", dest="tags", action="append", default=[], metavar="TAG", help="a word to find the job by"),
    argument("--domain", metavar="DOMAIN", help="what the job is about, to find it by"),
    argument("--no-wait", action="store_true", help="return at once; the job runs in the background"),
    argument(
        "--detach",
        dest="engine",
        action="store_const",
        const="process",
        default="thread",
        help="run in a process of its own, which outlives this one",
    ),
    argument("--on", dest="engine", metavar="EXECUTOR", help="run on the workers of a Dask client or an executor"),
    argument("--max-parallel", type=int, metavar="N", help="with --detach: wait until fewer than N run"),
    argument("--runs-per-worker", type=int, metavar="N", help="with --detach: share a process with others, N in all"),
    argument(
        "--no-prompts",
        dest="record_prompts",
        action="store_const",
        const=False,
        help="record hashes in place of prompts, responses and outputs",
    ),
    argument("-o", dest="output", metavar="NAME", help="put the job into this variable"),
    about=_OPTIMIZE,
    examples=_OPTIMIZE_EXAMPLES,
    task="Optimise",
    place=0,
)
def _optimize(c: Context, a: argparse.Namespace) -> Job | None:
    check_waiting(c, a)
    _take_ensemble(a)
    if a.ensemble is not None:
        c.say(c.call(partial(c.fleet.advice.estimate, probe=0), a))
        if not _may_start(a):
            c.say(Note("not started"))
            return None
    before = c.fleet.jobs()  # not once the job has begun: its card is to be seen at once
    job = c.call(c.fleet.optimize, a)
    if a.output:
        c.namespace[a.output] = job
    c.say(SplitsView(job.splits, starts_from(job, before)))
    if not a.no_wait and a.engine != "process":
        c.wait(job)
    return job


def _may_start(a: argparse.Namespace) -> bool:
    """Ask whether to start what was forecast; where nobody can be asked, a limit speaks for it."""
    if a.yes:
        return True
    answer = agreed("Start?")
    limits = (a.budget_usd, a.max_calls, a.max_tokens, a.max_minutes)
    if answer is None and all(limit is None for limit in limits):
        raise InputError("--ensemble: nobody can be asked here whether to start: give a limit, or --yes")
    return answer is not False


def _take_ensemble(a: argparse.Namespace) -> None:
    """Read ``--ensemble`` and ``--vote`` as the optimizer that they are, and its parameters."""
    if a.ensemble is None and a.vote is not None and a.optimizer != "ensemble":
        raise InputError(f"--vote {a.vote} is given without --ensemble: there is nothing to vote on")
    if a.ensemble is None and a.optimizer is None:
        raise InputError("no optimizer is given: --optimizer NAME, --optimizer auto, or --ensemble for several")
    if a.ensemble is not None and a.optimizer not in {None, "ensemble"}:
        raise InputError(f"--optimizer {a.optimizer} and --ensemble are both given: name it among the members instead")
    a.optimizer = "ensemble" if a.ensemble is not None else a.optimizer
    a.params = [*a.params, *([f"members={a.ensemble}"] if a.ensemble else []), *([f"vote={a.vote}"] if a.vote else [])]


@command(
    "resume",
    "go on with a job after a crash, a cancel or with a larger budget",
    argument("name_or_id", metavar="JOB", help="name or id"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="new limit in USD, over all attempts"),
    argument("--max-calls", type=int, metavar="N", help="new limit on calls, over all attempts"),
    argument("--max-tokens", type=int, metavar="N", help="new limit on tokens, over all attempts"),
    argument("--max-minutes", type=float, metavar="M", help="new limit on time, over all attempts"),
    argument("--program", metavar="PROGRAM", help="the program, where it was not kept with the job"),
    argument("--train", metavar="DATA", help="the data, where it was not kept with the job"),
    argument("--val", metavar="DATA", help="with --train: the validation set, if the job was given one"),
    argument("--test", metavar="DATA", help="with --train: the test set, if the job was given one"),
    argument("--metric", metavar="METRIC", help="the metric, where it was not kept with the job"),
    argument("--lm", metavar="LM", help="the model, where it was not kept with the job"),
    argument("--prompt-lm", metavar="LM", help="the model that proposes, where it was not kept with the job"),
    argument("--fallback-lm", action="append", metavar="LM", help="model that takes over from one that fails"),
    argument("--review", action="append", metavar="WHEN", help="ask at these from here on: accept, cost=USD, none"),
    argument("--seed", type=int, metavar="N", help="with --as-new: another seed"),
    argument("--as-new", action="store_true", help="start a fresh job of the same set-up"),
    argument("--detach", dest="engine", action="store_const", const="process", help="run in a process of its own"),
    argument("--on", dest="engine", metavar="EXECUTOR", help="run on the workers of a Dask client or an executor"),
    argument("--max-parallel", type=int, metavar="N", help="wait until fewer detached jobs than N run"),
    argument("--runs-per-worker", type=int, metavar="N", help="detached: share a process with others, N in all"),
    argument("--no-wait", action="store_true", help="return at once"),
    examples=("resume intents", "resume intents --budget 10 --detach", "resume intents --as-new --seed 8"),
    task="Optimise",
    place=6,
)
def _resume(c: Context, a: argparse.Namespace) -> Job:
    check_waiting(c, a)
    job = c.call(c.fleet.resume, a)
    if not a.no_wait and a.engine != "process":
        c.wait(job)
    return job


def check_waiting(c: Context, a: argparse.Namespace) -> None:
    """Refuse not to wait for a job that would end with the command."""
    if a.no_wait and getattr(a, "engine", "thread") != "process" and not c.stays:
        raise InputError("--no-wait: the job would end with this command; --detach leaves it running on its own")
