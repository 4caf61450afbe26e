"""Skills that may do already what a new one is asked for: the closest by their words, with what is shared."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.skills.skill import Skill, find_skills

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

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
    """A skill that is there: `score` is the cosine of its name and description with the task, in [0, 1]."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    description: str
    score: float
    reason: str


def closest(task: str, root: str | os.PathLike[str], k: int = 3) -> tuple[Similar, ...]:
    """Find the skills under a folder whose name and description are closest to a task, best first.

    Words count by how rare they are among these skills; one that shares next to nothing is left out.

    Parameters
    ----------
    task
        What a new skill should enable an agent to do.
    root
        Folder of skills.
    k
        How many at most.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    skills = list(find_skills(root))
    said = [terms(f"{skill.name} {skill.description}") for skill in skills]
    spread = Counter(word for words in said for word in words)
    rarity = {word: math.log1p(len(skills) / n) for word, n in spread.items()}
    asked = terms(task)
    compared = [_compared(skill, words, asked, rarity) for skill, words in zip(skills, said, strict=True)]
    return tuple(sorted((one for one in compared if one.score >= _LEAST), key=lambda one: (-one.score, one.path))[:k])


def copied(body: str, similar: Sequence[Similar]) -> list[str]:
    """Tell of which skills that are there a body says nearly all again, word for word or nearly so.

    Parameters
    ----------
    body
        Of the skill that was written.
    similar
        Skills that are there; one whose file is gone is left out.
    """
    written = terms(body)
    findings = []
    for one in similar:
        file = Path(one.path) / "SKILL.md"
        if one.path and file.is_file():
            alike = _cosine(written, terms(Skill.load(file).body))
            if alike >= _COPY:
                findings.append(
                    f"it says nearly what {one.name} says ({alike:.2f} of 1): extend that one, or say what is new"
                )
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
