"""A chart that shows itself the same way everywhere, without a network."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.drawing import to_html, to_live, to_pdf, to_png, to_spec, to_svg
from skillfleet_nb.errors import ChartError, InputError
from skillfleet_nb.format import is_missing, visible
from skillfleet_nb.html import Readable, drawing, text_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from markupsafe import Markup

_ROWS = 20
_MIME = "application/vnd.vegalite.v5+json"
_OPTIONS = {"renderer": "svg", "actions": False}  # its menu has no name that a screen reader could say
SUFFIXES = (".svg", ".png", ".pdf", ".html", ".json")


@dataclass(frozen=True, eq=False, repr=False)
class Chart(Readable):
    """A chart: interactive in JupyterLab, a picture elsewhere, a table in a terminal.

    Attributes
    ----------
    title
        What it shows.
    data
        The rows that are drawn.
    altair
        The Altair chart, to change or to combine.

    Examples
    --------
    >>> import pandas as pd
    >>> from skillfleet_nb.charts import convergence, convergence_data
    >>> row = {"trial": 0, "split": "val", "full_eval": True, "score": 0.5}
    >>> data = convergence_data(pd.DataFrame([row]))
    >>> Chart("Learning curve", data, convergence(data)).svg.startswith("<svg")
    True
    """

    title: str
    data: pd.DataFrame
    altair: Any

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite 5 specification, data included."""
        return to_spec(self.altair)

    @cached_property
    def svg(self) -> Markup:
        """The picture as SVG, readable on light and dark pages."""
        return to_svg(self.spec)

    def save(self, path: str | Path) -> Path:
        """Write the chart to a file.

        Parameters
        ----------
        path
            Ends in .svg, .png, .pdf, .html (interactive, without a network) or .json (Vega-Lite).

        Raises
        ------
        InputError
            If it ends otherwise, or cannot be written.
        ChartError
            If it cannot be drawn.
        """
        import json

        target = picture_file(path)
        writers: dict[str, Callable[[], bytes]] = {
            ".svg": self.svg.encode,
            ".png": lambda: to_png(self.svg),
            ".pdf": lambda: to_pdf(self.svg),
            ".html": lambda: to_html(self.spec).encode(),
            ".json": lambda: json.dumps(self.spec, indent=1).encode(),
        }
        write = writers[target.suffix.lower()]
        try:
            target.write_bytes(write())
        except OSError as exc:
            raise InputError(f"cannot write {str(target)!r}: {exc.strerror}; give a folder that exists") from exc
        return target

    def text(self) -> str:
        """Return the title and the first rows as a table."""
        shown = self.data.head(_ROWS)
        numeric = [column for column, kind in enumerate(shown.dtypes) if getattr(kind, "kind", "O") in "iuf"]
        rows = [[_cell(v) for v in row] for row in shown.itertuples(index=False)]
        more = f"\n{len(self.data):,} rows, {_ROWS} shown" if len(self.data) > _ROWS else ""
        table = f"\n{text_table([str(c) for c in shown.columns], rows, numeric=numeric)}" if rows else ""
        missing = "" if rows else f"\n{self.spec['description']}"
        return f"{self.title}{table}{more}{missing}"

    def __repr__(self) -> str:
        return f"<Chart {self.title}>"

    @drawing()
    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        # No text/html: JupyterLab would prefer it.  The PDF spares nbconvert a search for Inkscape.
        del include, exclude
        bundle = {_MIME: to_live(self.spec), "text/plain": visible(self.text())}
        try:
            pictures = {"image/svg+xml": self.svg, "application/pdf": base64.b64encode(to_pdf(self.svg)).decode()}
        except ChartError as exc:  # the page may still draw it, and there is the table
            pictures = {"text/plain": f"{bundle['text/plain']}\n{exc}"}
        return {**bundle, **pictures}, {_MIME: {"embed_options": _OPTIONS}}


def picture_file(path: str | Path) -> Path:
    """Return the file that a chart can be saved to.

    Raises
    ------
    InputError
        If it ends in nothing that charts can be written as.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"{target.name!r} is no kind of picture: end it in {', '.join(SUFFIXES)}")
    return target


def _cell(value: object) -> str:
    if is_missing(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
