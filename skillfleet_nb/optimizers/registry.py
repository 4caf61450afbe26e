"""Optimizers by name: built-in ones and plugins come through the same entry point group."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.messages import as_typed
from skillfleet_nb.optimizers.base import Optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

GROUP = "skillfleet_nb.optimizers"


def available() -> dict[str, EntryPoint]:
    """Return every installed optimizer's entry point by name; nothing is imported.

    Examples
    --------
    >>> "gepa" in available()
    True
    """
    return dict(_scanned(tuple((folder, _changed(folder)) for folder in sys.path)))


@lru_cache(maxsize=1)
def _scanned(places: tuple[tuple[str, int], ...]) -> dict[str, EntryPoint]:
    """Read what is installed, which takes some milliseconds, again only where a folder has changed."""
    del places
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116  a path of sys.path may be empty
    except OSError:
        return 0


def load(name: str) -> type[Optimizer]:
    """Import the optimizer class called `name`.

    Raises
    ------
    NotFoundError
        If no installed package registers that name.
    InputError
        If the plugin is not an :class:`Optimizer`.
    """
    points = available()
    if name not in points:
        raise unknown("optimizer", name, points, hint=f"See {as_typed('optimizers')}.")
    return optimizer_of(points[name])


def optimizer_of(point: EntryPoint) -> type[Optimizer]:
    """Import the optimizer class of an entry point; raises `InputError` if it is none."""
    loaded = point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Optimizer)):
        raise InputError(f"entry point {point.name!r} of group {GROUP!r} is {loaded!r}, not an Optimizer subclass")
    return loaded


def create(name: str, params: Mapping[str, Any] | None = None) -> Optimizer:
    """Make an optimizer with its parameters checked by name and type.

    Parameters
    ----------
    name
        As listed by :func:`available`.
    params
        The optimizer's own parameters; strings are read as their type.

    Raises
    ------
    NotFoundError
        For an unknown optimizer or parameter, with the nearest name.
    InputError
        For a value of the wrong type or out of range.

    Examples
    --------
    >>> create("labeled_fewshot", {"k": "4"}).params.k
    4
    """
    cls = load(name)
    values = dict(params or {})
    for key in values:
        if key not in cls.Params.model_fields:
            raise unknown(f"parameter of {name}", key, cls.Params.model_fields)
    try:
        return cls(cls.Params.model_validate(values))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its parameters"
        raise InputError(f"{name}: {where} = {first['input']!r}: {first['msg']}") from None


def listed() -> pd.DataFrame:
    """List the installed optimizers: what each changes, does and needs."""
    import pandas as pd

    classes = [load(name) for name in available()]
    return pd.DataFrame(
        [[c.name, ", ".join(sorted(c.changes, reverse=True)), c.summary, c.needs] for c in classes],
        columns=["name", "changes", "what it does", "needs"],
    )


def parameters(name: str) -> pd.DataFrame:
    """List the parameters of an optimizer, with their defaults.

    Raises
    ------
    NotFoundError
        If there is no optimizer of that name.
    """
    import pandas as pd

    fields = load(name).Params.model_fields.items()
    return pd.DataFrame(
        [[k, f.get_default(call_default_factory=True), f.description or ""] for k, f in fields],
        columns=["parameter", "default", "what it is"],
        dtype=object,  # or 8 would become 8.0 beside a default that is None
    )
