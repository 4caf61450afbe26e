"""What a registered module is: its name and version, what it does, its configuration, and how it is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from skillfleet_nb.config import TaskRole
    from skillfleet_nb.typing import Program


class ModuleConfig(BaseModel):
    """Base of a module's configuration: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, arbitrary_types_allowed=True)


class ModuleFactory(ABC):
    """Makes a DSPy module; an author subclasses it, and registers the class as an entry point ``NAME-VERSION``.

    Parameters
    ----------
    config
        An instance of the class's own `Config`.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    """What it does, in a line."""
    role: ClassVar[TaskRole | None] = None
    """What its model is asked for: the home's ``[task_models]`` may name one for that."""
    Config: ClassVar[type[ModuleConfig]] = ModuleConfig

    def __init__(self, config: ModuleConfig) -> None:
        self.config: Any = config

    @abstractmethod
    def build(self) -> Program:
        """Make the module."""

    def role_of(self, predictor: str) -> TaskRole | None:
        """Return what the model of one predictor is asked for, by its name; by default what that of the module is."""
        del predictor
        return self.role


def program_of(program: object, module: str) -> Program:
    """Return the program that a configuration of `module` names: a ``dspy.Module``, or a signature to predict.

    Raises
    ------
    InputError
        If it is neither.
    """
    import dspy

    if isinstance(program, str) or (isinstance(program, type) and issubclass(program, dspy.Signature)):
        try:
            program = dspy.Predict(program)
        except (ValueError, SyntaxError) as error:
            raise InputError(f"{module}: program = {program!r} is no signature: {one_line(str(error))}") from error
    if not isinstance(program, dspy.Module):
        raise InputError(f"{module}: program = {program!r}: give a dspy.Module, or a signature such as 'text -> label'")
    return program
