"""A text that an optimizer may rewrite: it stands in a program as the instructions of a predictor.

So whatever rewrites instructions rewrites it, and whatever keeps, compares and shows programs does so with it.  Demos
that an optimizer chooses become examples within the text, for there is no other place by which a model would see them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import dspy

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_EXAMPLES = "Worked examples:"
_SHOWN = 80  # characters of an answer that an error quotes


class Text(dspy.Predict):  # type: ignore[misc]  # dspy is untyped
    """A text of a target, with the fields of what it is a text of.

    Parameters
    ----------
    signature
        Inputs and outputs of the work that the text is about.
    text
        As it is before anything is optimised.

    Raises
    ------
    InputError
        If the text is empty.
    """

    longest: ClassVar[int | None] = None
    """Characters of a value in an example; None shows it all."""

    def __init__(self, signature: Any, text: str, name: str) -> None:
        super().__init__(signature.with_instructions(checked_text(text, name)))

    @property
    def text(self) -> str:
        """What the agent is given: the instructions, and the demos as examples below them."""
        fields = list(self.signature.input_fields), list(self.signature.output_fields)
        return with_examples(self.signature.instructions, self.demos, *fields, self.longest)

    def note(self, inputs: Mapping[str, Any], prediction: dspy.Prediction) -> None:
        """Tell optimizers of a call that used the text, as a predictor tells of its own."""
        trace = dspy.settings.trace
        if trace is not None and dspy.settings.max_trace_size > 0:
            if len(trace) >= dspy.settings.max_trace_size:
                trace.pop(0)
            trace.append((self, dict(inputs), prediction))


class Untouched:
    """What a target holds and never copies: a person's function, with whatever it is bound to.

    Parameters
    ----------
    function
        Called as it is.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.function(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Untouched:
        return self  # an agent may hold connections, which a copy of a program shares


def with_examples(
    text: str,
    demos: Sequence[Mapping[str, Any]],
    inputs: Sequence[str],
    outputs: Sequence[str],
    longest: int | None = None,
) -> str:
    """Put demos below a text, one a line, as far as they have inputs and outputs; values of at most `longest`."""
    lines = []
    for demo in demos:
        parts = {
            what: {name: _plain(demo[name], longest) for name in fields if name in demo}
            for what, fields in (("inputs", inputs), ("outputs", outputs))
        }
        if all(parts.values()):
            lines.append(f"- {json.dumps(parts, ensure_ascii=False, default=str)}")
    return "\n\n".join([text, *(["\n".join([_EXAMPLES, *lines])] if lines else [])])


def checked_text(text: object, name: str) -> str:
    """Return a text as it is; refuse what is none, or empty.

    Raises
    ------
    InputError
        Naming the component.
    """
    if not isinstance(text, str):
        raise InputError(f"component {name!r} is a {type(text).__name__}: give its text as it is now")
    if not text.strip():
        raise InputError(f"component {name!r} is empty: give the text to start from, if only a sentence")
    return text


def checked_signature(signature: object) -> Any:
    """Return a signature made of what a person gave.

    Raises
    ------
    InputError
        If it is none, or has no input or no output.
    """
    from dspy.signatures.signature import ensure_signature

    try:
        made = ensure_signature(signature)
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputError(f"signature = {signature!r} is none: write 'question -> answer' ({error})") from error
    if not made.input_fields or not made.output_fields:
        raise InputError(f"signature = {signature!r} lacks an input or an output: write 'question -> answer'")
    return made


def as_prediction(answer: object, signature: Any, who: str) -> dspy.Prediction:
    """Read what an agent answered: a prediction, values by output, or the value of the only output.

    Raises
    ------
    TypeError
        If outputs are missing.
    """
    outputs = list(signature.output_fields)
    if isinstance(answer, dspy.Prediction):
        values: Mapping[str, Any] = dict(answer.items())
    elif isinstance(answer, dict) and (set(outputs) <= answer.keys() or len(outputs) > 1):
        values = answer
    else:
        values = {outputs[0]: answer} if len(outputs) == 1 and answer is not None else {}
    if missing := [name for name in outputs if name not in values]:
        text = shortened(repr(answer), _SHOWN)
        raise TypeError(f"{who} answered {text}: return {', '.join(missing)} by name, or the value of the only output")
    return answer if isinstance(answer, dspy.Prediction) else dspy.Prediction(**values)


def named(names: Sequence[str], owner: type) -> None:
    """Refuse names of components that cannot be attributes of a program.

    Raises
    ------
    InputError
        Naming it.
    """
    if not names:
        raise InputError('components is empty: give the texts by name, such as {"system": "You sort tickets."}')
    for name in names:
        if not (isinstance(name, str) and name.isidentifier()) or name.startswith("_"):
            raise InputError(f"component {name!r} is no name: use letters, digits and _, beginning with a letter")
        if hasattr(owner, name) or name in {"history", "callbacks", "signature", "metadata"}:
            raise InputError(f"component {name!r} has a name that DSPy uses itself: call it {name}_text")


def _plain(value: object, longest: int | None) -> object:
    if isinstance(value, int | float | bool | None):
        return value
    return str(value) if longest is None else shortened(str(value), longest)
