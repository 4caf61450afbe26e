"""Commands about jobs and questions: each reads its arguments and calls one facade method."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.views import JobReport, JobTable, Note, OptimizerTable, Overview, Table
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.commands.tree import Parser

_OPTIMIZE = """Optimise a DSPy program against a metric.

PROGRAM, --metric and the data sets are names of the notebook, module:attribute, or (data) a file:
.json .jsonl .csv .parquet. Give --train alone and validation and test are cut from it, seeded."""
_OPTIMIZE_EXAMPLES = (
    "%skillfleet optimize program --train train --metric metric --optimizer gepa --max-calls 1500 --name intents",
    "%skillfleet optimize program --train data.csv --metric metric --optimizer miprov2 --set auto=medium --budget 5",
    "optimize mymodule:program --train data.csv --metric mymodule:metric --optimizer copro --lm offline",
)


def add(commands: Any) -> None:
    """Add these commands to the tree."""
    _add_optimize(commands)
    _add_jobs(commands)
    _add_runs(commands)
    _add_questions(commands)


def _add_jobs(commands: Any) -> None:
    p = commands.add_parser(
        "jobs",
        help="list jobs, newest first",
        examples=("jobs", "jobs --state interrupted --limit 5", "jobs --tag v2 --since 2026-01-31"),
    )
    p.add_argument("--state", metavar="STATE", help="only jobs in this state")
    p.add_argument("--optimizer", metavar="OPTIMIZER", help="only jobs of this optimizer")
    p.add_argument("--tag", metavar="TAG", help="only jobs with this tag")
    p.add_argument("--domain", metavar="DOMAIN", help="only jobs of this domain")
    p.add_argument("--since", metavar="DAY", help="only jobs from this day on (UTC)")
    p.add_argument("--until", metavar="DAY", help="only jobs up to this day")
    p.add_argument("--limit", type=int, default=20, metavar="N", help="rows shown (20)")
    p.set_defaults(run=_jobs)


def _add_runs(commands: Any) -> None:
    p = commands.add_parser(
        "job",
        help="one job: scores, verdict, cost, learning curve, prompt diff",
        examples=("job intents", "job intents --log"),
    )
    p.add_argument("name", metavar="JOB", help="name or id")
    p.add_argument("--log", action="store_true", help="show what the optimizer printed")
    p.set_defaults(run=_job)

    p = commands.add_parser("watch", help="follow any job's progress, of any process", examples=("watch intents",))
    p.add_argument("name", metavar="JOB", help="name or id")
    p.set_defaults(run=_watch)

    p = commands.add_parser(
        "resume",
        help="go on with a job after a crash, a cancel or with a larger budget",
        examples=("resume intents", "resume intents --budget 10 --detach", "resume intents --as-new --seed 8"),
    )
    p.add_argument("name", metavar="JOB", help="name or id")
    p.add_argument("--budget", type=float, metavar="USD", help="new limit in USD, over all attempts")
    p.add_argument("--max-calls", type=int, metavar="N", help="new limit on bought calls, over all attempts")
    p.add_argument("--max-tokens", type=int, metavar="N", help="new limit on tokens, over all attempts")
    p.add_argument("--max-minutes", type=float, metavar="M", help="new limit on time, over all attempts")
    p.add_argument("--program", metavar="PROGRAM", help="the program, where it was not kept with the job")
    p.add_argument("--train", metavar="DATA", help="the data, where it was not kept with the job")
    p.add_argument("--val", metavar="DATA", help="with --train: the validation set, if the job was given one")
    p.add_argument("--test", metavar="DATA", help="with --train: the test set, if the job was given one")
    p.add_argument("--metric", metavar="METRIC", help="the metric, where it was not kept with the job")
    p.add_argument("--lm", metavar="LM", help="the model, where it was not kept with the job")
    p.add_argument("--prompt-lm", metavar="LM", help="the model that proposes, where it was not kept with the job")
    p.add_argument("--fallback-lm", action="append", metavar="LM", help="model that takes over from one that fails")
    p.add_argument(
        "--review", action="append", metavar="WHEN", help="ask at these from here on: accept, cost=USD, none"
    )
    p.add_argument("--seed", type=int, metavar="N", help="with --as-new: another seed")
    p.add_argument("--as-new", action="store_true", help="start a fresh job of the same set-up")
    p.add_argument("--detach", action="store_true", help="run in a process of its own")
    p.add_argument("--max-parallel", type=int, metavar="N", help="wait until fewer detached jobs than N run")
    p.add_argument("--no-wait", action="store_true", help="return at once")
    p.set_defaults(run=_resume)

    p = commands.add_parser("cancel", help="stop a job; its best program so far is kept", examples=("cancel intents",))
    p.add_argument("name", metavar="JOB", help="name or id")
    p.set_defaults(run=_cancel)

    p = commands.add_parser(
        "pause",
        help="let a job make no further call for now; its clock stands still",
        examples=("pause intents",),
    )
    p.add_argument("name", metavar="JOB", help="name or id")
    p.set_defaults(run=_pause)

    p = commands.add_parser("unpause", help="let a paused job go on", examples=("unpause intents",))
    p.add_argument("name", metavar="JOB", help="name or id")
    p.set_defaults(run=_unpause)

    p = commands.add_parser(
        "diff",
        help="what changed in the prompts: baseline against best",
        examples=("diff intents",),
    )
    p.add_argument("name", metavar="JOB", help="name or id")
    p.set_defaults(run=_diff)

    p = commands.add_parser(
        "save",
        help="save a job's best program as JSON that dspy loads",
        examples=("save intents best.json",),
    )
    p.add_argument("name", metavar="JOB", help="name or id")
    p.add_argument("path", metavar="FILE.json")
    p.set_defaults(run=_save)


def _add_questions(commands: Any) -> None:
    p = commands.add_parser(
        "sql",
        help="ask anything in SQL: jobs, trials, scores, lm_calls, programs, events",
        examples=('sql "select name, best_score, cost_usd from jobs"', "%%skillfleet sql -o frame"),
    )
    p.add_argument("query", nargs="*", help="the query; or the cell's text under %%%%skillfleet sql")
    p.add_argument("-o", dest="output", metavar="NAME", help="put the data frame into this variable")
    p.add_argument("--limit", type=int, default=50, metavar="N", help="rows shown (50)")
    p.set_defaults(run=_sql)

    p = commands.add_parser(
        "optimizers",
        help="list optimizers: what they change, need and take",
        examples=("optimizers", "optimizers gepa"),
    )
    p.add_argument("name", nargs="?", metavar="OPTIMIZER", help="list the parameters of this one")
    p.set_defaults(run=_optimizers)

    p = commands.add_parser(
        "doctor",
        help="is everything ready, before money is spent?",
        examples=("%skillfleet doctor program --train train --metric metric", "doctor --lm offline"),
    )
    p.add_argument("program", nargs="?", metavar="PROGRAM")
    p.add_argument("--train", metavar="DATA")
    p.add_argument("--metric", metavar="METRIC")
    p.add_argument("--lm", metavar="LM")
    p.set_defaults(run=_doctor)

    p = commands.add_parser(
        "demo",
        help="run the main job on the package's own data with the offline LM",
        examples=("demo", "demo --optimizer gepa"),
    )
    p.add_argument("--optimizer", default="bootstrap_random_search", metavar="OPTIMIZER")
    p.add_argument("--seed", type=int, default=7)
    p.set_defaults(run=_demo)


def _add_optimize(commands: Any) -> None:
    p = commands.add_parser(
        "optimize", help="optimise a program", description=_OPTIMIZE,
        examples=_OPTIMIZE_EXAMPLES,
    )  # fmt: skip
    p.add_argument("program", metavar="PROGRAM")
    p.add_argument("--train", required=True, metavar="DATA")
    p.add_argument("--val", metavar="DATA", help="validation set")
    p.add_argument("--test", metavar="DATA", help="test set; stays sealed until the end")
    p.add_argument("--metric", required=True, metavar="METRIC")
    p.add_argument("--optimizer", required=True, metavar="OPTIMIZER", help="see the command optimizers; auto chooses")
    p.add_argument("--select", type=int, metavar="K", help="train on the best K of the train split; see trainset")
    p.add_argument("--strategy", metavar="STRATEGY", help="with --select: balanced, top, coverage, hard, or a mixture")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the optimizer")
    p.add_argument("--lm", metavar="LM", help="variable, 'offline', or model name; default: dspy's")
    p.add_argument("--prompt-lm", metavar="LM", help="model that proposes and reflects")
    p.add_argument("--fallback-lm", action="append", metavar="LM", help="model that takes over from one that fails")
    p.add_argument("--budget", type=float, metavar="USD", help="hard limit in USD")
    p.add_argument("--max-calls", type=int, metavar="N", help="hard limit on bought calls")
    p.add_argument("--max-tokens", type=int, metavar="N", help="hard limit on tokens")
    p.add_argument("--max-minutes", type=float, metavar="M", help="hard limit on time")
    p.add_argument("--target", type=float, metavar="SCORE", help="draw a line at this score, in [0, 1]; nothing stops")
    p.add_argument("--review", action="append", metavar="WHEN", help="ask you first: accept, or cost=USD; repeatable")
    p.add_argument("--seed", type=int, default=0, metavar="N")
    p.add_argument("--threads", type=int, metavar="N", help="threads of an evaluation")
    p.add_argument("--name", metavar="NAME", help="what to call the job")
    p.add_argument("--tag", action="append", default=[], metavar="TAG", help="a word to find the job by")
    p.add_argument("--domain", metavar="DOMAIN", help="what the job is about, to find it by")
    p.add_argument("--no-wait", action="store_true", help="return at once; the job runs in the background")
    p.add_argument("--detach", action="store_true", help="run in a process of its own, which outlives this one")
    p.add_argument("--max-parallel", type=int, metavar="N", help="with --detach: wait until fewer than N run")
    p.add_argument("--no-prompts", action="store_true", help="record hashes in place of prompts, responses and outputs")
    p.add_argument("-o", dest="output", metavar="NAME", help="put the job into this variable")
    p.set_defaults(run=_optimize)


def _check_waiting(c: Context, a: argparse.Namespace) -> None:
    if a.no_wait and not a.detach and not c.stays:
        raise InputError("--no-wait: the job would end with this command; --detach leaves it running on its own")


def _optimize(c: Context, a: argparse.Namespace) -> Any:
    _check_waiting(c, a)
    job = c.fleet.optimize(
        c.object(a.program, "program"),
        train=c.rows(a.train, "train"),
        val=c.rows(a.val, "val"),
        test=c.rows(a.test, "test"),
        metric=c.metric(a.metric),
        optimizer=a.optimizer,
        params=params(a.set),
        lm=c.lm(a.lm),
        prompt_lm=c.lm(a.prompt_lm),
        fallback_lm=_fallbacks(c, a.fallback_lm),
        budget_usd=a.budget,
        max_calls=a.max_calls,
        max_tokens=a.max_tokens,
        max_minutes=a.max_minutes,
        target=a.target,
        tags=a.tag,
        domain=a.domain,
        review=a.review or (),
        seed=a.seed,
        num_threads=a.threads,
        name=a.name,
        engine="process" if a.detach else "thread",
        max_parallel=a.max_parallel,
        record_prompts=False if a.no_prompts else None,
        select=a.select,
        strategy=a.strategy,
    )
    if a.output:
        c.namespace[a.output] = job
    c.say(Note(job.splits))
    if not (a.no_wait or a.detach):
        c.wait(job)
    return job


def _fallbacks(c: Context, given: list[str] | None) -> list[Any] | None:
    """Find the models of a repeatable option that takes lists with commas too."""
    names = [name.strip() for part in given or () for name in part.split(",") if name.strip()]
    return [c.lm(name) for name in names] or None


def params(pairs: list[str]) -> dict[str, str]:
    """Read ``--set key=value`` options.

    Raises
    ------
    InputError
        If one is not of that form.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InputError(f"--set {pair!r}: write --set key=value, for example --set auto=medium")
        found[key] = value
    return found


