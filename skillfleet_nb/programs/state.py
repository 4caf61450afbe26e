"""A program's state: what an optimizer changed, as JSON that DSPy itself loads.

A state is the dict DSPy's ``program.save("x.json")`` would write, made safe: values that JSON does
not know are converted, language models are left out (DSPy writes their headers, keys included), and
``metadata.skillfleet`` holds what DSPy forgets: names and types of the fields, and the versions of
signatures.  DSPy stores field descriptions by position alone and puts them on the wrong field,
silently, when a signature has changed; :mod:`~skillfleet_nb.programs.loading` goes by the names.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, cast

from skillfleet_nb.data.identity import content_hash
from skillfleet_nb.errors import InputError
from skillfleet_nb.programs.signatures import FieldShape, fields_of, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dspy

ProgramState = dict[str, Any]
ENVELOPE_FORMAT = 1
_NOT_CONTENT = frozenset({"lm", "traces", "train"})
_NO_PARTS = frozenset({"history", "demos", "traces", "train", "callbacks"})
_LM_SETTINGS = (
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "seed", "reasoning_effort",
    "presence_penalty", "frequency_penalty",
)  # fmt: skip
"""What is kept of a predictor's own model, beside its name: what people choose, and no key, address or header."""
ALONE = "self"
"""DSPy's name for the only predictor of a bare ``dspy.Predict``."""


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What a state says: instructions and number of demos by predictor."""

    instructions: Mapping[str, str]
    demos: Mapping[str, int]

    @property
    def n_demos(self) -> int:
        """Number of demos of all predictors together."""
        return sum(self.demos.values())

    @property
    def text(self) -> str:
        """All instructions as one text; each under its predictor's name where there are several."""
        if len(self.instructions) == 1:
            return next(iter(self.instructions.values()))
        return "\n\n".join(f"{name}:\n{text}" for name, text in self.instructions.items())


def dump_state(program: dspy.Module) -> ProgramState:
    """Return the program's state, safe for JSON and without any language model.

    Parameters
    ----------
    program
        Any DSPy module.  It is not changed, and may be in use.

    Returns
    -------
    dict
        What ``program.load_state`` and, written to a file, ``program.load`` of DSPy take.  Values in
        demos that JSON does not know become their JSON form (dates, sets, models, arrays) or, at
        last, their text.

    Examples
    --------
    >>> import dspy
    >>> state = dump_state(dspy.ChainOfThought("question -> answer"))
    >>> state["predict"]["signature"]["instructions"]
    'Given the fields `question`, produce the fields `answer`.'
    """
    from dspy.primitives.base_module import BaseModule
    from dspy.utils.saving import get_dependency_versions

    from skillfleet_nb.programs.voting import composition

    if _is_predict(program):
        state = _dump_parameter(program)
    elif type(program).dump_state is BaseModule.dump_state:
        state = {name: _dump_parameter(parameter) for name, parameter in program.named_parameters()}
    else:  # a module with a state format of its own
        state = cast("ProgramState", program.dump_state())
    state = cast("ProgramState", _jsonable(state))
    for _, predictor in _predictors(state):
        predictor.update(lm=None, traces=[], train=[])
    state["metadata"] = {
        "dependency_versions": get_dependency_versions(),
        "skillfleet": {
            "format": ENVELOPE_FORMAT,
            "program": f"{type(program).__module__}.{type(program).__qualname__}",
            "fields": _field_names(program),
            "types": {
                name: {field.name: field.type for field in fields_of(p.signature)}
                for name, p in program.named_predictors()
            },
            "signatures": {
                name: list(version)
                for name, p in program.named_predictors()
                if (version := version_of(p.signature)) is not None
            },
            "lms": {name: _model_choice(p.lm) for name, p in program.named_predictors() if p.lm is not None},
            "unsaved": unsaved_parts(program),
            **({"composed": made_of} if (made_of := composition(program)) is not None else {}),
        },
    }
    return state


