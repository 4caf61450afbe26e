"""What a task says of its extent, in words that a model reads beside it: how much is asked for, of how many parts.

Counted, not judged: the model weighs them.  The cues are those of tasks that were labelled by hand and are not measured
on; each was kept by leaving these tasks out, one after the other.
"""

from __future__ import annotations

import re
from typing import Final


def _cues(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


_LITTLE: Final = _cues(
    "short", "brief(?:ly)?", "concise", "quick", "small", "tiny", "few", "reminder", "macro", "card", "one[- ]pager?",
    "(?:half|single|one) (?:a )?page", "nothing more",
    "(?:one|two|three|four|five|[1-5]) (?:lines?|rules?|sentences?|paragraphs?|commands?)",
)  # fmt: skip
_ALL: Final = _cues(
    "complete(?:ly)?", "comprehensive", "thorough(?:ly)?", "full(?:y)?", "in[- ]depth", "detailed", "everything",
    "extensive", "whole", "every",
)  # fmt: skip
_LEADS: Final = _cues(
    "index", "overview page", "landing page", "directory", "gateway", "table of contents", "links?", "point the agent",
    "lead(?:s|ing)? to", "existing (?:notes|documents|guides|instructions|manuals|pages)",
)  # fmt: skip
_STAGES: Final = _cues(
    "before", "after", "until", "then", "phases?", "phased", "stages?", "staged", "step by step", "end to end",
    "roll(?:ed|ing)?[- ]?(?:back|out)s?", r"migrat\w+", "cut-?over", "fail-?over", "fallback", r"recover\w*",
    "retr(?:y|ies)", r"reconcil\w+", "conflicts?", "rehearsal", "without (?:downtime|losing)",
    r"from [\w-]+(?: [\w-]+)? to",
)  # fmt: skip
_SYSTEMS: Final = _cues(
    "systems?", "services?", "platforms?", "databases?", "pipelines?", "networks?", "servers?", "devices?",
    r"connect\w*", r"depend\w*", r"sync\w*", "together", "across", "several", "different",
)  # fmt: skip
_CLAUSE: Final = re.compile(r"[.:;!?]")
_MEMBER: Final = re.compile(r",\s+(?:and\s+|or\s+)?|\s+and\s+")
_SOME, _MANY = 2, 4  # parts


def extent(task: str) -> list[str]:
    """Tell what a task says of its extent, each in a few words.

    Parameters
    ----------
    task
        What a skill should enable an agent to do.

    Examples
    --------
    >>> extent("A short card on naming branches.")
    ['asks for little', 'names one subject']
    >>> extent("Move a shop to other servers: export, import, cut-over, with a fallback.")
    ['names many parts', 'speaks of stages that rest on each other', 'speaks of a system']
    """
    little, everything = _LITTLE.search(task), _ALL.search(task)
    asked = ["asks for all of it"] if everything else ["asks for little"] if little else []
    parts = max(len(_MEMBER.split(clause)) for clause in _CLAUSE.split(task))
    named = f"names {'one subject' if parts < _SOME else 'some parts' if parts < _MANY else 'many parts'}"
    if _LEADS.search(task):  # what it leads to is made already
        return [*asked, "leads to documents that are there", named]
    kinds = {"a stage": _STAGES, "a system": _SYSTEMS}
    several = {"a stage": "stages that rest on each other", "a system": "systems that go together"}
    counts = {kind: len({match[0].lower() for match in cues.finditer(task)}) for kind, cues in kinds.items()}
    return [*asked, named, *(f"speaks of {kind if n == 1 else several[kind]}" for kind, n in counts.items() if n)]
