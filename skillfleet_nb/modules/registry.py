"""Modules by name and version: built-in ones and those of other packages come through the same entry point group.

The name of an entry point is the module's name and version, ``NAME-VERSION``, so that what there is is known before
anything is imported, and versions of one name may come from several packages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version
from pydantic import ValidationError

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.messages import as_typed
from skillfleet_nb.modules.base import ModuleFactory
from skillfleet_nb.plugins import imported, package_of, points, way_out

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

    from skillfleet_nb.config import TaskRole
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model, Program

GROUP = "skillfleet_nb.modules"


@dataclass(frozen=True)
class ModuleInfo:
    """A version of a module.

    Attributes
    ----------
    name, version
        What :func:`create` takes.
    package
        The package it comes with.
    summary
        What it does, in a line.
    role
        What its model is asked for; None where that is not said.
    schema
        JSON schema of its configuration.
    broken
        Why it cannot be used; None where it can.
    """

    name: str
    version: str
    package: str
    summary: str = ""
    role: str | None = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    broken: str | None = None


def names() -> list[str]:
    """Return the name of every installed module; nothing is imported."""
    return list(_known())


def available() -> dict[str, list[ModuleInfo]]:
    """Return every installed module by name, its newest version first; one that is broken says why.

    Examples
    --------
    >>> available()["skill_planner"][0].role
    'understanding'
    """
    return {
        name: [_described(name, version, point) for version, point in versions] for name, versions in _known().items()
    }


def create(name: str, /, version: str | None = None, **config: Any) -> Program:
    """Make a module.

    Parameters
    ----------
    name
        As in :func:`available`.
    version
        By default the newest that is no pre-release.
    **config
        Its configuration.

    Returns
    -------
    dspy.Module
        Ready to be called.  Where its work has a role for which the home names a model, its predictors have it.

    Raises
    ------
    NotFoundError
        For an unknown module, version or name in the configuration, with the nearest.
    InputError
        If the configuration is not allowed, or the plugin is broken.

    Examples
    --------
    >>> list(create("skill_planner").signature.input_fields)
    ['task_description']
    """
    return made(name, version, config)


def made(name: str, version: str | None, config: Mapping[str, Any], home: Home | None = None) -> Program:
    """Make a module for a home, by default the one that ``Fleet()`` finds; otherwise as :func:`create`."""
    from skillfleet_nb.config import Settings
    from skillfleet_nb.lm.task_models import model_for
    from skillfleet_nb.store import Home

    cls = factory(name, version)
    made = cls(_checked(cls, config))
    program = made.build()
    settings = Settings.load((home or Home.find()).config)
    models: dict[TaskRole, Model | None] = {}
    for predictor, asked in program.named_predictors():
        if (role := made.role_of(predictor)) is None:
            continue
        if role not in models:
            models[role] = model_for(settings, role)
        asked.lm = asked.lm or models[role]
    return program


def factory(name: str, version: str | None = None) -> type[ModuleFactory]:
    """Import the factory of a module; raises as :func:`create` does."""
    modules = _known()
    if name not in modules:
        raise unknown("module", name, modules, hint=f"See {as_typed('modules list')}.")
    versions = dict(modules[name])
    if version is None:
        version = next((v for v in versions if not _version(v).is_prerelease), next(iter(versions)))
    if version not in versions:
        raise unknown(f"version of {name}", version, versions, hint=f"See {as_typed(f'modules info {name}')}.")
    return _factory(name, version, versions[version])


def broken_modules() -> dict[str, str]:
    """Return the modules that cannot be used, and why, in the form of :func:`factory`'s errors."""
    return {f"{one.name}-{one.version}": one.broken for all_ in available().values() for one in all_ if one.broken}


def _known() -> dict[str, list[tuple[str, EntryPoint]]]:
    modules: dict[str, dict[str, EntryPoint]] = {}
    for point in points(GROUP):
        name, _, version = point.name.rpartition("-")
        modules.setdefault(name or version, {})[version if name else "1"] = point
    return {n: sorted(modules[n].items(), key=lambda one: _version(one[0]), reverse=True) for n in sorted(modules)}


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")  # told when it is imported


def _factory(name: str, version: str, point: EntryPoint) -> type[ModuleFactory]:
    cls = imported(point, "module")
    if (fault := _fault(cls, name, version)) is not None:
        raise InputError(f"module {point.name!r} cannot be used: {point.value} {fault}; {way_out(point)}")
    factory: type[ModuleFactory] = cls
    return factory


def _fault(cls: object, name: str, version: str) -> str | None:
    """Say what keeps a plugin from being a module of that name and version, if anything does."""
    if not (isinstance(cls, type) and issubclass(cls, ModuleFactory)):
        return f"is {cls!r}, not a ModuleFactory subclass"
    missing = [n for n in ("name", "version", "summary") if not hasattr(cls, n)]
    missing += sorted(cls.__abstractmethods__)
    if missing:
        return f"does not define {', '.join(missing)}"
    if (cls.name, cls.version) != (name, version):
        return f"calls itself {cls.name}-{cls.version}"
    if _version(version) == _version(""):
        return f"has the version {version!r}: versions are written 1, 1.2 or 2.0rc1"
    return None


def _described(name: str, version: str, point: EntryPoint) -> ModuleInfo:
    try:
        cls = _factory(name, version, point)
        schema = cls.Config.model_json_schema()
    except InputError as exc:
        return ModuleInfo(name, version, package_of(point), broken=str(exc))
    except Exception as exc:  # noqa: BLE001  pydantic raises several kinds for types that JSON does not know
        why = f"the schema of its Config cannot be told: {exc}; {way_out(point)}"
        return ModuleInfo(name, version, package_of(point), broken=why)
    return ModuleInfo(name, version, package_of(point), cls.summary, cls.role, schema)


def _checked(cls: type[ModuleFactory], config: Mapping[str, Any]) -> Any:
    for key in config:
        if key not in cls.Config.model_fields:
            raise unknown(f"configuration of {cls.name}", key, cls.Config.model_fields)
    try:
        return cls.Config.model_validate(dict(config))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its configuration"
        why = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise InputError(f"{cls.name}: {where} is missing: give {where}=") from None
        raise InputError(f"{cls.name}: {where} = {first['input']!r}: {why}") from None
