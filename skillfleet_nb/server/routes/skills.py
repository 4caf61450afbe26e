"""Routes about agent skills that lie below the server's folder, but for their creation, which is a job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skillfleet_nb.server.route import Asked, Call, route
from skillfleet_nb.server.wire import Name


class OfSkill(Asked):
    """A skill, or a folder of skills."""

    path: Name = Field(description="a skill's folder, its SKILL.md, or a folder of skills")
    format: Literal["auto", "v1", "v2"] = Field(default="auto", description="format to check against")
    strict: bool = Field(default=False, description="count warnings as errors")


@route("POST", "skills/validate", "check one skill, or every skill of a tree", "read", takes=OfSkill)
def _validate(c: Call[OfSkill]) -> object:
    from skillfleet_nb.skills import Skill, validate_tree

    place = c.materials.path(c.asked.path)
    report: Any
    if place.is_file() or (place / "SKILL.md").is_file():
        report = Skill.load(place).validate(c.asked.format, strict=c.asked.strict)
    else:
        report = validate_tree(place, c.asked.format, strict=c.asked.strict)
    return report.model_dump(mode="json")


class Scored(Asked):
    """A skill to be scored."""

    path: Name
    reference: Name | None = Field(default=None, description="a model skill: adds similarity and entity F1")


@route("POST", "skills/score", "every metric of a skill, and what to improve", "read", takes=Scored)
def _score(c: Call[Scored]) -> object:
    from skillfleet_nb.skills import Skill
    from skillfleet_nb.skills.scoring import score_skill

    reference = None if c.asked.reference is None else Skill.load(c.materials.path(c.asked.reference))
    embed = None if reference is None else c.fleet.data.embedder()
    return score_skill(Skill.load(c.materials.path(c.asked.path)), reference=reference, embed=embed)


class Similar(Asked):
    """A text that skills may be like."""

    text: str = Field(min_length=1, max_length=20_000)
    root: Name = Field(default=".", description="folder of skills")
    k: int = Field(default=10, ge=1, le=100, description="how many")


@route("POST", "skills/similar", "skills like a text, before a new one is written", "execute", takes=Similar)
def _similar(c: Call[Similar]) -> object:
    root = c.materials.path(c.asked.root)
    index = c.fleet.skills.index(root)
    index.build(root)
    return index.query(c.asked.text, c.asked.k).model_dump(mode="json")
