"""Errors a user can meet, each one line long: what was given, what is allowed, what to do next.

Every error of the package derives from :class:`SkillfleetError`; each leaf also derives from the
builtin a Python programmer would catch for it.  Surfaces turn a `SkillfleetError` into one line
(``UsageError`` of a command, exit status 2 in a shell), and so does IPython where a cell's own Python raises one;
anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING

from skillfleet_nb.format import visible

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = [
    "ChartError",
    "HomeError",
    "InputError",
    "JobError",
    "LMError",
    "MissingExtraError",
    "NotFoundError",
    "NotRemoteError",
    "PluginError",
    "QueryError",
    "ServerError",
    "SkillfleetError",
    "TamperedError",
    "UnwritableError",
    "unknown",
]


class SkillfleetError(Exception):
    """Root of every error the package raises on purpose; whatever it quotes can be seen.

    In IPython and notebooks it is shown as one line; ``%tb`` shows its traceback, and so does ``%xmode Verbose`` of
    all that come later.
    """

    shows_trace = False

    def __str__(self) -> str:
        return visible(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows of it."""
        report = sys.modules["IPython"].get_ipython().InteractiveTB  # which asks for this, and is not imported here
        is_asked_for = sys.exc_info()[1] is not self  # by %tb: it is handled no more
        if self.shows_trace or is_asked_for or report.mode == "Verbose":
            lines: list[str] = report.structured_traceback(type(self), self, self.__traceback__)
            return lines
        return [f"{type(self).__name__}: {self} ({self._place}%tb shows the trace)"]

    @property
    def _place(self) -> str:
        """Say in which line of the cell it was raised."""
        step = self.__traceback__
        while step is not None:
            frame = step.tb_frame
            if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
                return f"line {step.tb_lineno}; "
            step = step.tb_next
        return ""


class InputError(SkillfleetError, ValueError):
    """Something the user gave cannot be used: a value, an option, a data set, a metric."""


class NotFoundError(SkillfleetError, LookupError):
    """A name that does not exist: a job, an optimizer, a column, a variable."""


class HomeError(SkillfleetError, OSError):
    """The home cannot be used: unwritable, full, without working locks, made by a newer version."""


class UnwritableError(HomeError):
    """The home, or another place, cannot be written; it can perhaps be read."""


class MissingExtraError(SkillfleetError, ImportError):
    """An optional package is needed; the message carries the install line."""


class QueryError(SkillfleetError, ValueError):
    """A query that is not valid, or that would do more than read."""


class LMError(SkillfleetError, RuntimeError):
    """The language model is missing, unpriced where a price is needed, or does not answer."""


class PluginError(SkillfleetError, RuntimeError):
    """A plugin does not do what it has to."""


class JobError(SkillfleetError, RuntimeError):
    """A job cannot do what was asked in the state it is in."""


class ChartError(SkillfleetError, RuntimeError):
    """A chart cannot be drawn: what it shows is no picture, or the process that draws died of it."""


class TamperedError(SkillfleetError, RuntimeError):
    """A record is not as it was written: somebody altered, added or removed something."""


class ServerError(SkillfleetError, ConnectionError):
    """A server that cannot be reached, or refuses: its address, its token, its limits."""


class NotRemoteError(SkillfleetError, AttributeError):
    """Something of a fleet that no server offers."""


def unknown(what: str, value: object, allowed: Iterable[str], *, hint: str = "") -> NotFoundError:
    """Build the error for a name that is not among `allowed`, with the nearest one suggested.

    Parameters
    ----------
    what
        What the name stands for, as a singular noun: ``"optimizer"``.
    given
        The name as the user wrote it.
    allowed
        Every name that would have been accepted.
    hint
        The next step, appended as it is.

    Returns
    -------
    NotFoundError
        Ready to raise.

    Examples
    --------
    >>> str(unknown("optimizer", "gepaa", ["gepa", "copro"]))
    "unknown optimizer 'gepaa': did you mean 'gepa'? Allowed: copro, gepa."
    """
    names = sorted(allowed)
    near = get_close_matches(str(value), names, n=1, cutoff=0.5)
    meant = f": did you mean {near[0]!r}?" if near else "."
    listed = ", ".join(names[:40]) if names else "none yet"
    more = f", … ({len(names)} in all)" if len(names) > 40 else ""  # noqa: PLR2004  a screenful
    return NotFoundError(f"unknown {what} {value!r}{meant} Allowed: {listed}{more}.{' ' + hint if hint else ''}")