def unsaved_parts(program: dspy.Module) -> list[str]:
    """Say what a state would not carry, one reason an item; empty where the state is the whole.

    Examples
    --------
    >>> import dspy
    >>> unsaved_parts(dspy.Predict("question -> answer"))
    []
    """
    reasons = [
        f"{'the program' if name == 'self' else name.removeprefix('self.')} answers with a function set on the object, "
        "as KNNFewShot does: compile it anew where it is needed"
        for name, module in _modules(ALONE, program, set())
        if {"forward", "aforward"} & vars(module).keys()
    ]
    if type(program).__name__ == "EnsembledProgram":
        reasons.append("the program is an ensemble made on the spot: save each of its programs and combine them again")
    elif not program.named_parameters():
        reasons.append(
            "the program has no predictor of its own, or all are frozen inside compiled programs: save those"
        )
    return reasons


def save(program: dspy.Module, path: str | Path) -> Path:
    """Write the program's state as JSON that both :func:`load` and ``program.load`` of DSPy read.

    Language models are not written: a loaded program uses the configured one.

    Raises
    ------
    InputError
        If the path does not end with ``.json`` or cannot be written, or a state would not carry the
        whole program.
    """
    return save_state(dump_state(program), path)


def save_state(state: Mapping[str, Any], path: str | Path) -> Path:
    """Write a state from :func:`dump_state`, as :func:`save` does."""
    target = Path(path)
    if target.suffix != ".json":
        raise InputError(
            f"programs are saved as JSON and {target.name!r} ends otherwise: name the file {target.stem}.json."
        )
    if reasons := unsaved_of(state):
        raise InputError(f"this program cannot be saved as JSON: {'; '.join(reasons)}.")
    text = json.dumps(state, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    try:
        with NamedTemporaryFile("w", dir=target.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, target)  # noqa: PTH105  whole or not at all, over an old file too
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror}; give a folder that exists and is writable."
        ) from error
    return target


def program_id(state: Mapping[str, Any]) -> str:
    """Identify a state by what matters to its answers: instructions, field descriptions and demos.

    Returns
    -------
    str
        16 hexadecimal characters, the same whatever the language model, versions or order of keys.

    Examples
    --------
    >>> import dspy
    >>> program_id(dump_state(dspy.Predict("question -> answer")))
    '1fffd3c86e638f60'
    """
    content: dict[str, Any] = {name: _content(predictor) for name, predictor in _predictors(state)}
    if (made_of := composed_of(state)) is not None:
        content["metadata"] = made_of
    return content_hash(content)


def describe(state: Mapping[str, Any]) -> ProgramInfo:
    """Tell the instructions and the number of demos of each predictor.

    Examples
    --------
    >>> import dspy
    >>> describe(dump_state(dspy.Predict("question -> answer"))).n_demos
    0
    """
    predictors = {name: p for name, p in _predictors(state) if "signature" in p}
    return ProgramInfo(
        instructions={name: str(p["signature"]["instructions"]) for name, p in predictors.items()},
        demos={name: len(p.get("demos", ())) for name, p in predictors.items()},
    )


def field_names(state: Mapping[str, Any]) -> Mapping[str, Mapping[str, list[str]]]:
    """Return the inputs and outputs of each predictor, empty for a state DSPy wrote on its own."""
    return cast("Mapping[str, Mapping[str, list[str]]]", _envelope(state).get("fields", {}))


def saved_fields(state: Mapping[str, Any], predictor: str) -> tuple[FieldShape, ...] | None:
    """Return the fields that a predictor was saved with, in the order of its state; None where DSPy alone wrote it."""
    names = field_names(state).get(predictor)
    if names is None:
        return None
    types = _envelope(state).get("types", {}).get(predictor, {})
    inputs = [FieldShape(name, "input", types.get(name)) for name in names["inputs"]]
    return (*inputs, *(FieldShape(name, "output", types.get(name)) for name in names["outputs"]))


