"""The command that scores a program without a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.optimize import check_waiting

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.runs.jobs.job import Job

_ABOUT = """Score a program on data of your choice, with a 95% interval: a job as any other, which only scores.

PROGRAM is a variable, a registered program (NAME@ALIAS), module:attribute, or a job, which stands for its best program.
A job without --data is tested on its own sealed test split, against the program it was given."""


@command(
    "evaluate",
    "score a program on any data; test a stopped job now",
    argument("program", metavar="PROGRAM"),
    argument("--data", metavar="DATA", help="rows to score it on; of a job, by default its test split"),
    argument("--metric", metavar="METRIC", help="of a job, by default its own"),
    argument("--against", metavar="PROGRAM", help="compare with this program on the same rows, pair by pair"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: the job's, or dspy's"),
    argument("--threads", dest="num_threads", type=int, metavar="N", help="threads"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit on calls"),
    argument("--max-tokens", type=int, metavar="N", help="hard limit on tokens"),
    argument("--max-minutes", type=float, metavar="M", help="hard limit on time"),
    argument("--name", metavar="NAME", help="what to call the job"),
    argument("--tag", dest="tags", action="append", default=[], metavar="TAG", help="a word to find the job by"),
    argument("--domain", metavar="DOMAIN", help="what the job is about, to find it by"),
    argument("--no-prompts", dest="record_prompts", action="store_const", const=False, help="record hashes, no texts"),
    argument("--no-wait", action="store_true", help="return at once; the job runs in the background"),
    argument("-o", dest="output", metavar="NAME", help="put the job into this variable"),
    about=_ABOUT,
    examples=(
        "%skillfleet evaluate program --data test --metric metric",
        "%skillfleet evaluate support@production --data march.csv --metric metric --against support@candidate",
        "evaluate intents",
    ),
    task="Learn from runs",
    place=11,
)
def _evaluate(c: Context, a: argparse.Namespace) -> Job:
    check_waiting(c, a)
    options = {one.dest: getattr(a, one.dest) for one in a.command.arguments}
    del options["no_wait"]
    output = options.pop("output")
    for what in ("program", "against"):
        named = options[what]
        options[what] = None if named is None else c.program_or_name(named)
    options["data"] = c.rows(a.data, "data")
    options["metric"] = None if a.metric is None else c.metric(a.metric)
    options["lm"] = c.lm(a.lm)
    job = c.fleet.evaluate(**options)
    if output:
        c.namespace[output] = job
    if not a.no_wait:
        c.wait(job)
    return job
