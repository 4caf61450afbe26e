"""What a registered module is: its name and version, what it does, its configuration, and how it is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

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
