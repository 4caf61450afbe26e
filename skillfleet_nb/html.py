"""Small pieces of HTML that read well on a light and on a dark page, with everything escaped.

A piece is a ``Markup``, which escapes whatever is put into it or beside it and is none: pieces come from Jinja2
macros, or from :func:`fill`, and no caller escapes by hand.  Colours are the page's own or half transparent, so both
themes work without a style sheet.  What no reader sees, such as a mark that turns the direction of writing, is
written visibly: in the pieces of this module, and in the texts of :class:`Readable`.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb import design
from skillfleet_nb.format import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import LiteralString

    from jinja2 import Environment
    from markupsafe import Markup

_WORDS, _ENDS_OF_WORDS, _LONG_NAME = re.compile(r"(\s+)"), re.compile(r"(?<=[_/,-])(?=\w)"), 24
_DRAWING: Final = re.compile(r"<svg\b([^>]*)>(.*?)</svg>", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r"""([\w:-]+)=(["'])(.*?)\2""", re.DOTALL)
SEVERITY: Final = {"error": "rgba(220,60,60,.25)", "warning": "rgba(220,160,40,.25)", "info": "rgba(80,140,220,.2)"}
NO_MATH: Final = "mathjax_ignore tex2jax_ignore"  # class: pages read what stands between two $ as a formula


@contextmanager
def drawing() -> Iterator[None]:
    """Have IPython show an interrupt in one line; it ends the cell, and those that wait, as any other does."""
    try:
        yield
    except KeyboardInterrupt as exc:
        line = "interrupted while the answer was drawn: run the cell again to see it"
        exc._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython asks for it
        raise


class Readable:
    """Shows itself as its ``html()`` on a page, and as its ``text()`` wherever a page's HTML is not shown."""

    def text(self) -> str:
        """Return what there is to read."""
        raise NotImplementedError

    def html(self) -> str | None:
        """Return what a page shows; None where it shows the text."""
        return None

    @drawing()
    def _repr_html_(self) -> str | None:
        made = self.html()
        return None if made is None else pictured(made)

    @drawing()
    def __str__(self) -> str:
        return visible(self.text())

    @drawing()
    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  IPython's protocol
        del cycle
        printer.text(visible(self.text()))


@cache  # compiled once in a process: templates are files of the package, and do not change
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("skillfleet_nb"), autoescape=True, undefined=StrictUndefined, finalize=_seen
    )
    made.globals.update(no_math=NO_MATH, design=design)
    made.filters["breakable"] = breakable
    return made


def _seen(value: Any) -> Any:
    """Make a text visible; a piece is so already."""
    return visible(value) if type(value) is str else value


def render(template: str, **values: object) -> Markup:
    """Fill a template of ``templates/``; whatever is no ``Markup`` is escaped, a name that is missing is an error."""
    from markupsafe import Markup

    return Markup(_templates().get_template(template).render(values))  # noqa: S704  escaped by the template


def fill(source: LiteralString, *values: object, **named: object) -> Markup:
    """Fill a piece of HTML, with the placeholders of ``str.format``; whatever is no ``Markup`` is escaped.

    Examples
    --------
    >>> fill("<b>{}</b>", "1 < 2"), fill("<i>{}</i>", fill("<b>{}</b>", "a"))
    (Markup('<b>1 &lt; 2</b>'), Markup('<i><b>a</b></i>'))
    """
    from markupsafe import Markup

    shown = {name: _seen(value) for name, value in named.items()}
    return Markup(source).format(*map(_seen, values), **shown)  # noqa: S704  a literal


def in_script(value: object) -> Markup:
    r"""Write plain values as JSON that cannot end the script they stand in.

    Examples
    --------
    >>> str(in_script({"title": "</script>"}))
    '{"title": "\\u003c/script>"}'
    """
    from markupsafe import Markup

    return Markup(json.dumps(value).replace("<", "\\u003c"))  # noqa: S704  text of a script, not of the page


