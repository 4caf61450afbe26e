"""One page for whoever asks: what a home stores where and for how long, how it is protected, and who did what."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, expanded
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.security import user_folder
from skillfleet_nb.store import Encryption, Trail, queries
from skillfleet_nb.store.redacting import is_sealing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.config import Settings
    from skillfleet_nb.store import Home, Store

_DAY = "%Y-%m-%d %H:%M"
_MOST = 200  # rows of a part
_NOTHING = "nothing"


class Part(NamedTuple):
    """A part of the page: a table under a title."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Compliance(Readable):
    """What is stored where, for how long, how it is protected, and who did what with it.

    Attributes
    ----------
    home
        The home it is about.
    at
        When it was made, UTC.
    parts
        Its tables.
    """

    home: Path
    at: datetime
    parts: tuple[Part, ...]

    def text(self) -> str:
        """Return it as plain text."""
        lines = [f"{self._title}\n"]
        for part in self.parts:
            rows = text_table(part.header, part.rows) if part.rows else _NOTHING
            lines.append(f"{part.title}\n\n{rows}\n")
        return "\n".join(lines).rstrip()

    __repr__ = Readable.__str__

    def html(self) -> Markup:
        """Return it as HTML."""
        pieces = [fill("<h2>{}</h2>", self._title)]
        for part in self.parts:
            pieces.append(fill("<h3>{}</h3>", part.title))
            pieces.append(table(part.header, part.rows) if part.rows else fill("<p>{}</p>", _NOTHING))
        return join(pieces)

    def save(self, path: str | Path) -> Path:
        """Write it as a page (``.html``) or as text (``.txt``).

        Raises
        ------
        InputError
            If the name ends otherwise, or the file cannot be written.
        """
        file = expanded(path)
        if file.suffix.lower() not in {".html", ".txt"}:
            raise InputError(f"{file.name!r} is neither a page nor a text: end it in .html or .txt")
        page = fill(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{}</title>"
            "<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}"
            "td,th{{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}}</style>{}",
            self._title,
            self.html(),
        )
        try:
            file.write_text(page if file.suffix.lower() == ".html" else self.text() + "\n", "utf-8")
        except OSError as exc:
            raise InputError(f"cannot write {str(file)!r}: {exc.strerror}; give a folder that exists") from exc
        return file

    @property
    def _title(self) -> str:
        return f"What {self.home} stores, and who saw it ({self.at:{_DAY}} UTC)"


def compliance(store: Store, settings: Settings) -> Compliance:
    """Look through a home; nothing of it is changed."""
    home, trail = store.home, Trail(store.home)
    entries = trail.entries()
    parts = (
        Part("What is stored where, and for how long", _STORED, tuple(_stored(home, settings))),
        Part("How it is protected", ("what", "how"), tuple(_protected(store, settings, trail))),
        Part("Who did what", ("who", "what", "times", "first", "last"), tuple(_deeds(entries))),
        Part("What left the home", ("when", "who", "what", "where to", "still there"), tuple(_exports(entries))),
        Part("What was deleted for good", ("when", "who", "what", "how much"), tuple(_deletions(entries))),
    )
    return Compliance(home.root, datetime.now(UTC), parts)


_STORED = ("what", "where", "files", "bytes", "oldest", "newest", "kept")


def _stored(home: Home, settings: Settings) -> Iterator[tuple[str, ...]]:
    runs = "until deleted" if settings.keep_jobs_days is None else f"{settings.keep_jobs_days:g} days, by db compact"
    if not settings.record_prompts:
        texts = "not recorded, only SHA-256"
    elif settings.keep_prompts_days is None:
        texts = "prompts and answers as long as the run"
    else:
        texts = f"prompts and answers {settings.keep_prompts_days:g} days, by db compact"
    cache = Path(os.environ.get("DSPY_CACHEDIR") or Path.home() / ".dspy_cache")
    by_job = "as long as the run that refers to it"
    yield from (
        _place("runs: settings, calls, answers, scores", home.journal, f"{runs}; {texts}"),
        _place("indexes of skills", home.derived / "vectors", "made anew at will"),
        _place("proposals for skills", home.root / "improvements", "until the next one for the same skill"),
        _place("programs with their demos", home.programs_dir, "until erased with the last run that refers to it"),
        _place("images and files of prompts", home.blobs, by_job),
        _place("database, made of the journal", home.database, "made anew at will"),
        _place("deleted runs", home.trash, f"until the trash is emptied{_or_days(settings.keep_trash_days)}"),
        _place("backups", home.backups, f"until somebody deletes them{_or_days(settings.keep_backups_days)}"),
        _place("exports within the home", home.exports, "until somebody deletes them"),
        _place("the audit trail", home.journal / "audit", "always"),
        _place("this user's key and checkpoints", user_folder(), "always"),
        _place("answers of models, DSPy's cache", cache, "until somebody deletes them; not of the home"),
    )


