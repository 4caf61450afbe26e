"""Optimizers by name: built-in ones and plugins come through the same entry point group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import one_line
from skillfleet_nb.messages import as_typed
from skillfleet_nb.optimizers.base import Changes, Optimizer, Preset, Tier
from skillfleet_nb.plugins import guarded, imported, points, way_out

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pandas as pd

GROUP = "skillfleet_nb.optimizers"
CHANGES = frozenset(get_args(Changes))


def available() -> dict[str, EntryPoint]:
    """Return every installed optimizer's entry point by name; nothing is imported.

    Examples
    --------
    >>> "gepa" in available()
    True
    """
    return {point.name: point for point in points(GROUP)}


def load(name: str) -> type[Optimizer]:
    """Import the optimizer class called `name`.

    Raises
    ------
    NotFoundError
        If no installed package registers that name.
    InputError
        If the plugin cannot be used.
    """
    names = available()
    if name not in names:
        raise unknown("optimizer", name, names, hint=f"See {as_typed('optimizers')}.")
    return optimizer_of(names[name])


def optimizer_of(point: EntryPoint) -> type[Optimizer]:
    """Import the optimizer class of an entry point.

    Raises
    ------
    InputError
        If it cannot be imported, or is not a whole :class:`Optimizer`: with the reason, and what to do.
    """
    loaded = imported(point, "optimizer")
    if (fault := fault_of(loaded, point.name)) is not None:
        raise InputError(f"optimizer {point.name!r} cannot be used: {point.value} {fault}; {way_out(point)}")
    cls: type[Optimizer] = loaded
    return cls


def _misdeclared(cls: Any) -> str | None:
    """Say which declaration of a class others could not work with, if any."""
    for name in ("changes", "builds_on"):
        kinds = getattr(cls, name)
        if not (isinstance(kinds, set | frozenset) and kinds <= CHANGES):
            return f"declares {name} = {kinds!r}: give a set of {', '.join(sorted(CHANGES))}"
    if not (isinstance(cls.Params, type) and issubclass(cls.Params, BaseModel)):
        return f"declares Params = {cls.Params!r}: give a subclass of OptimizerParams"
    if not (isinstance(cls.presets, tuple | list) and all(map(_is_preset, cls.presets))):
        return f"declares presets = {one_line(repr(cls.presets))}: give a tuple of Preset"
    return None


def _is_preset(one: object) -> bool:
    return (
        isinstance(one, Preset)
        and isinstance(one.params, Mapping)
        and isinstance(one.prior_gain, int | float)
        and isinstance(one.tier, Tier)
    )


def fault_of(loaded: object, name: str | None = None) -> str | None:
    """Say what keeps an object from being an optimizer, of that name where one is given, if anything does."""
    if not (isinstance(loaded, type) and issubclass(loaded, Optimizer)):
        return f"is {loaded!r}, not an Optimizer subclass"
    missing = [n for n in ("name", "summary", "changes") if not hasattr(loaded, n)]
    missing += sorted(loaded.__abstractmethods__)
    if missing:
        return f"does not define {', '.join(missing)}"
    if name not in {None, loaded.name}:
        return f"calls itself {loaded.name!r}"
    return _misdeclared(loaded)


def classes() -> dict[str, type[Optimizer] | InputError]:
    """Import every installed optimizer: its class by name, or why it cannot be used."""
    loaded: dict[str, type[Optimizer] | InputError] = {}
    for name, point in available().items():
        try:
            loaded[name] = optimizer_of(point)
        except InputError as exc:
            loaded[name] = exc
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
    PluginError
        If it raises anything else as it is made.

    Examples
    --------
    >>> create("labeled_fewshot", {"k": "4"}).params.k
    4
    """
    return made(load(name), params or {})


def made(cls: type[Optimizer], params: Mapping[str, Any]) -> Optimizer:
    """Make an optimizer of a class; raises as :func:`create` does for its parameters."""
    name, values = cls.name, dict(params)
    for key in values:
        if key not in cls.Params.model_fields:
            raise unknown(f"parameter of {name}", key, cls.Params.model_fields)
    with guarded(f"{name} cannot be made"):
        try:
            return cls(cls.Params.model_validate(values))
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "its parameters"
            raise InputError(f"{name}: {where} = {first['input']!r}: {first['msg']}") from None


def listed() -> pd.DataFrame:
    """List the installed optimizers: what each changes, does and needs; of a broken one, why it is."""
    import pandas as pd

    rows = [
        [name, "", f"broken: {c}", ""]
        if isinstance(c, InputError)
        else [name, ", ".join(sorted(c.changes, reverse=True)), c.summary, c.needs]
        for name, c in classes().items()
    ]
    return pd.DataFrame(rows, columns=["name", "changes", "what it does", "needs"])


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
