"""``fleet.modules``: modules by name and version, how they are listed, and how one is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import unknown
from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable, fill, join, passage, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.modules.registry import available, made

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.modules.registry import ModuleInfo
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Program


class Modules:
    """Modules that installed packages bring along.  Reached as ``fleet.modules``.

    Parameters
    ----------
    home
        Its ``[task_models]`` name the models that they are made with.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def available(self) -> dict[str, list[ModuleInfo]]:
        """Return every module by name, its newest version first; see :func:`skillfleet_nb.modules.available`."""
        return available()

    def create(self, name: str, /, version: str | None = None, **config: Any) -> Program:
        """Make a module; see :func:`skillfleet_nb.modules.create`."""
        return made(name, version, config, self._home)

    def listing(self) -> ModuleList:
        """List every module: its versions, what it does, what its model is asked for, and its package."""
        return ModuleList(available())

    def info(self, name: str, *, with_versions: bool = False) -> ModulePage:
        """Show a module: what it does, its configuration, and a line that makes it.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        modules = available()
        if name not in modules:
            raise unknown("module", name, modules, hint=f"See {as_typed('modules list')}.")
        return ModulePage(modules[name], with_versions)


@dataclass(frozen=True, repr=False)
class ModuleList(Readable):
    """Every module, one a line.

    Attributes
    ----------
    modules
        By name, the newest version first.
    """

    modules: Mapping[str, Sequence[ModuleInfo]]

    _HEADER = ("name", "versions", "what it does", "model of", "package")

    def _rows(self) -> list[list[str]]:
        return [
            [
                name,
                ", ".join(v.version for v in versions),
                _does(versions[0]),
                versions[0].role or "",
                versions[0].package,
            ]
            for name, versions in self.modules.items()
        ]

    def _below(self) -> str:
        return f"{counted(self.modules, 'module')}; {as_typed('modules info NAME')} shows one"

    def text(self) -> str:
        """Show the list as plain text."""
        return f"{text_table(self._HEADER, self._rows())}\n{self._below()}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return fill("{}<div style='opacity:.7'>{}</div>", table(self._HEADER, self._rows()), self._below())


@dataclass(frozen=True, repr=False)
class ModulePage(Readable):
    """A module: its newest version, and on request the others beside it.

    Attributes
    ----------
    versions
        The newest first.
    with_versions
        Whether every version is shown.
    """

    versions: Sequence[ModuleInfo]
    with_versions: bool = False

    _CONFIG = ("configuration", "type", "default", "what it is")
    _VERSIONS = ("version", "what it does", "configuration", "package")

    def text(self) -> str:
        """Show it as plain text."""
        facts, config = self._facts(), _config(self.versions[0])
        width = max(len(word) for word, _ in facts)
        parts = ["\n".join(f"{word:<{width}}  {value}" for word, value in facts)]
        parts += [text_table(self._CONFIG, config)] if config else []
        parts += [text_table(self._VERSIONS, self._others())] if self.with_versions else []
        return "\n\n".join([*parts, "\n".join(self._lines())])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        config, schema = _config(self.versions[0]), json.dumps(self.versions[0].schema, indent=2, ensure_ascii=False)
        parts = [table([], self._facts())]
        parts += [table(self._CONFIG, config)] if config else []
        parts += [table(self._VERSIONS, self._others(), title="versions")] if self.with_versions else []
        parts.append(fill("<p><strong>use it</strong></p>{}", passage("\n".join(self._lines()))))
        parts.append(fill("<details><summary>JSON schema of its configuration</summary>{}</details>", passage(schema)))
        return join(parts)

    def _facts(self) -> list[list[str]]:
        newest = self.versions[0]
        rows = [
            ["module", f"{newest.name} {newest.version}"],
            ["does", _does(newest)],
            ["model of", f"{newest.role}: [task_models.{newest.role}] in config.toml names it" if newest.role else ""],
            ["package", newest.package],
            ["other versions", ", ".join(v.version for v in self.versions[1:])],
        ]
        return [row for row in rows if row[1]]

    def _others(self) -> list[list[str]]:
        return [[v.version, _does(v), ", ".join(row[0] for row in _config(v)), v.package] for v in self.versions]

    def _lines(self) -> list[str]:
        newest = self.versions[0]
        needed = "".join(f", {name}=…" for name in newest.schema.get("required", ()))
        version = f', version="{newest.version}"' if len(self.versions) > 1 else ""
        return ["from skillfleet_nb.modules import create", f'module = create("{newest.name}"{version}{needed})']


def _does(module: ModuleInfo) -> str:
    return f"broken: {module.broken}" if module.broken else module.summary


def _config(module: ModuleInfo) -> list[list[str]]:
    """Return a configuration as rows: name, type, default, what it is."""
    required = module.schema.get("required", ())
    return [
        [
            name,
            _type(schema),
            "must be given" if name in required else json.dumps(schema.get("default"), ensure_ascii=False),
            str(schema.get("description", "")),
        ]
        for name, schema in module.schema.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Any]) -> str:
    """Say the type of a property of a JSON schema in words."""
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = str(schema.get("type", "any"))
    inner = schema.get("items") or schema.get("prefixItems")
    return f"{kind} of {_type(inner)}" if kind == "array" and isinstance(inner, dict) and inner else kind
