"""Where things lie on the server, which is nobody's business elsewhere: taken out of all that leaves it.

The server's folder, its home and its packages are named shortly in whatever is sent.  Of an error, a log and other
texts about what happened, any path of the machine keeps its last part alone; examples and prompts are somebody's
data, in which other paths stay as they are.
"""

from __future__ import annotations

import re
import sysconfig
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

_ABSOLUTE = re.compile(r"(?<![\w:/.…~<-])/[^\s/'\"`,;:()\[\]<>]+(?:/[^\s/'\"`,;:()\[\]<>]+)*")
_STRING = rb'"(?:[^"\\]|\\.)*"'
_ABOUT = re.compile(
    rb'(?<="error":)%(s)b|(?<="log":)%(s)b|(?<="detail":)%(s)b|(?<="stop_reason":)%(s)b|(?<="line":)%(s)b'
    rb'|(?<="warnings":)\[(?:%(s)b|,)*\]|(?<="summary":)\[(?:%(s)b|[\[\],])*\]' % {b"s": _STRING}
)  # texts about what happened, as they stand in JSON
_EACH = re.compile(_STRING)
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

    def json(self, body: bytes) -> bytes:
        r"""Take them out of an answer as it is sent.

        Examples
        --------
        >>> places = Places(Path("/srv/work"), Path("/srv/work/.skillfleet"))
        >>> places.json(b'{"error":"no \\n/usr/lib/x.so","html":"<b>/srv/work/a</b>","input":"cat /usr/lib/x.so"}')
        b'{"error":"no \\n\xe2\x80\xa6/x.so","html":"<b>./a</b>","input":"cat /usr/lib/x.so"}'
        """
        if b"/" not in body:
            return body
        body = self._json.sub(lambda match: self._in_json[match[0]], body)
        return _ABOUT.sub(lambda about: _EACH.sub(self._about, about[0]), body)

    def _about(self, match: re.Match[bytes]) -> bytes:
        return orjson.dumps(self.text(orjson.loads(match[0]))) if b"/" in match[0] else match[0]


def _shortened(match: re.Match[str]) -> str:
    first, _, rest = match[0][1:].partition("/")
    is_place = Path(f"/{first}").exists()  # an address of the server is none
    return f"…/{(rest or first).rpartition('/')[2]}" if is_place else match[0]


def _longest_first(paths: Iterable[str]) -> str:
    return "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
