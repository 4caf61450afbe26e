"""Charts: each a pure data function, frame in and frame out, and a thin plot over it.

``Fleet.charts`` fetches the facts and joins the two; a frame from anywhere else may be drawn as well.
A chart of jobs is one file here: what :func:`~skillfleet_nb.charts.kind.kind` declares is found by itself.
"""

from skillfleet_nb.charts.accessor import Charts
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.convergence import convergence, convergence_data, sparkline
from skillfleet_nb.charts.drawing import to_live, to_script, to_spec, to_svg
from skillfleet_nb.charts.kind import kinds

__all__ = [
    "Chart",
    "Charts",
    "convergence",
    "convergence_data",
    "kinds",
    "sparkline",
    "to_live",
    "to_script",
    "to_spec",
    "to_svg",
]
