"""Examples for the creator: tasks that were weighed by hand, and rows of planning data to optimise it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.skills.creator.extent import extent
from skillfleet_nb.skills.planner import planning_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import dspy

_COMPLEXITY: Final = {"simple": 0.2, "normal": 0.5, "complex": 0.9}
_FOR_TESTS: Final = 40  # planning tasks that no prompt may show


def weighed_examples() -> list[dspy.Example]:
    """Return tasks with how complex they are: the project's own but the first forty, and those of other fields."""
    import dspy

    labels = {row["name"]: row["label"] for row in bundled("skill_complexity")}
    own = bundled("skill_planning")[_FOR_TESTS:]
    pairs = [(row["task"], row["label"]) for row in bundled("skill_complexity_examples")]
    pairs += [(row["task_description"], labels[row["expected_name"]]) for row in own]
    return [
        dspy.Example(
            task=task, extent=extent(task), is_simple=label == "simple", complexity=_COMPLEXITY[label]
        ).with_inputs("task", "extent")
        for task, label in pairs
    ]


def creation_examples(rows: Sequence[Mapping[str, Any]]) -> list[dspy.Example]:
    """Turn planning rows into examples on which the creator is optimised.

    Each has the `task` as its input, and the plan that people made of it: an optimizer that copies examples into
    prompts shows the step that plans how these people name and describe a skill.

    Parameters
    ----------
    rows
        With ``task_description`` and the plan's parts, named as they are or with ``expected_`` before.

    Returns
    -------
    list of dspy.Example
        With ``task`` as their input.

    Raises
    ------
    InputError
        If a row lacks a field or has an unknown style.

    Examples
    --------
    >>> from skillfleet_nb.data.bundled import bundled
    >>> example = creation_examples(bundled("skill_planning"))[0]
    >>> list(example.inputs().keys()), example.name
    (['task'], 'asyncio-services')
    """
    import dspy

    plans = planning_examples(rows)
    return [dspy.Example(task=plan.task_description, **plan.toDict()).with_inputs("task") for plan in plans]
