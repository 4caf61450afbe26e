"""What a person's answer means: proceed, revise or cancel, read from free text by whole words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.events import Asks, Choice
from skillfleet_nb.format import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHOICES: tuple[Choice, ...] = get_args(Choice)
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
_LITERAL = re.compile(r"\s*(\w+)\s*:\s*(\S.*)", re.DOTALL)
_NEGATIONS = frozenset({"not", "never", "don't", "dont", "won't", "wont", "can't", "cannot", "doesn't", "shouldn't"})


@dataclass(frozen=True)
class Answer:
    """What a person answered; true where it is to go on.

    Attributes
    ----------
    choice
        ``"proceed"``, ``"revise"`` or ``"cancel"``.
    text
        What the person said: all of it, or what follows ``revise:`` and the like.
    """

    choice: Choice
    text: str = ""

    def __bool__(self) -> bool:
        return self.choice == "proceed"


def read_answer(said: str, keywords: Mapping[Choice, Sequence[str]], asks: Asks = "confirm") -> Answer:
    """Read an answer in words.

    Keywords, and the names of the choices, count as whole words.  ``revise: TEXT`` is a choice, whatever
    TEXT says.  A question of the kind ``"clarify"`` takes a text without keywords as the answer to it.

    Parameters
    ----------
    said
        What the person said.
    keywords
        Words of each choice; the settings ``answer_proceed``, ``answer_revise`` and ``answer_cancel``.
    asks
        Kind of the question.

    Raises
    ------
    InputError
        If it cannot be read, saying why: nothing was said, no keyword is in it, keywords of different
        choices are, or one that is negated.

    Examples
    --------
    >>> words = {"proceed": ("yes", "continue"), "revise": ("change",), "cancel": ("no", "stop")}
    >>> read_answer("Yes, go on", words).choice
    'proceed'
    >>> read_answer("change: Name no product.", words)
    Answer(choice='revise', text='Name no product.')
    >>> read_answer("no, continue", words)
    Traceback (most recent call last):
    skillfleet_nb.errors.InputError: 'no, continue' says both proceed (continue) and cancel (no): answer with one
    """
    choice_of: dict[str, Choice] = {word.casefold(): choice for choice, words in keywords.items() for word in words}
    choice_of.update((choice, choice) for choice in CHOICES)
    text = said.strip()
    ways = ", ".join(f"{words[0]} ({choice})" if words[0] != choice else choice for choice, words in keywords.items())
    if not _WORD.search(text):
        raise InputError(f"the answer is empty: say {ways}")
    literal = _LITERAL.match(text)
    if literal is not None and (choice := choice_of.get(literal[1].casefold())) is not None:
        return Answer(choice, literal[2].strip())
    spoken = [word.casefold().replace("\u2019", "'") for word in _WORD.findall(text)]
    choices: dict[Choice, str] = {}
    for before, word in zip(["", *spoken], spoken, strict=False):
        if (choice := choice_of.get(word)) is None:
            continue
        if before in _NEGATIONS:
            raise InputError(f"{one_line(text, 60)!r} can be read in two ways ({before} {word}): say {ways}")
        choices.setdefault(choice, word)
    if len(choices) > 1:
        said_both = " and ".join(f"{choice} ({choices[choice]})" for choice in CHOICES if choice in choices)
        raise InputError(f"{one_line(text, 60)!r} says both {said_both}: answer with one")
    if choices:
        return Answer(next(iter(choices)), text)
    if asks == "clarify":
        return Answer("proceed", text)
    raise InputError(f"{one_line(text, 60)!r} says neither to go on nor to stop: say {ways}")


def checked_choice(text: str) -> Choice:
    """Refuse what is no choice; raises `NotFoundError` with the nearest one."""
    for choice in CHOICES:
        if text == choice:
            return choice
    raise unknown("choice", text, CHOICES)
