"""Which way a task takes through the creator: rules on what a model says of its complexity, in one file of a home."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from pathlib import Path as File
    from typing import Self

Path = Literal["fast", "normal", "expert"]
PATHS: Final[tuple[Path, ...]] = get_args(Path)
Check = Literal["semantic_validation", "style_review"]
FILE: Final = "phase_rules.toml"


class FastRule(BaseModel):
    """When a task is filled into a template, and not checked further."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_complexity: float = Field(0.35, ge=0, le=1)
    needs_simple: bool = True
    needs_template: bool = True


class ExpertRule(BaseModel):
    """When a task gets further checks, and which."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above_complexity: float = Field(0.8, ge=0, le=1)
    checks: tuple[Check, ...] = get_args(Check)


class Branch(NamedTuple):
    """The way a task takes, and why."""

    path: Path
    reason: str


class PhaseRules(BaseModel):
    """Rules of the creator, ``phase_rules.toml`` of the home; what it leaves out is as here.

    Examples
    --------
    >>> PhaseRules().branch(0.2, simple=True, template="guide_basic").path
    'fast'
    >>> PhaseRules().branch(0.9, simple=False, template=None).path
    'expert'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fast: FastRule = FastRule()
    expert: ExpertRule = ExpertRule()
    revisions: int = Field(2, ge=0, le=10)
    """How often a draft that failed a check is revised, at most."""
    enough: float = Field(0.65, ge=0, le=1)
    """Quality from which a draft without a finding is taken as it is."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.fast.max_complexity > self.expert.above_complexity:
            raise ValueError("fast.max_complexity is above expert.above_complexity: a task cannot be both")
        return self

    @classmethod
    def load(cls, file: File) -> PhaseRules:
        """Read them; a file that is not there is one that says nothing.

        Raises
        ------
        InputError
            Naming the file, what is wrong in it and what is allowed.
        """
        try:
            return cls.model_validate(tomllib.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                parts: dict[str, type[BaseModel]] = {"fast": FastRule, "expert": ExpertRule}
                of = parts.get(str(first["loc"][0]), cls) if len(first["loc"]) > 1 else cls
                raise unknown(f"rule in '{file}'", where, of.model_fields) from None
            what = f"{where} = {first['input']!r}: " if where else ""
            raise InputError(f"'{file}': {what}{first['msg'].removeprefix('Value error, ')}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"'{file}' cannot be read: {one_line(str(error))}; correct it, or remove it") from error

    def branch(self, complexity: float, *, simple: bool, template: str | None) -> Branch:
        """Decide the way of a task from what was said of it.

        Parameters
        ----------
        complexity
            In [0, 1].
        simple
            Whether it was called simple.
        template
            The template that fits it, None where none does.
        """
        measured = f"complexity {complexity:.2f}"
        if complexity > self.expert.above_complexity:
            return Branch("expert", f"{measured} is above {self.expert.above_complexity:g}")
        fast = self.fast
        missing = [
            *([f"{measured} is above {fast.max_complexity:g}"] if complexity > fast.max_complexity else []),
            *(["it was not called simple"] if fast.needs_simple and not simple else []),
            *(["no template fits"] if fast.needs_template and template is None else []),
        ]
        if missing:
            return Branch("normal", ", ".join(missing))
        fits = f" and fits the template {template}" if template else ""
        return Branch("fast", f"{measured}: it is simple{fits}")
