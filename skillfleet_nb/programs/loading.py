"""Loading a saved program: fields are matched by name and type, and a difference is told, never guessed over."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import shortened
from skillfleet_nb.programs.signatures import (
    FieldShape,
    MigrationStep,
    SavedPredictor,
    declared,
    fields_of,
    migrated,
    version_of,
)
from skillfleet_nb.programs.state import (
    ALONE,
    composed_of,
    predictor_states,
    saved_fields,
    saved_versions,
    saved_with,
    unsaved_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dspy

    from skillfleet_nb.programs.signatures import SignatureVersion
    from skillfleet_nb.programs.state import ProgramState

_TYPE = 40  # characters of a type that are shown

Differences = Literal["refuse", "migrate", "keep"]
"""What becomes of fields that differ: nothing is loaded; what still fits is taken; the signature is as it was saved."""


class LoadWarning(UserWarning):
    """A program was loaded, and something of how it was saved could not be kept or may matter."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that a predictor was saved with otherwise than the code has it; `was` and `now` are None where absent."""

    predictor: str
    was: FieldShape | None
    now: FieldShape | None

    def __str__(self) -> str:
        if self.was is None:
            what = f"{_field(self.now)} is new"
        elif self.now is None:
            what = f"{_field(self.was)} is gone"
        else:
            what = f"{self.now.name} was {_field(self.was)} and is {_field(self.now)}"
        return what if self.predictor == ALONE else f"{self.predictor}: {what}"


def load_state(program: dspy.Module, state: Mapping[str, Any], *, differences: Differences = "refuse") -> dspy.Module:
    """Return a copy of `program` with the instructions and demos of `state`.

    Fields are matched by name and type, in whatever order they were saved.  Where the class of a signature declares
    a version (:func:`~skillfleet_nb.programs.signatures.signature_version`), a state of an earlier one is migrated.

    Parameters
    ----------
    program
        The program the state was made from, or one of the same predictors.  It is not changed; the
        copy keeps its language models.
    state
        From :func:`~skillfleet_nb.programs.state.dump_state`, or a file of DSPy's.
    differences
        If fields differ: ``"refuse"`` raises; ``"migrate"`` takes descriptions of the fields that are still there and
        the demos that still fit their types; ``"keep"`` gives the predictor the signature it was saved with.

    Raises
    ------
    InputError
        If predictors differ or fields do, each named, or the state is not the whole program.

    Examples
    --------
    >>> import dspy
    >>> from skillfleet_nb.programs.state import dump_state
    >>> program = dspy.Predict("question -> answer")
    >>> state = dump_state(program)
    >>> state["signature"]["instructions"] = "Answer in one word."
    >>> load_state(program, state).signature.instructions
    'Answer in one word.'
    >>> load_state(dspy.Predict("question, style -> answer"), state)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    skillfleet_nb.errors.InputError: the program's fields are not those it was saved with: style ...
    """
    if differences not in get_args(Differences):
        raise unknown("differences", differences, get_args(Differences))
    _warn_of_another_dspy(state)
    if (made_of := composed_of(state)) is not None:
        from skillfleet_nb.programs.voting import composed

        program = composed(program, made_of)
    predictors = _matched(program, state)
    differ = [d for name, (p, saved) in predictors.items() for d in _compare(name, p, saved)]
    if differ and differences == "refuse":
        raise InputError(
            f"the program's fields are not those it was saved with: {'; '.join(map(str, differ))}. Load it with "
            "differences='migrate' for what still fits, with 'keep' for the signature it was saved with, or onto "
            "the program it was made from."
        )
    changed = {d.predictor for d in differ}
    loaded = program.deepcopy()
    modules = _by_name(loaded)
    fitted = predictor_states(state)
    for name, (_, saved) in predictors.items():
        if name in changed and differences == "keep":
            modules[name].signature = _signature_of(saved, modules[name].signature)
        fitted[name] = _in_order(fitted[name], saved, modules[name].signature, check=name in changed)
    try:
        loaded.load_state(fitted[ALONE] if ALONE in predictors else fitted)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"DSPy cannot load this state: {error!r}; save it again from the program.") from error
    for (_, mine), (_, theirs) in zip(loaded.named_predictors(), program.named_predictors(), strict=True):
        mine.lm = theirs.lm
    return cast("dspy.Module", loaded)


def _warn_of_another_dspy(state: Mapping[str, Any]) -> None:
    from importlib.metadata import version

    saved, now = saved_with(state), version("dspy")
    if saved is not None and saved.split(".")[0] != now.split(".")[0]:
        text = f"it was saved with DSPy {saved} and is loaded with {now}, which may word its prompts otherwise"
        warnings.warn(text, LoadWarning, stacklevel=3)


def load(program: dspy.Module, path: str | Path, *, differences: Differences = "refuse") -> dspy.Module:
    """Return a copy of `program` with the state in a file, from ``save`` or ``program.save``.

    Raises
    ------
    InputError
        If the file cannot be read, is not a program's state, or does not fit the program; see :func:`load_state`.
    """
    return load_state(program, read_state(path), differences=differences)


