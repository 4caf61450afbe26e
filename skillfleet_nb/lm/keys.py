"""Keys of models: known by their names, so that they stay in the environment and out of every file."""

from __future__ import annotations

import json
import os
import re
from html import escape
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, LMError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECRET = re.compile(r"(?i)api_?key|access_?key|secret|passw|credential|authorization|cookie|token$|[_-]key$")
_NO_SECRET = re.compile(r"(?i)cache_key$")  # names a place in a provider's prompt cache
_IN_URL = re.compile(r"://[^/@\s]+:[^/@\s]+@")
_SHAPES = re.compile(
    r"\b(?:sk|rk|pk)-[\w-]{16,}|\bAIza[\w-]{30,}|\bgh[oprsu]_\w{30,}|\bhf_\w{30,}|\bxox[abprs]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)|(?i:(?<=bearer ))[\w.~+/-]{16,}=*"
)  # of keys that are in no variable here: a colleague's, in a text that a model repeated
_SHORTEST = 8  # characters; what is shorter is a switch or a number, and found by chance
_HIDDEN = "[key]"
_HEADERS = ("headers", "extra_headers")


def is_secret(name: str) -> bool:
    """Tell whether what goes by this name is a secret.

    Examples
    --------
    >>> [n for n in ("api_key", "max_tokens", "AWS_SECRET_ACCESS_KEY", "Authorization", "model") if is_secret(n)]
    ['api_key', 'AWS_SECRET_ACCESS_KEY', 'Authorization']
    """
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def without_keys(model: str, state: dict[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Take the secrets out of a model's attributes.

    Parameters
    ----------
    model
        Name of the model, for messages.
    state
        The model's attributes; not changed.

    Returns
    -------
    tuple
        The attributes without secrets; and per place of a secret the environment variable that holds it.

    Raises
    ------
    InputError
        If no environment variable holds one.
    """
    env: dict[tuple[str, ...], str] = {}

    def kept(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in values.items():
            place = (*path, str(name))
            if isinstance(value, dict) and (str(name).endswith("kwargs") or name in _HEADERS):
                out[name] = kept(value, place)
            elif isinstance(value, str) and value and (is_secret(str(name)) or _IN_URL.search(value)):
                holder = next((k for k, v in os.environ.items() if v == value), None)
                if holder is None:
                    raise InputError(
                        f"lm {model!r} carries {' '.join(place[-2:])!r} that no environment variable holds, and keys "
                        "are not written to disk: put it into one, for example os.environ['MY_API_KEY'] = …, and take "
                        "it from there; or run in this process (leave --detach out)"
                    )
                env[place] = holder
            else:
                out[name] = value
        return out

    return kept(state, ()), env


def refuse_keys(engine: Any) -> None:
    """Refuse the engine of a model that would be written with its key.

    Raises
    ------
    InputError
        If it carries one, and does not see to its own pickling.
    """
    cls = type(engine)
    if any(getattr(cls, name) is not getattr(object, name) for name in ("__getstate__", "__reduce__")):
        return
    for name, value in getattr(engine, "__dict__", {}).items():
        if isinstance(value, str) and value and is_secret(name):
            raise InputError(
                f"engine {cls.__name__} of a model carries {name!r}, and keys are not written to disk: leave it out in "
                "__getstate__ and read it from the environment in __setstate__, or run in this process"
            )


def with_keys(model: str, state: dict[str, Any], env: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """Put the secrets back from the environment.

    Raises
    ------
    LMError
        If a variable is not set.
    """
    for place, holder in env.items():
        if holder not in os.environ:
            raise LMError(f"lm {model!r} takes its key from the variable {holder}, which is not set: export it")
        inner = state
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = os.environ[holder]
    return state


def secrets_of(lms: Iterable[Any]) -> list[str]:
    """List the secrets that models and the environment hold, the longest first."""
    found = {v for k, v in os.environ.items() if is_secret(k) and len(v) >= _SHORTEST}
    for lm in lms:
        kwargs = getattr(lm, "kwargs", None) or {}
        for values in (vars(lm), kwargs, *(kwargs.get(h) or {} for h in _HEADERS)):
            found |= {v for k, v in values.items() if isinstance(v, str) and is_secret(str(k)) and len(v) >= _SHORTEST}
    return sorted(found, key=len, reverse=True)


def variable_in(blob: bytes) -> str | None:
    """Name an environment variable whose secret is part of `blob`."""
    held = ((k, v) for k, v in os.environ.items() if is_secret(k) and len(v) >= _SHORTEST)
    return next((k for k, v in held if v.encode() in blob), None)


def scrubbed(text: str) -> str:
    """Take the environment's secrets, and whatever looks like a key, out of a text or a page.

    Examples
    --------
    >>> scrubbed("key sk-proj-0123456789abcdef was refused by https://me:word@host")
    'key [key] was refused by https://[key]@host'
    """
    from markupsafe import escape as markup

    known = secrets_of([])
    # In JSON as well, and as pictures and pages escape them.
    forms = {form for s in known for form in (s, escape(s), str(markup(s)), json.dumps(s)[1:-1])}
    return _SHAPES.sub(_HIDDEN, hidden(text, sorted(forms, key=len, reverse=True)))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text: errors of providers repeat the key they refuse.

    Examples
    --------
    >>> hidden("Incorrect API key provided: sk-12345678", ["sk-12345678"])
    'Incorrect API key provided: [key]'
    """
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text
