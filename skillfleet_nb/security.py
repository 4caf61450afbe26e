"""What protects a person's keys and machine: secrets stay out of what is written, and blobs are signed.

Providers repeat the key they refuse, so every event, log and error passes a :class:`Redactor` before it is
first written or raised.  Unpickling runs code, so a blob is signed with a key of the user, which lies in no home, and
one that is unsigned, altered or by somebody else is refused before a byte of it is read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections import Counter
from contextlib import suppress
from functools import partial
from html import escape
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

import orjson

from skillfleet_nb.blobs import referred
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.format import expanded
from skillfleet_nb.redaction import KEYS, Patterns, may_hold_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skillfleet_nb.typing import Model

_Error = TypeVar("_Error", bound=BaseException)

_SECRET = re.compile(
    r"(?i)api_?key|access_?key|secret|passw|passphrase|credential|authorization|cookie|token$|[_-]key$"
)
_NO_SECRET = re.compile(r"(?i)cache_key$")  # names a place in a provider's prompt cache
_PASSWORD_IN_URL = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")
_QUERY_IN_URL = re.compile(r"(?<=[?&])([^=&#\s]+)=([^&#\s]+)")
_SECRET_QUERY = re.compile(r"(?i)^(key|sig|signature|code|auth|token)$")
_SHORTEST = 8  # characters; what is shorter is a switch or a number, and found by chance
_LONGEST_WORD = 11  # letters; a longer secret of small letters is none of the data's words
_TOLD = frozenset({"error", "stop_reason", "text", "reason", "reasons", "evidence", "summary", "unread", "note"})
_HIDDEN = "[key]"
_NAMES_SOMETHING = re.compile(
    r"(?:^|_)(?:ids?|digests?|hash|key|seal|previous|fingerprints?|signatures?)$|^(?:job|jobs|model|at|asked|dataset|kind)$"
)  # fields whose values are looked up, and are no content


def known_place(path: str | os.PathLike[str]) -> Path:
    """Put a person's home folder in place of ``~``, in a path that may be made.

    Raises
    ------
    InputError
        If there is no such user: a folder called ``~user`` would be made.

    Examples
    --------
    >>> known_place("~").is_absolute(), known_place("./~draft").as_posix()
    (True, '~draft')
    """
    named = os.fspath(path)
    if named.startswith("~") and str(place := expanded(named)).startswith("~"):
        raise InputError(f"{named!r}: there is no user {place.parts[0][1:]!r} here; give ~/… or the whole path")
    return expanded(named)


def is_secret(name: str) -> bool:
    """Tell whether what goes by this name is a secret.

    Examples
    --------
    >>> [n for n in ("api_key", "max_tokens", "AWS_SECRET_ACCESS_KEY", "MY_PASSPHRASE", "model") if is_secret(n)]
    ['api_key', 'AWS_SECRET_ACCESS_KEY', 'MY_PASSPHRASE']
    """
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def secrets_in_url(text: str) -> list[str]:
    """List the passwords and keys that the URLs in a text carry.

    Examples
    --------
    >>> secrets_in_url("https://me:word@host/v1?api-version=2&key=abc%2Fd")
    ['word', 'abc%2Fd']
    """
    if "://" not in text:
        return []
    queries = _QUERY_IN_URL.findall(text)
    return _PASSWORD_IN_URL.findall(text) + [v for n, v in queries if is_secret(n) or _SECRET_QUERY.search(n)]


def secrets_of_environment() -> list[tuple[str, str]]:
    """List the secrets that environment variables hold, each behind its variable; of URLs their secret parts."""
    pairs = [(k, part) for k, v in os.environ.items() for part in ([v] if is_secret(k) else secrets_in_url(v))]
    return [(k, secret) for k, secret in pairs if len(secret) >= _SHORTEST]


def secrets_of(models: Iterable[Model | None]) -> set[str]:
    """Collect the secrets that models carry: in attributes, options however deep, headers, and addresses."""
    secrets: set[str] = set()
    for model in models:
        attributes = getattr(model, "__dict__", {})
        secrets |= set(_secrets_in({k: v for k, v in attributes.items() if k != "history"}))
        for name in ("engine", "_engine_spec", "_async_engine_spec"):
            secrets |= set(_secrets_in(getattr(getattr(model, name, None), "__dict__", {})))
    return {s for s in secrets if len(s) >= _SHORTEST}


def _secrets_in(value: object, *, is_named_so: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _secrets_in(inner, is_named_so=is_secret(str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets_in(inner, is_named_so=is_named_so)
    elif isinstance(value, str):
        yield from secrets_in_url(value)
        if is_named_so:
            yield value
            yield from value.split()[-1:]  # a header's, without the word Bearer


class Redactor:
    """Takes secrets out of events, logs and errors, before they are written or raised.

    It knows the environment's secrets as they are now, and those of `models`; in errors and logs it also
    hides what has the shape of a key.  A secret that is a plain word ("password") may be one of the data too:
    there it is left, and hidden in what is told.

    With `patterns` it takes personal data out too, of the texts that are content: ids and the like are left.

    Attributes
    ----------
    counts
        How many pieces of each kind the patterns took out so far.

    Examples
    --------
    >>> Redactor().text("key sk-proj-0123456789abcdef was refused by https://me:word@host")
    'key [key] was refused by https://[key]@host'
    """

    def __init__(self, models: Iterable[Model | None] = (), patterns: Patterns | None = None) -> None:
        self._patterns = patterns or None
        self.counts: Counter[str] = Counter()
        self._mutex = Lock()
        self._secrets: set[str] = set()
        self.add(models)

    @property
    def takes_out(self) -> bool:
        """Whether it looks for more than secrets."""
        return self._patterns is not None

    def add(self, models: Iterable[Model | None] = ()) -> None:
        """Take in the secrets of further models, and those that came into the environment since."""
        self._secrets |= secrets_of(models) | {secret for _, secret in secrets_of_environment()}
        forms = {form for s in self._secrets for form in _forms(s)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._sure = [form for form in self._forms if not _is_word(form)]
        self._encoded = [orjson.dumps(form)[1:-1] for form in self._forms]

    def text(self, text: str) -> str:
        """Return a text or a page without secrets, what has the shape of one, and data that nobody reads."""
        clean = _without(self._forms, referred(text))
        return self._sub(KEYS.sub(_HIDDEN, clean) if may_hold_key(clean) else clean)

    def data(self, data: bytes) -> bytes:
        """Return a file without secrets, and without what fits the patterns, where it is text."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        return self._sub(_without(self._forms, text)).encode()

    def json(self, body: bytes) -> bytes:
        """Return a JSON object whose values hold no secret, nor what fits the patterns."""
        if any(form in body for form in self._encoded):
            hide, hide_all = partial(_without, self._sure), partial(_without, self._forms)
            fields = {name: _walked(hide_all if name in _TOLD else hide, v) for name, v in _loads(body).items()}
            body = _dumps(fields)
        if self._patterns is None:
            return body
        fields = _loads(body)
        clean = self._without_patterns(fields)
        return body if clean == fields else _dumps(clean)

    def _sub(self, text: str) -> str:
        if self._patterns is None:
            return text
        clean, counts = self._patterns.sub(text)
        if counts:
            with self._mutex:
                self.counts.update(counts)
        return clean

    def _without_patterns(self, value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            return value if not value or _NAMES_SOMETHING.search(name) else self._sub(value)
        if isinstance(value, dict):
            return {key: self._without_patterns(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            if name == "scores":  # of an example each, whose id is first
                return [[*s[:1], *map(self._without_patterns, s[1:])] if isinstance(s, list) else s for s in value]
            return [self._without_patterns(inner, name) for inner in value]
        return value

    def error(self, exc: _Error) -> _Error | RuntimeError:
        """Take secrets out of an error and of all that it was raised from.

        Returns
        -------
        BaseException
            The same error, changed in place; one that cannot be changed is told by another.
        """
        if self._is_clean(exc, set()):
            return exc
        return RuntimeError(self.text(f"{type(exc).__name__}: {exc}")).with_traceback(exc.__traceback__)

    def _is_clean(self, exc: BaseException, seen: set[int]) -> bool:
        """Clean an error; tell whether that was possible."""
        if id(exc) in seen:
            return True
        seen.add(id(exc))
        for link in ("__cause__", "__context__"):
            origin = getattr(exc, link)
            if origin is not None and not self._is_clean(origin, seen):
                setattr(exc, link, None)
        for inner in getattr(exc, "exceptions", ()):
            self._is_clean(inner, seen)
        with suppress(Exception):  # of a class that keeps its own
            for name, value in [("args", exc.args), *vars(exc).items()]:
                if (clean := _walked(self.text, value)) != value:
                    setattr(exc, name, clean)
        try:
            shown = str(exc)
        except Exception:  # noqa: BLE001  whatever is raised, it cannot be shown
            return False
        return self.text(shown) == shown


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # a lone surrogate, which a model's text may hold
        return json.loads(body)


def _dumps(fields: Any) -> bytes:
    try:
        return orjson.dumps(fields)
    except TypeError:
        return json.dumps(fields, separators=(",", ":")).encode()


def _without(forms: Iterable[str], text: str) -> str:
    for form in forms:
        if form in text:
            text = re.sub(rf"\b{form}\b", _HIDDEN, text) if _is_word(form) else text.replace(form, _HIDDEN)
    return text


def _is_word(form: str) -> bool:
    """Tell whether a secret could be a word of the data."""
    return form.isalpha() and form.islower() and len(form) <= _LONGEST_WORD


def _forms(secret: str) -> set[str]:
    """List how a secret is written: as it is, in JSON, in HTML, in Python and in a URL."""
    secret = secret.encode("utf-8", "replace").decode()  # a variable may hold any bytes
    bare = unquote(secret)
    written = {secret, bare, quote(bare, safe=""), json.dumps(bare)[1:-1], escape(bare), repr(bare)[1:-1]}
    return {form for form in written if len(form) >= _SHORTEST}


def _walked(change: Callable[[str], str], value: object) -> Any:
    """Change every text in a JSON-like value."""
    if isinstance(value, str):
        return change(value)
    if type(value) is dict:
        return {_walked(change, name): _walked(change, inner) for name, inner in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)([_walked(change, inner) for inner in value])
    return value


KEY_BYTES = 32
_MAGIC = b"skillfleet-signed-1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


def user_folder() -> Path:
    """Return this user's folder outside of every home: for the key, and what it vouches for."""
    set_place = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(set_place) if set_place else expanded("~/.config")) / "skillfleet"


def user_key() -> bytes:
    """Return this user's key, which lies outside every home: one that comes with a checkout brings none along.

    Raises
    ------
    InputError
        If there is no place to keep it.
    JobError
        If others than this user can read or change it.
    """
    folder = user_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = key_at(folder / "key")
    except OSError as exc:
        raise InputError(
            f"cannot keep this user's key in '{folder}': {exc.strerror}; set XDG_CONFIG_HOME to a folder of yours"
        ) from exc
    refuse_of_others(folder / "key", "chmod 600 makes it private", readable=False)
    return key


def stamp(text: bytes) -> str:
    """Return what this user alone can make of a text; raises as :func:`user_key` does."""
    return hmac.digest(user_key(), text, "sha256").hex()


def refuse_of_others(path: Path, way_out: str, *, readable: bool = True) -> None:
    """Refuse a file or folder that is another user's, or that any user may change, or read if not `readable`.

    Raises
    ------
    JobError
        If it is.
    """
    if not hasattr(os, "geteuid"):  # Windows, where a person's folders are private
        return
    about = path.stat()
    if about.st_uid != os.geteuid():
        raise JobError(f"'{path}' belongs to another user: nothing of it is run; {way_out}")
    if about.st_mode & (0o002 if readable else 0o077):
        open_to = "changed by any user" if readable else "read by others"
        raise JobError(f"'{path}' can be {open_to}: nothing of it is run; {way_out}")


def key_at(path: Path) -> bytes:
    """Return the key kept at `path`, made on first use and readable by its owner alone.

    Safe between processes: whoever is first makes it, all others read that one.
    """
    if not path.exists():
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(made)  # whole or not at all, and never over another's
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                if not path.exists():
                    made.replace(path)
        finally:
            made.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise JobError(
            f"the key '{path}' is damaged ({len(key)} bytes, not {KEY_BYTES}): delete it; "
            "jobs started before cannot be resumed then"
        )
    return key


def sign(blob: bytes, key: bytes) -> bytes:
    """Put a keyed hash (HMAC-SHA256) before `blob`.

    Examples
    --------
    >>> verified(sign(b"work", b"k" * 32), b"k" * 32)
    b'work'
    """
    return _MAGIC + hmac.digest(key, blob, "sha256") + blob


def verified(signed: bytes, key: bytes, what: str = "the blob") -> bytes:
    """Return what was signed.

    Raises
    ------
    JobError
        If it is unsigned, altered, or signed with another key.
    """
    digest, blob = signed[len(_MAGIC) :][:_DIGEST_BYTES], signed[len(_MAGIC) + _DIGEST_BYTES :]
    if not signed.startswith(_MAGIC):
        raise JobError(f"{what} is not signed, and is refused: start the job anew")
    if not hmac.compare_digest(digest, hmac.digest(key, blob, "sha256")):
        raise JobError(f"{what} was altered, or packed by another user, and is refused: start the job anew")
    return blob
