"""Commands that put runs side by side and open their programs; each calls one facade method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.resolve import pairs
from skillfleet_nb.commands.views import Note, Parts

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_COMPARE = """Put runs side by side: what was set up differently, scores with the interval of their difference, cost,
prompts with the differences marked, and the examples they disagree on. The first is what others are compared with."""
_PROGRAM = """Open a program: instructions, demos, ancestors, scores per example. Try it, save it, or put it to use.

A job stands for its best program; any other is named by its id, of which the first characters are enough."""


@command(
    "compare",
    "runs side by side: scores, cost, prompts, disagreements",
    argument("names", nargs="+", metavar="JOB", help="names or ids, at least two"),
    argument("--json", metavar="FILE", help="write it all to this file too"),
    argument("-o", dest="output", metavar="NAME", help="put the comparison into this variable"),
    about=_COMPARE,
    examples=(
        "compare intents intents-gepa",
        "%skillfleet compare a b c -o comparison",
        "compare a b --json ab.json",
    ),
    task="Learn from runs",
    place=3,
)
def _compare(c: Context, a: argparse.Namespace) -> object:
    comparison = c.fleet.reports.compare(*a.names)
    if a.output:
        c.namespace[a.output] = comparison
    if a.json:
        Path(a.json).write_text(json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    return comparison


@command(
    "programs",
    "the programs a job scored, in order",
    argument("name", metavar="JOB", help="name or id"),
    examples=("programs intents",),
    task="Learn from runs",
    place=4,
)
def _programs(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.programs.of(a.name)


@command(
    "program",
    "one program: what it says, its scores; try, save or use it",
    argument("name", metavar="JOB", help="name or id of a job, or id of a program"),
    argument("--job", metavar="JOB", help="see it as a candidate of this job, where several scored it"),
    argument("--try", dest="inputs", action="append", metavar="FIELD=VALUE", help="ask it; once for each input"),
    argument("--lm", metavar="LM", help="with --try: variable, 'offline', or model name; default: dspy's"),
    argument("--onto", metavar="PROGRAM", help="the program it is put onto, where none was kept with the job"),
    argument("--save", metavar="FILE.json", help="write it as JSON that dspy loads"),
    argument("-o", dest="output", metavar="NAME", help="put the program into this variable, to be used"),
    about=_PROGRAM,
    examples=(
        "%skillfleet program intents -o best",
        'program 1fffd3c8 --try text="We were charged twice"',
        "program intents --save intents.json",
    ),
    task="Learn from runs",
    place=5,
)
def _program(c: Context, a: argparse.Namespace) -> object:
    program = c.fleet.programs.find(a.name, a.job)
    onto = c.object(a.onto, "program") if a.onto else None
    done: list[Any] = []
    if a.output:
        c.namespace[a.output] = program.load(onto)
        done.append(Note(f"{a.output} is program {program.id} of {program.job.name}"))
    if a.save:
        done.append(Note(f"saved {program.save(a.save)}: program.load({a.save!r}) of dspy reads it"))
    if a.inputs:
        done.append(program.ask(pairs(a.inputs, "--try field=value", '--try text="hello"'), lm=c.lm(a.lm), onto=onto))
    if not done:
        return program
    return done[0] if len(done) == 1 else Parts(done)
