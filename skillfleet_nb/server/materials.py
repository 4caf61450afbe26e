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

    def program(self, given: str | Described) -> Any:
        """Find or make a program."""
        if isinstance(given, Described):
            return self._described(given)
        if ":" not in given:
            return self.fleet.program(given)
        import dspy

        program = self._imported(given, "program")
        if not isinstance(program, dspy.Module):
            raise InputError(f"program {given!r} is {type(program).__name__}: name an instance of dspy.Module")
        return program

    def rows(self, given: str | list[dict[str, Any]] | JobSplit) -> Any:
        """Find data."""
        if isinstance(given, JobSplit):
            return list(getattr(self.fleet.job(given.job).parcel().request, given.split))
        if not isinstance(given, str):
            return given
        if Path(given).suffix.lower() in SUFFIXES:
            from skillfleet_nb.store import read_examples

            return read_examples(self.path(given))
        if ":" not in given:
            raise InputError(f"data {given!r} is no file of examples: give {', '.join(SUFFIXES)}, or the rows")
        return self._imported(given, "data")

    def metric(self, given: str) -> Any:
        """Find a metric."""
        if ":" in given:
            return self._imported(given, "metric")
        if given not in {point.name for point in points(METRICS)}:
            raise NotFoundError(
                f"metric {given!r} is not registered: name one that is, {', '.join(p.name for p in points(METRICS))}, "
                "or module:attribute of what [serving] imports allows"
            )
        return resolve_metric(given, {})

    def models(self, given: str | list[str]) -> Any:
        """Make a model, or several."""
        if not isinstance(given, str):
            return [self.models(one) for one in given]
        if ":" in given.partition("/")[0]:
            raise InputError(f"lm {given!r}: a request names a model with its provider, a role, or 'offline'")
        return resolve_lm(given, {}, self.fleet.home)

    def path(self, given: str) -> Path:
        """Find a file or folder of the server's; nothing outside it, and nothing hidden.

        Raises
        ------
        InputError
            If it lies elsewhere, wherever a link may lead.
        """
        root = self.root.resolve()
        try:
            place = (root / given).resolve()
            place.exists()  # a name that is too long is found out here
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{given!r} cannot be a path: {error}; give one below the server's folder") from None
        if not place.is_relative_to(root) or any(part.startswith(".") for part in place.relative_to(root).parts):
            raise InputError(f"{given!r} is not below the server's folder, or hidden: give a path within it")
        return place

    def _described(self, given: Described) -> Any:
        import dspy

        if given.tools and given.module != "ReAct":
            raise InputError(f"tools are given to {given.module}, which uses none: give module = 'ReAct'")
        try:
            signature = dspy.Signature(given.signature, given.instructions or None)
            if given.module == "ReAct":
                return dspy.ReAct(signature, tools=[self._imported(tool, "tool") for tool in given.tools])
            return getattr(dspy, given.module)(signature)
        except (ValueError, TypeError, SyntaxError) as error:
            raise InputError(f"signature {given.signature!r}: {error}; write it as 'text -> label: bool'") from None

    def _imported(self, given: str, what: str) -> Any:
        """Import ``module:attribute``, if its module may be, and what it finds there is that module's own."""
        allowed = Settings.load(self.fleet.home.config).serving.imports
        module, _, path = given.partition(":")
        if not _is_within(module, allowed):
            listed = ", ".join(allowed) or "nothing"
            raise InputError(
                f"{what} {given!r}: this server imports {listed}; its owner adds packages to imports under [serving] "
                "in config.toml"
            )
        names = path.split(".")
        if not all(name.isidentifier() and not name.startswith("_") for name in names):
            raise InputError(f"{what} {given!r}: name what its module shows, without a leading underscore")
        for end in range(1, len(names) + 1):
            found = resolve(f"{module}:{'.'.join(names[:end])}", what, {})
            is_others = (isclass(found) or isroutine(found)) and not _is_within(found.__module__ or "", allowed)
            if ismodule(found) or is_others:
                raise InputError(f"{what} {given!r} is not {module}'s own: name what is defined in an allowed package")
        return found


def _is_within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in allowed)
