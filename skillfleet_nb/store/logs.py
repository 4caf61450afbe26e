"""What runs print: a log beside the journal of each; of an encrypted home in its private folder in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.store.home import writing
from skillfleet_nb.store.unlocking import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.store.home import Home

NAME = "output.log"


def log_file(home: Home, stream: str) -> Path:
    """Name the file that a stream's log is written to, in a folder that is there; raises as ``home.derived`` does."""
    beside = home.journal_dir(stream) / NAME
    if not home.is_encrypted:
        return beside
    file = home.derived / "logs" / f"{stream}.log"
    with writing(file):
        file.parent.mkdir(exist_ok=True)
    return file


def log_text(home: Home, stream: str) -> str | None:
    """Return what was printed for a stream, None where there is nothing; what an encrypted home forgot is not in it."""
    beside = home.journal_dir(stream) / NAME  # of before the home was encrypted, too
    files = [file for file in dict.fromkeys((beside, log_file(home, stream))) if file.exists()]
    if not files:
        return None
    return b"".join(map(read_bytes, files)).decode("utf-8", errors="replace")


def forget_log(home: Home, stream: str) -> None:
    """Delete a stream's log where it does not lie beside the journal."""
    if home.is_encrypted:
        log_file(home, stream).unlink(missing_ok=True)
