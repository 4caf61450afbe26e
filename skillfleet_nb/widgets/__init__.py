"""Widgets: live views, each with methods for whatever it lets one do, and HTML beside it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skillfleet_nb.widgets.front_end import has_widgets

if TYPE_CHECKING:
    from skillfleet_nb.commands import Context
    from skillfleet_nb.widgets.compare import ComparisonView
    from skillfleet_nb.widgets.dashboard import Dashboard
    from skillfleet_nb.widgets.monitor import Monitor
    from skillfleet_nb.widgets.programs import ProgramBrowser
    from skillfleet_nb.widgets.recommend import RecommendationCard
    from skillfleet_nb.widgets.registry import RegistryBrowser
    from skillfleet_nb.widgets.review import ReviewPanel
    from skillfleet_nb.widgets.trainset import TrainsetView
    from skillfleet_nb.widgets.usage import UsageMonitor

__all__ = [
    "ComparisonView",
    "Dashboard",
    "Monitor",
    "ProgramBrowser",
    "RecommendationCard",
    "RegistryBrowser",
    "ReviewPanel",
    "TrainsetView",
    "UsageMonitor",
    "shown",
]
_HOMES = {
    "ComparisonView": "compare",
    "Dashboard": "dashboard",
    "Monitor": "monitor",
    "ProgramBrowser": "programs",
    "RecommendationCard": "recommend",
    "RegistryBrowser": "registry",
    "ReviewPanel": "review",
    "TrainsetView": "trainset",
    "UsageMonitor": "usage",
}
# By name: nothing is imported for answers that no widget shows.
_VIEWS = {
    "Comparison": "ComparisonView",
    "JobReport": "Monitor",
    "QuestionView": "ReviewPanel",
    "Recommendation": "RecommendationCard",
    "RegisteredProgram": "RegistryBrowser",
    "RunHistory": "Dashboard",
    "StoredProgram": "ProgramBrowser",
    "StoredPrograms": "ProgramBrowser",
    "TrainsetReport": "TrainsetView",
    "Usage": "UsageMonitor",
    "VersionList": "RegistryBrowser",
}


def shown(answer: object, context: Context) -> Any:
    """Return the widget that shows a command's answer, or the answer itself where there is none."""
    kind = _VIEWS.get(type(answer).__name__)
    if kind in {"RecommendationCard", "TrainsetView"}:
        return _view(kind)(answer, context.fleet)
    if kind is None or not has_widgets():
        return answer
    if kind == "RegistryBrowser":
        return _view(kind)(answer, context.fleet.registry)
    parts = {"Dashboard": "fleet", "Monitor": "job", "ReviewPanel": "job"}
    return _view(kind)(getattr(answer, parts[kind]) if kind in parts else answer)


def _view(name: str) -> Any:
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _view(name)
