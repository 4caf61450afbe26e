"""An agent that works by a skill: the body of its ``SKILL.md`` is optimised, and can be written back.

The body is all that a skill can carry, so demos become examples in it: what scores is what is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import expanded, seen_from_here
from skillfleet_nb.programs.state import field_names, predictor_states
from skillfleet_nb.skills.creator.improve import Improvement, rewritten
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.targets.text import Text, checked_signature, with_examples

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from skillfleet_nb.typing import Model

_FILE = "SKILL.md"


class SkillTarget(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """A model that does a task by a skill.

    Parameters
    ----------
    folder
        The skill.
    signature
        What it takes and answers; its own instructions stay above the body, and are not optimised.
    root
        Folder in which the skill must lie.

    Raises
    ------
    InputError, NotFoundError
        If there is no such skill, it lies elsewhere, or its body is empty.
    """

    def __init__(self, folder: str | os.PathLike[str], signature: Any, root: str | os.PathLike[str] = ".") -> None:
        super().__init__()
        self.signature = signature = checked_signature(signature)
        self.root = str(expanded(root).resolve())
        self.folder = str(inside(folder, self.root))
        self.body = Text(signature, Skill.load(self.folder).body.strip(), "body")

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Do the task."""
        return self.body(**self._asked(), **inputs)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Do the task in async code."""
        return await self.body.acall(**self._asked(), **inputs)

    def proposal(self) -> Improvement:
        """Return the skill with this body beside what is on disk: its diff, and ``applied()``, which writes it.

        Raises
        ------
        InputError, NotFoundError
            If the skill is gone, or lies outside of the root by now.
        """
        return rewritten(Skill.load(inside(self.folder, self.root)), self.body.text)

    def _asked(self) -> dict[str, Any]:
        base = self.signature.instructions
        body: Any = self.body
        return {"signature": body.signature.with_instructions(f"{base}\n\n{body.text}"), "demos": []}

    def with_lm(self, lm: Model | None) -> SkillTarget:
        """Set the model that does the task; None is the one that is configured, or the run's."""
        self.body.lm = lm
        return self


def body_of(state: Mapping[str, Any]) -> str:
    """Return the body that the state of a :class:`SkillTarget` holds, its demos as examples.

    Raises
    ------
    InputError
        If it is the state of another program.
    """
    part = predictor_states(state).get("body")
    if part is None:
        names = ", ".join(predictor_states(state))
        raise InputError(f"the program has {names}, and no component 'body': give one made by targets.skill(…)")
    fields = field_names(state).get("body", {})
    demos = part.get("demos", ())
    return with_examples(part["signature"]["instructions"], demos, fields.get("inputs", ()), fields.get("outputs", ()))


def inside(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> Path:
    """Return a skill's folder as a full path; refuse one outside of the root.

    Raises
    ------
    InputError
        Naming both.
    """
    place, within = expanded(folder), Path(root).resolve()
    place = (place.parent if place.name == _FILE else place).resolve()
    file = (place / _FILE).resolve()
    if not (place.is_relative_to(within) and file.is_relative_to(within)):
        raise InputError(
            f"the skill {str(folder)!r} lies outside of {seen_from_here(str(within))!r}: give its folder there, or "
            "root= the folder that holds your skills"
        )
    return place
