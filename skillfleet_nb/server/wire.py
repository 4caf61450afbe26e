"""What a request may hold in place of live objects, and the requests of the package in that form.

The options of a run stand in :class:`~skillfleet_nb.runs.request.RunRequest` alone: :func:`wired` reads them off, with
a name or a description where Python takes an object.  So a new option is there by itself, checked and documented.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic_core import PydanticCustomError

from skillfleet_nb.runs.racing import Mode
from skillfleet_nb.server.route import Asked

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import ValidatorFunctionWrapHandler

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_TYPE = (
    r"(?:str|int|float|bool|dict|list|list\[(?:str|int|float|bool|dict)\]"
    r"|Literal\[(?:'[^'\\\[\]\"]+'(?:,\s*)?)+\])"
)
_FIELDS = rf"\s*{_NAME}\s*(?::\s*{_TYPE}\s*)?(?:,\s*{_NAME}\s*(?::\s*{_TYPE}\s*)?)*"
SIGNATURE = rf"^{_FIELDS}->{_FIELDS}$"
"""A signature as DSPy writes it, of plain types."""

_ALLOWED = (
    "write fields before and after ->, each with no type or a plain one (str, int, float, bool, dict, list, "
    "list[str], Literal), such as \"text -> intent: Literal['buy', 'ask']\""
)

Name = Annotated[str, Field(min_length=1, max_length=300)]


class Described(BaseModel):
    """A program that is nothing but its signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signature: Annotated[str, Field(pattern=SIGNATURE, max_length=4000)] = Field(
        description="fields and their types, such as \"text -> intent: Literal['buy', 'ask']\""
    )
    instructions: Annotated[str, Field(max_length=20_000)] = Field(default="", description="what it is to do")
    module: Literal["Predict", "ChainOfThought", "ReAct"] = Field(default="Predict", description="how it is asked")
    tools: Annotated[list[Name], Field(max_length=50)] = Field(
        default_factory=list, description="of ReAct, as module:attribute"
    )

    @field_validator("signature", mode="wrap")
    @classmethod
    def _allowed(cls, value: object, read: ValidatorFunctionWrapHandler) -> Any:
        """Say what is allowed, which the pattern says to nobody."""
        try:
            return read(value)
        except ValidationError as error:
            if error.errors()[0]["type"] != "string_pattern_mismatch":
                raise
            raise PydanticCustomError("signature", _ALLOWED) from None


class JobSplit(BaseModel):
    """The examples of a split of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: Name
    split: Literal["train", "val", "test"] = "train"


Program: TypeAlias = Name | Described
"""``module:attribute``, a registered ``name@version``, or a description."""
Rows: TypeAlias = Name | list[dict[str, Any]] | JobSplit
"""A file below the server's folder, ``module:attribute``, the rows themselves, or those of a job."""
Metric: TypeAlias = Name
"""A registered name, or ``module:attribute``."""
Model: TypeAlias = Name
"""A model with its provider, a role of the home, ``offline`` or ``local``."""

_IN_PLACE = {
    "Program": Program, "Rows": Rows, "Metric": Metric, "Model": Model,
    "Mapping": Mapping, "Sequence": Sequence, "Mode": Mode, "Engine": Any, "object": Any,
}  # fmt: skip
LOADED: dict[str, str] = {
    **dict.fromkeys(("program", "creator"), "program"),
    **dict.fromkeys(("train", "val", "test", "inputs", "reference"), "rows"),
    "metric": "metric",
    **dict.fromkeys(("lm", "prompt_lm", "fallback_lm", "judge"), "model"),
}
"""Fields that name an object, and of which kind."""
_PLAIN: dict[str, Any] = {"params": dict[str, Any] | None, "root": Name}
"""Fields whose type in Python says less than what can be sent."""
_KINDS = {
    "program": "a program: module:attribute, a registered name@version, or a description",
    "rows": "data: a file below the server's folder, module:attribute, the rows themselves, or the split of a job",
    "metric": "a metric: a registered name, or module:attribute",
    "model": "a model with its provider, such as openai/gpt-4o-mini, a role of the home, offline or local",
}
SERVER_CHOOSES = frozenset({"engine", "recommendation", "source", "name_or_id"})
"""Fields that no request gives: where a run is, what is in the path, and what only Python can hold."""


def wired(request: type, *, without: Collection[str] = ()) -> type[BaseModel]:
    """Return what a request holds that stands for a record of the package, field by field.

    Examples
    --------
    >>> from skillfleet_nb.runs.request import RunRequest
    >>> wired(RunRequest).model_fields["max_calls"].annotation
    int | None
    """
    hints = get_type_hints(request, localns=_IN_PLACE, include_extras=True)
    texts = _texts(request)
    parts: dict[str, Any] = {}
    for one in fields(request):
        if one.name in SERVER_CHOOSES or one.name in without:
            continue
        default = ... if one.default is MISSING else one.default
        hint = _PLAIN.get(one.name, hints[one.name])
        description = _KINDS[LOADED[one.name]] if one.name in LOADED else texts.get(one.name)
        parts[one.name] = (hint, Field(default=default, description=description))
    return create_model(request.__name__, __base__=Asked, __doc__=_first_line(request), **parts)


def _first_line(request: type) -> str:
    return inspect.cleandoc(request.__doc__ or "").partition("\n")[0]


def _texts(request: type) -> dict[str, str]:
    """Return what the docstrings of a record and its bases say of each field."""
    texts: dict[str, str] = {}
    for cls in reversed(inspect.getmro(request)):
        parameters = inspect.cleandoc(cls.__doc__ or "").partition("\n----------\n")[2]
        for names, text in re.findall(r"^([a-z_]+(?:, [a-z_]+)*)\n((?:    .*(?:\n|$))+)", parameters, re.MULTILINE):
            texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts
