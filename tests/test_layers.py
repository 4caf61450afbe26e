"""The layers of the package, walked import by import: nothing imports what lies above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skillfleet_nb

PACKAGE = Path(skillfleet_nb.__file__).parent

# Lowest first; within a layer everything may import everything, unless SURFACES says otherwise.
LAYERS: list[set[str]] = [
    {"errors", "events", "envelope", "projection", "format", "html", "typing", "config", "stats", "security"},
    {"store", "lm", "offline"},
    {"programs", "skills", "data"},
    {"runs", "optimizers", "charts"},
    {"reports", "advice"},
    {"fleet"},
    {"commands", "magics", "widgets", "cli", "server", "monitoring"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
SURFACES = ["commands", "widgets", "magics"]  # lowest first
PURE = {
    "errors",
    "events",
    "envelope",
    "projection",
    "format",
    "html",
    "typing",
    "config",
    "skills",
    "data",
    "stats",
    "security",
}
HEAVY = {"dspy", "torch", "altair", "litellm", "sentence_transformers", "sklearn", "scipy", "pandas", "gepa", "optuna"}


def _imports(file: Path) -> list[tuple[str, bool]]:
    """Return every imported module, and whether it is imported as the file is loaded."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, *, at_load: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_load) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = (
                    ".".join(["skillfleet_nb", *file.relative_to(PACKAGE).parts[: -child.level]]) if child.level else ""
                )
                module = ".".join(p for p in (base, child.module) if p)
                found.append((module, at_load))
                if module == "skillfleet_nb":
                    found.extend((f"skillfleet_nb.{alias.name}", at_load) for alias in child.names)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            walk(child, at_load=at_load and not typing_only and not inside)

    walk(ast.parse(file.read_text("utf-8")), at_load=True)
    return found


def _room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(f for f in PACKAGE.rglob("*.py") if _room(f) != "__init__")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_no_import_goes_up(file: Path) -> None:
    room = _room(file)
    assert room in RANK, f"{room} has no layer: name it in LAYERS"
    for module, _ in _imports(file):
        if not module.startswith("skillfleet_nb."):
            continue
        other = module.split(".")[1]
        if other in skillfleet_nb.__all__:
            continue
        assert RANK[other] <= RANK[room], f"{file} imports {module} from above"
        if room in SURFACES and other in SURFACES:
            assert SURFACES.index(other) <= SURFACES.index(room), f"{file} imports {module} from above"


@pytest.mark.parametrize("file", [f for f in FILES if _room(f) in PURE], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_pure_rooms_know_no_database_notebook_or_model(file: Path) -> None:
    loaded = {module.split(".")[0] for module, at_load in _imports(file) if at_load}
    assert not loaded & {"duckdb", "dspy", "IPython", "ipywidgets"}
    assert not {module.split(".")[0] for module, _ in _imports(file)} & {"duckdb", "IPython", "ipywidgets"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_inside_functions(file: Path) -> None:
    loaded = {module.split(".")[0] for module, at_load in _imports(file) if at_load}
    assert not loaded & HEAVY


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_only_the_store_knows_sql(file: Path) -> None:
    if _room(file) != "store":
        assert "duckdb" not in {module.split(".")[0] for module, _ in _imports(file)}


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
