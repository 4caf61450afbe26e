"""What every view shares: a widget where there are widgets, HTML and text of the same answer where not."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Change: TypeAlias = Mapping[str, Any]
    """What traitlets tells of a change: `name`, `old`, `new`, `owner`, `type`."""


class Face:
    """A widget `box` that shows `answer`, which is ``Readable``.

    The answer's HTML stays in the notebook for whoever opens it without the kernel.  Where nobody looks at widgets, as
    where a notebook is executed as a whole, and where ipywidgets are not known, as in marimo, it is all there is.
    """

    box: Any
    answer: Any

    def __repr__(self) -> str:
        return str(self.answer)

    def _repr_html_(self) -> str:
        return str(self.answer.html())

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        from skillfleet_nb.widgets.front_end import has_widgets
        from skillfleet_nb.widgets.twin import kept, show_with_twin

        if not hasattr(get_ipython(), "kernel"):  # a terminal
            print(repr(self))  # noqa: T201  what IPython does with any other answer
        elif has_widgets():
            show_with_twin(self.box, self._repr_html_, self.__repr__)
        else:
            display({"text/html": kept(self._repr_html_(), repr(self)), "text/plain": repr(self)}, raw=True)

    def _repr_mimebundle_(self, **options: object) -> Any:
        bundle = self.box._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "text/html": self._repr_html_(), "text/plain": repr(self)}, metadata


def page(html: str = "") -> Any:
    """Make a widget that shows HTML no wider than the page: what is wider scrolls within it."""
    import ipywidgets as w

    return w.HTML(f"<div style='contain:inline-size;line-height:1.4'>{html}</div>")


def checked_name(name: str) -> str:
    """Return the name of a variable; raise `InputError` if it is none."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name of a variable: use letters, digits and _.")
    return name


def put(name: str, value: object) -> None:
    """Put a value into a variable of the notebook, where there is one.

    Raises
    ------
    InputError
        If `name` is no name of a variable.
    """
    from IPython import get_ipython

    checked_name(name)
    shell = get_ipython()
    if shell is not None:
        shell.user_ns[name] = value
