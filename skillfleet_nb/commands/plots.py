"""Commands that draw: charts and reports of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts import kinds
from skillfleet_nb.commands.views import Note

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


def add(commands: Any) -> None:
    """Add these commands to the tree."""
    p = commands.add_parser("plot", help="draw a chart of jobs", description=_about_plot(), examples=_PLOT_EXAMPLES)
    p.add_argument("kind", nargs="?", metavar="CHART", help="one of the above")
    p.add_argument("names", nargs="*", metavar="JOB", help="names or ids")
    for option, (values, about) in _plot_options().items():
        p.add_argument(f"--{option}", choices=values, help=about)
    p.add_argument("--out", metavar="FILE", help="write it to a file: .svg .png .pdf .html .json")
    p.add_argument("-o", dest="output", metavar="NAME", help="put the chart into this variable")
    p.set_defaults(run=_plot)

    p = commands.add_parser(
        "export",
        help="write a report of jobs as one file to send to a colleague",
        description=_EXPORT,
        examples=("export intents --html report.html", "export intents other --html both.html"),
    )
    p.add_argument("names", nargs="+", metavar="JOB", help="names or ids")
    p.add_argument("--html", required=True, metavar="FILE.html", help="the file to write")
    p.set_defaults(run=_export)


def _about_plot() -> str:
    return "Draw a chart of jobs.\n\n" + "\n".join(f"  {one.name:<12} {one.summary}" for one in kinds().values())


def _plot_options() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the options of all kinds by name, with their values and what they choose, and of which kind."""
    options: dict[str, tuple[tuple[str, ...], str]] = {}
    for one in kinds().values():
        for name, (values, about) in one.options.items():
            before, told = options.get(name, ((), ""))
            merged = tuple(dict.fromkeys((*before, *values)))
            options[name] = (merged, f"{told}{'; ' if told else ''}of {one.name}: {about}")
    return options


def _plot(c: Context, a: argparse.Namespace) -> Any:
    if a.kind is None:
        return Note(_about_plot())
    chart = c.fleet.charts.plot(a.kind, *a.names, **{name: getattr(a, name) for name in _plot_options()})
    if a.output:
        c.namespace[a.output] = chart
    return Note(f"wrote {chart.save(a.out)}: {chart.title}") if a.out else chart


def _export(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"wrote {c.fleet.reports.export(a.names, a.html)}")
