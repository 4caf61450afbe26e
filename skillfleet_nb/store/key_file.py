"""``encryption.json``: the data keys of an encrypted home, wrapped so that a passphrase or a keyring opens them.

A *main key* wraps the data keys, and each *slot* wraps the main key: for a passphrase (Argon2id), for the system's
keyring, and for the recovery key that is shown once.  Without the file nothing of the home can be read.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from skillfleet_nb.errors import HomeError, InputError, MissingExtraError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store.cipher import Cipher
from skillfleet_nb.store.home import atomic_write, sync_folder, writing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

State = Literal["encrypting", "encrypted", "rotating", "decrypting"]

NAME = "encryption.json"
VERSION = 1
_KEY, _NONCE, _GROUP = 32, 12, 4
_TIME, _MEMORY, _LANES = 3, 64 << 10, 4  # of Argon2id: rounds, KiB, threads, as RFC 9106 recommends
_LEAST, _MOST = 8, 1024
_SERVICE = "skillfleet-nb"


@dataclass(frozen=True)
class KeyFile:
    """The content of ``encryption.json``.

    Attributes
    ----------
    identity
        What the home is called in a keyring, and in memory.
    state
        What is done with its files; ``"encrypted"`` where all is done.
    current
        Name of the data key that is written with.
    keys
        Data keys by name, wrapped by the main key.
    slots
        What wraps the main key: ``kind``, and what that kind needs.
    """

    identity: str
    state: State
    current: str
    keys: dict[str, str]
    slots: tuple[dict[str, str | int], ...]
    version: int = VERSION

    @classmethod
    def read(cls, file: Path) -> KeyFile:
        """Read one.

        Raises
        ------
        HomeError
            If it is damaged, or a newer version wrote it.
        """
        try:
            fields = orjson.loads(file.read_bytes())
            if fields["version"] > VERSION:
                raise HomeError(f"'{file}' was written by a newer version: upgrade skillfleet-nb.")
            return cls(**{**fields, "slots": tuple(fields["slots"])})
        except (ValueError, TypeError, KeyError) as error:
            raise HomeError(
                f"'{file}' is damaged, and nothing of the home can be read without it: put a copy of it in its place, "
                "from a backup."
            ) from error

    def write(self, file: Path) -> None:
        """Write it, on disk when this returns."""
        with writing(file):
            atomic_write(file, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))
            sync_folder(file.parent)

    def with_data_key(self, main: bytes, earlier: Cipher | None = None) -> KeyFile:
        """Return one that writes with a new data key, and keeps those of `earlier` for what is still to be read."""
        name = secrets.token_hex(4)
        kept = {} if earlier is None else dict(earlier.keys)
        keys = {one: _wrapped(main, key, one) for one, key in {**kept, name: os.urandom(_KEY)}.items()}
        return replace(self, current=name, keys=keys)

    def with_recovery_key(self, main: bytes) -> tuple[KeyFile, str]:
        """Return one that a new recovery key opens, and no earlier one, with that key."""
        saving, shown = _recovery_slot(main)
        return replace(self, slots=(*(slot for slot in self.slots if slot["kind"] != "recovery"), saving)), shown

    def done(self) -> KeyFile:
        """Return what it is once all is written with the current data key."""
        return replace(self, state="encrypted", keys={self.current: self.keys[self.current]})

    def cipher(self, main: bytes) -> Cipher | None:
        """Unwrap the data keys; None where the main key is another home's, or from before a rotation."""
        keys = {name: _unwrapped(main, wrapped, name) for name, wrapped in self.keys.items()}
        if any(key is None for key in keys.values()):
            return None
        return Cipher({name: key for name, key in keys.items() if key is not None}, self.current)

    def main_key(self, secret: str) -> bytes | None:
        """Return the main key by a passphrase or recovery key; None where it opens no slot."""
        for slot in self.slots:
            wrapping = None
            if slot["kind"] == "passphrase":
                wrapping = _stretched(secret, slot)
            elif slot["kind"] == "recovery":
                wrapping = _of_recovery(secret)
            if wrapping is not None and (main := _unwrapped(wrapping, str(slot["wrapped"]), str(slot["kind"]))):
                return main
        return None

    def main_key_of_keyring(self) -> bytes | None:
        """Return the main key by the system's keyring; None where it has none for this home, or cannot be asked."""
        slot = next((one for one in self.slots if one["kind"] == "keyring"), None)
        if slot is None:
            return None
        keyring = _keyring()
        try:
            kept = keyring.get_password(_SERVICE, str(slot["entry"]))
            return _unwrapped(bytes.fromhex(kept), str(slot["wrapped"]), "keyring") if kept else None
        except Exception as error:
            raise HomeError(
                f"the system's keyring does not answer ({type(error).__name__}: {str(error).rstrip('.')}): mend it, or "
                f"unlock the home with its recovery key ({as_typed('db unlock')})."
            ) from error


