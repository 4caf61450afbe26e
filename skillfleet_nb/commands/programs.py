"""Commands that put runs side by side and open their programs; each calls one facade method."""

from __future__ import annotations

import json
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command, group, written
from skillfleet_nb.commands.resolve import answering, pairs
from skillfleet_nb.commands.views import Note, Parts
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.reports.golden import GoldenWarning

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.reports.stored_programs import StoredProgram

_COMPARE = """Put jobs side by side: what was set up differently, scores with the interval of their difference, cost,
prompts with the differences marked, and the examples they disagree on. The first is what others are compared with."""
_PROGRAM = (
    """Programs that jobs scored, and registered ones: names whose versions never change, with aliases that move."""
)
_SHOW = """Open a program: instructions, demos, ancestors, scores per example. Try it, save it, or put it to use.

A job stands for its best program; any other is named by its id, of which the first characters are enough. What is
registered is named NAME@VERSION or NAME@ALIAS, or NAME for its last version."""
_REGISTER = """Keep a program under a name, as its next version, with its scores, job, data, metric and model.

A version never changes, and a program that is registered already stays the version it is. A variable comes before a
job of the same name."""
_CHECK = """Look how a registered version answers a few inputs that were kept with it, against what it answered then.

They are looked up in DSPy's cache, which costs nothing; what it does not hold is asked anew within --max-calls."""
_ALIAS = """Set an alias to a version of a registered program, after comparing it with the version that the alias stands
for, pair by pair on the sealed test split.

It is refused where the test is worse or the two cannot be compared (other data, another metric, not scored); --force
moves it all the same and keeps the reason."""


@command(
    "compare",
    "jobs side by side: scores, cost, prompts, disagreements",
    argument("names", nargs="+", metavar="JOB", help="names or ids, at least two"),
    written("--json", metavar="FILE", help="write it all to this file too"),
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
    "registered programs; or those a job scored, in order",
    argument("name", nargs="?", metavar="JOB", help="name or id of a job; without it, what is registered"),
    examples=("programs", "programs intents"),
    task="Learn from runs",
    place=4,
)
def _programs(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.registry.listing() if a.name is None else c.fleet.programs.of(a.name)


_program = group(
    "program",
    "one program: show, try, save, use or register it; move aliases",
    about=_PROGRAM,
    task="Learn from runs",
    place=5,
)


@command(
    "program show",
    "what a program says, its scores; try, save or use it",
    argument("name", metavar="REF", help="NAME@VERSION or NAME@ALIAS; a job; or id of a program"),
    argument("--job", metavar="JOB", help="see it as a candidate of this job, where several scored it"),
    argument("--try", dest="inputs", action="append", metavar="FIELD=VALUE", help="ask it; once for each input"),
    argument("--lm", metavar="LM", help="with --try: variable, 'offline', 'local', or model name; default: dspy's"),
    argument("--onto", metavar="PROGRAM", help="the program it is put onto, where none was kept with the job"),
    written("--save", metavar="FILE.json", help="write it as JSON that dspy loads"),
    argument("-o", dest="output", metavar="NAME", help="put the program into this variable, to be used"),
    about=_SHOW,
    examples=(
        "%skillfleet program show intents -o best",
        'program show 1fffd3c8 --try text="We were charged twice"',
        "program show support-intents@production",
    ),
)
def _show(c: Context, a: argparse.Namespace) -> object:
    registered = a.job is None and a.name.partition("@")[0] in c.fleet.registry.names
    program = c.fleet.registry.show(a.name) if registered or "@" in a.name else _of_a_job(c, a.name, a.job)
    onto = c.object(a.onto, "program") if a.onto else None
    done: list[Any] = []
    if a.output:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GoldenWarning)
            c.namespace[a.output] = c.fleet.program(a.name, onto) if registered or "@" in a.name else program.load(onto)
        done.append(Note("\n".join([f"{a.output} is {program.label}", *(str(one.message) for one in caught)])))
    if a.save:
        done.append(Note(f"saved {program.save(a.save)}: program.load({a.save!r}) of dspy reads it"))
    if a.inputs:
        done.append(program.ask(pairs(a.inputs, "--try field=value", '--try text="hello"'), lm=c.lm(a.lm), onto=onto))
    if not done:
        return program
    return done[0] if len(done) == 1 else Parts(done)


