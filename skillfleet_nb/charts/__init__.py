"""Charts: each a pure data function, frame in and frame out, and a thin plot over it.

``Fleet.charts`` fetches the facts and joins the two; a frame from anywhere else may be drawn as well.
"""

from skillfleet_nb.charts.accessor import KINDS, Charts
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.convergence import convergence, convergence_data, sparkline
from skillfleet_nb.charts.drawing import to_spec, to_svg

__all__ = ["KINDS", "Chart", "Charts", "convergence", "convergence_data", "sparkline", "to_spec", "to_svg"]
