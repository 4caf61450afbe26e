"""Facts of skills that jobs create: what is known of one as it comes to be, and what was written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skillfleet_nb.events.payload import Payload


class SkillCreated(Payload):
    """A skill was created and written into `folder`; `path` is the way it took, `reason` why.

    `score` is its quality, `original` and `adjusted` are the composites with the original weights and with those of
    its style.  `findings` is what is still wrong with it.  `calls` counts those asked for it, `seconds_saved` tells
    what the normal way would have taken beyond this, by the calls it needs and the time that one took here.
    """

    kind: Literal["skill_created"] = "skill_created"
    name: str
    folder: str
    backup: str | None = None
    path: Literal["fast", "normal", "expert"]
    reason: str
    template: str | None = None
    complexity: float
    score: float
    original: float
    adjusted: float
    findings: tuple[str, ...] = ()
    decision: str = "new"
    similar: tuple[str, ...] = ()
    drafts: int = 1
    calls: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    seconds_saved: float = 0.0


class SkillCard(Payload):
    """What is known of a skill while it is created; a later card of the same name takes the place of the last.

    Of a *section* `text` is what was written, of *writing* the lines of it that are written by now, of a *draft*
    its ``SKILL.md``, of a *template* its body.  `score` is the quality of a draft, `findings` what is wrong with it.
    """

    kind: Literal["skill_card"] = "skill_card"
    card: Literal["research", "intent", "similar", "template", "plan", "path", "writing", "section", "draft"]
    facts: dict[str, str] = Field(default_factory=dict)
    text: str = ""
    score: float | None = None
    findings: tuple[str, ...] = ()