def breakable(text: str) -> Markup:
    """Let a long name break where its words end, and nowhere else; it is copied as it is.

    Examples
    --------
    >>> str(breakable("a <b> the_intents_of_the_help_desk"))
    'a &lt;b&gt; the_<wbr>intents_<wbr>of_<wbr>the_<wbr>help_<wbr>desk'
    """
    from markupsafe import Markup

    if isinstance(text, Markup):
        return text
    pieces = [_ENDS_OF_WORDS.split(word) if len(word) > _LONG_NAME else [word] for word in _WORDS.split(visible(text))]
    return Markup("").join(Markup("<wbr>").join(parts) for parts in pieces)


def pictured(html: str) -> str:
    """Turn drawings into pictures, which read the same on a page that does not trust the notebook.

    JupyterLab and others drop the tags of an SVG there and leave the words of its axes behind.  A picture does not
    know its page: what had the page's ink gets one that is read on light and on dark.  The result is no ``Markup``:
    marimo takes no subclass of ``str``.

    Examples
    --------
    >>> pictured("<p>a curve: <svg aria-label='it rises'><text>0.5</text></svg></p>").partition("src=")[0]
    "<p>a curve: <img alt='it rises' "
    """
    return _DRAWING.sub(_picture, str(html))


def _picture(drawing: re.Match[str]) -> str:
    attributes = {name: value for name, _, value in _ATTRIBUTE.findall(drawing[1])}
    alone = {"xmlns": "http://www.w3.org/2000/svg", "color": design.INK, "font-family": "sans-serif", **attributes}
    svg = f"<svg{_written(alone)}>{drawing[2]}</svg>"
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    page = {"alt": attributes.get("aria-label", "chart"), "src": source}
    return f"<img{_written(page | {name: attributes[name] for name in ('width', 'style') if name in attributes})}>"


def _written(attributes: Mapping[str, str]) -> str:
    return "".join(" {}='{}'".format(name, value.replace("'", "&#39;")) for name, value in attributes.items())


def join(pieces: Iterable[str]) -> Markup:
    """Put pieces one after the other; whatever is no ``Markup`` is escaped."""
    from markupsafe import Markup

    return Markup("").join(map(_seen, pieces))


def _piece(name: str, *values: object) -> Markup:
    made: Markup = getattr(_templates().get_template("pieces.html").module, name)(*values)
    return made


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    numeric: Sequence[int] = (),
    colours: Mapping[str, str] | None = None,
) -> Markup:
    """Return a table.

    Parameters
    ----------
    header, rows
        Texts; an empty header leaves the head out and makes each row's first cell its header.
    title
        Shown above.
    numeric
        Columns aligned to the right.
    colours
        Background of the cells that hold exactly this text.

    Examples
    --------
    >>> "<b>" in table(["name"], [["<b>"]])
    False
    """
    return _piece("table", header, rows, title, numeric, colours or {})


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[int] = ()) -> str:
    r"""Return the same table as plain text, columns aligned.

    Examples
    --------
    >>> print(text_table(["name", "n"], [["a", "10"]], numeric=[1]))
    name   n
    a     10
    """
    lines = [list(map(visible, line)) for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            t.rjust(w) if column in numeric else t.ljust(w)
            for column, (t, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def progress_bar(text: str, share: float | None) -> Markup:
    """Return `text` under a bar that is `share` full, in [0, 1]; no bar where that is not known.

    Examples
    --------
    >>> "width:25%" in progress_bar("a quarter", 0.25)
    True
    """
    return _piece("progress_bar", text, None if share is None else f"{100 * share:.0f}")


def preformatted(text: str, *, title: str = "") -> Markup:
    """Return `text` as it is, in the page's monospaced font, under a title if there is one."""
    return _piece("preformatted", text, title)


def passage(text: str) -> Markup:
    """Return a long text, such as a prompt, as it is: wrapped, and set off from the page."""
    return _piece("passage", text)


def items(texts: Iterable[str], *, title: str, fold: bool = False) -> Markup:
    """Return a list of texts that opens and closes under its title; `fold` shows it closed."""
    return _piece("items", texts, title, fold)
