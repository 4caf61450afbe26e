"""Charts: each a pure data function and a thin plot over it."""

from skillfleet_nb.charts.convergence import convergence, convergence_data, sparkline
from skillfleet_nb.charts.svg import to_svg

__all__ = ["convergence", "convergence_data", "sparkline", "to_svg"]
