"""Names as people write them: a variable, ``module:attribute``, or a file."""

from __future__ import annotations

from contextlib import contextmanager
from inspect import ismodule
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.expressions import evaluated, is_expression
from skillfleet_nb.config import TASK_ROLES
from skillfleet_nb.errors import InputError, NotFoundError, unknown
from skillfleet_nb.lm.task_models import named_lm
from skillfleet_nb.plugins import imported, points
from skillfleet_nb.programs.building import own_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from skillfleet_nb.store import Home

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
METRICS = "skillfleet_nb.metrics"


def resolve(text: str, what: str, namespace: Mapping[str, Any]) -> Any:
    """Find the object called `text`.

    Parameters
    ----------
    text
        A variable of the notebook, an expression that takes something of one (``rows[:100]``), or
        ``package.module:attribute``.
    what
        What it is for, in messages: ``"metric"``.
    namespace
        The notebook's variables.

    Raises
    ------
    NotFoundError
        If there is no such variable, module or attribute, with the nearest name.

    Examples
    --------
    >>> resolve("math:pi", "number", {})
    3.141592653589793
    """
    if text in namespace:
        return namespace[text]
    if is_expression(text, namespace):
        return evaluated(text, what, namespace)
    module_name, colon, path = text.partition(":")
    if not colon:
        variables = own_variables(namespace)
        hint = f"Define it first, or give {what} as module:attribute."
        if variables:
            raise unknown(f"variable for {what}", text, variables, hint=hint)
        raise NotFoundError(f"{what} {text!r} is neither module:attribute nor a file: write mymodule:{text}")
    try:
        value: Any = own_module(module_name)
    except ImportError as exc:
        raise NotFoundError(f"{what} {text!r}: cannot import {module_name!r}: {exc}") from exc
    except InputError as exc:
        raise InputError(f"{what} {text!r}: {exc}") from exc
    for name in path.split("."):
        if not hasattr(value, name):
            raise unknown(f"attribute of {module_name}", name, [n for n in vars(value) if not n.startswith("_")])
        value = getattr(value, name)
    return value


@contextmanager
def answering(lm: Any) -> Iterator[None]:
    """Let a model answer in the body; the configured one where it is None."""
    if lm is None:
        yield
        return
    import dspy

    with dspy.context(lm=lm):
        yield


def resolve_metric(text: str, namespace: Mapping[str, Any]) -> Any:
    """Find a metric: a variable, one that an installed package registers, or ``module:attribute``.

    Raises
    ------
    NotFoundError
        If there is none, with the nearest name.
    InputError
        If the package that registers it is broken.
    """
    registered = {point.name: point for point in points(METRICS)}
    if text not in namespace and text in registered:
        return imported(registered[text], "metric")
    return resolve(text, "metric", namespace)


def own_variables(namespace: Mapping[str, Any]) -> list[str]:
    """Name what a person defined in a notebook: no modules, nothing of IPython's."""
    shell = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    return [n for n, v in namespace.items() if not n.startswith("_") and n not in shell and not ismodule(v)]


def resolve_rows(text: str, what: str, namespace: Mapping[str, Any], *, mixed: bool = False) -> Any:
    """Find a data set: a variable, ``module:attribute``, or a file of examples, whose fields may differ if `mixed`.

    Raises
    ------
    NotFoundError, InputError
        If there is none, or the file cannot be read as examples.
    """
    if text not in namespace and Path(text).suffix.lower() in SUFFIXES:
        from skillfleet_nb.store import read_examples

        return read_examples(text, mixed=mixed)
    is_named = text in namespace or ":" in text or is_expression(text, namespace)
    if not is_named and ("/" in text or "." in text):
        raise InputError(f"{what} {text!r} is no file of examples: give {', '.join(SUFFIXES)}, or a variable")
    return resolve(text, what, namespace)


def resolve_lm(text: str, namespace: Mapping[str, Any], home: Home | None = None) -> Any:
    """Find or make a language model: a variable, a role of the home's ``[task_models]``, or a model's name.

    Raises
    ------
    NotFoundError
        If it is none of these.
    """
    if text in namespace or ":" in text or is_expression(text, namespace):
        return resolve(text, "lm", namespace)
    if (named := named_lm(text, home)) is not None:
        return named
    raise NotFoundError(
        f"lm {text!r} is no variable: give one, 'offline', 'local', a role ({', '.join(TASK_ROLES)}), or a model name "
        "such as openai/gpt-4o-mini"
    )


def resolve_lms(texts: Sequence[str], namespace: Mapping[str, Any], home: Home | None = None) -> list[Any] | None:
    """Find the models of an option that may be repeated, and takes lists with commas too; None where there are none."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    return [resolve_lm(name, namespace, home) for name in names] or None


def pairs(texts: Sequence[str], option: str, example: str) -> dict[str, str]:
    """Read ``key=value`` texts of an option that may be repeated.

    Raises
    ------
    InputError
        If one is not of that form.

    Examples
    --------
    >>> pairs(["auto=medium"], "--set key=value", "--set auto=medium")
    {'auto': 'medium'}
    """
    read = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(f"{option.split(maxsplit=1)[0]} {text!r}: write {option}, for example {example}")
        read[key] = value
    return read
