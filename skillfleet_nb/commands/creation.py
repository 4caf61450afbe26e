"""Commands that create skills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.optimize import check_waiting
from skillfleet_nb.commands.views import Note
from skillfleet_nb.format import duration, money, points
from skillfleet_nb.html import Readable, table, text_table

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.runs.jobs.job import Job

_ABOUT = """Create an agent skill for a task: a job, which writes the skill into the root when it is done.

It is understood, planned, written and checked by a model; simple tasks take the fast path, complex ones the expert
path, by phase_rules.toml of the home. No skill that is there is overwritten without --force."""


@command(
    "skill create",
    "write a new skill for a task, with a model",
    argument("task", metavar="TASK", help="what the skill should enable an agent to do, in a sentence"),
    argument("--root", default="skills", metavar="FOLDER", help="folder of skills to write it into (skills)"),
    argument("--template", metavar="NAME", help="the template to use; default: the model chooses, or none"),
    argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates"),
    argument("--path", choices=("auto", "fast", "normal", "expert"), default="auto", help="how much to do (auto)"),
    argument("--review", action="append", default=[], metavar="WHERE", help="ask you: intent, plan, draft, cost=USD"),
    argument("--creator", metavar="PROGRAM", help="a creator of your own, such as an optimised one"),
    argument("--force", action="store_true", help="replace a skill of that name; a backup is kept"),
    argument("--lm", metavar="LM", help="variable, 'offline', or model name; default: dspy's"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit on calls"),
    argument("--max-tokens", type=int, metavar="N", help="hard limit on tokens"),
    argument("--max-minutes", type=float, metavar="M", help="hard limit on time"),
    argument("--name", metavar="NAME", help="what to call the job"),
    argument("--tag", dest="tags", action="append", default=[], metavar="TAG", help="a word to find the job by"),
    argument(
        "--detach", dest="engine", action="store_const", const="process", default="thread",
        help="run in a process of its own, which outlives this one",
    ),
    argument("--no-wait", action="store_true", help="return at once; the job runs in the background"),
    argument("-o", dest="output", metavar="NAME", help="put the job into this variable"),
    about=_ABOUT,
    examples=(
        'skill create "Use when a team must rotate API keys without downtime" --root skills --budget 0.50',
        'skill create "Use when PDF forms have to be filled" --review plan,draft --template tool_integration',
    ),
)  # fmt: skip
def _create(c: Context, a: argparse.Namespace) -> Job:
    check_waiting(c, a)
    options = {one.dest: getattr(a, one.dest) for one in a.command.arguments}
    waits, output = not options.pop("no_wait"), options.pop("output")
    options["creator"] = None if a.creator is None else c.object(a.creator, "creator")
    options["lm"] = c.lm(a.lm)
    job = c.fleet.create_skill(options.pop("task"), **options)
    if output:
        c.namespace[output] = job
    if waits and a.engine != "process":
        c.wait(job)
    return job


@command(
    "skill paths",
    "how often each path was taken to create a skill, with time and quality",
    argument("action", choices=("report",)),
    examples=("skill paths report",),
)
def _paths(c: Context, a: argparse.Namespace) -> object:
    del a
    frame = c.fleet.skills.paths()
    return PathReport(frame) if len(frame) else Note("no skill was created in this home yet: see skill create")


@dataclass(frozen=True)
class PathReport(Readable):
    """What became of each path."""

    paths: pd.DataFrame

    _HEADER = ("path", "skills", "quality", "without findings", "complexity", "calls", "time", "cost", "saved")

    def _rows(self) -> list[list[str]]:
        rows: Any = self.paths.astype(object).where(self.paths.notna(), None).to_dict("records")
        return [
            [
                p["path"], f"{p['skills']:,}", points(p["score"]), f"{p['flawless']:.0%}", f"{p['complexity']:.2f}",
                f"{p['calls']:.1f}", duration(p["seconds"]), money(p["cost_usd"]), duration(p["seconds_saved"]),
            ]
            for p in rows
        ]  # fmt: skip

    def text(self) -> str:
        """Return one line for each path."""
        return text_table(self._HEADER, self._rows())

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return table(self._HEADER, self._rows(), title="Paths to a skill", numeric=range(1, len(self._HEADER)))
