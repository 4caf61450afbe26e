"""Variables are called by the noun they hold, and things are counted in one way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import skillfleet_nb

PACKAGE = Path(skillfleet_nb.__file__).parent
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
NO_NOUNS = {"found", "told", "known", "given"}


def _vague(tree: ast.Module) -> list[tuple[int, str]]:
    """Return the variables and parameters whose name does not say what they hold."""
    inside = [n for function in ast.walk(tree) if isinstance(function, FUNCTIONS) for n in ast.walk(function)]
    stored = {(n.lineno, n.id) for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    parameters = {(n.lineno, n.arg) for n in inside if isinstance(n, ast.arg)}
    return sorted((line, name) for line, name in stored | parameters if name in NO_NOUNS)


@pytest.mark.parametrize(
    "body", ["found = 1", "for told in rows: pass", "lambda given: 1", "with x as known: pass", "(found := 1)"]
)
def test_a_vague_name_is_seen_wherever_it_is_bound(body: str) -> None:
    assert len(_vague(ast.parse(f"def f():\n    {body}"))) == 1


def test_variables_are_named_by_what_they_hold() -> None:
    vague = [
        f"{file.relative_to(PACKAGE)}:{line} {name}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for line, name in _vague(ast.parse(file.read_text()))
    ]
    assert not vague


def test_things_are_counted_by_one_function() -> None:
    plurals = re.compile(r"""(['"])s\1 (\*|if) """)
    by_hand = [
        f"{file.relative_to(PACKAGE)}:{number}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if plurals.search(line)
    ]
    assert [place.partition(":")[0] for place in by_hand] == ["format.py"], "format.counted, or both words in full"
