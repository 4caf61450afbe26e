"""Commands of the audit trail; each calls one method of ``fleet.audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group, written
from skillfleet_nb.commands.views import Note, Table, Written
from skillfleet_nb.errors import InputError, TamperedError
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.reports.compliance import Compliance

_MOST_TOLD = 3
_VERIFY = """Look whether the audit trail is as it was written: no line altered, added, moved or removed.

Each line is sealed with this user's key, which lies outside the home, and so is how far the trail goes. The answer
tells a checkpoint, a number and a hash: kept elsewhere, --checkpoint looks whether that line is still there."""
_ACCEPT = """Accept what `audit verify` finds, with a reason, such as a home that was deleted and made anew.

It is written into the trail with who accepted it, and `audit verify` goes on telling what it was."""

_audit = group(
    "audit",
    "who did what in this home, and whether that record was tampered with",
    parts_are="verify|list|report|accept",
    task="Keep",
    place=95,
)


@command(
    "audit verify",
    "look whether anybody changed the trail",
    argument("--checkpoint", metavar="N:HASH", help="a line that must still be there"),
    about=_VERIFY,
    examples=("audit verify",),
)
def _verify(c: Context, a: argparse.Namespace) -> Note:
    looked = c.fleet.audit.verify(a.checkpoint)
    if not looked.is_intact:
        some = "; ".join(str(fault) for fault in looked.faults[:_MOST_TOLD])
        more = f"; and {len(looked.faults) - _MOST_TOLD} more" if len(looked.faults) > _MOST_TOLD else ""
        raise TamperedError(
            f"the audit trail of {c.fleet.home.root} was tampered with: {some}{more}. Find out who can write there; "
            f"{as_typed('audit accept REASON')} takes it as it is."
        )
    return Note(str(looked))


@command(
    "audit list",
    "what was done, the last first",
    argument("--limit", type=int, default=50, metavar="N", help="lines shown (50)"),
    argument("--user", metavar="NAME", help="only by one user"),
    examples=("audit list", "audit list --user ann"),
)
def _list(c: Context, a: argparse.Namespace) -> Table | Note:
    if a.limit < 1:
        raise InputError(f"--limit {a.limit}: give 1 or more")
    entries = c.fleet.audit.entries()
    if a.user is not None:
        entries = entries[entries.user == a.user]
    if entries.empty:
        return Note("nothing was done yet" + (f" by {a.user}" if a.user is not None else ""))
    return Table(entries[::-1].reset_index(drop=True), a.limit)


@command(
    "audit report",
    "one page: what is stored where and for how long, how protected, who did what",
    written("--out", metavar="FILE", help="write it, as .html or .txt"),
    examples=("audit report", "audit report --out compliance.html"),
)
def _report(c: Context, a: argparse.Namespace) -> Compliance | Written:
    report = c.fleet.reports.compliance()
    return report if a.out is None else Written(report.save(a.out))


@command(
    "audit accept",
    "take the trail as it is, with its faults",
    argument("reason", metavar="REASON", help="why; it is written down"),
    about=_ACCEPT,
    examples=("audit accept 'the home was made anew'",),
)
def _accept(c: Context, a: argparse.Namespace) -> Note:
    c.fleet.audit.accept(a.reason)
    return Note(str(c.fleet.audit.verify()))
