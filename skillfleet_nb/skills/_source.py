"""Bytes of a ``SKILL.md`` to text and back without losing one: encoding, mark, line ends, fences.

Where the front matter ends is decided line-wise, as every front matter reader does.  `skills-ref`
cuts at the first ``---`` anywhere, so a document whose fences are not lines of their own is cut
its way, and `reference_cut` tells where the two disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

_BOM = b"\xef\xbb\xbf"
_OPEN = re.compile(r"---[ \t]*(?:\r\n|\r|\n)")
_CLOSE = re.compile(r"(?:(?<=\n)|(?<=\r))---[ \t]*(?:\r\n|\r|\n|\Z)")
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Source:
    """The exact document: ``mark + text.encode(encoding)`` are its bytes.

    Parameters
    ----------
    text
        Everything after a byte-order mark, line ends as written.
    encoding
        ``utf-8``, or the single-byte encoding the bytes were read with because they are not UTF-8.
    mark
        A leading UTF-8 byte-order mark, or nothing.
    """

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    @classmethod
    def decode(cls, raw: bytes) -> Source:
        """Read bytes; anything is accepted, and :meth:`encode` gives the same bytes back."""
        mark = _BOM if raw.startswith(_BOM) else b""
        rest = raw[len(mark) :]
        for encoding in ("utf-8", "cp1252"):
            try:
                return cls(rest.decode(encoding), encoding, mark)
            except UnicodeDecodeError:
                continue
        return cls(rest.decode("latin-1"), "latin-1", mark)

    def encode(self) -> bytes:
        """Return the bytes of the document."""
        return self.mark + self.text.encode(self.encoding)

    def replaced(self, text: str) -> Source:
        """Return the document with other text, encoding and mark kept."""
        return replace(self, text=text)

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes are UTF-8, which Agent Skills require."""
        return self.encoding == "utf-8"

    @property
    def is_text(self) -> bool:
        """Whether it is UTF-8 or Windows-1252, not bytes of another encoding that were taken for either, as UTF-16."""
        return self.encoding != "latin-1" and "\0" not in self.text

    @cached_property
    def newline(self) -> str:
        r"""Line end of the first line, ``"\n"`` where there is none."""
        match = _LINE_END.search(self.text)
        return match.group() if match else "\n"

    @cached_property
    def span(self) -> tuple[int, int, int] | None:
        """Offsets in `text`: front matter start and end, body start.  None without front matter."""
        opening = _OPEN.match(self.text)
        if opening and (closing := _CLOSE.search(self.text, opening.end())):
            return opening.end(), closing.start(), closing.end()
        return self.reference_cut

    @cached_property
    def reference_cut(self) -> tuple[int, int, int] | None:
        """The same offsets as `skills-ref` cuts, None where it finds no front matter."""
        if not self.text.startswith("---"):
            return None
        end = self.text.find("---", 3)
        return None if end < 0 else (3, end, end + 3)

    @property
    def front_matter(self) -> str:
        """Text between the fences, ``""`` without front matter."""
        return self.text[self.span[0] : self.span[1]] if self.span else ""

    @property
    def body(self) -> str:
        """Text after the front matter, line ends as written."""
        return self.text[self.span[2] :] if self.span else self.text

    def line_at(self, offset: int) -> int:
        """Return the number, from 1, of the line that holds `offset`."""
        return 1 + len(_LINE_END.findall(self.text, 0, offset))


def normalised(text: str) -> str:
    r"""Return `text` with every line end as ``"\n"``, which is how `skills-ref` reads a file."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
