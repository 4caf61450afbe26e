"""Skillfleet NB: optimise DSPy programs from a notebook, with the price known and nothing lost."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from skillfleet_nb import targets
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.lm.task_models import task_lm
    from skillfleet_nb.local import local_lm
    from skillfleet_nb.monitoring.learn_policy import LearnPolicy
    from skillfleet_nb.offline import offline_lm
    from skillfleet_nb.programs.signatures import signature_version
    from skillfleet_nb.programs.voting import BestOfN, Ensemble, MajorityVote
    from skillfleet_nb.remote.fleet import RemoteFleet
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.review.reviewer import ask
    from skillfleet_nb.skills import Skill
    from skillfleet_nb.skills.creator import skill_creator
    from skillfleet_nb.tracing.monitored import monitored
    from skillfleet_nb.widgets.monitor import Monitor

__version__ = "0.1.0"
__all__ = [
    "BestOfN",
    "Ensemble",
    "Fleet",
    "Job",
    "LearnPolicy",
    "MajorityVote",
    "Monitor",
    "RemoteFleet",
    "Skill",
    "ask",
    "local_lm",
    "monitored",
    "offline_lm",
    "signature_version",
    "skill_creator",
    "targets",
    "task_lm",
]

_ROOMS = ("targets",)
_HOMES = {
    "BestOfN": "skillfleet_nb.programs.voting",
    "Ensemble": "skillfleet_nb.programs.voting",
    "Fleet": "skillfleet_nb.fleet",
    "Job": "skillfleet_nb.runs.jobs.job",
    "LearnPolicy": "skillfleet_nb.monitoring.learn_policy",
    "MajorityVote": "skillfleet_nb.programs.voting",
    "Monitor": "skillfleet_nb.widgets.monitor",
    "RemoteFleet": "skillfleet_nb.remote.fleet",
    "Skill": "skillfleet_nb.skills",
    "ask": "skillfleet_nb.runs.review.reviewer",
    "local_lm": "skillfleet_nb.local",
    "monitored": "skillfleet_nb.tracing.monitored",
    "offline_lm": "skillfleet_nb.offline",
    "signature_version": "skillfleet_nb.programs.signatures",
    "skill_creator": "skillfleet_nb.skills.creator",
    "task_lm": "skillfleet_nb.lm.task_models",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing the package must cost nothing.
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%skillfleet`` and ``%%skillfleet``; called by ``%load_ext skillfleet_nb``."""
    from skillfleet_nb.magics import register

    register(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics and their completion away again; running jobs go on."""
    from skillfleet_nb.magics import unregister

    unregister(ipython)