def _jobs(c: Context, a: argparse.Namespace) -> JobTable:
    found = c.fleet.jobs(a.state, optimizer=a.optimizer, tag=a.tag, domain=a.domain, since=a.since, until=a.until)
    return JobTable(found, limit=a.limit, questions=c.fleet.questions())


def _job(c: Context, a: argparse.Namespace) -> JobReport | Note:
    job = c.fleet.job(a.name)
    return Note(job.log()) if a.log else JobReport(job, c.fleet.trials(job.id))


def _watch(c: Context, a: argparse.Namespace) -> Any:
    job = c.fleet.job(a.name)
    c.wait(job, watch=True)
    return job


def _resume(c: Context, a: argparse.Namespace) -> Any:
    _check_waiting(c, a)
    job = c.fleet.resume(
        a.name,
        program=c.object(a.program, "program") if a.program else None,
        train=c.rows(a.train, "train"),
        val=c.rows(a.val, "val"),
        test=c.rows(a.test, "test"),
        metric=c.metric(a.metric) if a.metric else None,
        lm=c.lm(a.lm),
        prompt_lm=c.lm(a.prompt_lm),
        fallback_lm=_fallbacks(c, a.fallback_lm),
        seed=a.seed,
        budget_usd=a.budget,
        max_calls=a.max_calls,
        max_tokens=a.max_tokens,
        max_minutes=a.max_minutes,
        review=a.review,
        engine="process" if a.detach else None,
        max_parallel=a.max_parallel,
        as_new=a.as_new,
    )
    if not (a.no_wait or a.detach):
        c.wait(job)
    return job


