"""What every view shares: a widget where there are widgets, HTML and text of the same answer where not."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from skillfleet_nb.design import LEADING, TEXT
from skillfleet_nb.errors import InputError
from skillfleet_nb.html import drawing, pictured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Change: TypeAlias = Mapping[str, Any]
    """What traitlets tells of a change: `name`, `old`, `new`, `owner`, `type`."""

T = TypeVar("T")


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
        return pictured(self.answer.html())

    @drawing()
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

    @drawing()
    def _repr_mimebundle_(self, **options: object) -> Any:
        bundle = self.box._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "text/html": self._repr_html_(), "text/plain": repr(self)}, metadata


def framed(html: str = "") -> str:
    """Return HTML for a widget that is no wider than the page, what is wider scrolls within it, in lines of text.

    A widget's own lines are as high as its buttons.
    """
    return f"<div style='contain:inline-size;font-size:{TEXT}px;line-height:{LEADING}'>{html}</div>"


def page(html: str = "") -> Any:
    """Make a widget that shows HTML as :func:`framed` does."""
    import ipywidgets as w

    return w.HTML(framed(html))


def checked_name(name: str) -> str:
    """Return the name of a variable; raise `InputError` if it is none."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name of a variable: use letters, digits and _.")
    return name


class TakenError(InputError):
    """A variable or a file has something already, and nobody said that it may be replaced."""


def put(name: str, value: object, *, replace: bool = False) -> None:
    """Put a value into a variable of the notebook, where there is one.

    Raises
    ------
    InputError
        If `name` is no name of a variable.
    TakenError
        If it has a value already, and `replace` does not say to replace it.
    """
    from IPython import get_ipython

    checked_name(name)
    shell = get_ipython()
    if shell is None:
        return
    if not replace and shell.user_ns.get(name, value) is not value:
        raise TakenError(f"{name} has a value already")
    shell.user_ns[name] = value


def free(path: str | Path, *, replace: bool = False) -> Path:
    """Return a path that may be written to; raise `TakenError` if a file is there and `replace` does not allow it."""
    file = Path(path)
    if file.exists() and not replace:
        raise TakenError(f"{file} is there already")
    return file


class Twice:
    """Does what would replace something once it is asked for a second time in a row.

    Attributes
    ----------
    unsure
        What was asked for once, and waits; empty where nothing does.
    """

    def __init__(self) -> None:
        self.unsure = ""

    def __call__(self, what: str, do: Callable[[bool], T]) -> T:
        """Call `do` with whether it may replace what is there; raise the `TakenError` it raises, saying what to do."""
        replace, self.unsure = self.unsure == what, ""
        try:
            return do(replace)
        except TakenError as exc:
            self.unsure = what
            raise TakenError(f"{exc}: press the button again to replace it") from exc
