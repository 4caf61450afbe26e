"""Commands that draw: charts and reports of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts import KINDS
from skillfleet_nb.commands.views import Note

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_PLOT = "Draw a chart of jobs.\n\n" + "\n".join(f"  {kind:<12} {what}" for kind, what in KINDS.items())
_PLOT_EXAMPLES = (
    "plot convergence intents",
    "%skillfleet plot pareto --by calls -o chart",
    "plot outcomes intents --out outcomes.svg",
)


_EXPORT = """Write a report of jobs as one HTML file: verdict, prompt changes, charts, trials, failures, set-up.

It opens from a disk, fetches nothing, reads in light and dark, and keys are taken out."""


def add(commands: Any) -> None:
    """Add these commands to the tree."""
    p = commands.add_parser("plot", help="draw a chart of jobs", description=_PLOT, examples=_PLOT_EXAMPLES)
    p.add_argument("kind", nargs="?", metavar="CHART", help="one of the above")
    p.add_argument("names", nargs="*", metavar="JOB", help="names or ids")
    p.add_argument("--by", choices=("usd", "calls", "minutes"), help="of pareto: what a job cost")
    p.add_argument("--on", choices=("test", "validation"), help="of pareto: where it was scored")
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


def _plot(c: Context, a: argparse.Namespace) -> Any:
    if a.kind is None:
        return Note(_PLOT)
    chart = c.fleet.charts.plot(a.kind, *a.names, by=a.by, on=a.on)
    if a.output:
        c.namespace[a.output] = chart
    return Note(f"wrote {chart.save(a.out)}: {chart.title}") if a.out else chart


def _export(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"wrote {c.fleet.export(a.names, a.html)}")