def read_state(path: str | Path) -> ProgramState:
    """Read a program's state from a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a program's state.
    """
    source = Path(path)
    try:
        state = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}; give the JSON file of a saved program.") from error
    except ValueError:
        raise InputError(f"{source} is not JSON: give a file that was saved as .json.") from None
    if not isinstance(state, dict):
        raise InputError(f"{source} holds a {type(state).__name__}, not a program's state: give a saved program.")
    if not any("signature" in part for part in predictor_states(state).values()):
        raise InputError(f"{source} has no predictor with a signature: give the JSON file of a saved program.")
    return state


def field_differences(program: dspy.Module, state: Mapping[str, Any]) -> list[FieldDifference]:
    """Return every field that `state` was saved with otherwise than `program` has it, after declared migrations.

    Raises
    ------
    InputError
        If the predictors are not the same, or a migration is missing or raises.
    """
    matched = _matched(program, state)
    return [d for name, (p, saved) in matched.items() for d in _compare(name, p, saved)]


def migration_steps(program: dspy.Module, state: Mapping[str, Any]) -> list[MigrationStep]:
    """List the declared migrations by which `state` is brought to `program`'s signatures as it is loaded, in order.

    Raises
    ------
    InputError
        If a migration is missing.
    """
    steps, mine = [], _by_name(program)
    for predictor, version in saved_versions(state).items():
        needed = _migration(mine[predictor], version) if predictor in mine else None
        if needed is not None:
            name, to = needed
            steps += [MigrationStep(predictor, name, one, other) for one, other, _ in to.path(version[1])]
    return steps


def saved_signature(state: Mapping[str, Any], predictor: str) -> type[dspy.Signature]:
    """Make the signature that a predictor was saved with.

    Raises
    ------
    InputError
        If a type was not kept, or only the code that it was saved with knows it.
    """
    import dspy

    part = predictor_states(state)[predictor]
    shapes = saved_fields(state, predictor)
    if shapes is None:
        raise InputError("what DSPy wrote alone does not say its fields: give the program that it is put onto.")
    return cast("type[dspy.Signature]", _signature_of(_saved(part, shapes), dspy.Signature({}, "")))


def _matched(program: dspy.Module, state: Mapping[str, Any]) -> dict[str, tuple[Any, SavedPredictor]]:
    """Pair each predictor of the program with what was saved of it, brought to the version of its signature."""
    if reasons := unsaved_of(state):
        raise InputError(f"this state is not the whole program: {'; '.join(reasons)}.")
    parts, mine = predictor_states(state), _by_name(program)
    parameters = {name for name, _ in program.named_parameters()} or set(mine)
    lacking, extra = sorted(parameters - parts.keys()), sorted(parts.keys() - parameters)
    if lacking or extra:
        faults = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has also {', '.join(extra)}"] * bool(extra)
        own = ", ".join(sorted(parameters)) or "no predictors"
        raise InputError(
            f"the state {' and '.join(faults)} against the program's {own}: load it into the program it was made from."
        )
    versions = saved_versions(state)
    return {
        name: (p, _up_to_date(p, _saved(parts[name], saved_fields(state, name), p.signature), versions.get(name)))
        for name, p in mine.items()
    }


def _saved(part: Mapping[str, Any], shapes: Sequence[FieldShape] | None, signature: Any = None) -> SavedPredictor:
    """Read what was kept of a predictor with the fields `shapes`; where they are not known, by those of `signature`."""
    try:
        entries = [{"prefix": f["prefix"], "description": f["description"]} for f in part["signature"]["fields"]]
        instructions = str(part["signature"]["instructions"])
    except (KeyError, TypeError) as error:
        raise InputError(f"DSPy cannot load this state: {error!r}; save it again from the program.") from error
    if shapes is None or len(shapes) != len(entries):
        shapes = _told_by_prefix(entries, signature)
    fields = {s.name: {**entry, "role": s.role, "type": s.type} for s, entry in zip(shapes, entries, strict=True)}
    return SavedPredictor(instructions, fields, [dict(demo) for demo in part.get("demos", ())])


def _told_by_prefix(entries: Sequence[Mapping[str, Any]], signature: Any) -> list[FieldShape]:
    """Name the fields of a state that DSPy wrote: it keeps only prefixes, which say the names.

    An optimizer such as COPRO rewrites the prefix of the last output alone: where all others are in their place and
    it reads as no name, so is that one.
    """
    from dspy.signatures.signature import infer_prefix

    own = fields_of(signature)
    by_prefix = {f"{infer_prefix(f.name)}:": f for f in own}
    by_prefix |= {signature.fields[f.name].json_schema_extra["prefix"]: f for f in own}
    named = [by_prefix.get(str(entry["prefix"])) for entry in entries]
    reads_as_name = f"{infer_prefix(_unprefixed(entries[-1]))}:" == entries[-1]["prefix"] if entries else True
    if len(own) == len(entries) and named[:-1] == list(own[:-1]) and named[-1] is None and not reads_as_name:
        named[-1] = own[-1]
    lost: list[FieldShape] = [FieldShape(_unprefixed(entry), "input", None) for entry in entries[:-1]]
    lost += [FieldShape(_unprefixed(entry), "output", None) for entry in entries[-1:]]  # DSPy puts outputs last
    return [FieldShape(f.name, f.role, None) if f else gone for f, gone in zip(named, lost, strict=True)]


