"""Answers of servers on disk: shown again for nothing while they are right.

What a server calls final (a complete job) is not asked for again for a while; all else is asked with its ETag, and
comes from here where nothing was written since.  Files are replaced as a whole, so processes may share them.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

TTL_S = 300.0
_MOST_FILES = 2_000
_CHANGED = "changed"  # holds when somebody last changed something from here


@dataclass(frozen=True)
class Kept:
    """An answer: its ETag, its JSON, when it was last known to be right, and for how long it is taken for that."""

    etag: str
    body: Any
    at: float
    fresh_s: float

    @property
    def age_s(self) -> float:
        """Seconds since it was known to be right."""
        return max(0.0, time.time() - self.at)


class Cache:
    """The answers of one server to one user.

    Parameters
    ----------
    url, token
        Whose: what one user may read is not shown to another.
    ttl_s
        Seconds for which a final answer is shown without asking; 0 always asks.
    """

    def __init__(self, url: str, token: str, ttl_s: float = TTL_S) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        whose = blake2b(f"{url}\0{token}".encode(), digest_size=12).hexdigest()
        self._folder, self._ttl_s = Path(base) / "skillfleet" / "servers" / whose, ttl_s

    def get(self, address: str) -> Kept | None:
        """Return what an address answered last."""
        try:
            entry = json.loads(self._file(address).read_bytes())
            return Kept(entry["etag"], entry["body"], float(entry["at"]), float(entry["fresh_s"]))
        except (OSError, ValueError, KeyError, TypeError):  # not there, or another version's
            return None

    def is_fresh(self, kept: Kept) -> bool:
        """Tell whether an answer need not be asked for again."""
        return kept.age_s < min(kept.fresh_s, self._ttl_s) and kept.at > self._changed_at()

    def forget(self) -> None:
        """Take note of a change: what was kept before it is asked for again."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self._folder / _CHANGED).write_text(repr(time.time()), "utf-8")

    def _changed_at(self) -> float:
        try:
            return float((self._folder / _CHANGED).read_text("utf-8"))
        except (OSError, ValueError):  # nobody changed anything, or is about to say so
            return 0.0

    def put(self, address: str, kept: Kept) -> None:
        """Keep an answer; where nothing can be written, none is kept."""
        file = self._file(address)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as out:
                json.dump(vars(kept), out)
            temporary.replace(file)
            self._tidy()

    def _file(self, address: str) -> Path:
        return self._folder / f"{blake2b(address.encode(), digest_size=16).hexdigest()}.json"

    def _tidy(self) -> None:
        files = list(self._folder.glob("*.json"))
        if len(files) > _MOST_FILES:
            for file in sorted(files, key=lambda one: one.stat().st_mtime)[: _MOST_FILES // 2]:
                file.unlink(missing_ok=True)
