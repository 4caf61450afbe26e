"""The creator and its phases in the registry of modules, each predictor with the model of its kind of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from skillfleet_nb.modules.base import ModuleConfig, ModuleFactory
from skillfleet_nb.skills.creator.rules import PhaseRules
from skillfleet_nb.skills.templates import preview

if TYPE_CHECKING:
    from skillfleet_nb.config import TaskRole
    from skillfleet_nb.typing import Program


class CreatorConfig(ModuleConfig):
    """Configuration of `skill_creator`."""

    path: Literal["auto", "fast", "normal", "expert"] = Field("auto", description="the way to take; auto: by the rules")
    template: str | None = Field(None, description="the template to use; by default the model chooses")
    templates: tuple[str, ...] = Field((), description="folders of templates of your own")
    root: str | None = Field(None, description="folder of skills, among which similar ones are looked for")
    rules: PhaseRules = Field(PhaseRules(), description="which way a task takes: phase_rules.toml of a home")
    docs: tuple[str, ...] = Field((), description="folders of documents to research the task in before it is written")
    review: tuple[Literal["research", "intent", "plan", "draft"], ...] = Field((), description="where to ask a person")
    ask: Any = Field(None, exclude=True, description="asks a person: ask(gate, question, details) -> text to revise by")
    embed: Any = Field(None, exclude=True, description="texts to unit vectors, to compare skills by meaning as well")

    @field_validator("review", "templates", "docs", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class SkillCreatorFactory(ModuleFactory):
    """Makes the whole creator."""

    name = "skill_creator"
    version = "1"
    summary = "writes an agent skill for a task: understands, chooses how much to do, writes, checks and revises"
    role = "generation"
    Config = CreatorConfig

    def build(self) -> Program:
        """Make the module."""
        from skillfleet_nb.skills.creator.program import SkillCreator

        c = self.config
        if c.template is not None:
            preview(c.template, *c.templates)  # an unknown one is told before anything is asked
        options = {name: getattr(c, name) for name in type(c).model_fields}
        made: Program = SkillCreator(**options)
        return made

    def role_of(self, predictor: str) -> TaskRole | None:
        """Return the kind of work of a predictor."""
        if predictor.startswith(("research.", "understanding.", "complexity.")):
            return "understanding"
        if predictor == "validation.revise":
            return "edit"
        return "validation" if predictor.startswith("validation.") else "generation"


class _Phase(ModuleFactory):
    """Makes one phase."""

    def build(self) -> Program:
        """Make the module."""
        from skillfleet_nb.skills.creator import phases

        made: Program = getattr(phases, "".join(part.capitalize() for part in self.name.split("_")))()
        return made


class Understanding(_Phase):
    """Makes the phase that understands."""

    name = "skill_understanding"
    version = "1"
    summary = "what a skill is for, whether one is there, and which template fits"
    role = "understanding"


class Complexity(_Phase):
    """Makes the phase that weighs a task."""

    name = "skill_complexity"
    version = "1"
    summary = "how complex an agent skill is to write"
    role = "understanding"


class Generation(_Phase):
    """Makes the phase that writes."""

    name = "skill_generation"
    version = "1"
    summary = "the text of an agent skill: from a template, or an outline and each section"
    role = "generation"


class Validation(_Phase):
    """Makes the phase that checks."""

    name = "skill_validation"
    version = "1"
    summary = "what is wrong with a draft of an agent skill, and the draft revised"
    role = "validation"


def skill_creator(**config: Any) -> Program:
    """Make the creator of skills: a ``dspy.Module`` like any other, to be called, optimised, registered.

    Parameters
    ----------
    **config
        `path`, `template`, `templates`, `root`, `docs`, `rules`, `review`, `ask` and `embed`: see
        ``%skillfleet modules info skill_creator``.

    Returns
    -------
    dspy.Module
        ``creator(task="…").skill`` is an :class:`~skillfleet_nb.Skill`; ``.findings`` is what is wrong with it.

    Raises
    ------
    NotFoundError, InputError
        If the configuration is not allowed.

    Examples
    --------
    >>> import dspy
    >>> from skillfleet_nb import offline_lm
    >>> with dspy.context(lm=offline_lm()):
    ...     made = skill_creator()(task="Rotate API keys without downtime. Use when a key may have leaked.")
    >>> made.skill.validate().conformant
    True
    """
    from skillfleet_nb.modules.registry import create

    return create("skill_creator", **config)
