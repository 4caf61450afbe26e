"""What a program's and a metric's code reaches: models it asks by itself, and clients that the meter cannot see.

Code is read, not run: the names it uses, in the functions that it can come to.  What is found so is told before a
run; what is put together at run time is not found.
"""

from __future__ import annotations

import dis
import sysconfig
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb.typing import Metric, Model, Program

_MOST = 400  # objects that are looked at
_CLIENTS = {"anthropic", "cohere", "google.genai", "groq", "mistralai", "ollama", "openai", "together"}
_PROCESSES = {"ProcessPoolExecutor", "multiprocessing"}
_CLIENT = "{what} uses {name}: calls made with it are not counted, and no limit holds them; ask through a dspy.LM"
_LITELLM = (
    "{what} uses litellm: calls made with it are counted and limited as they are sent, but what they use is not known, "
    "so that a limit in USD or tokens ends the run after the first; ask through a dspy.LM"
)
_FORWARD = ("forward", "aforward")
_FOREIGN = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "site-packages")


def models_of(metric: Metric) -> list[Model]:
    """List the models that a metric asks by itself, in the order they are found."""
    import dspy

    models: list[Model] = []
    for thing in _reached(metric):
        lms = [thing] if isinstance(thing, dspy.BaseLM) else []
        if isinstance(thing, dspy.Module):
            lms = [p.lm for p in thing.predictors() if getattr(p, "lm", None) is not None]
        models += [lm for lm in lms if all(lm is not other for other in models)]
    return models


def unseen_clients(program: Program, metric: Metric | None) -> list[str]:
    """Say which code makes calls of models, or has processes make them, that are neither counted nor limited."""
    notes = []
    for what, start in (("the program", program), ("the metric", metric)):
        names = {thing for thing in _reached(start) if isinstance(thing, str)}
        notes += [_CLIENT.format(what=what, name=name) for name in sorted(names & _CLIENTS)]
        notes += [_LITELLM.format(what=what)] if "litellm" in names else []
        notes += [
            f"{what} uses {name}: calls made in other processes are not counted, and no limit holds them; use threads"
            for name in sorted(names & _PROCESSES)
        ]
    return notes


def uses_litellm(program: Program, metric: Metric | None) -> bool:
    """Tell whether code names LiteLLM."""
    return any(thing == "litellm" for start in (program, metric) for thing in _reached(start) if isinstance(thing, str))


def _reached(start: object) -> Iterator[Any]:
    """Yield every object that code of `start` names, and the names of modules and classes that it names."""
    queue: list[Any] = [start]
    seen: dict[int, Any] = {}  # held, or another object could take the place of one that is gone
    while queue and len(seen) < _MOST:
        thing = queue.pop(0)
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield thing
        where = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
        yield from _packages(where) if isinstance(where, str) else ()  # also of a client, or of a library's function
        if isinstance(thing, type):
            yield thing.__name__
        elif _is_own(thing):
            yield from _imported(thing.__code__)
        queue += _next(thing)


def _packages(module: str) -> Iterator[str]:
    """Yield a module's name, and those of its package and its namespace's part."""
    parts = module.split(".")
    yield from (module, parts[0], ".".join(parts[:2]))


def _next(thing: Any) -> list[Any]:
    """List the objects that an object's code leads to."""
    import dspy

    if isinstance(thing, FunctionType):
        return _named(thing) if _is_own(thing) else []
    if isinstance(thing, dspy.Module):
        parts = [part for _, part in thing.named_sub_modules()]
        return [*(getattr(type(part), name, None) for part in parts for name in _FORWARD), *vars(thing).values()]
    if hasattr(thing, "__func__"):
        return [thing.__func__, thing.__self__]
    if hasattr(thing, "__wrapped__"):
        return [thing.__wrapped__]
    if callable(thing) and isinstance(call := getattr(type(thing), "__call__", None), FunctionType):  # noqa: B004
        return [call, *getattr(thing, "__dict__", {}).values()]
    return []


def _is_own(thing: object) -> bool:
    """Tell whether it is a function of a person's, not of a library."""
    return isinstance(thing, FunctionType) and not any(path in thing.__code__.co_filename for path in _FOREIGN)


def _named(function: FunctionType) -> list[object]:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    inside: list[object] = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # of a name that has no value yet
            inside.append(cell.cell_contents)
    wrapped = getattr(function, "__wrapped__", None)
    return [*(function.__globals__[n] for n in sorted(names) if n in function.__globals__), *inside, wrapped]


def _imported(code: CodeType) -> Iterator[str]:
    for inner in _codes(code):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in {"IMPORT_NAME", "IMPORT_FROM"}:
                yield from _packages(str(instruction.argval))
        yield from (name for name in inner.co_names if name in _PROCESSES)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
