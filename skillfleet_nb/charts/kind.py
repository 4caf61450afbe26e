"""Kinds of charts: each is declared in the file that draws it, and found there."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.charts.chart import Chart


class Takes(Enum):
    """Which jobs a chart shows."""

    ONE = "one"
    SOME = "one or more"
    ALL = "all, or those named"


class Choice(NamedTuple):
    """The values of an option, and what it chooses."""

    values: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Kind:
    """A kind of chart.

    Attributes
    ----------
    name
        Draws it: ``fleet.charts.NAME``, ``%skillfleet plot NAME``.
    summary
        What it shows, in a line.
    draw
        Makes the chart of :class:`~skillfleet_nb.charts.jobs.Jobs`.
    takes, options
        Which jobs it shows, and what may be chosen.
    """

    name: str
    summary: str
    draw: Callable[..., Chart]
    takes: Takes
    options: Mapping[str, Choice]


def kind(
    name: str, summary: str, *, takes: Takes = Takes.SOME, **options: Choice
) -> Callable[[Callable[..., Chart]], Kind]:
    """Declare the function below as what draws a kind of chart; its options are keyword arguments of it.

    Examples
    --------
    ::

        @kind("costs", "what each role and model cost")
        def _of_jobs(jobs: Jobs) -> Chart: ...
    """
    return lambda draw: Kind(name, summary, draw, takes, options)


def kinds() -> dict[str, Kind]:
    """Return every kind of chart that a module of this package declares, by name.

    Examples
    --------
    >>> kinds()["costs"].summary
    'what each role and model cost'
    """
    package = import_module(__name__.rpartition(".")[0])
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    declared = [value for name in modules for value in vars(import_module(name)).values() if isinstance(value, Kind)]
    return {one.name: one for one in declared}
