"""Commands that create skills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.optimize import check_waiting
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import duration, money, points, seen_from_here
from skillfleet_nb.html import Readable, table, text_table

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.runs.jobs.job import Job

_ABOUT = """Create an agent skill for a task: a job, which writes the skill into the root when it is done.

It is understood, planned, written and checked by a model; simple tasks take the fast path, complex ones the expert
path, by phase_rules.toml of the home. No skill that is there is overwritten without --force."""

_IMPROVE = """Rewrite a skill towards what validation and its score found. Nothing is written without --apply.

What was shown is kept, and --apply writes just that, with a backup; --undo goes back. The front matter and the other
files stay as they are. Where the model writes nothing better, the skill stays, and you are told."""
_RESEARCH = """Let an agent search and read the text files of a folder, and nothing else, before a skill is written.

Where they say too little of the task, or show too few examples, it asks you, with options to choose from. skill create
--docs FOLDER does the same first, and writes with what was found."""
_ASKING = (
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: dspy's"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit on bought calls"),
)


@command(
    "skill create",
    "write a new skill for a task, with a model",
    argument("task", metavar="TASK", help="what the skill should enable an agent to do, in a sentence"),
    argument("--root", default="skills", metavar="FOLDER", help="folder of skills to write it into (skills)"),
    argument("--template", metavar="TEMPLATE", help="the template to use; default: the model chooses, or none"),
    argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates"),
    argument("--path", choices=("auto", "fast", "normal", "expert"), default="auto", help="how much to do (auto)"),
    argument("--docs", action="append", default=[], metavar="FOLDER", help="documents to research the task in first"),
    argument(
        "--review", action="append", default=[], metavar="WHERE",
        help="ask you: research, intent, plan, draft, cost=USD",
    ),
    argument("--creator", metavar="PROGRAM", help="a creator of your own, such as an optimised one"),
    argument("--force", action="store_true", help="replace a skill of that name; a backup is kept"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: dspy's"),
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
    "skill improve",
    "rewrite a skill towards what validation found; shows the diff, unless --apply",
    argument("folder", metavar="FOLDER", help="the skill"),
    argument("--apply", action="store_true", help="write what was shown; a backup is kept"),
    argument("--undo", action="store_true", help="put the newest backup back"),
    argument("--body", metavar="OPTIMISED", help="a job or program of targets.skill: take its body, and ask no model"),
    argument("--revisions", type=int, default=2, metavar="N", help="how often it is rewritten at most (2)"),
    *_ASKING,
    about=_IMPROVE,
    examples=(
        "skill improve skills/rotate-keys",
        "skill improve skills/rotate-keys --apply",
        "skill improve skills/rotate-keys --body JOB",
    ),
)
def _improve(c: Context, a: argparse.Namespace) -> object:
    if a.undo:
        if a.apply:
            raise InputError("--apply and --undo: give one of them")
        return Note(f"the backup is back; what it replaced is in {seen_from_here(c.fleet.skills.undo(a.folder))}")
    if a.body:
        return c.fleet.skills.take_body(a.folder, _state(c, a.body), apply=a.apply)
    return c.call(c.fleet.skills.improve, a)


def _state(c: Context, name: str) -> Any:
    program = c.program_or_name(name)
    if isinstance(program, str):
        return c.fleet.programs.find(program).state
    if not hasattr(program, "named_predictors"):
        raise InputError(f"--body {name}: {type(program).__name__} is no program: give a job, or a program")
    from skillfleet_nb.programs.state import dump_state

    return dump_state(program)


@command(
    "skill research",
    "look for examples and facts for a skill in your documents, and ask about the rest",
    argument("task", metavar="TASK", help="what the skill should enable an agent to do, in a sentence"),
    argument("--root", action="append", default=[], metavar="FOLDER", help="documents to read (docs)"),
    argument("--max-steps", type=int, default=6, metavar="N", help="how often the agent acts at most (6)"),
    argument("--min-examples", type=int, default=2, metavar="N", help="examples from which there are enough (2)"),
    argument("--readiness", type=float, default=0.6, metavar="SHARE", help="from which nothing is asked (0.6)"),
    argument("--max-questions", type=int, default=3, metavar="N", help="questions at most (3)"),
    *_ASKING,
    argument("-o", dest="output", metavar="NAME", help="put what was found into this variable"),
    about=_RESEARCH,
    examples=('skill research "Use when API keys must be rotated without downtime" --root docs',),
)
def _research(c: Context, a: argparse.Namespace) -> object:
    a.root = a.root or ["docs"]
    research = c.call(c.fleet.skills.research, a)
    if a.output:
        c.namespace[a.output] = research
    return research


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
