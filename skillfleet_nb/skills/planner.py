"""The skill planner: from what a skill should do to where it belongs and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skillfleet_nb.data.load import to_examples
from skillfleet_nb.errors import InputError
from skillfleet_nb.modules.base import ModuleFactory
from skillfleet_nb.skills.style import STYLES, Style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import dspy

__all__ = [
    "planning_examples",
    "skill_planner",
]

_OUTPUTS = ("taxonomy_path", "name", "skill_style", "keywords", "description")
_PREFIX = "expected_"


def skill_planner() -> dspy.Module:
    """Make the unoptimised planner: one predictor, ``task_description`` to the five parts of a plan.

    Returns
    -------
    dspy.Module
        A `dspy.Predict`; its signature is called ``PlanSkill``.

    Examples
    --------
    >>> list(skill_planner().signature.output_fields)
    ['taxonomy_path', 'name', 'skill_style', 'keywords', 'description']
    """
    import dspy

    fields = {
        "task_description": (str, dspy.InputField(desc="what the skill should enable an agent to do")),
        "taxonomy_path": (str, dspy.OutputField(desc="where the skill belongs: category/name, lower case, hyphens")),
        "name": (str, dspy.OutputField(desc="the skill's name in kebab-case, the last part of the path")),
        "skill_style": (
            Style,
            dspy.OutputField(
                desc="minimal for a short card, navigation_hub for an index of documents, else comprehensive"
            ),
        ),
        "keywords": (list[str], dspy.OutputField(desc="two to six terms that people would search for")),
        "description": (str, dspy.OutputField(desc="what the skill does, then when to use it, in two sentences")),
    }
    return dspy.Predict(dspy.Signature(fields, "Plan an agent skill from a description of its task.", "PlanSkill"))


class SkillPlanner(ModuleFactory):
    """Makes the unoptimised planner."""

    name = "skill_planner"
    version = "1"
    summary = "where an agent skill belongs, its name, style, keywords and description, from what it should do"
    role = "understanding"

    def build(self) -> dspy.Module:
        """Make the module."""
        return skill_planner()


def planning_examples(rows: Sequence[Mapping[str, Any]]) -> list[dspy.Example]:
    """Turn planning rows into examples for :func:`skill_planner`.

    Parameters
    ----------
    rows
        With ``task_description`` and the planner's outputs, named as they are or with ``expected_``
        before; other columns are left out.

    Returns
    -------
    list of dspy.Example
        With ``task_description`` as their input.

    Raises
    ------
    InputError
        If a row lacks a field or has an unknown style.

    Examples
    --------
    >>> from skillfleet_nb.data.bundled import bundled
    >>> example = planning_examples(bundled("skill_planning"))[0]
    >>> example.taxonomy_path, example.inputs().keys()
    ('python/asyncio-services', ['task_description'])
    """
    plain = [
        {str(k).removeprefix(_PREFIX): v for k, v in row.items()} if isinstance(row, Mapping) else row for row in rows
    ]
    examples = to_examples(plain, input_fields=["task_description"], output_fields=_OUTPUTS, name="skill planning")
    for number, example in enumerate(examples):
        if example.skill_style not in STYLES:
            raise InputError(
                f"skill planning row {number} has the style {example.skill_style!r}: use one of {', '.join(STYLES)}."
            )
    return examples
