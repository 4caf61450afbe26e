"""The plan of the house, walked file by file: who may import whom, where SQL stands, no state, and no long files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import skillfleet_nb
from skillfleet_nb.store.schema import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(skillfleet_nb.__file__).parent
FRONT_DOOR = "skillfleet_nb"

# Lowest first.  A room may import its own layer and those below it; rooms never import each other in circles.
LAYERS: list[set[str]] = [
    {
        "async_engine",
        "blobs",
        "design",
        "errors",
        "events",
        "envelope",
        "projection",
        "job_clock",
        "format",
        "html",
        "example",
        "typing",
        "messages",
        "config",
        "stats",
        "power",
        "security",
        "redaction",
        "plugins",
    },
    {"store", "lm", "offline", "local"},
    {"programs", "skills", "data", "modules", "targets"},
    {"runs", "optimizers", "charts"},
    {"reports", "advice", "monitoring", "insights", "tracing"},
    {"fleet", "remote"},
    {"testing"},
    {"commands", "magics", "widgets", "cli", "server"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
SURFACES = ["commands", "widgets", "magics"]  # lowest first
PURE = LAYERS[0] | {"skills", "data"}
LOADED_ON_USE = {
    "programs/voting.py",
    "skills/creator/phases.py",
    "skills/creator/program.py",
    "skills/creator/research.py",
    "monitoring/route.py",
    "targets/agents.py",
    "targets/endpoints.py",
    "targets/tools.py",
    "targets/skills.py",
    "targets/text.py",
    "testing/task.py",
    "tracing/tracer.py",
}
"""Files whose public classes are DSPy modules: nothing imports them before they are asked for."""
HEAVY = {
    "dspy",
    "torch",
    "altair",
    "litellm",
    "sentence_transformers",
    "tokenizers",
    "safetensors",
    "sklearn",
    "scipy",
    "pandas",
    "gepa",
    "optuna",
}

MOST_FILES_IN_A_KNOT = 4
MOST_LINES_IN_A_FILE = 450
MOST_LINES_IN_A_FUNCTION = 60  # its docstring aside
MOST_PARAMETERS_OF_ANY_TYPE = 0.04  # of all

# What looks like SQL outside the store and is none of the package's own: what people are shown to type.
EXAMPLES_OF_SQL = {
    "select name, best_score, cost_usd from jobs",
    "sql select name, best_score from jobs",
}

# Modules that keep state because the process has only one of what they hold, and functions that remember their
# answer because it follows from the arguments alone and takes long.
OF_THE_PROCESS = {
    "runs/collector.py": "the garbage collector",
    "lm/stand_ins.py": "what stands for parts of other libraries while a run is on",
}
REMEMBERED = {
    "config.py:_validated": "settings of a text, which every question of a home asks for",
    "lm/tap.py:_tapped_class": "a class made for every model of a program's own that is called",
    "optimizers/base.py:_played": "a loop rehearsed many times over",
    "offline/induce.py:_bag": "words of a text, compared at every set of demos that it is cut from",
    "offline/induce.py:_shaped": "a text in every shape, made at every set of demos that it is cut from",
    "plugins.py:_scanned": "the metadata of all that is installed",
    "optimizers/rehearsal/run.py:_spread": "asked at every score that is rehearsed",
    "skills/scoring/readability.py:_syllables": "asked at every word",
    "store/tickets.py:_lender": "the lock by which others see that this process lives",
    "store/locks.py:prove": "whether a file system locks",
    "runs/metric.py:_shared": "scores, which searches keep: one object for all that are the same",
}


def _path(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def _room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _module(file: Path) -> str:
    parts = [FRONT_DOOR, *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {_module(f): f for f in FILES}


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@cache
def _imports(file: Path) -> tuple[tuple[str, bool], ...]:
    """Return every module imported, lazily or for its types too, and whether it is as the file is loaded."""
    imports: list[tuple[str, bool]] = []

    def walk(node: ast.AST, *, at_load: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                imports.extend((alias.name, at_load) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{file} imports relatively"
                module = child.module or ""
                names = [f"{module}.{alias.name}" for alias in child.names]
                imports.extend((name if name in MODULES else module, at_load) for name in names)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            walk(child, at_load=at_load and not typing_only and not inside)

    walk(_tree(file), at_load=True)
    return tuple(imports)


def _own_imports(file: Path) -> set[str]:
    """Return the package's own modules that a file imports."""
    return {module for module, _ in _imports(file) if module.split(".")[0] == FRONT_DOOR} - {_module(file)}


