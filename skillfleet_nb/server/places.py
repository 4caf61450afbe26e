"""Where things lie on the server, which is nobody's business elsewhere: taken out of all that leaves it.

The server's folder, its home and its packages are named shortly in whatever is sent.  Of an error, a log and other
texts about what happened, any path of the machine keeps its last part alone, and so does the same path wherever else
in that answer it stands, such as in a page; examples and prompts are somebody's data, in which other paths stay as
they are.
"""

from __future__ import annotations

import re
import sysconfig
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ABSOLUTE = re.compile(r"(?<![\w:/.…~<-])/[^\s/'\"`,;:()\[\]<>]+(?:/[^\s/'\"`,;:()\[\]<>]+)*")
_LETTER = rb"(?:[^\s/'\"`,;:()\[\]<>&\\]|&amp;|&(?!(?:#\w+|quot|[lg]t);)|\\\\)"
_IN_JSON = re.compile(rb"(?:(?<![\w:/.~<-])|(?<=\\[nrt]))(?:/%(l)b+)+(?<!\.)" % {b"l": _LETTER})
_STRING = rb'"(?:[^"\\]|\\.)*"'
_WORDS = (
    "error", "log", "detail", "stop_reason", "line", "phase", "told", "feedback", "summary", "warnings", "notes",
    "failures",
)  # fmt: skip
_VALUE = rb"(?:%(s)b|\[(?:%(s)b|[\[\],\d])*\])" % {b"s": _STRING}
_ABOUT = re.compile(
    rb'"(?:(?:%(w)b)":(%(v)b)|payload":{"text":(%(s)b))'
    % {b"w": "|".join(_WORDS).encode(), b"v": _VALUE, b"s": _STRING}
)  # texts about what happened, as they stand in JSON; the last are of an event
_PAYLOAD = re.compile(rb'(?<="payload":)%b' % _STRING)  # of an event in an answer to SQL: JSON in JSON
_EACH = re.compile(_STRING)
_FEEDBACK = 2  # place in what an event tells of an example's score
_MAYBE = re.compile(rb"(?<![\w:/.~<-])/\w")
_LEAST_PARTS = 3  # of a path that is looked for in data: a shorter one, such as /usr, is found there by chance


class Places:
    """Takes places out of what is sent.

    Parameters
    ----------
    root
        The server's folder.
    home
        Of the jobs; None where it was not looked for yet.
    """

    def __init__(self, root: Path, home: Path | None = None) -> None:
        of_packages = (Path(__file__).parents[2], *map(Path, sysconfig.get_paths().values()))
        names = {str(path): "…" for path in of_packages if len(path.parts) >= _LEAST_PARTS}
        names |= {str(path): "." for path in (root, root.resolve()) if path != Path(path.anchor)}
        names |= {} if home is None else {str(path): ".skillfleet" for path in (home, home.resolve())}
        self._in_text = names
        self._in_json = {
            orjson.dumps(how(path))[1:-1]: name.encode() for path, name in names.items() for how in (str, escape)
        }
        self._text = re.compile(rf"(?<![\w.~-])(?:{_longest_first(names)})(?![\w.-])")
        paths = _longest_first(path.decode() for path in self._in_json).encode()
        self._json = re.compile(rb"(?:(?<![\w.~-])|(?<=\\[nrt]))(?:%b)(?![\w.-])" % paths)

    def text(self, text: str) -> str:
        """Take them out of a text about what happened.

        Examples
        --------
        >>> places = Places(Path("/srv/work"), Path("/srv/work/.skillfleet"))
        >>> places.text("cannot read '/srv/work/rows.csv' or /usr/lib/x.so")
        "cannot read './rows.csv' or …/x.so"
        """
        return _ABSOLUTE.sub(_shortened, self._text.sub(lambda match: self._in_text[match[0]], text))

    def json(self, body: bytes, about: Callable[[], Iterable[str]] = tuple) -> bytes:
        r"""Take them out of an answer as it is sent.

        Parameters
        ----------
        body
            The answer.
        about
            Returns further texts about what happened, where the answer is made of some; asked for only where the
            answer names a path at all.

        Examples
        --------
        >>> places = Places(Path("/srv/work"), Path("/srv/work/.skillfleet"))
        >>> places.json(b'{"error":"no \\n/usr/lib/x.so","html":"<b>/srv/work/a</b>","input":"cat /usr/lib/y.so"}')
        b'{"error":"no \\n\xe2\x80\xa6/x.so","html":"<b>./a</b>","input":"cat /usr/lib/y.so"}'
        """
        if b"/" not in body:
            return body
        body = self._json.sub(lambda match: self._in_json[match[0]], body)
        if _MAYBE.search(body) is None:
            return body
        texts = [*_happened(body), *about()]
        paths = {match[0].rstrip(".") for text in texts for match in _ABSOLUTE.finditer(text)}
        tops = {top for top in {path.split("/", 2)[1] for path in paths} if Path(f"/{top}").exists()}
        named = [path for path in paths if path.split("/", 2)[1] in tops]  # an address of the server is none
        short = {orjson.dumps(how(path))[1:-1]: how(_short(path)).encode() for path in named for how in (str, escape)}
        return body if not short else _IN_JSON.sub(lambda match: short.get(match[0], match[0]), body)


def _happened(body: bytes) -> Iterator[str]:
    """Yield the texts about what happened in an answer, and in the events that one to SQL holds as JSON in JSON."""
    for match in _ABOUT.finditer(body):
        yield from map(orjson.loads, _EACH.findall(match[1] or match[2]))
    for match in _PAYLOAD.finditer(body):
        with suppress(orjson.JSONDecodeError):
            inner = orjson.loads(orjson.loads(match[0]))
            if isinstance(inner, dict):
                yield from _happened(b'{"payload":%b}' % orjson.dumps({k: inner[k] for k in inner if k != "scores"}))
                scores = inner.get("scores")
                yield from (
                    str(one[_FEEDBACK]) for one in scores or () if isinstance(one, list) and len(one) > _FEEDBACK
                )


def _shortened(match: re.Match[str]) -> str:
    is_place = Path("/" + match[0].split("/", 2)[1]).exists()
    return _short(match[0]) if is_place else match[0]


def _short(path: str) -> str:
    return f"…/{path.rpartition('/')[2]}"


def _longest_first(paths: Iterable[str]) -> str:
    return "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
