"""Skills that may do already what a new one is asked for, and what is written again of them.

The closest are found by meaning, or by their words where no model makes vectors; each with what is shared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.skills.similarity.index import DUPLICATE, RELATED, likeness
from skillfleet_nb.skills.skill import Skill, find_skills

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from skillfleet_nb.skills.scoring.semantic import Embed
    from skillfleet_nb.skills.similarity.index import SimilarityIndex
    from skillfleet_nb.skills.similarity.records import Match

_WORD = re.compile(r"[^\W_]{3,}")
_COMMON: Final = frozenset(
    re.findall(
        r"\w+",
        "and are but can for from have how into its not our that the their them then this use used using was what when "
        "which who will with you your skill skills agent",
    )
)
_LEAST: Final = 0.05
_SHOWN: Final = 6
_COPY: Final = 0.9  # cosine of the words of two bodies, from which one is the other again


class Similar(BaseModel):
    """A skill that is there: `score` is how close it is to the task, in [0, 1], by meaning or by words."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    description: str
    score: float
    reason: str


def closest(
    task: str, root: str | os.PathLike[str], k: int = 3, index: SimilarityIndex | None = None
) -> tuple[Similar, ...]:
    """Find the skills under a folder that are closest to a task, best first.

    With an index by meaning; else by the words of their names and descriptions, which count by how rare they are
    among these skills.  One that has next to nothing to do with the task is left out.

    Parameters
    ----------
    task
        What a new skill should enable an agent to do.
    root
        Folder of skills.
    k
        How many at most.
    index
        Of these skills; it is brought up to date first.

    Raises
    ------
    NotFoundError
        There is no such folder.
    HomeError
        The index cannot be written.
    """
    if index is not None:
        index.build(root)
        near = (one for one in index.query(task, k).matches if one.score >= RELATED)
        return tuple(_by_meaning(Path(root).absolute(), one) for one in near)
    skills = list(find_skills(root))
    said = [terms(f"{skill.name} {skill.description}") for skill in skills]
    spread = Counter(word for words in said for word in words)
    rarity = {word: math.log1p(len(skills) / n) for word, n in spread.items()}
    asked = terms(task)
    compared = [_compared(skill, words, asked, rarity) for skill, words in zip(skills, said, strict=True)]
    return tuple(sorted((one for one in compared if one.score >= _LEAST), key=lambda one: (-one.score, one.path))[:k])


def copied(written: Skill, similar: Sequence[Similar], embed: Embed | None = None) -> list[str]:
    """Tell which skills that are there say nearly all of what was written, in these words or in others.

    Parameters
    ----------
    written
        The skill that was written.
    similar
        Skills that are there; one whose file is gone is left out.
    embed
        Texts to vectors; without it words alone are compared.
    """
    findings = []
    for one in similar:
        file = Path(one.path) / "SKILL.md"
        if not (one.path and file.is_file()):
            continue
        there = Skill.load(file)
        alike = _cosine(terms(written.body), terms(there.body))
        if alike < _COPY:
            alike = likeness(written, there, embed) if embed is not None else 0.0
            if alike < DUPLICATE:
                continue
        findings.append(f"it says nearly what {one.name} says ({alike:.2f} of 1): extend that one, or say what is new")
    return findings


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    dot = sum(n * other[word] for word, n in one.items())
    return dot / math.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values())) if dot else 0.0


def terms(text: str) -> Counter[str]:
    """Count the words of a text that are about something.

    Examples
    --------
    >>> sorted(terms("Use when a team must rotate API keys."))
    ['api', 'keys', 'must', 'rotate', 'team']
    """
    return Counter(word for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _by_meaning(root: Path, one: Match) -> Similar:
    return Similar(
        name=one.name, path=str(root / one.path), description=one.description, score=min(1.0, one.score),
        reason=one.reason,
    )  # fmt: skip


def _compared(skill: Skill, words: Counter[str], asked: Counter[str], rarity: dict[str, float]) -> Similar:
    rare = max(rarity.values(), default=1.0)
    shared = sorted(words.keys() & asked.keys(), key=lambda word: (-rarity[word], word))
    dot = sum(words[w] * asked[w] * rarity[w] ** 2 for w in shared)
    norms = [math.sqrt(sum((n * rarity.get(w, rare)) ** 2 for w, n in bag.items())) for bag in (words, asked)]
    score = dot / (norms[0] * norms[1]) if all(norms) else 0.0
    reason = f"both speak of {', '.join(shared[:_SHOWN])}" if shared else "nothing is shared"
    return Similar(
        name=skill.name,
        path=str(skill.folder or ""),
        description=skill.description,
        score=min(1.0, score),
        reason=reason,
    )