def _packages(file: Path, *, at_load: bool = False) -> set[str]:
    return {module.split(".")[0] for module, loaded in _imports(file) if loaded or not at_load}


def _is_above(other: str, room: str) -> bool:
    both_surfaces = room in SURFACES and other in SURFACES
    return RANK[other] > RANK[room] or (both_surfaces and SURFACES.index(other) > SURFACES.index(room))


def test_every_room_has_a_layer() -> None:
    assert {_room(file) for file in FILES} - {"__init__"} - RANK.keys() == set(), "name it in LAYERS"


def test_no_import_goes_up() -> None:
    imports = [(file, module) for file in FILES if _module(file) != FRONT_DOOR for module in _own_imports(file)]
    assert [_path(file) for file, module in imports if module == FRONT_DOOR] == [], "goes through the front door"
    upward = [(_path(f), module) for f, module in imports if _is_above(module.split(".")[1], _room(f))]
    assert upward == []


def _circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of nodes that all reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for node in graph[waiting.pop()] - seen:
                seen.add(node)
                waiting.append(node)
        return seen

    reach = {node: reached(node) for node in graph}
    knots = {frozenset({node, *(other for other in reach[node] if node in reach[other])}) for node in graph}
    return [set(knot) for knot in knots if len(knot) > 1]


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set[str]()}
    assert _circles(graph) == [{"a", "b", "c"}]
    assert _circles({"a": {"b"}, "b": set()}) == []


def test_rooms_do_not_import_each_other_in_circles() -> None:
    rooms: dict[str, set[str]] = {_room(f): set() for f in FILES}
    for file in FILES:
        others = {module.split(".")[1] for module in _own_imports(file) if module != FRONT_DOOR}
        rooms[_room(file)] |= others - {_room(file)}
    assert _circles(rooms) == []


def test_files_that_import_each_other_are_few_and_of_one_room() -> None:
    knots = _circles({module: _own_imports(file) & MODULES.keys() for module, file in MODULES.items()})
    assert [knot for knot in knots if len(knot) > MOST_FILES_IN_A_KNOT] == []
    assert [knot for knot in knots if len({_room(MODULES[module]) for module in knot}) > 1] == []


def test_pure_rooms_know_no_database_notebook_or_model() -> None:
    pure = [file for file in FILES if _room(file) in PURE]
    assert [_path(f) for f in pure if "dspy" in _packages(f, at_load=True) and _path(f) not in LOADED_ON_USE] == []
    assert [_path(f) for f in pure if _packages(f) & {"duckdb", "IPython", "ipywidgets"}] == []


def test_heavy_packages_are_imported_inside_functions() -> None:
    heavy = {_path(file): _packages(file, at_load=True) & HEAVY for file in FILES}
    assert {path: packages for path, packages in heavy.items() if packages and path not in LOADED_ON_USE} == {}


def test_what_is_loaded_on_use_is_imported_inside_functions() -> None:
    late = {f"skillfleet_nb.{path.removesuffix('.py').replace('/', '.')}" for path in LOADED_ON_USE}
    early = [file for file in FILES if _path(file) not in LOADED_ON_USE]  # the others are themselves loaded on use
    assert [_path(file) for file in early if {m for m, loaded in _imports(file) if loaded} & late] == []