def _or_days(days: float | None) -> str:
    return "" if days is None else f", or for {days:g} days, by db compact"


def _place(what: str, place: Path, kept: str) -> tuple[str, ...]:
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    looks = [file.stat() for file in files if file.exists()]
    times = sorted(look.st_mtime for look in looks)
    oldest, newest = (_day(times[0]), _day(times[-1])) if times else ("", "")
    return what, str(place), f"{len(looks):,}", f"{sum(look.st_size for look in looks):,}", oldest, newest, kept


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):{_DAY}}"


def _protected(store: Store, settings: Settings, trail: Trail) -> Iterator[tuple[str, ...]]:
    encryption = Encryption(store.home).state()
    own = encryption.in_words
    yield "encryption", own if encryption.is_encrypted else "none of its own: keep the home on an encrypted disk"
    yield "who may read the folder", _readers(store.home.root)
    yield "keys of models and of the environment", "taken out of all that is written, always"
    redact = settings.redact
    kinds = [*redact.kinds, *redact.patterns, *([f"hook {redact.hook}"] if redact.hook else [])]
    yield (
        "personal data",
        f"taken out: {', '.join(kinds)}" if kinds else "kept as it is: [redact] in config.toml is empty",
    )
    if kinds:
        way = "sealed with this user's key" if is_sealing(store.home) else "as it is: the extra 'encryption' is missing"
        yield "what is needed as it is: program and data of runs, proposals for skills", way
        yield "not looked through", "images and other files that are no text, names of jobs, DSPy's cache"
    pieces = queries.redactions(store)
    taken = pieces.groupby("what").pieces.sum().to_dict() if len(pieces) else {}
    yield "taken out so far", ", ".join(f"{n:,} {what}" for what, n in sorted(taken.items())) or "nothing"
    looked = trail.verify()
    state = "intact" if looked.is_intact else f"TAMPERED WITH: {looked.faults[0]}"
    accepted = f"; {counted(len(looked.accepted), 'fault')} accepted earlier" if looked.accepted else ""
    yield "the audit trail", f"{state}, {counted(looked.entries, 'line')}{accepted}; checkpoint {looked.head}"


def _readers(folder: Path) -> str:
    if os.name == "nt" or not folder.exists():
        return "as the folder above it says"
    mode = folder.stat().st_mode
    others = [who for who, bits in (("its group", 0o050), ("everybody", 0o005)) if mode & bits == bits]
    return f"its owner{' and ' + ' and '.join(others) if others else ' alone'} ({stat.filemode(mode)})"


def _deeds(entries: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for (user, action), deeds in entries.groupby(["user", "action"]):
        yield str(user), str(action), f"{len(deeds):,}", f"{deeds['at'].min():{_DAY}}", f"{deeds['at'].max():{_DAY}}"


def _exports(entries: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in entries[entries.action == "export"].tail(_MOST).to_dict("records"):
        place = str(row["target"])
        there = "sent" if "://" in place else ("yes, not encrypted" if Path(place).exists() else "no")
        yield f"{row['at']:{_DAY}}", str(row["user"]), str(row["detail"]), place, there


def _deletions(entries: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    gone = entries[entries.action.isin(["job.erase", "trash.empty", "home.compact"])]
    gone = gone[~gone.detail.str.startswith("begun")]
    for row in gone.tail(_MOST).to_dict("records"):
        yield f"{row['at']:{_DAY}}", str(row["user"]), f"{row['action']} {row['target']}", str(row["detail"])