def _of_a_job(c: Context, name: str, job: str | None) -> StoredProgram:
    try:
        return c.fleet.programs.find(name, job)
    except NotFoundError:
        if job is None and get_close_matches(name, c.fleet.registry.names, n=1):
            c.fleet.registry.show(name)  # which tells the nearest of what is registered
        raise


@command(
    "program register",
    "keep a program as the next version of a name",
    argument("source", metavar="JOB", help="job (its best program), id, JSON file, or a program in a variable"),
    argument("--as", dest="name", metavar="REGISTERED", required=True, help="the name; a new one makes its version 1"),
    argument("--note", metavar="TEXT", help="what to remember of it"),
    argument("--golden", metavar="DATA", help="ask it now on the first five rows, and keep the answers to check by"),
    argument("--lm", metavar="LM", help="with --golden: variable, 'offline', 'local', or model name; default: dspy's"),
    about=_REGISTER,
    examples=('program register intents --as support-intents --note "after the March data"',),
)
def _register(c: Context, a: argparse.Namespace) -> object:
    before = c.fleet.registry.versions(a.name).version.max() if a.name in c.fleet.registry.names else 0
    with answering(c.lm(a.lm)):
        version = c.fleet.register(c.program_or_name(a.source), a.name, a.note, golden=c.rows(a.golden, "golden"))
    repeated = "" if version.version > before else ", which it was already"
    scored = "" if version.is_scored else "; it is not scored on a test split"
    aliases = [alias for alias, n in c.fleet.registry.aliases(version.name).items() if n == version.version]
    set_alias = as_typed(f"program alias {version.name} production {version.version}")
    use = f"it is {', '.join(aliases)}" if aliases else f"{set_alias} puts it to use"
    return Note(f"registered {version.ref}{repeated}{scored}\n{use}")


@command(
    "program check",
    "does a registered version still answer as it did?",
    argument("name", metavar="REF", help="NAME@VERSION or NAME@ALIAS, or NAME for its last version"),
    argument("--max-calls", type=int, metavar="N", help="calls that may be made; default: golden_calls, which is 0"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: dspy's, else its job's"),
    argument("--onto", metavar="PROGRAM", help="the program it is put onto; default: its own class"),
    about=_CHECK,
    examples=("program check support-intents@production", "program check support-intents@3 --max-calls 5"),
)
def _check(c: Context, a: argparse.Namespace) -> object:
    onto = c.object(a.onto, "program") if a.onto else None
    return c.fleet.registry.golden(a.name, onto, calls=a.max_calls, lm=c.lm(a.lm))


@command(
    "program alias",
    "set an alias such as production to a version, with the evidence",
    argument("name", metavar="REGISTERED", help="name of a registered program"),
    argument("alias", metavar="ALIAS", help="production, candidate, or any word"),
    argument("version", type=int, metavar="VERSION", help="its number"),
    argument("--force", metavar="REASON", help="move it against the evidence, and why"),
    argument("--dry-run", action="store_true", help="tell the evidence only"),
    about=_ALIAS,
    examples=("program alias support-intents production 3 --dry-run", "program alias support-intents production 3"),
)
def _alias(c: Context, a: argparse.Namespace) -> object:
    evidence = c.fleet.registry.move(a.name, a.alias, a.version, force=a.force, dry_run=a.dry_run)
    if a.dry_run:
        refused = f"\nit would be refused without --force: {evidence.objection}" if evidence.objection else ""
        return Note(f"{evidence.text}{refused}\nnothing was moved")
    return Note(f"{a.name}@{a.alias} is version {a.version}\n{evidence.text}")


@command(
    "program rollback",
    "set an alias back to the version before",
    argument("name", metavar="REGISTERED", help="name of a registered program"),
    argument("alias", metavar="ALIAS", help="the alias"),
    argument("--to", type=int, metavar="VERSION", help="an earlier version that it stood for"),
    examples=("program rollback support-intents production", "program rollback support-intents production --to 2"),
)
def _rollback(c: Context, a: argparse.Namespace) -> object:
    move = c.fleet.rollback(a.name, a.alias, a.to)
    undo = as_typed(f"program alias {a.name} {a.alias} {move.previous}")
    return Note(f"{a.name}@{a.alias} is version {move.version} again, after {move.previous}\n{undo} undoes it")


@command(
    "program diff",
    "what two registered versions say differently",
    argument("one", metavar="REF", help="NAME@VERSION or NAME@ALIAS"),
    argument("other", metavar="REF", help="another one"),
    examples=("program diff support-intents@2 support-intents@production",),
)
def _diff(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.registry.diff(a.one, a.other)