_SQL = re.compile(
    r"\bselect\b.+\bfrom\b|\binsert\s+into\b|\bcreate\s+(or\s+replace\s+)?(temp\s+)?(table|view|schema|macro)\b"
    r"|\bwith\s+\w+\s+as\s*\(|\battach\s+'|\bdelete\s+from\b|\bupdate\s+\w+\s+set\b|\bcopy\b.+\bto\s+'"
    rf"|^\s*from\s+({'|'.join(RELATIONS)})\s*($|where|order|limit|select|group|join)",
    re.IGNORECASE | re.DOTALL,
)


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file, docstrings aside; what an f-string puts in is a question mark."""
    aside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            aside.add(node.value)
        if isinstance(node, ast.JoinedStr):
            aside |= set(node.values)
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "?" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in aside:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    ("code", "is_sql"),
    [
        ("x = 'select a from b'", True),
        ("x = f'SELECT {a}\\nFROM {b}'", True),
        ("x = 'from jobs where a = 1'", True),
        ("x = 'WITH a AS (VALUES (1)) TABLE a'", True),
        ("x = 'create view v as values (1)'", True),
        ("x = 'attach \\'a.db\\''", True),
        ("'''Select rows from a set.'''", False),
        ("x = 'choose one from jobs'", False),
        ("x = 'from jobs of a home'", False),
    ],
)
def test_sql_is_known_by_its_look(code: str, is_sql: bool) -> None:  # noqa: FBT001  a column of the table
    assert any(_SQL.search(text) for _, text in _texts(ast.parse(code))) is is_sql


def _sql(tree: ast.Module) -> Iterator[int]:
    """Yield the lines on which a file holds SQL, or asks the store past its queries."""
    for line, text in _texts(tree):
        if _SQL.search(text) and not any(example in text for example in EXAMPLES_OF_SQL):
            yield line
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "frame":
            yield node.lineno


def test_only_the_store_knows_sql() -> None:
    others = [file for file in FILES if _room(file) != "store"]
    assert [_path(file) for file in others if "duckdb" in _packages(file)] == []
    lines = [f"{_path(file)}:{line}" for file in others for line in _sql(_tree(file))]
    assert lines == [], "make each a query of store.queries"


def test_every_example_of_sql_is_still_shown() -> None:
    texts = [text for file in FILES if _room(file) != "store" for _, text in _texts(_tree(file))]
    assert [e for e in EXAMPLES_OF_SQL if not any(e in text for text in texts)] == []


_CHANGEABLE = {
    *("list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict", "WeakKeyDictionary"),
    *("WeakValueDictionary", "WeakSet", "local", "Lock", "RLock", "Event", "Condition", "Semaphore", "Queue"),
    *("SimpleQueue", "Thread", "Random", "count", "iter", "SimpleNamespace"),
}
_CHANGES = {
    *("append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "add", "discard"),
    *("sort", "reverse", "appendleft", "popleft", "__setitem__", "__delitem__", "difference_update"),
    *("intersection_update", "symmetric_difference_update"),
}
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)


def _name(node: ast.expr) -> str:
    """Return the last name of what is called, assigned to or changed; empty where it has none."""
    if isinstance(node, ast.Call | ast.Subscript):
        return _name(node.func if isinstance(node, ast.Call) else node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _changed(tree: ast.Module) -> Iterator[str]:
    """Yield the names of what a file changes in place."""
    for node in ast.walk(tree):
        targets: Iterable[ast.expr] = ()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            yield _name(node.func.value)
        elif isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Subscript | ast.Attribute):
                yield _name(target.value)
            elif isinstance(node, ast.AugAssign):
                yield _name(target)


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a module assigns as it is loaded, and their values."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Tuple):
                    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(target.elts)
                    yield from ((_name(part), value) for part, value in zip(target.elts, values, strict=True))
                else:
                    yield _name(target), node.value


def _state(tree: ast.Module, changed: set[str]) -> Iterator[str]:
    """Yield what a module keeps that can change: `changed` are the names that anything changes in place."""
    for name, value in _assigned(tree):
        is_constant = name.lstrip("_").isupper() or name == "__all__"
        if isinstance(value, _DISPLAYS) and not is_constant:
            yield f"{name} can change: a constant is written in capitals"
        if isinstance(value, ast.Call) and _name(value) in _CHANGEABLE:
            yield f"{name} is made to change"
        if is_constant and name in changed:
            yield f"{name} is changed in place"
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"global {', '.join(node.names)}"


def _remembering(tree: ast.Module) -> Iterator[str]:
    """Yield the functions of a module that remember what they answered, but for those that make a constant."""
    inside = {
        f for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for f in ast.walk(outer) if f != outer
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node not in inside:
            remembers = any(_name(d) in {"cache", "lru_cache"} for d in node.decorator_list)
            if remembers and (node.args.args or node.args.vararg or node.args.kwonlyargs or node.args.kwarg):
                yield node.name


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        ("seen = []", 1),
        ("SEEN = []\nSEEN.append(1)", 1),
        ("SEEN = {}\ndef f():\n    SEEN['a'] = 1", 1),
        ("A, B = {}, 1\ndef f(): del A['a']", 1),
        ("HITS = 0\ndef f():\n    global HITS\n    HITS += 1", 2),
        ("lock = threading.Lock()", 1),
        ("NAMES = ['a', 'b']\n__all__ = ['NAMES']", 0),
        ("SIZES = {'a': 1}\ndef f(): return {**SIZES, 'b': 2}", 0),
    ],
)
def test_state_is_known_by_its_look(code: str, faults: int) -> None:
    tree = ast.parse(code)
    assert len(list(_state(tree, set(_changed(tree))))) == faults


def test_memory_is_known_by_its_look() -> None:
    code = (
        "@cache\ndef f(x): ...\n@functools.lru_cache(maxsize=1)\ndef g(): ...\ndef h():\n    @cache\n    def i(x): ..."
    )
    assert list(_remembering(ast.parse(code))) == ["f"]


def test_no_module_keeps_state() -> None:
    changed = {name for file in FILES for name in _changed(_tree(file))}
    state = {_path(file): list(_state(_tree(file), changed)) for file in FILES}
    assert {path: faults for path, faults in state.items() if faults and path not in OF_THE_PROCESS} == {}
    assert [path for path in OF_THE_PROCESS if not state.get(path)] == []
    assert {f"{_path(file)}:{name}" for file in FILES for name in _remembering(_tree(file))} == REMEMBERED.keys()


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.Module) -> list[_Function]:
    return [node for node in ast.walk(tree) if isinstance(node, _Function)]


def _lines(function: _Function) -> int:
    """Count a function's lines, its docstring aside."""
    length = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        length -= (first.end_lineno or 0) - first.lineno + 1
    return length


