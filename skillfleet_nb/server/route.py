"""What a route is: declared once, as the function that answers it.

Handlers, the OpenAPI document and the checks of who may do what are all read off the declarations in ``routes/``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.server.materials import Materials

Permission = Literal["read", "execute", "write"]
"""What Jupyter's authorizer is asked for: to look, to spend calls or steer a run, to change what is kept."""
Kept = Literal["job", "home"]
"""Until what changes an answer stays the same: what is written of one job, or anything in the home."""

Asks = Literal["never", "job", "always", "probe", "judge"]
"""When a route asks models, which costs: never, in a job with its budget, always, or as the field of that name says."""

PREFIX = "skillfleet/api/v1"

_Model = TypeVar("_Model", bound=BaseModel)
_PARAMETER = re.compile(r"\{(\w+)\}")


LARGEST = 2**53 - 1
"""Of whole numbers in requests: JSON promises to carry these exactly (RFC 8259), and all that is done with them can."""


class Asked(BaseModel):
    """What a request gives: the query of one that only reads, else its body; what is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _carried_exactly(self) -> Self:
        for name in type(self).model_fields:
            if _is_too_large(getattr(self, name)):
                raise PydanticCustomError(
                    "too_large", "{name} holds a whole number beyond {most}: give a smaller one",
                    {"name": name, "most": f"{LARGEST:,}"},
                )  # fmt: skip
        return self


def _is_too_large(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) > LARGEST
    if isinstance(value, Mapping):
        return any(map(_is_too_large, value.values()))
    return isinstance(value, list | tuple) and any(map(_is_too_large, value))


class Nothing(Asked):
    """Takes nothing."""


class Page(Asked):
    """Which rows to return."""

    limit: int = Field(default=100, ge=1, le=1000, description="rows at most")
    offset: int = Field(default=0, ge=0, le=2**53, description="rows to leave out before them")


class Answer(BaseModel):
    """What a route returns, where its fields are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(Answer):
    """Rows of a relation, as objects by column."""

    columns: list[str]
    rows: list[dict[str, Any]]
    total: int | None = Field(default=None, description="how many there are in all, where that is known")
    offset: int = 0


class Told(Answer):
    """What was done, in a line."""

    told: str


@dataclass(frozen=True)
class Call(Generic[_Model]):
    """A request, as the function that answers it sees it.

    Attributes
    ----------
    fleet
        The home's.
    asked
        The query or the body.
    path
        The parts of the path that are parameters.
    user
        Who asks.
    materials
        Finds programs, data, metrics and models that the body names.
    root
        The server's folder: what a request names of the file system lies below it.
    """

    fleet: Fleet
    asked: _Model
    path: Mapping[str, str]
    user: str
    materials: Materials
    root: Path


@dataclass(frozen=True)
class Route:
    """A route; parameters are those of :func:`route`."""

    method: str
    path: str
    summary: str
    permission: Permission
    answer: Callable[[Call[Any]], object]
    takes: type[BaseModel] = Nothing
    gives: type[BaseModel] | None = None
    status: int = 200
    kept: Kept | None = None
    ticks: bool = False
    asks: Asks = "never"
    aliases: tuple[str, ...] = ()

    @property
    def reads_query(self) -> bool:
        """Whether what it takes stands in the query of its address."""
        return self.method == "GET"

    @property
    def parameters(self) -> list[str]:
        """The parameters in its path."""
        return _PARAMETER.findall(self.path)

    @property
    def resource(self) -> str:
        """What Jupyter's authorizer is asked about."""
        return f"skillfleet:{self.path.partition('/')[0]}"

    @property
    def name(self) -> str:
        """A name of its own, for those who generate clients."""
        return f"{self.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', self.path.lower()).strip('_')}"


def pattern(path: str) -> str:
    """Return a path as a regular expression, for the server's own routing."""
    return _PARAMETER.sub(r"(?P<\1>[^/]+)", path)


def route(
    method: str,
    path: str,
    summary: str,
    permission: Permission,
    *,
    takes: type[BaseModel] = Nothing,
    gives: type[BaseModel] | None = None,
    status: int = 200,
    kept: Kept | None = None,
    ticks: bool = False,
    asks: Asks = "never",
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[[Call[Any]], object]], Route]:
    """Declare the function below as what answers a route.

    Parameters
    ----------
    method, path
        Of the request; a part of the path in braces is a parameter.
    summary
        What it does, in a line.
    permission
        What one must be allowed to.
    takes, gives
        What the query or the body holds, and what is answered; by default nothing, and any object.
    status
        Of a success.
    kept
        Until when the answer stays the same; None where it must be made anew.
    ticks
        Whether it tells seconds, which go on while a job runs.
    asks
        When it asks models.
    aliases
        Other addresses it answers at, from the server's own root.
    """
    return lambda answer: Route(
        method, path, summary, permission, answer, takes, gives, status, kept, ticks, asks, aliases
    )
