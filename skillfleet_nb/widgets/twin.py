"""What a saved notebook shows of a view: HTML that is kept below it, and hidden as long as the view lives.

A front end that finds a widget's model in no kernel shows an error in its place, and nothing else of the same output.
So a view is two outputs: the widget, and its HTML as one of its own.  While the widget lives it hides that HTML;
where no kernel answers, after a night or at a colleague's, on GitHub or in an export, the HTML is what there is.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as w
import traitlets as t

from skillfleet_nb.design import script
from skillfleet_nb.html import fill, pictured

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

_STATIC = Path(__file__).parent / "static"
_MOST = 250_000  # bytes of HTML that a notebook keeps of a view
_MOST_TEXT = 40_000  # characters kept in its place, which escaping makes longer


class Veil(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """Hides the twin of a view for as long as it is on the page itself."""

    _esm = script(_STATIC / "veil.js")
    twin = t.Unicode().tag(sync=True)


def show_with_twin(view: Any, html: Callable[[], str], text: Callable[[], str]) -> None:
    """Display a widget, and then the HTML that takes its place wherever the widget does not live."""
    from IPython.display import display

    twin = secrets.token_hex(4)
    live, metadata = _bundle(w.VBox([view, Veil(twin=twin)]))
    display({**live, "text/plain": "", "text/html": ""}, metadata=metadata, raw=True)
    plain = text()
    display({"text/html": kept(html(), plain, twin), "text/plain": plain}, raw=True)


def kept(html: str, text: str, twin: str = "") -> Markup:
    """Return what a notebook keeps of a view: its HTML, or its text where that would make the notebook large."""
    from markupsafe import Markup

    whole = Markup(pictured(html))  # noqa: S704  escaped where it was made
    if len(whole.encode("utf-8", "replace")) > _MOST:
        whole = fill(
            "<pre style='white-space:pre-wrap'>{}</pre><div>run the cell for all of it</div>", text[:_MOST_TEXT]
        )
    return fill(
        # Where the page has no model for the widget above, its output is a text and nothing else.
        "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .sf-kept)>.jupyter-widgets:not(:has(*))"
        "{{display:none}}</style><div class='sf-kept sf-kept-{}'>{}</div>",
        twin,
        whole,
    )


def _bundle(widget: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    made = widget._repr_mimebundle_()
    return made if isinstance(made, tuple) else (made, {})
