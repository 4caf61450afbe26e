"""Commands that draw: charts and reports of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.charts import kinds
from skillfleet_nb.charts.chart import picture_file
from skillfleet_nb.commands.grammar import argument, command, written
from skillfleet_nb.commands.views import Note, Written

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_PLOT_EXAMPLES = (
    "plot convergence intents",
    "%skillfleet plot pareto --by calls -o chart",
    "plot outcomes intents --out outcomes.svg",
)


_EXPORT = """Write a report of jobs as one HTML file: verdict, prompt changes, charts, trials, failures, set-up.

It opens from a disk, fetches nothing, reads in light and dark, and keys are taken out."""


def _about_plot() -> str:
    return "Draw a chart of jobs.\n\n" + "\n".join(f"  {one.name:<12} {one.summary}" for one in kinds().values())


def _plot_options() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the options of all kinds by name, with their values and what they choose, and of which kind."""
    options: dict[str, tuple[tuple[str, ...], str]] = {}
    for one in kinds().values():
        for name, (values, about) in one.options.items():
            before, description = options.get(name, ((), ""))
            merged = tuple(dict.fromkeys((*before, *values)))
            options[name] = (merged, f"{description}{'; ' if description else ''}of {one.name}: {about}")
    return options


@command(
    "plot",
    "draw a chart of jobs",
    argument("kind", nargs="?", metavar="CHART", help="one of the above"),
    argument("names", nargs="*", metavar="JOB", help="names or ids"),
    *(argument(f"--{name}", choices=values, help=about) for name, (values, about) in _plot_options().items()),
    written("--out", metavar="FILE", help="write it to a file: .svg .png .pdf .html .json"),
    argument("-o", dest="output", metavar="NAME", help="put the chart into this variable"),
    about=_about_plot(),
    examples=_PLOT_EXAMPLES,
    task="Learn from runs",
    place=7,
)
def _plot(c: Context, a: argparse.Namespace) -> object:
    if a.kind is None:
        return Note(_about_plot())
    if a.out:
        picture_file(a.out)
    chart = c.fleet.charts.plot(a.kind, *a.names, **{name: getattr(a, name) for name in _plot_options()})
    if a.output:
        c.namespace[a.output] = chart
    return Note(f"wrote {chart.save(a.out)}: {chart.title}") if a.out else chart


@command(
    "export",
    "write a report of jobs as one file to send to a colleague",
    argument("names", nargs="+", metavar="JOB", help="names or ids"),
    written("--html", required=True, metavar="FILE.html", help="the file to write"),
    about=_EXPORT,
    examples=("export intents --html report.html", "export intents other --html both.html"),
    task="Keep",
    place=1,
)
def _export(c: Context, a: argparse.Namespace) -> Written:
    return Written(c.fleet.reports.export(a.names, a.html, progress=c.counting("drawing charts")))
