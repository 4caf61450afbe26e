"""Commands of redaction; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note, Table
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_ABOUT = """Keep personal data and keys out of what is written.

The settings say what, under [redact] in config.toml: kinds (key, email, phone, card, iban), patterns of your own, and a
hook. Models are asked with the true text."""

_redact = group("redact", "personal data kept out of what is written", about=_ABOUT, task="Keep", place=96)


@command(
    "redact try",
    "how a text would be written in this home",
    argument("text", metavar="TEXT"),
    examples=("redact try 'write to ann@example.org'",),
)
def _try(c: Context, a: argparse.Namespace) -> Note:
    clean, counts = c.fleet.redact(a.text)
    return Note(f"{clean}\n{_told(counts)}")


@command("redact list", "what was taken out, by job", examples=("redact list",))
def _list(c: Context, a: argparse.Namespace) -> Table | Note:
    del a
    frame = c.fleet.redactions()
    if frame.empty:
        kinds = ", ".join(c.fleet.settings.redact.kinds)
        return Note("nothing was taken out yet" + ("" if kinds else ": [redact] in config.toml says what is"))
    return Table(frame)


def _told(counts: dict[str, int]) -> str:
    if not counts:
        return "nothing taken out"
    return "taken out: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())) + f" ({_all(counts)})"


def _all(counts: dict[str, int]) -> str:
    return counted(sum(counts.values()), "piece")
