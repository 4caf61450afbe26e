"""Creating skills: a DSPy program that understands a task, chooses how much to do for it, writes, and checks.

``rules`` decides which way a task takes, ``similar`` finds skills that may do already, ``draft`` puts a document
together of what the model wrote and says what is wrong with it, ``program`` asks the model, ``writing`` puts the files
where they belong, last and in one step.
"""

from skillfleet_nb.skills.creator.draft import Draft, Judged, SkillPlan
from skillfleet_nb.skills.creator.examples import creation_examples
from skillfleet_nb.skills.creator.factories import skill_creator
from skillfleet_nb.skills.creator.rules import PATHS, Branch, Path, PhaseRules
from skillfleet_nb.skills.creator.similar import Similar, closest
from skillfleet_nb.skills.creator.writing import Written, write_skill

__all__ = [
    "PATHS",
    "Branch",
    "Draft",
    "Judged",
    "Path",
    "PhaseRules",
    "Similar",
    "SkillPlan",
    "Written",
    "closest",
    "creation_examples",
    "skill_creator",
    "write_skill",
]
