"""Commands of continuous learning; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.drift import held
from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note, Parts
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.learn_policy import PROMOTIONS, LearnPolicy
from skillfleet_nb.programs.registry import parse

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_POLICY = """Set when a registered program is trained anew, on what budget, and what becomes of the result.

--on says what begins a cycle: drift (an alarm of a check), model (another model answers now), feedback:50 (so many
corrections), every:7d. A cycle is a job on what the program was trained on and the corrections since; its version has
to pass a gate on the golden set: a gain told from chance, no more examples worse than noise explains, guardrails."""
_RUN = """Go on with the policy of a program as far as it goes: look for a trigger, train, judge, decide.

Nothing runs by itself: call it from cron or a container, or with --every, which does so in this process until it ends
or is stopped. A run that died is gone on with by the next."""

_FEEDBACK = """Keep feedback: each row has the program's inputs, and a score in [0, 1], the right outputs, or both.

The first feedback of an id counts. Corrections are trained on in the next cycle of the program's policy."""

_learn = group(
    "learn",
    "train anew on drift, feedback or time: policy, run, status, approve, feedback",
    about="Train registered programs anew when something says so, and promote what passes a gate.",
    task="Keep",
    place=92,
)
_NAME = argument("name", metavar="POLICY", help="the registered program")


@command(
    "learn policy",
    "set when a program is trained anew, and what becomes of it",
    argument("name", metavar="REGISTERED", help="the registered program"),
    argument("--on", action="append", metavar="TRIGGER", help="drift, model, feedback:50, every:7d; default: drift"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="hard limit of each job in USD"),
    argument("--max-calls", type=int, metavar="N", help="hard limit of each job in bought calls"),
    argument("--optimizer", default="auto", metavar="OPTIMIZER", help="default: auto"),
    argument("--promote", choices=PROMOTIONS, default="ask", help="what passes the gate: ask (default), auto, never"),
    argument("--alias", default="production", metavar="WORD", help="the alias that is trained anew and moved"),
    argument("--gain", type=float, default=0.0, metavar="GAIN", help="gain asked for at least, in [0, 1]"),
    argument("--guardrail", dest="guardrails", action="append", default=[], metavar="LIMIT", help="cost<=1.2x"),
    argument("--golden", metavar="GOLDEN", help="the golden set of the gate; default: NAME"),
    about=_POLICY,
    examples=("learn policy support-intents --on drift --budget 5 --optimizer auto --promote ask",),
)
def _policy(c: Context, a: argparse.Namespace) -> object:
    names = ("budget_usd", "max_calls", "optimizer", "promote", "alias", "gain", "guardrails", "golden")
    options: dict[str, Any] = {name: getattr(a, name) for name in names}
    return c.fleet.learn(LearnPolicy(a.name, on=a.on or ("drift",), **options))


@command(
    "learn run",
    "go on with a policy: trigger, job, gate, decision",
    _NAME,
    argument("--now", action="store_true", help="begin a cycle although nothing triggers one"),
    argument("--every", metavar="TIME", help="again and again in this process: 15m, 1h, 1d"),
    argument("--times", type=int, metavar="N", help="with --every: end after so many"),
    argument("--stop", action="store_true", help="end what --every began"),
    about=_RUN,
    examples=("learn run support-intents", "learn run support-intents --every 1h"),
)
def _run(c: Context, a: argparse.Namespace) -> object:
    if a.stop:
        ticker = c.fleet.learning.running(a.name)
        ticker.stop()
        return ticker
    if a.every is None:
        return c.fleet.learning.run(a.name, now=a.now, wait=c.wait)
    if a.now:
        raise InputError("--now begins one cycle, --every many: give one of them.")
    ticker = c.fleet.learning.every(a.name, a.every, a.times)
    return ticker if c.stays else held(ticker)


@command(
    "learn status",
    "what a policy did, why, what it cost and how to undo it",
    argument("name", nargs="?", metavar="POLICY", help="the registered program; all without it"),
    examples=("learn status support-intents",),
)
def _status(c: Context, a: argparse.Namespace) -> object:
    learning = c.fleet.learning
    if a.name is not None:
        return learning.status(a.name)
    lines = [learning.status(name).sentence() for name in learning.names]
    return Note("\n".join(lines) or f"no policies: {as_typed('learn policy NAME --on drift --budget 5')} sets one")


@command("learn approve", "move the alias to the version that waits for it", _NAME, examples=("learn approve intents",))
def _approve(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.learning.decide(a.name, approve=True)


@command("learn reject", "leave the alias, and end the cycle", _NAME, examples=("learn reject intents",))
def _reject(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.learning.decide(a.name, approve=False)


@command(
    "learn feedback",
    "tell how good answers were, and what is right",
    argument("name", metavar="REGISTERED", help="the registered program"),
    argument("--from", dest="rows", required=True, metavar="DATA", help="rows: inputs, score, id, and what is right"),
    about=_FEEDBACK,
    examples=("learn feedback support-intents --from feedback.csv",),
)
def _feedback(c: Context, a: argparse.Namespace) -> object:
    n = c.fleet.learning.feedback_rows(a.name, c.rows(a.rows, "feedback"))
    name = parse(a.name).name
    note = Note(f"{counted(n, 'row')} {'is' if n == 1 else 'are'} kept")
    return Parts([note, Note(c.fleet.learning.status(name).feedback())]) if name in c.fleet.learning.names else note
