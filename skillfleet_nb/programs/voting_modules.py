"""The votes of :mod:`~skillfleet_nb.programs.voting` as modules by name and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from skillfleet_nb.modules.base import ModuleConfig, ModuleFactory, program_of

if TYPE_CHECKING:
    from skillfleet_nb.typing import Program

_PROGRAM = "the program: a dspy.Module, or a signature such as 'text -> label'"


class _Agreeing(ModuleConfig):
    min_agreement: float = Field(0.0, ge=0, le=1, description="share of the weight from which a vote counts as agreed")
    fields: tuple[str, ...] | None = Field(None, description="outputs that are compared; by default all but reasoning")


class EnsembleConfig(_Agreeing):
    """Configuration of `ensemble`."""

    programs: tuple[Any, ...] = Field(min_length=2, description="two or more of the same outputs, the preferred first")
    vote: Literal["majority", "weighted"] = Field("majority", description="weighted by the accuracy that fit has seen")


class EnsembleFactory(ModuleFactory):
    """Makes a :class:`~skillfleet_nb.programs.voting.Ensemble`."""

    name = "ensemble"
    version = "1"
    summary = "several programs are asked, and what most of them say is the answer"
    Config = EnsembleConfig

    def build(self) -> Program:
        """Make the module."""
        from skillfleet_nb.programs.voting import Ensemble

        c = self.config
        programs = [program_of(program, self.name) for program in c.programs]
        made: Program = Ensemble(programs, vote=c.vote, min_agreement=c.min_agreement, fields=c.fields)
        return made


class MajorityVoteConfig(_Agreeing):
    """Configuration of `majority_vote`."""

    program: Any = Field(description=_PROGRAM)
    n: int = Field(5, ge=2, description="how often it is asked")
    temperature: float = Field(1.0, gt=0, description="of the model, so that answers differ")


class MajorityVoteFactory(ModuleFactory):
    """Makes a :class:`~skillfleet_nb.programs.voting.MajorityVote`."""

    name = "majority_vote"
    version = "1"
    summary = "a program is asked several times, and what it says most often is the answer"
    Config = MajorityVoteConfig

    def build(self) -> Program:
        """Make the module."""
        from skillfleet_nb.programs.voting import MajorityVote

        c = self.config
        made: Program = MajorityVote(
            program_of(c.program, self.name), c.n, temperature=c.temperature, min_agreement=c.min_agreement,
            fields=c.fields,
        )  # fmt: skip
        return made


class BestOfNConfig(ModuleConfig):
    """Configuration of `best_of_n`."""

    program: Any = Field(description=_PROGRAM)
    reward: Any = Field(description="reward(inputs, prediction) returning a number, higher is better")
    n: int = Field(3, ge=1, description="how often it is asked at most")
    threshold: float = Field(1.0, description="the first attempt with at least this reward is taken")


class BestOfNFactory(ModuleFactory):
    """Makes a :class:`~skillfleet_nb.programs.voting.BestOfN`."""

    name = "best_of_n"
    version = "1"
    summary = "a program is asked up to n times, and the attempt of the highest reward is the answer"
    Config = BestOfNConfig

    def build(self) -> Program:
        """Make the module."""
        from skillfleet_nb.errors import InputError
        from skillfleet_nb.programs.voting import BestOfN

        c = self.config
        if not callable(c.reward):
            raise InputError(f"best_of_n: reward = {c.reward!r}: give a function reward(inputs, prediction)")
        made: Program = BestOfN(program_of(c.program, self.name), c.n, c.reward, c.threshold)
        return made
