"""Commands about the store: its state, its care, and ways out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skillfleet_nb.commands.asking import agreed
from skillfleet_nb.commands.curation import kept_for
from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note, StatusView, amount
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from skillfleet_nb.commands.context import Context

_COMPACT = """Turn the journals of finished jobs into Parquet, which takes a fraction of the room.

Nothing reads differently afterwards. The settings compact_after_days, keep_prompts_days and
keep_jobs_days say from which age on, and whether old prompts and old jobs are kept. What lies in the trash for over
keep_trash_days (90) and backups older than keep_backups_days (365) are deleted for good; --dry-run names them."""
_COMPACT_EXAMPLES = ("db compact --dry-run", "db compact --all")
_RESET = """Empty the home of jobs and programs. They are moved to a folder of backups/ in it, from
which `db restore` brings them back. Settings, exports and similarity indexes stay."""
_MOST_NAMED = 10
_TRUST = """Say that the home here is used from now on, whoever made it.

A home that comes with somebody's folder brings settings, programs and data along. It is used once you have said so,
or where you name it, with --home or SKILLFLEET_HOME. Jobs that others packed are run in no case."""


DB = group(
    "db",
    "the store: status, care, backup, export",
    parts_are="status|init|trust|migrate|reset|restore|rebuild|compact|export|encrypt|decrypt|unlock|lock",
    task="Keep",
    place=2,
)


@command(
    "db status",
    "sizes, jobs, schema, backups, and the line to attach it elsewhere",
    examples=("db status",),
)
def _status(c: Context, a: argparse.Namespace) -> StatusView:
    del a
    return StatusView(c.fleet.store.status(), c.fleet.encryption.state().in_words)


@command(
    "db init",
    "make a home here, or in a folder",
    argument("folder", nargs="?", metavar="FOLDER", help="where .skillfleet is to be"),
    examples=("db init", "db init project"),
)
def _init(c: Context, a: argparse.Namespace) -> Note:
    from skillfleet_nb.store import Home

    if a.folder and a.home:
        raise InputError(f"both {a.folder!r} and --home {a.home!r} given: name one of them")
    named = a.home or os.environ.get("SKILLFLEET_HOME")
    home = c.fleet.home.ensure() if named and not a.folder else Home.init(a.folder or ".")
    if Home.find(a.home).root == home.root:
        return Note(f"the home is {home.root}")
    return Note(f"made {home.root}: used from its folder on down, unless SKILLFLEET_HOME names another")


@command(
    "db trust",
    "use a home that somebody else made, or that was moved here",
    about=_TRUST,
    examples=("db trust",),
)
def _trust(c: Context, a: argparse.Namespace) -> Note:
    del c
    from skillfleet_nb.store import Home

    home = Home.nearest(a.home)
    if not home.root.is_dir():
        return Note("there is no home here, or above")
    home.trust()
    return Note(f"{home.root} is trusted")


@command(
    "db migrate",
    "bring the database to this version's schema, keeping a copy of the old one",
    examples=("db migrate",),
)
def _migrate(c: Context, a: argparse.Namespace) -> Note:
    del a
    applied, backup = c.fleet.store.migrate()
    if backup is None:
        return Note("nothing to migrate: the database has this version's schema")
    return Note(f"applied {', '.join(applied)}; the database as it was is in {backup}")


@command(
    "db reset",
    "empty the home, keeping a backup",
    argument("--yes", action="store_true", help="do it without asking"),
    about=_RESET,
    examples=("db reset --yes",),
)
def _reset(c: Context, a: argparse.Namespace) -> Note:
    store = c.fleet.store
    would = store.reset(dry_run=True)
    if not would.bytes:
        return Note("nothing to reset: the home holds no jobs and no programs")
    what = f"{_jobs(would.jobs)} and every program ({amount(would.bytes)}) from {store.home.root} to its backups"
    if not (a.yes or agreed(f"Move {what}?")):
        raise InputError(f"db reset would move {what}: --yes does it")
    report = store.reset()
    left = f"; left as they came to life: {', '.join(report.left)}" if report.left else ""
    kept = f"{', encrypted' if store.home.is_encrypted else ''}{kept_for(c.fleet.settings.keep_backups_days)}"
    return Note(
        f"moved {_jobs(report.jobs)} to {report.backup}{kept}; db restore {report.backup.name} brings them back{left}"
    )


@command(
    "db restore",
    "bring the jobs of a backup back",
    argument("backup", metavar="BACKUP", help="its name, as status lists them, or a folder"),
    examples=("db restore 20260101-120000",),
)
def _restore(c: Context, a: argparse.Namespace) -> Note:
    report = c.fleet.store.restore(a.backup)
    left = f"; here already: {', '.join(report.left)}" if report.left else ""
    renamed = "".join(f"; {name} is another job's name by now: {now}" for name, now in report.renamed.items())
    beside = ""
    if report.beside:
        beside = (
            f"; left in the backup, since this home has its own: {', '.join(report.beside)} (db init FOLDER makes "
            "another home, and db restore --home brings all of it there)"
        )
    return Note(f"restored {_jobs(report.jobs)} from {report.backup}{left}{renamed}{beside}")


@command(
    "db rebuild",
    "make the database anew from the journal; nothing is lost",
    examples=("db rebuild",),
)
def _rebuild(c: Context, a: argparse.Namespace) -> Note:
    del a
    report = c.fleet.store.rebuild()
    made = f"rebuilt from {counted(report.events, 'event')} in {report.seconds:.1f} s"
    return Note(f"{made}; {counted(report.bad_lines, 'line')} skipped")


@command(
    "db compact",
    "turn journals of finished jobs into Parquet",
    argument("--all", action="store_true", help="finished jobs of any age"),
    argument("--dry-run", action="store_true", help="only tell what would be done"),
    about=_COMPACT,
    examples=_COMPACT_EXAMPLES,
)
def _compact(c: Context, a: argparse.Namespace) -> Note:
    progress = c.counting("bytes of journal compacted")
    report = c.fleet.store.compact(everything=a.all, dry_run=a.dry_run, progress=progress)
    lines = []
    if report.expired:
        gone = f"{report.expired.in_words}, {amount(report.expired.bytes)}"
        lines.append(f"{'would delete' if a.dry_run else 'deleted'} for good, by their age: {gone}")
    if not (report.compacted or report.dropped or report.busy):
        lines.append("nothing to compact" + ("" if a.all else ": --all takes finished jobs of any age"))
        return Note("\n".join(lines))
    if report.compacted:
        lines.append(f"{'would compact' if a.dry_run else 'compacted'} {_jobs(report.compacted)}")
    if report.hashed:
        lines.append(f"{'would keep' if a.dry_run else 'kept'} only hashes of the prompts of {_jobs(report.hashed)}")
    if report.dropped:
        lines.append(f"{'would delete' if a.dry_run else 'deleted'} {_jobs(report.dropped)}")
    if report.busy:
        lines.append(f"left {_jobs(report.busy)}: they came to life meanwhile")
    after = "" if report.bytes_after is None else f" to {amount(report.bytes_after)} in {report.seconds:.1f} s"
    lines.append(f"journals: {amount(report.bytes_before)}{after}")
    return Note("\n".join(lines))


@command(
    "db export",
    "write every relation to a folder",
    argument("folder", metavar="FOLDER"),
    argument("--format", choices=("parquet", "csv", "json"), default="parquet"),
    examples=("db export facts --format csv",),
)
def _export(c: Context, a: argparse.Namespace) -> Note:
    files = c.fleet.store.export(a.folder, a.format)
    clear = "; they are not encrypted, as the home is" if c.fleet.home.is_encrypted else ""
    return Note("wrote " + ", ".join(str(f) for f in files) + clear)


def _jobs(jobs: Sequence[str]) -> str:
    named = ", ".join(jobs[:_MOST_NAMED]) + (", …" if len(jobs) > _MOST_NAMED else "")
    return counted(jobs, "job") + (f" ({named})" if jobs else "")
