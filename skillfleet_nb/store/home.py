"""The home: the folder ``.skillfleet`` that holds everything the product keeps, found like ``.git``."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError, InputError, UnwritableError
from skillfleet_nb.format import expanded
from skillfleet_nb.messages import as_typed
from skillfleet_nb.security import known_place, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT, ENCRYPTED_FORMAT = 1, 2
"""Version of the layout of a home, and of an encrypted one; raised only when older versions could not read it."""

KEY_FILE = "encryption.json"
"""The file that holds the wrapped keys of an encrypted home."""

DATABASE = "fleet.duckdb"
"""What the database is called."""

ASIDE = ".aside-"
"""How a folder of the journal is called that is not a stream yet, or no longer."""

_NAME = ".skillfleet"
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class Home:
    """Where things lie in a home.  The folder appears at the first write, not before.

    Parameters
    ----------
    root
        The home folder itself, absolute.

    Examples
    --------
    >>> import tempfile
    >>> home = Home.find(tempfile.mkdtemp() + "/.skillfleet")
    >>> home.root.exists()
    False
    >>> home.ensure().root.exists()
    True
    """

    root: Path

    def __str__(self) -> str:
        """Name the folder as a person in the working folder would."""
        cwd = Path.cwd()
        return str(self.root.relative_to(cwd) if self.root.is_relative_to(cwd) else self.root)

    @classmethod
    def find(cls, path: str | Path | None = None, *, start: Path | None = None) -> Home:
        """Find the home: `path`, else ``$SKILLFLEET_HOME``, else the nearest ``.skillfleet`` above.

        Without any of them the home will be ``.skillfleet`` in the working folder.

        Parameters
        ----------
        path
            The home folder itself; need not exist.
        start
            Where to look from, in place of the working folder.

        Raises
        ------
        HomeError
            If the place is not a folder, the home was made by a newer version, or it is one that nobody named
            and somebody else made.
        """
        home = cls.nearest(path, start=start)
        if not (path or os.environ.get("SKILLFLEET_HOME")) and not home.is_trusted:
            raise HomeError(
                f"home '{home.root}' came with its folder, from somebody else or another place: look through it, then "
                f"say once that you trust it ({as_typed('db trust')}), or set SKILLFLEET_HOME to another."
            )
        return home

    @classmethod
    def nearest(cls, path: str | Path | None = None, *, start: Path | None = None) -> Home:
        """Find the home as :meth:`find` does, whoever made it."""
        location = path or os.environ.get("SKILLFLEET_HOME")
        if location:
            if "\0" in os.fspath(location):
                raise HomeError(f"home {os.fspath(location)!r} has a null character: no path may; give another.")
            root = expanded(location).absolute()
        else:
            cwd = (start or Path.cwd()).absolute()
            above = (folder / _NAME for folder in (cwd, *cwd.parents))
            root = next((place for place in above if place.is_dir()), cwd / _NAME)
        home = cls(root)
        home._check_format()
        return home

    @property
    def _stamp(self) -> Path:
        return self.root / "trusted"

    def trust(self) -> None:
        """Use the home from now on wherever it is found, whoever made it.

        Raises
        ------
        HomeError
            If it cannot be written.
        InputError
            If there is no place for this user's key.
        """
        with writing(self.root):
            atomic_write(self._stamp, self._mark())

    def _mark(self) -> bytes:
        """Return what only this user can have written, and for this place alone: a copy of it is worth nothing."""
        return stamp(b"home " + os.fsencode(self.root.resolve())).encode()

    @property
    def is_trusted(self) -> bool:
        """Whether this user made the home, or said that it is trusted; one that holds nothing is."""
        if not self.root.is_dir() or not any(self.root.iterdir()):
            return True
        try:
            return compare_digest(self._stamp.read_bytes(), self._mark())
        except FileNotFoundError:
            return False

    @classmethod
    def init(cls, folder: str | Path = ".") -> Home:
        """Create a home in a folder, whatever homes there are above it; an existing one is left as it is.

        Parameters
        ----------
        folder
            Where ``.skillfleet`` is to be, or the home itself where that is its name; created where missing.

        Raises
        ------
        HomeError
            If the place is not a folder or cannot be written, or a newer version made the home.
        """
        place = known_place(folder).absolute()
        home = cls(place if place.name == _NAME else place / _NAME)
        home._check_format()
        return home.ensure()

    @property
    def journal(self) -> Path:
        """Folder of all streams."""
        return self.root / "journal"

    @property
    def programs_dir(self) -> Path:
        """Folder of program states, one file each, named by content hash."""
        return self.root / "programs"

    @property
    def blobs(self) -> Path:
        """Folder of images, audio and files that the journal refers to, named by content hash."""
        return self.root / "blobs"

    @property
    def is_encrypted(self) -> bool:
        """Whether what is written to it is encrypted, or was; see `Encryption`."""
        return (self.root / KEY_FILE).exists()

    @property
    def derived(self) -> Path:
        """Where what can be made anew lies as it is: the home, or of an encrypted one a folder in memory.

        Raises
        ------
        HomeError
            If the home is encrypted and locked.
        """
        if not self.is_encrypted:
            return self.root
        from skillfleet_nb.store.unlocking import unlocked

        return unlocked(self.root).folder

    @property
    def database(self) -> Path:
        """The query side, which can be deleted at any time; raises as `derived` does."""
        return self.derived / DATABASE

    @property
    def lock(self) -> Path:
        """File whose OS lock guards `database`."""
        return self.root / "fleet.lock"

    @property
    def config(self) -> Path:
        """Settings file; need not exist."""
        return self.root / "config.toml"

    @property
    def exports(self) -> Path:
        """Where exports go unless told otherwise."""
        return self.root / "exports"

    @property
    def backups(self) -> Path:
        """Folder of backups, one folder each, named by the time they were made."""
        return self.root / "backups"

    @property
    def trash(self) -> Path:
        """Folder of deleted jobs, one folder each."""
        return self.root / "trash"

    def journal_dir(self, stream: str) -> Path:
        """Folder of one stream.

        Raises
        ------
        InputError
            If `stream` could not be a folder's name: 1 to 200 of ``A-Z a-z 0-9 . _ -``, starting
            with a letter or digit.
        """
        if not is_stream(stream):
            raise InputError(
                f"{stream!r} cannot name a job: use 1 to 200 letters, digits, dots, dashes or underscores, "
                "starting with a letter or digit."
            )
        return self.journal / stream

    def ensure(self) -> Home:
        """Create the home where it is missing.

        Raises
        ------
        HomeError
            If it cannot be written.
        """
        marker = self.root / "format"
        if not marker.exists():
            with writing(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                (self.root / ".gitignore").write_text("*\n", "utf-8")
                with suppress(InputError):  # nowhere to keep a key: whoever looks for a home there will be told
                    self.trust()
                atomic_write(marker, f"{FORMAT}\n".encode())
        return self

    def _check_format(self) -> None:
        if os.sep == "/" and (odd := set("?\\") & set(str(self.root))):
            raise HomeError(
                f"home '{self.root}' has a {' and a '.join(sorted(odd))} in its path, where DuckDB opens no file: "
                "rename that folder, or set SKILLFLEET_HOME elsewhere."
            )
        try:
            taken = self.root.exists() and not self.root.is_dir()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", error)
            raise HomeError(f"'{self.root}' cannot be a home: {why}; name another folder.") from error
        if taken:
            raise HomeError(f"home '{self.root}' is a file, not a folder: move it, or set SKILLFLEET_HOME elsewhere.")
        try:
            text = (self.root / "format").read_text("utf-8").strip()
        except FileNotFoundError:
            return
        except OSError as error:
            raise HomeError(
                f"cannot read home '{self.root}': {error.strerror}; set SKILLFLEET_HOME to another folder."
            ) from error
        if not text.isdigit():
            right = ENCRYPTED_FORMAT if self.is_encrypted else FORMAT
            raise HomeError(
                f"home '{self.root}' has an unreadable format marker {text[:20]!r}: it should be {right}; write that "
                f"into '{self.root / 'format'}'."
            )
        if int(text) > ENCRYPTED_FORMAT:
            raise HomeError(
                f"home '{self.root}' has format {text}, this version knows up to {ENCRYPTED_FORMAT}: "
                "upgrade skillfleet-nb, or set SKILLFLEET_HOME to another folder."
            )
        if int(text) == ENCRYPTED_FORMAT and not self.is_encrypted:
            raise HomeError(
                f"home '{self.root}' is encrypted, and lacks {KEY_FILE}, without which nothing of it can be read: put "
                "a copy of that file in its place, from a backup of the home."
            )


def is_stream(name: str) -> bool:
    """Tell whether a folder of this name in the journal would be a stream."""
    return _STREAM.fullmatch(name) is not None


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals of a write at `place` into one-line `UnwritableError`."""
    try:
        yield
    except HomeError:
        raise
    except OSError as error:
        raise refusal(place, error) from error


def refusal(place: Path, error: OSError) -> UnwritableError:
    """Say in one line that the operating system refused a write at `place`."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    advice = "free some space" if error.errno in full else "make it writable, or set SKILLFLEET_HOME elsewhere"
    return UnwritableError(f"cannot write '{place}': {error.strerror or error}; {advice}.")


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    with suppress(PermissionError):  # Windows cannot open folders, and needs not
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a small file so that readers see all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
