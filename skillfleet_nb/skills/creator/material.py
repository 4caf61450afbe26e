"""What research may read: the text files of the folders it was given, in passages, and nothing beside them."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.format import expanded
from skillfleet_nb.skills.creator.similar import terms
from skillfleet_nb.skills.markdown import outline

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

READ: Final = frozenset({".md", ".markdown", ".rst", ".txt"})
"""Files that are read, by how their names end."""
MOST_FILES: Final = 2_000
MOST_BYTES: Final = 300_000
"""Of a file; a larger one is left out."""
MOST_CHARACTERS: Final = 2_000
"""Of a passage."""
_TITLE: Final = 3  # words of a heading count as often
_STEM: Final = 5  # letters by which two forms of a word are one
_CODE = "```"
_SECTION: Final = 2  # level of a heading, from which what is below it belongs together
_CONTENTS: Final = re.compile(r"(?:\s*(?:[-*+]|\d+\.) *\[[^\]]*\]\(#[^)]*\))+")  # a list of places in the page
_FRONT: Final = re.compile(r"\A---\s*\n.*?\n---\s*(?:\n|\Z)", re.DOTALL)


class Passage(NamedTuple):
    """What stands below one heading of a file."""

    file: str
    heading: str
    text: str

    @property
    def name(self) -> str:
        """By which it is called: its file and heading."""
        return f"{self.file}#{self.heading}"

    @property
    def examples(self) -> int:
        """How many blocks of code it shows, or one where its heading says that it is an example."""
        return self.text.count(f"\n{_CODE}") // 2 or int("example" in self.heading.lower())


@dataclass(frozen=True)
class Material:
    """Passages of the files under some folders.

    Parameters
    ----------
    passages
        In order of file and place.
    left_out
        How many files were not read, for their size or number.
    """

    passages: tuple[Passage, ...]
    left_out: int = 0

    @classmethod
    def under(cls, *folders: str | os.PathLike[str]) -> Material:
        """Read the text files under folders, or files themselves; no link leads out of them, nothing hidden is read.

        Raises
        ------
        NotFoundError
            There is no such folder or file.
        InputError
            It holds no text file.
        """
        files, left_out = list[tuple[str, Path]](), 0
        for folder in folders:
            place = expanded(folder)
            if not place.exists():
                raise NotFoundError(f"root = {str(folder)!r}: no such folder; give the folder of documents to read")
            files += [
                (str(path.relative_to(place if place.is_dir() else place.parent)), path) for path in _texts(place)
            ]
        kept = [(name, path) for name, path in files if path.stat().st_size <= MOST_BYTES][:MOST_FILES]
        left_out = len(files) - len(kept)
        if not kept:
            names = ", ".join(repr(str(folder)) for folder in folders)
            raise InputError(f"root = {names}: holds no text to read ({', '.join(sorted(READ))}); give another folder")
        read = [p for name, path in kept for p in _passages(name, path.read_text("utf-8", errors="replace"))]
        return cls(tuple(read), left_out)

    def search(self, query: str, k: int) -> list[tuple[Passage, float]]:
        """Find the `k` passages closest to a query by their words, the rarer the more; best first, scores in [0, 1]."""
        asked = terms(query)
        rare = max(self._rarity.values(), default=1.0)
        norm = math.sqrt(sum(self._rarity.get(word, rare) ** 2 for word in asked)) or 1.0
        scored = []
        for passage, counted, length in self._counted:
            shared = sum(min(1.0, counted[word]) * self._rarity[word] ** 2 for word in asked.keys() & counted.keys())
            if shared:
                scored.append((passage, shared / (norm * length)))
        return sorted(scored, key=lambda pair: (-pair[1], pair[0].name))[:k]

    def passage(self, name: str) -> Passage | None:
        """Return the passage of that name, None where there is none."""
        return self._named.get(name.strip())

    @cached_property
    def _named(self) -> dict[str, Passage]:
        return {passage.name: passage for passage in reversed(self.passages)}

    @cached_property
    def _bags(self) -> list[tuple[Passage, Counter[str]]]:
        return [(p, terms(f"{(p.heading + ' ') * _TITLE}{p.text}")) for p in self.passages]

    @cached_property
    def _rarity(self) -> dict[str, float]:
        spread = Counter(word for _, bag in self._bags for word in bag)
        return {word: math.log1p(len(self.passages) / n) for word, n in spread.items()}

    @cached_property
    def _counted(self) -> list[tuple[Passage, Counter[str], float]]:
        rarity = self._rarity
        return [(p, bag, math.sqrt(sum(rarity[w] ** 2 for w in bag)) or 1.0) for p, bag in self._bags]


def readiness(task: str, read: Sequence[Passage], least_examples: int) -> float:
    """Tell how well passages prepare for a task, in [0, 1]: half by its words, half by examples."""
    asked = terms(task)
    covered = 1 - len(missing(task, read)) / len(asked) if asked else 0.0
    shown = min(1.0, sum(p.examples for p in read) / least_examples) if least_examples else 1.0
    return (covered + shown) / 2


def missing(task: str, read: Iterable[Passage]) -> list[str]:
    """Return the words of a task that no passage speaks of, in whatever form."""
    there = {word[:_STEM] for word in terms(" ".join(f"{p.heading} {p.text}" for p in read))}
    return [word for word in terms(task) if word[:_STEM] not in there]


def _texts(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield from [place] if place.suffix.lower() in READ else []
        return
    inside = place.resolve()
    for path in sorted(place.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
        if path.suffix.lower() in READ and not hidden and path.is_file() and path.resolve().is_relative_to(inside):
            yield path


def _passages(file: str, text: str) -> Iterator[Passage]:
    """Part a file at its headings; what a heading has below it stays together where it is not too long.

    A table of contents is no passage.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    heads = [(h.line - 1, h.title, h.level) for h in outline("\n".join(lines)).headings]
    opening = _FRONT.sub("", "\n".join(lines[: heads[0][0] if heads else len(lines)])).strip()
    if opening:
        yield Passage(file, "", opening[:MOST_CHARACTERS])
    stop = 0  # lines before are in a passage
    for n, (line, title, level) in enumerate(heads):
        if line < stop:
            continue
        later = heads[n + 1 :]
        stop = next((start for start, _, other in later if other <= level), len(lines))
        if level < _SECTION or len("\n".join(lines[line + 1 : stop])) > MOST_CHARACTERS:
            stop = later[0][0] if later else len(lines)
        said = "\n".join(lines[line + 1 : stop]).strip()
        if said and not _CONTENTS.fullmatch(said):
            yield Passage(file, title, _whole(said))


def _whole(text: str) -> str:
    """Cut a passage where a paragraph ends, never within a block of code."""
    kept = text
    while len(kept) > MOST_CHARACTERS or kept.count(_CODE) % 2:
        head, mark, _ = kept.rpartition("\n\n")
        if not mark:
            return kept[:MOST_CHARACTERS] if not kept.count(_CODE) else ""
        kept = head
    return kept
