"""Readability: Flesch-Kincaid grade and Gunning fog of a text's prose, mapped to [0, 1].

Formulas: Kincaid, Fishburne, Rogers and Chissom (1975), *Derivation of new readability formulas*, and
Gunning (1952), *The technique of clear writing*.  Syllables come from the hyphenation dictionaries that
`pyphen` carries, so nothing is downloaded.  Markdown is taken off first: code, tables, links' targets and
inline code are not prose, and a list item is a sentence of its own.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from skillfleet_nb.skills.scoring.page import Page

if TYPE_CHECKING:
    from skillfleet_nb.skills.document import Document

GRADES: Final[dict[str, tuple[float, float]]] = {"flesch_kincaid": (12.0, 22.0), "gunning_fog": (15.0, 25.0)}
"""School grade up to which a text counts 1, and from which it counts 0; linear between.

The grades at which technical documentation stays comfortable: ordinary manuals score 8 to 14.
"""

_LINK = re.compile(r"!?\[([^\[\]]{0,1000})\]\([^()\s]{0,2000}\)")
_NOT_PROSE = re.compile(r"`[^`\n]{0,400}`|https?://\S+|[*_#>|]+")
_ITEM = re.compile(r"^(?:[-+•]|\d{1,3}[.)])\s+")
_SENTENCE_END = re.compile(r"[.!?:;]+(?=\s|$)")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_COMPLEX_SYLLABLES = 3
_FEW_WORDS = 2  # a sentence of one or two words is a label


class Readability(NamedTuple):
    """Grades of a text and their place in [0, 1]; `score` is the mean of the two places."""

    score: float
    flesch_kincaid: float
    gunning_fog: float
    words: int
    sentences: int


def readability_score(text: Document | Page | str) -> Readability:
    """Measure how easily the prose of a skill, or of a Markdown text, reads.

    Parameters
    ----------
    text
        A skill, or Markdown (of a ``SKILL.md``, front matter is left out).

    Returns
    -------
    Readability
        `score` in [0, 1], higher is easier; 0 with grades 0 where there is no prose at all.

    Examples
    --------
    >>> readability_score("Open the file. Read each line. Count the words.").score
    1.0
    """
    page = text if isinstance(text, Page) else Page.of(text)
    words = sentences = syllables = hard = 0
    for sentence in _sentences(page):
        counts = [_syllables(word.lower()) for word in _WORD.findall(sentence)]
        if len(counts) <= _FEW_WORDS:
            continue
        sentences += 1
        words += len(counts)
        syllables += sum(counts)
        hard += sum(count >= _COMPLEX_SYLLABLES for count in counts)
    if not words:
        return Readability(0.0, 0.0, 0.0, 0, 0)
    kincaid = 0.39 * words / sentences + 11.8 * syllables / words - 15.59
    fog = 0.4 * (words / sentences + 100 * hard / words)
    score = (_place(kincaid, "flesch_kincaid") + _place(fog, "gunning_fog")) / 2
    return Readability(score, round(kincaid, 2), round(fog, 2), words, sentences)


def _sentences(page: Page) -> list[str]:
    """Cut prose into sentences: lines of one paragraph belong together, items and tables do not."""
    parts: list[str] = []
    paragraph: list[str] = []
    titles = {heading.line for heading in page.outline.headings}
    for number, raw in enumerate(page.outline.prose.split("\n"), 1):
        line = raw.strip()
        if not line or number in titles or line.startswith("|") or _ITEM.match(line):
            parts.append(" ".join(paragraph))
            paragraph = []
        if line and number not in titles and not line.startswith("|"):
            paragraph.append(_ITEM.sub("", line))
    parts.append(" ".join(paragraph))
    return [s for part in parts if part for s in _SENTENCE_END.split(_NOT_PROSE.sub(" ", _LINK.sub(r"\1", part)))]


def _place(grade: float, formula: str) -> float:
    easy, hard = GRADES[formula]
    return min(1.0, max(0.0, (hard - grade) / (hard - easy)))


@lru_cache(maxsize=50_000)
def _syllables(word: str) -> int:
    return len(_dictionary().positions(word)) + 1


@cache
def _dictionary() -> Any:
    from pyphen import Pyphen

    return Pyphen(lang="en_US")
