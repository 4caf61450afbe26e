"""How values read: scores, money, times, counts and long texts, the same on every surface.

Scores are kept in [0, 1] and told in points, from 0 to 100.  What is missing (None, NaN, NaT, pandas' NA)
reads as one says it should, by default as nothing.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.blobs import referred

if TYPE_CHECKING:
    from collections.abc import Sized

_MINUTE, _HOUR = 60, 3600

# What no reader sees and what acts on a terminal or a page: control characters (line ends and tabs aside), marks that
# turn the direction of writing, separators that break a line, and what neither XML nor UTF-8 can hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_PICTURES, _DELETE = 0x2400, 0x7F  # where Unicode has its pictures of control characters


def is_missing(value: object) -> bool:
    """Tell whether a value is None, NaN, NaT or pandas' NA.

    Examples
    --------
    >>> [is_missing(v) for v in (None, float("nan"), 0, "", [])]
    [True, True, False, False, False]
    """
    try:
        return value is None or bool(value != value)  # noqa: PLR0124  NaN and NaT are not equal to themselves
    except (ArithmeticError, TypeError, ValueError):  # pandas' NA has no truth value, nor has an array
        return type(value).__name__ == "NAType"


def points(score: Any, missing: str = "", *, digits: int = 1) -> str:
    """Write a score in [0, 1] in points.

    Examples
    --------
    >>> points(0.8125), points(0.8125, digits=0), points(None, missing="not scored")
    ('81.2', '81', 'not scored')
    """
    return missing if is_missing(score) else f"{100 * score:.{digits}f}"


def points_change(delta: Any, missing: str = "") -> str:
    """Write a difference of scores in points, with its sign.

    Examples
    --------
    >>> points_change(0.05), points_change(-0.125)
    ('+5.0', '-12.5')
    """
    return missing if is_missing(delta) else f"{100 * delta:+.1f}"


def percent(share: Any, missing: str = "") -> str:
    """Write a share in [0, 1] as a whole percentage.

    Examples
    --------
    >>> percent(0.954)
    '95%'
    """
    return missing if is_missing(share) else f"{100 * share:.0f}%"


def whole(number: Any, missing: str = "") -> str:
    """Write a whole number.

    Examples
    --------
    >>> whole(1200.0)
    '1,200'
    """
    return missing if is_missing(number) else f"{int(number):,}"


def money(usd: float | None) -> str:
    """Write an amount in USD; an unknown one is said to be so.

    Examples
    --------
    >>> money(None), money(0.0), money(0.01234), money(12.3)
    ('cost unknown', '$0.00', '$0.0123', '$12.30')
    """
    if usd is None or is_missing(usd):
        return "cost unknown"
    return f"${usd:.2f}" if usd == 0 or usd >= 1 else f"${usd:.4f}"


def duration(seconds: float) -> str:
    """Write a time span.

    Examples
    --------
    >>> duration(7.2), duration(200), duration(7260)
    ('7 s', '3 min 20 s', '2 h 1 min')
    """
    seconds = round(seconds)  # first, or 59.6 s would read as 60 s
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"


def ago(then: Any) -> str:
    """Say how long ago a moment was; one without a zone is UTC.

    Examples
    --------
    >>> ago(datetime.now(UTC))
    '0 s ago'
    """
    if is_missing(then):
        return ""
    moment = then if then.tzinfo else then.replace(tzinfo=UTC)
    return f"{duration((datetime.now(UTC) - moment).total_seconds())} ago"


def counted(n: int | Sized, noun: str) -> str:
    """Count something in words.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row"), counted(["a"], "row")
    ('1 row', '1,200 rows', '1 row')
    """
    number = n if isinstance(n, int) else len(n)
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shortened(text: str, most: int) -> str:
    """Cut a text to at most so many characters, the last of them an ellipsis.

    Examples
    --------
    >>> shortened("a long text", 6)
    'a lon…'
    """
    return text if len(text) <= most or len(text := referred(text)) <= most else text[: most - 1] + "…"


def one_line(text: str, most: int = 70) -> str:
    r"""Put a text into one line of at most so many characters.

    Examples
    --------
    >>> one_line("first\n  second", 40)
    'first second'
    """
    return shortened(" ".join(text.split()), most)


def visible(text: str) -> str:
    r"""Write what cannot be seen, or would act on a terminal or a page, as something that can be seen.

    Whatever comes from data, names and models' answers passes here before it is shown, drawn or exported; the result
    holds only characters that XML 1.0 allows, and a reference in the place of an image, of audio or a file.

    Examples
    --------
    >>> visible("a\tb\r\nc"), visible("\x1b[31mred"), visible("user\u202egpj.exe")
    ('a\tb\nc', '␛[31mred', 'user\\u202egpj.exe')
    """
    text = referred(text)
    if _UNSEEN.search(text) is None:
        return text
    return _UNSEEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < ord(" "):
        return chr(_PICTURES + code)
    return "\N{SYMBOL FOR DELETE}" if code == _DELETE else f"\\u{code:04x}"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Put a person's home folder in place of ``~``; that of a user who is not known stays as it is.

    Examples
    --------
    >>> expanded("data/a.csv").as_posix(), expanded("~").is_absolute()
    ('data/a.csv', True)
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib raises where there is no such user


def seen_from_here(folder: str | Path) -> str:
    """Name a folder as a person in the working folder would.

    Examples
    --------
    >>> seen_from_here(Path.cwd() / "skills"), seen_from_here("/opt/skills")
    ('skills', '/opt/skills')
    """
    place, here = Path(folder), Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)