def new_slots(identity: str, main: bytes, passphrase: str | None) -> tuple[tuple[dict[str, str | int], ...], str]:
    """Wrap a main key by a passphrase, or where that is None by a new key in the system's keyring.

    Returns
    -------
    tuple
        The slots, and the recovery key, which is kept nowhere.

    Raises
    ------
    InputError
        If the passphrase is shorter than 8 or longer than 1,024 characters.
    HomeError
        If there is no keyring, or it takes nothing.
    """
    slot: dict[str, str | int]
    if passphrase is None:
        wrapping, entry = os.urandom(_KEY), f"{identity}-{secrets.token_hex(4)}"  # a rotation leaves the one before
        _kept_in_keyring(entry, wrapping)
        slot = {"kind": "keyring", "entry": entry, "wrapped": _wrapped(wrapping, main, "keyring")}
    else:
        if not _LEAST <= len(passphrase) <= _MOST:
            raise InputError(f"a passphrase of {len(passphrase)} characters given: use {_LEAST} to {_MOST:,}")
        slot = {"kind": "passphrase", "salt": os.urandom(16).hex(), "time": _TIME, "memory": _MEMORY, "lanes": _LANES}
        slot["wrapped"] = _wrapped(_stretched(passphrase, slot), main, "passphrase")
    saving, recovery = _recovery_slot(main)
    return (slot, saving), recovery


def _recovery_slot(main: bytes) -> tuple[dict[str, str | int], str]:
    recovery = base64.b32encode(os.urandom(20)).decode()
    groups = [recovery[start : start + _GROUP] for start in range(0, len(recovery), _GROUP)]
    return {"kind": "recovery", "wrapped": _wrapped(_of_recovery(recovery) or b"", main, "recovery")}, "-".join(groups)


def new_identity() -> str:
    """Name a home that is to be encrypted."""
    return secrets.token_hex(8)


def new_main_key() -> bytes:
    """Make a main key."""
    return os.urandom(_KEY)


def check_installed() -> None:
    """Refuse where the libraries are not there that encryption needs; raises `MissingExtraError`."""
    try:
        import argon2.low_level
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"an encrypted home needs {error.name}: pip install 'skillfleet-nb[encryption]'."
        ) from error
    del argon2


def _stretched(passphrase: str, slot: dict[str, str | int]) -> bytes:
    from argon2.low_level import Type, hash_secret_raw

    return hash_secret_raw(
        passphrase.encode("utf-8", "surrogatepass"),
        bytes.fromhex(str(slot["salt"])),
        time_cost=int(slot["time"]),
        memory_cost=int(slot["memory"]),
        parallelism=int(slot["lanes"]),
        hash_len=_KEY,
        type=Type.ID,
    )


def _of_recovery(text: str) -> bytes | None:
    """Make the wrapping key of a recovery key, however it is typed; None of what is none."""
    try:
        raw = base64.b32decode("".join(text.upper().split()).replace("-", ""))
    except ValueError:
        return None
    return hashlib.sha256(b"recovery\n" + raw).digest()  # 160 random bits need no stretching


def _wrapped(key: bytes, secret: bytes, what: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return (nonce + AESGCM(key).encrypt(nonce, secret, what.encode())).hex()


def _unwrapped(key: bytes, wrapped: str, what: str) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = bytes.fromhex(wrapped)
    try:
        return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], what.encode())
    except InvalidTag:
        return None


def forget_in_keyring(slots: Iterable[dict[str, str | int]]) -> None:
    """Take the keys of slots that are no more out of the system's keyring, where it lets them go."""
    for slot in slots:
        if slot["kind"] == "keyring":
            with suppress(Exception):
                _keyring().delete_password(_SERVICE, str(slot["entry"]))


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        raise MissingExtraError(
            "the system's keyring is asked through a package that is not installed: "
            "pip install 'skillfleet-nb[keyring]'."
        ) from None
    return keyring


def _kept_in_keyring(entry: str, wrapping: bytes) -> None:
    keyring = _keyring()
    try:
        keyring.set_password(_SERVICE, entry, wrapping.hex())
    except Exception as error:
        raise HomeError(
            f"the system's keyring takes no key ({type(error).__name__}: {error}): use a passphrase in its place."
        ) from error
