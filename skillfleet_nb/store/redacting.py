"""The redactor of a home: what its settings say is taken out of whatever is written there.

What a run needs as it is, its program and its data, is *sealed* there instead: encrypted with the user's own key, which
lies outside of every home.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import HomeError, unknown
from skillfleet_nb.plugins import imported, points
from skillfleet_nb.redaction import Patterns
from skillfleet_nb.security import Redactor, stamp
from skillfleet_nb.store.cipher import Cipher

if TYPE_CHECKING:
    from skillfleet_nb.config import Redaction
    from skillfleet_nb.redaction import Hook
    from skillfleet_nb.store.home import Home

_GROUP = "skillfleet_nb.redactors"
_SEAL = b"skillfleet-sealed-1\n"


def redactor_of(home: Home) -> Redactor:
    """Return a redactor of secrets, and of what the settings name.

    Raises
    ------
    InputError, NotFoundError
        If the settings cannot be read, or name no installed hook: nothing is written then.
    """
    if not home.config.exists() and "SKILLFLEET_REDACT" not in os.environ:
        return Redactor()
    return Redactor(patterns=patterns_of(Settings.load(home.config).redact))


def is_sealing(home: Home) -> bool:
    """Tell whether what a run needs as it is is sealed: where something is taken out, and `cryptography` is there."""
    return bool(redactor_of(home).takes_out) and importlib.util.find_spec("cryptography") is not None


def sealed(home: Home, data: bytes) -> bytes:
    """Encrypt what has to be kept as it is with this user's own key, where the settings take something out.

    Raises
    ------
    InputError, NotFoundError
        As :func:`redactor_of` does.
    """
    return _SEAL + _own_cipher().encrypted(data) if is_sealing(home) else data


def opened(data: bytes) -> bytes:
    """Undo :func:`sealed`.

    Raises
    ------
    HomeError
        If another user sealed it, or it is damaged; and where it cannot be decrypted, for want of a package.
    """
    if not data.startswith(_SEAL):
        return data
    if importlib.util.find_spec("cryptography") is None:
        raise HomeError("it is sealed, and 'cryptography' is missing: pip install 'skillfleet-nb[encryption]'.")
    return _own_cipher().decrypted(data.removeprefix(_SEAL))


def _own_cipher() -> Cipher:
    key = bytes.fromhex(stamp(b"sealed"))
    name = hashlib.sha256(key).hexdigest()[:8]
    return Cipher({name: key}, name)


def redacted_json(home: Home | None, text: str) -> str:
    """Return a JSON object as it is to be written for others, indented; without a home it is left as it is."""
    if home is None:
        return text
    return json.dumps(json.loads(redactor_of(home).json(text.encode())), ensure_ascii=False, indent=2)


def patterns_of(settings: Redaction) -> Patterns:
    """Return what settings name; raises as :func:`redactor_of` does."""
    return Patterns(settings.kinds, settings.patterns, None if settings.hook is None else _hook(settings.hook))


def _hook(name: str) -> Hook:
    installed = {point.name: point for point in points(_GROUP)}
    if name not in installed:
        raise unknown(
            "hook of redact", name, installed, hint=f"A package brings one along as an entry point of {_GROUP}."
        )
    hook: Hook = imported(installed[name], "hook")
    return hook
