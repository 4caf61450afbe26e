"""Commands that put jobs in order: name, note, tags, archive, trash."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from skillfleet_nb.commands.asking import agreed
from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note, amount
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import ago, counted
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.store.trash import Deleted

_NAME = argument("name", metavar="JOB", help="name or id")
_NAMES = argument("names", nargs="+", metavar="JOB", help="names or ids")
_TRASH = """Move jobs into the home's trash, bring them back, or empty the trash.

A deleted job is in no list, count or advice. Its folder stays whole in `trash/` of the home until you empty that;
`--undo` brings it back, by name, or without one the job that was deleted last. `db compact` deletes for good what has
lain there for over `keep_trash_days`, 90 unless the settings say otherwise. `--empty-trash` says what it would
delete for good and asks: all jobs in the trash, and images and files that nothing else in the home refers to."""

_ERASE = """Erase jobs for good: from the journal or the trash, from all backups and from the database.

Programs, images and files that nothing else refers to go with them, and so do databases in backups, which are made
anew where they are needed. The audit trail keeps what was erased, its size and SHA-256, by whom, and whether anything
of it was found again. Exports are not touched: those that may hold something of it are named."""


@command(
    "rename",
    "call a job by another name",
    _NAME,
    argument("new", metavar="NEW", help="a name that no other job has"),
    examples=("rename intents intents-first",),
    task="Keep",
    place=20,
)
def _rename(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    before = job.name
    return Note(f"{before} is now {c.fleet.curation.rename(job.id, a.new).name}")


@command(
    "note",
    "keep what is to be remembered of a job",
    _NAME,
    argument("text", metavar="TEXT", help="an empty one takes the note away"),
    examples=("note intents 'trained before the labels were cleaned'", "note intents ''"),
    task="Keep",
    place=21,
)
def _note(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.curation.note(a.name, a.text)
    note = job.progress.note
    return Note(f"noted of {job.name}: {note}" if note else f"{job.name} has no note")


@command(
    "tag",
    "give jobs tags to be found by, or take tags away",
    _NAMES,
    argument("--add", action="append", default=[], metavar="TAG", help="a word to find the jobs by"),
    argument("--remove", action="append", default=[], metavar="TAG", help="a word to take away"),
    examples=("tag intents --add v2", "tag intents other --add support --remove v1"),
    task="Keep",
    place=22,
)
def _tag(c: Context, a: argparse.Namespace) -> Note:
    if not a.add and not a.remove:
        raise InputError("tag: give --add TAG, --remove TAG, or both")
    jobs = c.fleet.curation.tag(a.names, add=a.add, remove=a.remove)
    return Note("\n".join(f"{job.name}: {', '.join(job.progress.tags) or 'no tags'}" for job in jobs))


@command(
    "archive",
    "put jobs out of sight of lists; they are counted as before",
    _NAMES,
    argument("--undo", action="store_true", help="put them back"),
    examples=("archive intents", "archive intents --undo"),
    task="Keep",
    place=23,
)
def _archive(c: Context, a: argparse.Namespace) -> Note:
    names = ", ".join(job.name for job in c.fleet.curation.archive(a.names, undo=a.undo))
    if a.undo:
        return Note(f"back in lists: {names}")
    undo = f"archive {_quoted(a.names)} --undo"
    return Note(f"archived: {names}; {as_typed('jobs --archived')} lists them, {as_typed(undo)} puts them back")


@command(
    "delete",
    "move jobs into the trash, bring them back, or empty it",
    argument("names", nargs="*", metavar="JOB", help="names or ids"),
    argument("--dry-run", action="store_true", help="only tell what would be moved"),
    argument("--undo", action="store_true", help="bring them back; without a name, the one deleted last"),
    argument("--empty-trash", action="store_true", help="delete for good what is in the trash"),
    argument("--yes", action="store_true", help="empty it without asking"),
    about=_TRASH,
    examples=("delete intents --dry-run", "delete intents", "delete --undo", "delete --empty-trash --dry-run"),
    task="Keep",
    place=24,
)
def _delete(c: Context, a: argparse.Namespace) -> Note:
    curation = c.fleet.curation
    if a.empty_trash:
        return _emptied(c, a)
    if a.undo:
        there = curation.deleted()
        if a.dry_run:
            return Note("\n".join(f"in the trash: {d.name}, deleted {ago(d.at)}" for d in there))
        names = {d.job_id: d.name for d in there}
        return Note("\n".join(_back(d, names[d.job_id]) for d in curation.restore(a.names)))
    if not a.names:
        there = curation.deleted()
        content = f"the trash has {', '.join(d.name for d in there)}" if there else "the trash is empty"
        raise InputError(f"delete: give the name of a job; {content}")
    gone = curation.would_delete(a.names) if a.dry_run else curation.delete(a.names)
    size = amount(sum(d.bytes for d in gone))
    what = f"{counted(len(gone), 'job')}: {', '.join(d.name for d in gone)}, {size}"
    if a.dry_run:
        return Note(f"would move {what} into the trash")
    undo = f"delete {_quoted(d.name for d in gone)} --undo"
    kept = kept_for(c.fleet.settings.keep_trash_days)
    return Note(f"moved {what} into the trash{kept}; {as_typed(undo)} brings them back")


def _back(restored: Deleted, name: str) -> str:
    renamed = "" if restored.name == name else f" ({name} is another job's name by now)"
    return f"back: {restored.name}{renamed}, deleted {ago(restored.at)}"


@command(
    "erase",
    "erase jobs for good, from backups too, with a proof in the audit trail",
    _NAMES,
    argument("--dry-run", action="store_true", help="only tell what would be erased"),
    argument("--yes", action="store_true", help="do it without asking"),
    about=_ERASE,
    examples=("erase intents --dry-run", "erase intents --yes"),
    task="Keep",
    place=25,
)
def _erase(c: Context, a: argparse.Namespace) -> Note:
    would = c.fleet.curation.erase(a.names, dry_run=True)
    listing = "\n".join(f"{one.name} ({one.job_id}): {one.in_words}" for one in would)
    if a.dry_run:
        return Note(f"would erase {listing}")
    what = f"{counted(len(would), 'job')} ({', '.join(one.name for one in would)}) for good, from backups too"
    if not (a.yes or agreed(f"Erase {what}?")):
        raise InputError(f"erase would erase {what}: --yes does it")
    lines = []
    for one in c.fleet.curation.erase([one.job_id for one in would]):
        lines.append(f"erased {one.name} ({one.job_id}): {one.in_words}")
        lines.append(f"still named in {', '.join(one.named_in)}" if one.named_in else "nothing of it was found again")
        lines += [f"an export that may hold it: {place}" for place in one.exports]
    return Note("\n".join(lines))


def _emptied(c: Context, a: argparse.Namespace) -> Note:
    if a.names or a.undo:
        raise InputError("delete --empty-trash deletes all that is in the trash: it takes no names and no --undo")
    gone = c.fleet.curation.would_empty()
    if not (gone.jobs or gone.blobs):
        return Note("the trash is empty")
    names = f" ({', '.join(one.name for one in gone.jobs)})" if gone.jobs else ""
    blobs = f"{counted(len(gone.blobs), 'file')} of blobs"
    what = f"{counted(len(gone.jobs), 'job')}{names} and {blobs}, {amount(gone.bytes)}"
    if a.dry_run:
        return Note(f"would delete {what} for good")
    if not (a.yes or agreed(f"Delete {what} for good?")):
        raise InputError(f"delete --empty-trash would delete {what} for good: --yes does it")
    c.fleet.curation.empty()
    return Note(f"deleted {what} for good")


def kept_for(days: float | None) -> str:
    """Say how long what was put aside is kept; nothing where that is for good."""
    return "" if days is None else f", where {as_typed('db compact')} leaves it for {days:g} days"


def _quoted(names: Iterable[str]) -> str:
    return " ".join(map(quote, names))