def saved_versions(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return name and version of the signature of each predictor whose class declared one."""
    return {name: (pair[0], pair[1]) for name, pair in _envelope(state).get("signatures", {}).items()}


def saved_models(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return which model of its own each predictor was saved with: `model`, `settings`, and whether it is `hosted`.

    None of another engine, which only the code that made it knows, is hosted.  Keys and addresses are never saved.
    """
    return dict(_envelope(state).get("lms", {}))


def saved_with(state: Mapping[str, Any]) -> str | None:
    """Return the version of DSPy that a state was saved with; None where it is not known."""
    version = ((state.get("metadata") or {}).get("dependency_versions") or {}).get("dspy")
    return None if version is None else str(version)


def program_class(state: Mapping[str, Any]) -> str | None:
    """Return the class of the program that a state was made from, as ``module.name``; None where it is not known."""
    name = _envelope(state).get("program")
    return None if name is None else str(name)


def unsaved_of(state: Mapping[str, Any]) -> list[str]:
    """Return what :func:`unsaved_parts` said of the program when its state was made."""
    return list(_envelope(state).get("unsaved", ()))


def composed_of(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a vote is composed of, as its state tells; None for any other program."""
    return cast("Mapping[str, Any] | None", _envelope(state).get("composed"))


def predictor_states(state: Mapping[str, Any]) -> dict[str, ProgramState]:
    """Return the state of each predictor by its name; a bare `dspy.Predict` is called ``self``."""
    return dict(_predictors(state))


def _envelope(state: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", (state.get("metadata") or {}).get("skillfleet") or {})


def _predictors(state: Mapping[str, Any]) -> Iterator[tuple[str, ProgramState]]:
    if "instructions" in state.get("signature", ()):  # a predictor may itself be called "signature"
        yield ALONE, cast("ProgramState", state)
        return
    for name, part in state.items():
        if name != "metadata" and isinstance(part, dict):
            yield name, part


def _content(predictor: Mapping[str, Any]) -> ProgramState:
    content = {k: v for k, v in predictor.items() if k not in _NOT_CONTENT and k != "metadata"}
    # dspy_uuid and dspy_split are made up anew each time DSPy loads a data set
    content["demos"] = [
        {k: v for k, v in demo.items() if not k.startswith("dspy_")} for demo in predictor.get("demos", ())
    ]
    return content


def _modules(name: str, module: object, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Walk the modules a program is made of.

    DSPy's ``named_sub_modules`` searches the history of calls and the optimizer's logs as well, which
    takes milliseconds for every candidate.
    """
    from dspy.primitives.base_module import BaseModule

    seen.add(id(module))
    yield name, module
    for attribute, value in vars(module).items():
        if attribute in _NO_PARTS:
            continue
        parts = {"": value}
        if isinstance(value, list | tuple):
            parts = {f"[{n}]": part for n, part in enumerate(value)}
        elif isinstance(value, dict):
            parts = {f"[{key}]": part for key, part in value.items()}
        for where, part in parts.items():
            if isinstance(part, BaseModule) and id(part) not in seen:
                yield from _modules(f"{name}.{attribute}{where}", part, seen)


def _model_choice(lm: Any) -> dict[str, Any]:
    options = getattr(lm, "kwargs", {})
    settings = {name: options[name] for name in _LM_SETTINGS if isinstance(options.get(name), str | int | float)}
    return {"model": str(lm.model), "hosted": isinstance(getattr(lm, "engine", None), str), "settings": settings}


def _is_predict(program: dspy.Module) -> bool:
    import dspy

    return isinstance(program, dspy.Predict)


def _dump_parameter(parameter: dspy.Module) -> ProgramState:
    # A shallow copy without its LM: DSPy would ask the LM for its state, and not every LM has one.
    bare = copy.copy(parameter)
    if getattr(bare, "lm", None) is not None:
        bare.lm = None
    return cast("ProgramState", bare.dump_state(json_mode=True))


def _field_names(program: dspy.Module) -> dict[str, dict[str, list[str]]]:
    return {
        name: {"inputs": list(p.signature.input_fields), "outputs": list(p.signature.output_fields)}
        for name, p in program.named_predictors()
    }


def _jsonable(value: object) -> Any:  # noqa: C901, PLR0911  one case a line reads best
    """Convert to what JSON can hold, the same each time; what has no JSON form becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else str(value)  # DSPy's reader makes floats of larger ones
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124  NaN
    if isinstance(value, str):
        return str(value).encode(errors="replace").decode()  # no lone surrogates: DSPy's reader refuses them
    if isinstance(value, Mapping):
        return {str(_jsonable(k)): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, AbstractSet):
        return sorted((_jsonable(v) for v in value), key=repr)
    for convert in ("toDict", "tolist"):  # DSPy's examples, NumPy's arrays and scalars
        if hasattr(value, convert):
            return _jsonable(getattr(value, convert)())
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = to_jsonable_python(value, bytes_mode="base64")
    except (PydanticSerializationError, ValueError):
        return str(value)
    return plain if isinstance(plain, str) else _jsonable(plain)
