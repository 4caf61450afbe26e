"""Expressions in a line of the notebook: ``--train rows[:100]``, ``data["train"]``, and ``{n}`` within an option."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BRACES = re.compile(r"\{([^{}]+)\}")


def is_expression(text: str, namespace: Mapping[str, Any]) -> bool:
    """Tell whether a text takes something of a variable: an item, a slice, an attribute or what it returns.

    Examples
    --------
    >>> here = {"rows": [1, 2, 3]}
    >>> [is_expression(text, here) for text in ("rows[:2]", "rows.copy()", "rows", "others[:2]", "module:attribute")]
    [True, True, False, False, False]
    """
    root = _parsed(text)
    return isinstance(root, ast.Subscript | ast.Attribute | ast.Call) and _stands_on(root, namespace)


def evaluated(text: str, what: str, namespace: Mapping[str, Any]) -> Any:
    """Return what an expression of the notebook's variables comes to.

    Raises
    ------
    InputError
        If it raises something.
    """
    try:
        return eval(text.strip(), dict(namespace))  # noqa: S307  the person's own line, in their own kernel
    except Exception as exc:  # whatever it is: the line is told, not its trace
        raise InputError(f"{what} {text!r} raised {type(exc).__name__}: {exc}") from exc


def expanded(tokens: Sequence[str], namespace: Mapping[str, Any]) -> list[str]:
    """Put the values of variables in the place of their names in braces; other braces, such as JSON's, stay.

    Raises
    ------
    InputError
        If an expression raises something.

    Examples
    --------
    >>> expanded(["--name", "run-{n}", '{"a": 1}', "{n + 1}", "{unknown}"], {"n": 7})
    ['--name', 'run-7', '{"a": 1}', '8', '{unknown}']
    """

    def value(match: re.Match[str]) -> str:
        root = _parsed(match[1])
        if root is None or isinstance(root, ast.Constant | ast.Tuple) or not _stands_on(root, namespace):
            return match[0]
        return str(evaluated(match[1], "the expression", namespace))

    return [_BRACES.sub(value, token) if namespace else token for token in tokens]


def keys_kept(line: str) -> str:
    r"""Escape the quotes of keys, ``data["train"]``, which a shell would take away.

    Examples
    --------
    >>> keys_kept('--train data["my set"][:9] --name "a b"')
    '--train data[\\"my\\ set\\"][:9] --name "a b"'
    """
    kept, quote, position = [], "", 0
    while position < len(line):
        char = line[position]
        key = None if quote else _KEY.match(line, position)
        if key is not None:
            kept.append(key[1] + re.sub(r"([\"'\\\s])", r"\\\1", key[2]))
            position = key.end()
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in {"'", '"'}:
            quote = char
        kept.append(char)
        position += 1
    return "".join(kept)


_KEY = re.compile(r"(?<=[\w\])])(\[)(\"[^\"\n]*\"|'[^'\n]*')(?=\])")


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _stands_on(root: ast.expr, namespace: Mapping[str, Any]) -> bool:
    """Tell whether every name that is read is a variable or built into Python, and one is a variable."""
    import builtins

    names = {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return any(n in namespace for n in names) and all(
        n in namespace or n in bound or hasattr(builtins, n) for n in names
    )
