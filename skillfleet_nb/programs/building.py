"""Making a program anew from what was kept of it: its class, its signatures, then its state."""

from __future__ import annotations

import inspect
import sys
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError
from skillfleet_nb.programs.loading import load_state, saved_signature
from skillfleet_nb.programs.state import ALONE, predictor_states, program_class, saved_models

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    import dspy

    from skillfleet_nb.programs.loading import Differences


class UnmadeError(InputError):
    """A program cannot be made of its class alone."""


GUARD = "put what runs under if __name__ == '__main__':"
"""What to do with a module that ends the process as it is imported."""
_REASONING = "reasoning"  # what dspy.ChainOfThought puts before the outputs


def build(
    state: Mapping[str, Any],
    onto: dspy.Module | type[dspy.Signature] | None = None,
    *,
    differences: Differences = "refuse",
    otherwise: Callable[[], dspy.Module | None] | None = None,
) -> dspy.Module:
    """Make the program that a state was kept of.  Nothing is unpickled; only a class of DSPy modules is called.

    Parameters
    ----------
    state
        From :func:`~skillfleet_nb.programs.state.dump_state`.
    onto
        The program it is put onto, or the signature of a bare `dspy.Predict` or `dspy.ChainOfThought`; by default
        the class that it was made from is found by its name and made without arguments.
    differences
        As :func:`~skillfleet_nb.programs.loading.load_state` takes it.
    otherwise
        Asked for a program to put it onto where nothing else is given and its class alone does not make one.

    Raises
    ------
    InputError
        If its class, or a type of its fields, is not to be found, or it takes arguments (:class:`UnmadeError`), or
        its fields differ.

    Examples
    --------
    >>> import dspy
    >>> from skillfleet_nb.programs.state import dump_state
    >>> program = build(dump_state(dspy.ChainOfThought("text -> label: bool")))
    >>> type(program).__name__, list(program.predict.signature.output_fields)
    ('ChainOfThought', ['reasoning', 'label'])
    """
    import dspy

    if not isinstance(onto, dspy.Module):
        try:
            onto = _bare(state, onto) or _made(state, onto)
        except UnmadeError:
            onto = None if onto is not None or otherwise is None else otherwise()
            if onto is None:
                raise
    return load_state(onto, state, differences=differences)


def give_models(program: dspy.Module, state: Mapping[str, Any], but: str | None = None) -> list[str]:
    """Give each predictor the model of its own that it was saved with, where it has none; say which cannot be made.

    Parameters
    ----------
    program
        Made anew from `state`; it is changed.
    but
        Name of a model that is not given to any: that of a run, which optimizers put into predictors.
    """
    import dspy

    lost = []
    choices = saved_models(state)
    for name, predictor in program.named_predictors():
        choice = choices.get(name)
        if choice is None or predictor.lm is not None or choice["model"] == but:
            continue
        if choice["hosted"]:
            predictor.lm = dspy.LM(choice["model"], **choice["settings"])
        else:
            lost.append(f"{'it' if name == ALONE else name} was saved with {choice['model']}, which only code can make")
    return lost


def _bare(state: Mapping[str, Any], signature: type[dspy.Signature] | None) -> dspy.Module | None:
    """Make a predictor of DSPy's own, which is nothing but its signature; None where it is another program."""
    import dspy

    name = (program_class(state) or "").removeprefix("dspy.predict.")
    try:
        if name == "predict.Predict":
            return dspy.Predict(signature or saved_signature(state, ALONE))
        if name == "chain_of_thought.ChainOfThought" and predictor_states(state).keys() == {"predict"}:
            return dspy.ChainOfThought(signature or saved_signature(state, "predict").delete(_REASONING))
    except InputError as error:  # a type of the person's own
        raise UnmadeError(str(error)) from error
    return None


def _made(state: Mapping[str, Any], signature: object) -> dspy.Module:
    import dspy

    path = program_class(state)
    way = "give the program that it is put onto"
    if path is None:
        raise UnmadeError(f"what DSPy wrote alone does not say its class: {way}.")
    if signature is not None:
        raise InputError(f"a signature alone makes a dspy.Predict or dspy.ChainOfThought, and this is {path}: {way}.")
    cls = _found(path)
    if cls is None:
        raise UnmadeError(f"its class {path} is not to be found here: define or import it, or {way}.")
    if not (isinstance(cls, type) and issubclass(cls, dspy.Module)):
        raise InputError(f"{path} is no class of DSPy programs any more: {way}.")
    # of the class itself would be that of DSPy's metaclass, which takes anything
    takes = [*inspect.signature(cls.__init__).parameters.values()][1:]  # type: ignore[misc]
    needed = [p.name for p in takes if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    if needed:
        raise UnmadeError(f"its class {path} is made with {', '.join(needed)}: make it, and {way}.")
    made: dspy.Module = cls()
    return made


def own_module(name: str) -> ModuleType:
    """Import a person's module, which may lie in the working folder: a console script does not see that by itself.

    Raises
    ------
    ImportError
        If it is not there, or what it imports is not.
    InputError
        If it raises anything else as it is loaded, or ends the process.
    """
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module(name)
    except ImportError:
        raise
    except SystemExit as exc:
        raise InputError(f"importing {name!r} ends the process, as sys.exit does; {GUARD}") from exc
    except Exception as exc:  # whatever a person's module does as it is loaded
        raise InputError(f"importing {name!r} raised {type(exc).__name__}: {exc}") from exc


def _found(path: str) -> object:
    """Find a class by its whole name, in the modules that are there or can be imported; None where it is not."""
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            module = sys.modules.get(".".join(parts[:split])) or own_module(".".join(parts[:split]))
            return reduce(getattr, parts[split:], module)
        except (ImportError, AttributeError):
            continue
    return None
