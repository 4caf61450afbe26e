"""The redactor of a home: what its settings say is taken out of whatever is written there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import unknown
from skillfleet_nb.plugins import imported, points
from skillfleet_nb.redaction import Patterns
from skillfleet_nb.security import Redactor

if TYPE_CHECKING:
    from skillfleet_nb.config import Redaction
    from skillfleet_nb.redaction import Hook
    from skillfleet_nb.store.home import Home

_GROUP = "skillfleet_nb.redactors"


def redactor_of(home: Home) -> Redactor:
    """Return a redactor of secrets, and of what the settings name.

    Raises
    ------
    InputError, NotFoundError
        If the settings cannot be read, or name no installed hook: nothing is written then.
    """
    if not home.config.exists() and "SKILLFLEET_REDACT" not in os.environ:
        return Redactor()
    return Redactor(patterns=patterns_of(Settings.load(home.config).redact))


def patterns_of(settings: Redaction) -> Patterns:
    """Return what settings name; raises as :func:`redactor_of` does."""
    return Patterns(settings.kinds, settings.patterns, None if settings.hook is None else _hook(settings.hook))


def _hook(name: str) -> Hook:
    installed = {point.name: point for point in points(_GROUP)}
    if name not in installed:
        raise unknown(
            "hook of redact", name, installed, hint=f"A package brings one along as an entry point of {_GROUP}."
        )
    hook: Hook = imported(installed[name], "hook")
    return hook
