"""What a metric or a program *is*, by content: equal before and after a travel to another process.

The source text of what a notebook defined does not travel, its compiled code does.  So a function is
known by its code, by the constants it reads, and by the functions it calls that are the person's own;
a program by the prompts and demos of its predictors and by the code of its classes.  What code changes while it runs,
such as a list of answers seen or a count, is not part of what it is.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import platform
import sys
import types
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillfleet_nb.typing import Metric, Program

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_READS = {"LOAD_GLOBAL", "LOAD_NAME"}
_LOADS = (*_READS, "LOAD_DEREF", "LOAD_FAST", "LOAD_FAST_BORROW")
_WRITES = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF"}
_CHANGES = {"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR"}
_CHANGING = frozenset(  # methods of lists, deques, dictionaries, counters and sets
    {
        *("append", "extend", "insert", "pop", "remove", "clear", "reverse", "sort"),
        *("appendleft", "extendleft", "popleft", "rotate"),
        *("update", "setdefault", "popitem", "subtract"),
        *("add", "discard", "difference_update", "intersection_update", "symmetric_difference_update"),
    }
)
_PACKAGES = ("skillfleet-nb", "dspy", "litellm", "gepa", "optuna", "numpy", "duckdb")
_LIBRARIES = ("dspy", "skillfleet_nb")


def environment() -> dict[str, str]:
    """Tell the versions of what a run rests on: Python, and the packages that decide what it does."""
    return dict(_versions())


def closed_over(fn: types.FunctionType) -> dict[str, Any]:
    """Return what a function closes over, but for names that have no value yet.

    Examples
    --------
    >>> def made(n):
    ...     return lambda: (n, later)
    ...     later = None
    >>> closed_over(made(1))
    {'n': 1}
    """
    held = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # it is empty
            held[name] = cell.cell_contents
    return held


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    versions = [("python", platform.python_version())]
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append((package, version(package)))
    return tuple(versions)


def metric_content(metric: Metric | None) -> Any:
    """Describe a metric by content, as plain values."""
    return _Describer().value(metric)


def program_content(program: Program) -> Any:
    """Describe a program by content, as plain values: its prompts, its demos and its own code."""
    prompts = {
        name: [
            p.signature.instructions,
            {
                n: [str(f.annotation), str((f.json_schema_extra or {}).get("desc"))]
                for n, f in p.signature.fields.items()
            },
            [dict(d) for d in p.demos],
        ]
        for name, p in program.named_predictors()
    }
    classes = {_name(type(m)): type(m) for _, m in program.named_sub_modules()}
    return [prompts, [_Describer().value(classes[name]) for name in sorted(classes)]]


class _Describer:
    """Turns one object into plain values; what it meets again is not described again."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def value(self, value: object) -> Any:
        if isinstance(value, _PLAIN):
            return [type(value).__name__, repr(value)]
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if id(value) in self._seen:
            return "again"
        self._seen.add(id(value))
        try:
            return self._compound(value)
        finally:
            if not isinstance(value, type | types.FunctionType):  # equal ones may be one object or several
                self._seen.discard(id(value))

    def _compound(self, value: object) -> Any:  # noqa: PLR0911  one for each kind
        if isinstance(value, list | tuple):
            return [type(value).__name__, [self.value(v) for v in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(str(self.value(v)) for v in value)]
        if isinstance(value, dict):
            return ["dict", sorted(str([self.value(k), self.value(v)]) for k, v in value.items())]
        if isinstance(value, functools.partial):
            return ["partial", *map(self.value, (value.func, value.args, value.keywords))]
        if isinstance(value, types.MethodType):
            return ["method", self.value(value.__func__), self.value(value.__self__)]
        if isinstance(value, type):
            return ["class", _name(value), self._members(value)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        # Of other objects, such as a connection or a model, the kind: what they hold changes with their use.
        changed = _changed_attributes(type(value))
        held = getattr(value, "__dict__", {}).items()
        plain = {k: v for k, v in held if isinstance(v, _PLAIN) and k not in changed}
        return ["object", self.value(type(value)), self.value(plain) if _is_own(type(value)) else ""]

    def _members(self, cls: type) -> Any:
        if not _is_own(cls):
            return ""
        members = {n: getattr(m, "__func__", m) for n, m in vars(cls).items()}  # of static and class methods
        functions = {n: self.value(m) for n, m in sorted(members.items()) if isinstance(m, types.FunctionType)}
        return [functions, [self.value(base) for base in cls.__bases__]]

    def _function(self, fn: types.FunctionType) -> Any:
        if not _is_own(fn):
            return ["function", _name(fn)]
        reads, changes = _names(fn.__code__)
        outer = {n: fn.__globals__[n] for n in reads if n in fn.__globals__}
        outer |= closed_over(fn)
        values = {n: self.value(v) for n, v in sorted(outer.items()) if n not in changes}
        positional = fn.__code__.co_varnames[: fn.__code__.co_argcount]
        defaults = dict(zip(reversed(positional), reversed(fn.__defaults__ or ()), strict=False))
        defaults |= fn.__kwdefaults__ or {}
        kept = {n: self.value(v) for n, v in sorted(defaults.items()) if n not in changes}
        return ["function", self._code(fn.__code__), kept, values]

    def _code(self, code: types.CodeType) -> Any:
        """Describe code without the places it came from."""
        constants = [self._code(c) if isinstance(c, types.CodeType) else self.value(c) for c in code.co_consts]
        return [code.co_code.hex(), constants, list(code.co_names), list(code.co_varnames), list(code.co_freevars)]


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """List the globals that code reads, and the names whose values it changes, the functions within it too.

    ``seen.append(x)``, ``count[x] += 1`` and ``state.n = 1`` change what their first name holds: the step that does
    so begins where the name does.
    """
    reads, changes = set(), set()
    begins: dict[Any, str] = {}
    for step in dis.get_instructions(code):
        place = step.positions and (step.positions.lineno, step.positions.col_offset)
        if step.opname in _READS:
            reads.add(step.argval)
        if step.opname in _WRITES:
            changes.add(step.argval)
        elif step.opname in _LOADS and place:
            begins[place] = step.argval
        elif place in begins and (step.opname in _CHANGES or _is_changing(step)):
            changes.add(begins[place])
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = _names(inner)
            reads, changes = reads | more[0], changes | more[1]
    return reads, changes


def _changed_attributes(cls: type) -> set[str]:
    """List the attributes that methods of one's own class change after an instance was made."""
    methods = [m for c in cls.__mro__ if _is_own(c) for n, m in vars(c).items() if n not in {"__init__", "__new__"}]
    codes = [m.__code__ for m in methods if isinstance(m, types.FunctionType)]
    return {s.argval for code in codes for s in dis.get_instructions(code) if s.opname in {"STORE_ATTR", "DELETE_ATTR"}}


def _is_changing(step: dis.Instruction) -> bool:
    return step.opname in {"LOAD_METHOD", "LOAD_ATTR"} and step.argval in _CHANGING


def _is_own(thing: object) -> bool:
    """Tell whether a class or function is the person's: of no installed package, nor of Python's own."""
    name = str(getattr(thing, "__module__", "") or "")
    if name == "__main__":
        return True
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in _LIBRARIES:
        return False
    return "site-packages" not in str(getattr(sys.modules.get(name), "__file__", ""))


def _name(thing: object) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