def _unprefixed(entry: Mapping[str, Any]) -> str:
    return str(entry["prefix"]).strip().rstrip(":").lower().replace(" ", "_") or "a field without a prefix"


def _up_to_date(predictor: Any, saved: SavedPredictor, version: tuple[str, str] | None) -> SavedPredictor:
    needed = _migration(predictor, version)
    return saved if version is None or needed is None else migrated(saved, needed[0], version[1], needed[1])


def _migration(predictor: Any, version: tuple[str, str] | None) -> tuple[str, SignatureVersion] | None:
    """Return the signature's name and its versions where what was saved at `version` of it is to be migrated."""
    now, to = version_of(predictor.signature), declared(predictor.signature)
    if version is None or now is None or to is None or version[0].split(".")[-1] != now[0].split(".")[-1]:
        return None
    return None if version[1] == now[1] else (now[0], to)


def _compare(name: str, predictor: Any, saved: SavedPredictor) -> list[FieldDifference]:
    was = {n: FieldShape(n, entry.get("role", "input"), entry.get("type")) for n, entry in saved.fields.items()}
    now = {field.name: field for field in fields_of(predictor.signature)}
    pairs = [(was.get(n), now.get(n)) for n in dict.fromkeys([*now, *was])]
    return [FieldDifference(name, before, after) for before, after in pairs if _differ(before, after)]


def _differ(was: FieldShape | None, now: FieldShape | None) -> bool:
    """Tell whether two fields of one name are not the same; a type that was not kept is taken for the same."""
    if was is None or now is None:
        return True
    return was.role != now.role or (was.type is not None and was.type != now.type)


def _in_order(part: Mapping[str, Any], saved: SavedPredictor, signature: Any, *, check: bool) -> ProgramState:
    """Return the state of a predictor with its fields in the order of `signature`, and its own where none was saved."""
    fields = []
    for name, info in signature.fields.items():
        own = {"prefix": info.json_schema_extra["prefix"], "description": info.json_schema_extra["desc"]}
        field = saved.fields.get(name)
        fields.append(own if field is None else {"prefix": field["prefix"], "description": field["description"]})
    demos = saved.demos
    if check:
        demos = [kept for demo in demos if (kept := _fitting(demo, saved, signature)) is not None]
    part = {key: value for key, value in part.items() if key != "metadata"}
    return {**part, "signature": {"instructions": saved.instructions, "fields": fields}, "demos": demos}


def _fitting(demo: Mapping[str, Any], saved: SavedPredictor, signature: Any) -> dict[str, Any] | None:
    """Return a demo without fields that are gone; None where a value is not of its field's type any more."""
    from pydantic import TypeAdapter, ValidationError

    kept = {name: value for name, value in demo.items() if name in signature.fields or name not in saved.fields}
    for name, value in kept.items():
        if name in signature.fields:
            reader: Any = TypeAdapter(signature.fields[name].annotation)
            try:
                reader.validate_python(value)
            except ValidationError:
                return None
    return kept


def _signature_of(saved: SavedPredictor, signature: Any) -> Any:
    """Make the signature that a predictor was saved with; types that only the code knows are taken from it."""
    import dspy

    annotations = {f.type: signature.fields[f.name].annotation for f in fields_of(signature)}
    made: dict[str, tuple[Any, Any]] = {}
    for name, field in saved.fields.items():
        own = signature.fields.get(name)
        text = field.get("type")
        if text is None and own is None:
            raise InputError(f"field {name} was saved without its type: load it with differences='migrate'.")
        annotation = own.annotation if text is None else annotations.get(text) or _annotation(name, text)
        new = dspy.InputField if field.get("role") == "input" else dspy.OutputField
        made[name] = (annotation, new(desc=field["description"]))
    return dspy.Signature(made, saved.instructions)


def _annotation(name: str, text: str) -> Any:
    import dspy

    try:
        own = {n: kind for n, kind in vars(dspy).items() if isinstance(kind, type) and hasattr(kind, "model_fields")}
        return dspy.Signature(f"{name}: {text} -> {name}_", custom_types=own).fields[name].annotation
    except (ValueError, SyntaxError) as error:
        raise InputError(
            f"field {name} was saved with the type {text}, which is not known here: load it onto the program or the "
            "signature that it was made from, or with differences='migrate'."
        ) from error


def _by_name(program: dspy.Module) -> dict[str, Any]:
    return dict(program.named_predictors())


def _field(shape: FieldShape | None) -> str:
    if shape is None:
        return ""
    return f"{shape.name} ({shape.role}{f', {shortened(shape.type, _TYPE)}' if shape.type else ''})"
