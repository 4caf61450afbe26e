"""What a request names, made an object: what is registered, a file of the server's folder, what may be imported.

Nothing that is sent is unpickled or run.  ``module:attribute`` is imported only from packages that the home's
``config.toml`` lists under ``[serving] imports``, by which its owner vouches for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isclass, ismodule, isroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.resolve import METRICS, SUFFIXES, resolve, resolve_lm, resolve_metric
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.plugins import points
from skillfleet_nb.server.wire import LOADED, SERVER_CHOOSES, Described, JobSplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from skillfleet_nb.fleet import Fleet


@dataclass(frozen=True)
class Materials:
    """Finds what requests name.

    Parameters
    ----------
    fleet
        The home's.
    root
        The server's folder.
    """

    fleet: Fleet
    root: Path

    def options(self, asked: BaseModel) -> dict[str, Any]:
        """Return the fields of a request with what they name in place of the names."""
        read: dict[str, Callable[[Any], Any]] = {
            "program": self.program, "rows": self.rows, "metric": self.metric, "model": self.models,
        }  # fmt: skip
        options = {name: getattr(asked, name) for name in type(asked).model_fields if name not in SERVER_CHOOSES}
        return {
            name: value if value is None or name not in LOADED else read[LOADED[name]](value)
            for name, value in options.items()
        }

    def program(self, description: str | Described) -> Any:
        """Find or make a program."""
        if isinstance(description, Described):
            return self._described(description)
        if ":" not in description:
            return self.fleet.program(description)
        import dspy

        program = self._imported(description, "program")
        if not isinstance(program, dspy.Module):
            raise InputError(f"program {description!r} is {type(program).__name__}: name an instance of dspy.Module")
        return program

    def rows(self, source: str | list[dict[str, Any]] | JobSplit) -> Any:
        """Find data."""
        if isinstance(source, JobSplit):
            return list(getattr(self.fleet.job(source.job).parcel().request, source.split))
        if not isinstance(source, str):
            return source
        if Path(source).suffix.lower() in SUFFIXES:
            from skillfleet_nb.store import read_examples

            return read_examples(self.path(source))
        if ":" not in source:
            raise InputError(f"data {source!r} is no file of examples: give {', '.join(SUFFIXES)}, or the rows")
        return self._imported(source, "data")

    def metric(self, name: str) -> Any:
        """Find a metric."""
        if ":" in name:
            return self._imported(name, "metric")
        if name not in {point.name for point in points(METRICS)}:
            raise NotFoundError(
                f"metric {name!r} is not registered: name one that is, {', '.join(p.name for p in points(METRICS))}, "
                "or module:attribute of what [serving] imports allows"
            )
        return resolve_metric(name, {})

    def models(self, names: str | list[str]) -> Any:
        """Make a model, or several."""
        if not isinstance(names, str):
            return [self.models(one) for one in names]
        if ":" in names.partition("/")[0]:
            raise InputError(f"lm {names!r}: a request names a model with its provider, a role, 'offline' or 'local'")
        return resolve_lm(names, {}, self.fleet.home)

    def path(self, name: str) -> Path:
        """Find a file or folder of the server's; nothing outside it, and nothing hidden.

        Raises
        ------
        InputError
            If it lies elsewhere, wherever a link may lead.
        """
        root = self.root.resolve()
        try:
            place = (root / name).resolve()
            place.exists()  # a name that is too long is found out here
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{name!r} cannot be a path: {error}; give one below the server's folder") from None
        if not place.is_relative_to(root) or any(part.startswith(".") for part in place.relative_to(root).parts):
            raise InputError(f"{name!r} is not below the server's folder, or hidden: give a path within it")
        return place

    def _described(self, description: Described) -> Any:
        import dspy

        if description.tools and description.module != "ReAct":
            raise InputError(f"tools are given to {description.module}, which uses none: give module = 'ReAct'")
        try:
            signature = dspy.Signature(description.signature, description.instructions or None)
            if description.module == "ReAct":
                return dspy.ReAct(signature, tools=[self._imported(tool, "tool") for tool in description.tools])
            return getattr(dspy, description.module)(signature)
        except (ValueError, TypeError, SyntaxError, RuntimeError) as error:  # pydantic of a leading _
            raise InputError(
                f"signature {description.signature!r}: {error}; write it as 'text -> label: bool'"
            ) from None

    def _imported(self, text: str, what: str) -> Any:
        """Import ``module:attribute``, if its module may be, and what it finds there is that module's own."""
        allowed = Settings.load(self.fleet.home.config).serving.imports
        module, _, path = text.partition(":")
        if not _is_within(module, allowed):
            listed = ", ".join(allowed) or "nothing"
            raise InputError(
                f"{what} {text!r}: this server imports {listed}; its owner adds packages to imports under [serving] "
                "in config.toml"
            )
        names = path.split(".")
        if not all(name.isidentifier() and not name.startswith("_") for name in names):
            raise InputError(f"{what} {text!r}: name what its module shows, without a leading underscore")
        for end in range(1, len(names) + 1):
            part = resolve(f"{module}:{'.'.join(names[:end])}", what, {})
            is_others = (isclass(part) or isroutine(part)) and not _is_within(part.__module__ or "", allowed)
            if ismodule(part) or is_others:
                raise InputError(f"{what} {text!r} is not {module}'s own: name what is defined in an allowed package")
        return part


def _is_within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in allowed)
