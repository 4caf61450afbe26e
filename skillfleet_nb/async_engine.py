"""The asynchronous face of an engine that answers on the thread which asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from typing import Self

    from dspy.lm15 import Request, Response


class Engine(Protocol):
    """What an engine of the package's own can do, of what its asynchronous face needs."""

    def complete(self, request: Request) -> Response:
        """Answer one request."""

    def dump_state(self) -> dict[str, Any]:
        """Give what :meth:`load_state` needs, as JSON values."""

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Build the engine that :meth:`dump_state` described."""


E = TypeVar("E", bound=Engine)


class AsyncEngine(Generic[E]):
    """What DSPy awaits: an engine that answers on a thread of its own, so that the event loop goes on.

    A subclass names the class of its engine: DSPy saves a model by the paths of its classes.

    Parameters
    ----------
    engine
        The engine that answers.
    """

    of: ClassVar[type[Engine]]

    def __init__(self, engine: E) -> None:
        self.engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer one request without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.engine.complete, request)

    def dump_state(self) -> dict[str, Any]:
        """Give the engine's state."""
        return self.engine.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Build the engine that :meth:`dump_state` described."""
        return cls(cls.of.load_state(state))  # type: ignore[arg-type]  # the subclass pairs them
