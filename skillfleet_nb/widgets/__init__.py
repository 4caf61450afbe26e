"""Widgets: live views, each with methods for whatever it lets one do, and HTML beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillfleet_nb.widgets.trainset import TrainsetView

__all__ = ["TrainsetView", "shown"]


def shown(answer: Any, context: Any) -> Any:
    """Return the widget that shows a command's answer, or the answer itself where there is none."""
    if type(answer).__name__ != "TrainsetReport":  # by its name: nothing is imported for the others
        return answer
    from skillfleet_nb.widgets.trainset import TrainsetView

    return TrainsetView(answer, context.fleet)


def __getattr__(name: str) -> Any:
    if name == "TrainsetView":
        from skillfleet_nb.widgets.trainset import TrainsetView

        return TrainsetView
    raise AttributeError(name)
