"""Forms: a phrase that texts of one kind have in common, with what stands before and behind it filled in.

A form is shown by demos, most of which hold the phrase (``… Use when …``), or is quoted with an ellipsis where an
instruction speaks of the field.  What is filled in comes from the sources alone.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from skillfleet_nb.offline.text import name_words, sentences, stem, words

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN: Final = re.compile(r"[^\W_]+")
_QUOTED: Final = re.compile(r"""["'“]([^"'“”\n]{2,40}?)\s*(?:…|\.\.\.)["'”]""")
_HELD: Final = 0.8  # of the demos, that hold a phrase
_FEWEST: Final = 4  # demos by which a phrase is no chance
_LONGEST: Final = 6  # words of a phrase
_SHORTEST: Final = 2
_BETWEEN: Final = r"\W+(?:\w+\W+){0,3}?"  # words that a source may have within the phrase: "use this skill when"
_END: Final = " .!?;:,"


def common_phrase(values: Sequence[str]) -> str:
    """Return the longest phrase that stands within most values, with the marks around it; empty where there is none.

    Examples
    --------
    >>> common_phrase([f"Fix {x}. Use when {x} breaks." for x in ("locks", "doors", "bikes", "cars")])
    '. Use when '
    """
    if len(values) < _FEWEST:
        return ""
    counts = Counter(phrase for value in values for phrase in _phrases(value))
    shared = [phrase for phrase, n in counts.items() if n >= _HELD * len(values)]
    return max(shared, key=lambda phrase: (len(_TOKEN.findall(phrase)), counts[phrase], phrase), default="")


def _phrases(value: str) -> set[str]:
    """Return the phrases of a text that neither begin nor end it, with the marks around them."""
    spans = [match.span() for match in _TOKEN.finditer(value)]
    return {
        value[spans[i - 1][1] : spans[i + n][0]]
        for n in range(_SHORTEST, _LONGEST + 1)
        for i in range(1, len(spans) - n)
    }


def quoted_form(name: str, text: str) -> str:
    """Return the phrase of a form that a text quotes where it speaks of a field; empty where it quotes none.

    Examples
    --------
    >>> quoted_form("description", 'End the description with its trigger: "Use when …" and the situation.')
    '. Use when '
    """
    asked = set(map(stem, words(name_words(name))))
    for sentence in sentences(text):
        quoted = _QUOTED.search(sentence)
        if quoted is not None and asked <= set(map(stem, words(sentence[: quoted.start()]))):
            return f". {quoted[1].strip()} "
    return ""


def parted(text: str, phrase: str) -> tuple[str, str] | None:
    """Part a text at a phrase that it has itself, other words within it allowed; None where it has it not.

    Examples
    --------
    >>> parted("Bake bread. Use this skill when hungry. Then eat.", ". Use when ")
    ('Bake bread', 'hungry')
    """
    match = re.search(_BETWEEN.join(map(re.escape, _TOKEN.findall(phrase))) + r"\b", text, re.IGNORECASE)
    if match is None:
        return None
    before, behind = sentences(text[: match.start()].strip()), sentences(text[match.end() :].strip())
    return (" ".join(before).rstrip(_END), behind[0].rstrip(_END)) if before and behind else None


def filled(before: str, phrase: str, behind: str) -> str:
    """Fill a form: what stands behind goes on with a sentence, and ends it.

    Examples
    --------
    >>> filled("Bake bread.", ". Use when ", "Guests come:")
    'Bake bread. Use when guests come.'
    """
    before, behind = before.strip().rstrip(_END), behind.strip().rstrip(_END)
    if not (before and behind):
        return before or behind
    if phrase[-1:].isspace() and phrase.strip()[-1:].isalpha() and behind[1:2].islower():
        behind = behind[0].lower() + behind[1:]  # a name such as NASA keeps its letters
    return f"{before}{phrase}{behind}."