def _cancel(c: Context, a: argparse.Namespace) -> Any:
    job = c.fleet.job(a.name)
    finished = job.state.is_finished()
    job.cancel()
    return Note(f"{job.name} is {job.state} already") if finished else Note(f"{job.name} stops at its next call")


def _pause(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    p = job.progress
    job.pause()
    if p.state.is_finished():
        return Note(f"{p.name} is {p.state} already")
    return Note(f"{p.name} makes no further call until: %skillfleet unpause {p.name}")


def _unpause(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    p = job.progress
    job.unpause()
    if p.state.is_finished():
        return Note(f"{p.name} is {p.state}: %skillfleet resume {p.name} goes on with it")
    return Note(f"{p.name} goes on")


def _diff(c: Context, a: argparse.Namespace) -> Any:
    return c.fleet.job(a.name).diff()


def _save(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"saved {c.fleet.job(a.name).save(a.path)}: program.load({a.path!r}) reads it")


def _sql(c: Context, a: argparse.Namespace) -> Table:
    query = " ".join(a.query) or (c.cell or "")
    if not query.strip():
        raise InputError("sql needs a query: for example  sql select name, best_score from jobs")
    frame = c.fleet.sql(query)
    if a.output:
        c.namespace[a.output] = frame
    return Table(frame, limit=a.limit)


def _optimizers(c: Context, a: argparse.Namespace) -> OptimizerTable:
    return OptimizerTable(c.fleet.optimizers(a.name))


def _doctor(c: Context, a: argparse.Namespace) -> Any:
    return c.fleet.advice.doctor(
        c.object(a.program, "program") if a.program else None,
        train=c.rows(a.train, "train"),
        metric=c.metric(a.metric) if a.metric else None,
        lm=c.lm(a.lm),
    )


def _demo(c: Context, a: argparse.Namespace) -> Any:
    from skillfleet_nb.commands.demo import demo

    return demo(c, optimizer=a.optimizer, seed=a.seed)


def overview(c: Context, top: Parser) -> Overview:
    """Show what there is: the home, the newest jobs, the model, and the commands."""
    dspy = sys.modules.get("dspy")  # not imported to tell that nothing is configured in it
    lm = getattr(dspy.settings, "lm", None) if dspy is not None else None
    return Overview(c.fleet, top, str(lm.model) if lm is not None else None)
