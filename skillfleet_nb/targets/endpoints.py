"""A model behind an endpoint, asked as a deployed agent asks it: its system prompt word for word, and the inputs.

DSPy's adapters write field names and formats around an instruction.  Here nothing is added, so that the text that was
optimised is the one that can be deployed.
"""

from __future__ import annotations

import json
import re
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import dspy

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.targets.text import Text, checked_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.typing import Model

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


class EndpointTarget(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """A model and the system prompt that it is given.

    Parameters
    ----------
    lm
        The model; None asks the one that is configured, or the run's.
    system
        The system prompt.
    signature
        What it takes and answers.  The answer is read as the only output; of several as a JSON object.
    user
        What the user turn says, with inputs in braces: ``"Ticket: {text}"``.  By default the only input as it is, or a
        line for each.

    Raises
    ------
    InputError, NotFoundError
        If the system prompt is empty, or `user` names what is no input.
    """

    def __init__(self, lm: Model | None, system: str, signature: Any, user: str | None = None) -> None:
        super().__init__()
        self.signature, self.user = checked_signature(signature), user
        signature = self.signature
        self.system = Text(signature, system, "system")
        self.system.lm = lm
        _check_template(user, list(signature.input_fields))

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Ask the endpoint."""
        with dspy.context(adapter=WordForWord(self.user)):
            return self.system(**self._asked(), **inputs)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Ask the endpoint in async code."""
        with dspy.context(adapter=WordForWord(self.user)):
            return await self.system.acall(**self._asked(), **inputs)

    def messages(self, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what is sent."""
        asked = self._asked()
        return WordForWord(self.user).format(asked["signature"], asked["demos"], dict(inputs))

    def _asked(self) -> dict[str, Any]:
        return {"signature": self.signature.with_instructions(self.system.text), "demos": []}


class WordForWord(dspy.Adapter):  # type: ignore[misc]  # dspy is untyped
    """Sends the instructions as the system prompt and the inputs as the user's turn, and adds nothing.

    Parameters
    ----------
    user
        As of :class:`EndpointTarget`.
    """

    def __init__(self, user: str | None = None) -> None:
        super().__init__()
        self.user = user

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Write the two turns; examples stand in the instructions."""
        del demos
        names = [name for name in signature.input_fields if name in inputs]
        if self.user is not None:
            said = self.user.format(**inputs)
        elif len(names) == 1:
            said = str(inputs[names[0]])
        else:
            said = "\n".join(f"{name}: {inputs[name]}" for name in names)
        return [{"role": "system", "content": signature.instructions}, {"role": "user", "content": said}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read the answer: the only output as it is said, several as a JSON object."""
        from dspy.utils.exceptions import AdapterParseError

        outputs = {name: field.annotation for name, field in signature.output_fields.items()}
        try:
            return _values(completion.strip(), outputs)
        except Exception as error:
            raise AdapterParseError(type(self).__name__, signature, completion) from error


def model_of(model: object, base_url: str | None, api_key: str | None, settings: Mapping[str, Any]) -> Model | None:
    """Return the model that an endpoint's arguments name.

    Raises
    ------
    InputError
        If it is no model, or an address is none.
    """
    from skillfleet_nb.lm.task_models import named_lm

    if model is None or isinstance(model, dspy.BaseLM):
        if base_url or api_key or settings:
            raise InputError("base_url, api_key and settings go with the name of a model, such as 'my-model'")
        return model
    if not isinstance(model, str) or not model.strip():
        raise InputError(f"model = {model!r}: give its name, such as 'openai/gpt-4o-mini', or a dspy.LM")
    if base_url is None:
        if (made := named_lm(model)) is None:
            raise InputError(f"model = {model!r}: write PROVIDER/MODEL, such as openai/gpt-4o-mini, or give base_url=")
        return dspy.LM(model, api_key=api_key, **settings) if api_key or settings else made
    if not re.match(r"https?://[^/\s]+", base_url):
        raise InputError(f"base_url = {base_url!r} is no address: give one such as 'http://localhost:8000/v1'")
    name = model if model.startswith("openai/") else f"openai/{model}"
    return dspy.LM(name, api_base=base_url, api_key=api_key or "none", **settings)


def _check_template(user: str | None, inputs: list[str]) -> None:
    if user is None:
        return
    try:
        names = [name for _, name, _, _ in Formatter().parse(user) if name is not None]
    except ValueError as error:
        raise InputError(f"user = {user!r}: {error}; write braces that are meant as such twice") from error
    if not names:
        raise InputError(f"user = {user!r} names no input: write it in braces, as {{{inputs[0]}}}")
    for name in names:
        if name not in inputs:
            raise unknown("input in user", name, inputs)


def _values(text: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    if len(outputs) == 1:
        ((name, annotation),) = outputs.items()
        return {name: _value(text, annotation)}
    match = _OBJECT.search(text)
    parts = json.loads(match[0] if match else text)
    return {name: _value(parts[name], annotation) for name, annotation in outputs.items()}


def _value(said: Any, annotation: Any) -> Any:
    """Read a value of a type; of a choice also where one alone is spoken of."""
    from dspy.adapters.utils import parse_value

    try:
        return parse_value(said, annotation)
    except Exception:
        if get_origin(annotation) is not Literal:
            raise
        named = [
            one for one in get_args(annotation)
            if re.search(rf"(?<!\w){re.escape(str(one))}(?!\w)", str(said), re.IGNORECASE)
        ]  # fmt: skip
        if len(named) != 1:
            raise
        return named[0]
