"""Commands that look for drift; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Parts, Table

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_CHECK = """Test whether live inputs still come from where those came from that a registered program was trained on.

It is a test with a stated risk of a false alarm, which all checks of a program share: however often one looks, the risk
stays --alpha. Where there are too few inputs to tell, it says how many are needed. A shell's exit code is 1 on an
alarm."""

_drift = group(
    "drift",
    "do live inputs still look like those of the training? checks, history",
    about="Look whether what a registered program is asked has changed since it was made.",
    task="Keep",
    place=91,
)


@command(
    "drift check",
    "test live inputs against those of the training",
    argument("name", metavar="REF", help="NAME@ALIAS or NAME@VERSION"),
    argument("--inputs", metavar="DATA", required=True, help="live inputs"),
    argument("--reference", metavar="DATA", help="inputs to compare with; default: the rows its job trained on"),
    argument("--alpha", type=float, default=0.01, metavar="RISK", help="of a false alarm over all checks: 0.01"),
    argument("--seed", type=int, default=0, metavar="N", help="of the permutations"),
    argument("--plot", action="store_true", help="draw all checks of it as well"),
    about=_CHECK,
    examples=("drift check support-intents@production --inputs live.parquet --alpha 0.01",),
)
def _check(c: Context, a: argparse.Namespace) -> object:
    c.fleet.registry.show(a.name)
    live, reference = c.rows(a.inputs, "inputs"), c.rows(a.reference, "reference")
    count = c.counting("embedding")
    report = c.fleet.drift.check(
        a.name if reference is None else reference, live, alpha=a.alpha, seed=a.seed, of=a.name, progress=count
    )
    if a.plot:
        c.say(c.fleet.drift.chart(a.name))
    return report


@command(
    "drift history",
    "the checks so far",
    argument("name", nargs="?", metavar="CHECKED", help="what was checked; all without it"),
    argument("--plot", action="store_true", help="draw them; needs a name"),
    examples=(
        "drift history support-intents@production",
        "drift history support@production --plot",
    ),
)
def _history(c: Context, a: argparse.Namespace) -> object:
    table = Table(c.fleet.drift.history(a.name))
    return Parts([table, c.fleet.drift.chart(a.name)]) if a.plot and a.name else table
