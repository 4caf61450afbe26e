"""What is prepared by its kind: a search as a run, a skill to be created as a creation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.runs.creation import prepare_creation
from skillfleet_nb.runs.prepare import prepare
from skillfleet_nb.runs.spec import CREATE_SKILL

if TYPE_CHECKING:
    from skillfleet_nb.config import Settings
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.request import RunRequest


def prepare_kind(request: RunRequest, settings: Settings, **choices: Any) -> Prepared:
    """Check what was asked, of whatever kind; arguments and errors are those of :func:`prepare`."""
    if request.optimizer == CREATE_SKILL:
        return prepare_creation(request, settings)
    return prepare(request, settings, **choices)
