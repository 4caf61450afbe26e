"""Whether a program can answer what its examples expect: labels of another type are never met, at full price."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.runs.metric import RunMetric
    from skillfleet_nb.typing import Example

_TRIED = 8  # examples whose nearest answers the metric scores
_SHOWN = 6  # labels of a mapping


def check_labels(
    outputs: Mapping[str, Any], examples: Sequence[Example], metric: RunMetric | None, of: str = ""
) -> list[str]:
    """Refuse labels that the program cannot answer and the metric does not bridge.

    Parameters
    ----------
    outputs
        What the program answers with, and the type of each.
    examples
        Labelled ones.
    metric
        Tells, without a call, whether the nearest answer that the program can give would count.
    of
        What to call the set in messages, where others are looked at beside it: ``"test"``.

    Returns
    -------
    list of str
        What a person should know, where only some labels are out of reach or the metric cannot be asked.

    Raises
    ------
    InputError
        If most labels of an output are out of reach, with the mapping that would mend it.
    """
    notes = []
    for name, kind in outputs.items():
        labelled = [e for e in examples if e.get(name) is not None and name not in e.inputs()]
        fits = _fitting(kind)
        strays = [e for e in labelled if not fits(e[name])]
        if not strays:
            continue
        mend = _mapping(name, kind, strays)
        if _bridged(name, kind, strays, metric):
            continue
        (value, n), *_ = Counter(repr(e[name]) for e in strays).most_common(1)
        where = f"{counted(n, 'example')}{f' of {of}' * bool(of)}"
        problem = f"{name} = {value}, in {where}, is no answer of the program, which gives {_in_words(kind)}"
        if 2 * len(strays) > len(labelled) and metric is not None and metric.own_score(strays[0]):
            raise InputError(f"{problem}; the metric {metric.name!r} counts none of these as right: {mend}")
        notes.append(f"{problem}; {mend}")
    return notes


def right_answer(example: Example, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program would answer if it were right: labels, or what they may be meant for; else blanks."""
    answer = {name: _blank(kind) for name, kind in outputs.items()}
    for name, value in example.labels().items():
        kind = outputs.get(name, Any)
        answer[name] = value if _fitting(kind)(value) else next(iter(_answers(value, kind)), value)
    return answer


def _blank(annotation: Any) -> Any:
    """Make a value of an output's type, for fields that the labels do not have."""
    origin = get_origin(annotation)
    if origin is not None and get_args(annotation) and origin not in {list, dict, tuple, set}:
        return get_args(annotation)[0] if not isinstance(get_args(annotation)[0], type) else None
    blanks = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}, tuple: (), set: set()}
    return blanks.get(origin or annotation)


def _fitting(kind: Any) -> Callable[[object], bool]:
    """Return what tells whether a value is one of a type; to make it takes pydantic longer than to ask it."""
    from pydantic import TypeAdapter, ValidationError

    if kind is Any:
        return lambda _: True
    if get_origin(kind) is Literal:
        options = get_args(kind)
        return lambda value: any(value == option and type(value) is type(option) for option in options)
    try:
        adapter = TypeAdapter(kind)
    except Exception:  # noqa: BLE001  pydantic does not know the type: nothing can be said
        return lambda _: True

    def fits(value: object) -> bool:
        try:
            adapter.validate_python(value, strict=kind in (str, int, float, bool))
        except ValidationError:
            return False
        except Exception:  # noqa: BLE001  a validator of the type's own failed: nothing can be said
            return True
        return True

    return fits


def _answers(value: object, kind: Any) -> list[Any]:
    """List the answers that may be meant by a label: the nearest, or all there are."""
    from pydantic import TypeAdapter, ValidationError

    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        near = _nearest(value, options)
        return options if near is None else [near]
    if kind is str:
        return [str(value)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        near = _nearest(value, [member.name for member in kind]) or _nearest(value, [m.value for m in kind])
        return [m for m in kind if near in {m.name, m.value}] or list(kind)
    try:
        return [TypeAdapter(kind).validate_python(value)]
    except ValidationError:
        return []


def _nearest(value: object, options: Sequence[Any]) -> Any:
    """Find the option that is meant: written in another way, or by its number, as a ``ClassLabel`` has it."""
    text = str(value).strip().casefold()
    same = [option for option in options if str(option).strip().casefold() == text]
    if same:
        return same[0]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(options):
        return options[value]
    return None


def _bridged(name: str, kind: Any, strays: Sequence[Example], metric: RunMetric | None) -> bool:
    """Tell whether the metric counts an answer that the program can give for such a label as right."""
    if metric is None:
        return False
    for example in strays[:_TRIED]:
        for answer in _answers(example[name], kind):
            if metric.own_score(example, {name: answer}):
                return True
    return False


def _mapping(name: str, kind: Any, strays: Sequence[Example]) -> str:
    candidates = {repr(e[name]): _answers(e[name], kind) for e in strays}
    sure = {value: repr(answers[0]) for value, answers in candidates.items() if len(answers) == 1}
    if not sure:
        return f"correct the labels, or the type of {name} in the signature"
    shown = ", ".join(f"{value}: {answer}" for value, answer in sorted(sure.items())[:_SHOWN])
    return f"map them first, {name} = {{{shown}{', …' if len(sure) > _SHOWN else ''}}}[{name}]"


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    return f"values of type {getattr(kind, '__name__', str(kind))}"
