"""A model's way to another process without its keys: each is named by the environment variable that holds it."""

from __future__ import annotations

import os
from typing import Any

from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.security import is_secret, secrets_in_url, secrets_of_environment

_Place = tuple[str | int, ...]


def without_keys(model: str, state: dict[str, Any]) -> tuple[dict[str, Any], dict[_Place, str]]:
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
    env: dict[_Place, str] = {}

    def bare(value: Any, place: _Place, *, is_named_so: bool = False) -> Any:
        if type(value) is dict:
            return {
                name: bare(inner, (*place, name), is_named_so=is_secret(str(name))) for name, inner in value.items()
            }
        if type(value) is list:
            return [bare(inner, (*place, n), is_named_so=is_named_so) for n, inner in enumerate(value)]
        if not isinstance(value, str) or not value or not (is_named_so or secrets_in_url(value)):
            return value
        holder = next((k for k, v in os.environ.items() if v == value), None)
        if holder is None:
            raise InputError(
                f"lm {model!r} carries {' '.join(map(str, place[-2:]))!r} that no environment variable holds, and keys "
                "are not written to disk: put it into one, for example os.environ['MY_API_KEY'] = …, and take "
                "it from there; or run in this process (leave --detach out)"
            )
        env[place] = holder
        return None

    return bare(state, ()), env


def refuse_keys(engine: object) -> None:
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


def with_keys(model: str, state: dict[str, Any], env: dict[_Place, str]) -> dict[str, Any]:
    """Put the secrets back from the environment.

    Raises
    ------
    LMError
        If a variable is not set.
    """
    for place, holder in env.items():
        if holder not in os.environ:
            raise LMError(f"lm {model!r} takes its key from the variable {holder}, which is not set: export it")
        inner: Any = state
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = os.environ[holder]
    return state


def variable_in(blob: bytes) -> str | None:
    """Name an environment variable whose secret is part of `blob`."""
    return next((k for k, v in secrets_of_environment() if v.encode("utf-8", "replace") in blob), None)
