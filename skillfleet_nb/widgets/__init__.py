"""Widgets: live views, each with methods for whatever it lets one do, and HTML beside it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillfleet_nb.widgets.monitor import Monitor
    from skillfleet_nb.widgets.recommend import RecommendationCard
    from skillfleet_nb.widgets.trainset import TrainsetView

__all__ = ["Monitor", "RecommendationCard", "TrainsetView", "has_widgets", "shown"]
_HOMES = {"Monitor": "monitor", "RecommendationCard": "recommend", "TrainsetView": "trainset"}


def has_widgets() -> bool:
    """Tell whether a person looks at a page that can run widgets.

    A notebook that is executed as a whole, by nbclient, nbconvert or nbmake, is known by asking for no
    input: nobody is there to answer, and its outputs are kept as they are.
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def shown(answer: Any, context: Any) -> Any:
    """Return the widget that shows a command's answer, or the answer itself where there is none."""
    kind = type(answer).__name__  # by its name: nothing is imported for the others
    if kind == "TrainsetReport":
        from skillfleet_nb.widgets.trainset import TrainsetView

        return TrainsetView(answer, context.fleet)
    if kind == "Recommendation":
        from skillfleet_nb.widgets.recommend import RecommendationCard

        return RecommendationCard(answer, context.fleet)
    return answer


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
