"""Program states, kept once each under the hash of their content."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import NotFoundError, unknown
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.redacting import redactor_of
from skillfleet_nb.store.unlocking import read_bytes, write_bytes

if TYPE_CHECKING:
    from skillfleet_nb.store.home import Home

_ID = re.compile(r"[0-9a-f]{16}")


def save_program(home: Home, state: dict[str, Any]) -> str:
    """Keep a program's state and return its id.

    Parameters
    ----------
    home
        Where to keep it.
    state
        What ``dspy.Module.dump_state()`` gives, or any object JSON can hold.

    Returns
    -------
    str
        The first 16 hex digits of the SHA-256 of the state as canonical JSON (sorted keys, no
        spaces; references in the place of images and the like, and without what is redacted), so equal states
        share one file.  The file keeps the order of keys, for prompts show demos in it.

    Raises
    ------
    HomeError
        If the home cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home, load_program, save_program
    >>> home = Home.find(tempfile.mkdtemp())
    >>> load_program(home, save_program(home, {"instructions": "Answer."}))
    {'instructions': 'Answer.'}
    """
    # ensure_ascii escapes lone surrogates, which a model's text may hold and UTF-8 may not
    text = json.dumps(state, separators=(",", ":"), default=str).encode()
    redactor = redactor_of(home)
    written = redactor.json(Blobs(home).taken_out(text, redactor))
    program_id = _digest(json.dumps(json.loads(written), sort_keys=True, separators=(",", ":")).encode())
    path = home.ensure().programs_dir / f"{program_id}.json"
    if not path.exists():
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            write_bytes(home.root, path, written)
    return program_id


def load_program(home: Home, program_id: str) -> dict[str, Any]:
    """Read a kept state back.

    Raises
    ------
    NotFoundError
        If the home has no such program, or its file no longer matches its hash.
    """
    path = home.programs_dir / f"{program_id}.json"
    if not _ID.fullmatch(program_id) or not path.is_file():
        names = (p.stem for p in home.programs_dir.glob("*.json")) if home.programs_dir.is_dir() else ()
        raise unknown("program", program_id, names, hint="`select program_id from programs` lists them.")
    data = read_bytes(path)
    if not _matches(data, program_id):
        raise NotFoundError(f"program {program_id!r} is damaged: '{path}' does not match its hash. Delete the file.")
    state: dict[str, Any] = json.loads(Blobs(home).put_back(data.decode()))
    return state


def _matches(data: bytes, program_id: str) -> bool:
    try:
        canonical = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()
    except ValueError:
        return False
    return program_id in {_digest(canonical), _digest(data)}  # the latter of a home of before, whose keys were sorted


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