def _parameters(function: _Function) -> list[ast.arg]:
    a = function.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return [parameter for parameter in every if parameter.arg not in {"self", "cls"}]


def test_a_function_is_measured_without_its_docstring() -> None:
    code = "def f(\n    self, a: Any, *b: int, **c: Any\n):\n    '''One.\n\n    Two.\n    '''\n    return a"
    (function,) = _functions(ast.parse(code))
    assert _lines(function) == 4
    assert [p.arg for p in _parameters(function)] == ["a", "b", "c"]


def test_files_and_functions_are_short() -> None:
    lengths = {_path(file): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES_IN_A_FILE} == {}
    functions = [(f"{_path(file)}:{f.name}", _lines(f)) for file in FILES for f in _functions(_tree(file))]
    assert [(name, n) for name, n in functions if n > MOST_LINES_IN_A_FUNCTION] == []


def test_parameters_have_types() -> None:
    parameters = [p for file in FILES for function in _functions(_tree(file)) for p in _parameters(function)]
    untyped = [p for p in parameters if p.annotation is not None and ast.unparse(p.annotation) == "Any"]
    assert len(untyped) <= MOST_PARAMETERS_OF_ANY_TYPE * len(parameters)


def test_loading_the_extension_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'skillfleet_nb')\n"
        f"print(sorted({HEAVY | {'duckdb', 'pyarrow'}!r} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
